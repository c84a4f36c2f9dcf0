package entente_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/entente-mesh/entente"

// houses are the top-level folders from the ground up. A package imports its own house and those
// below it, never one above.
var houses = []struct{ name, reason string }{
	{"proto", "proto is what everybody says: it must be readable, and usable by others, without us"},
	{"pki", "pki says who is who and is trusted by all above it: it must not depend on what they do with that"},
	{"federation", "federation speaks for any bureau: it must not know how this one keeps its records"},
	{"node", "a node is wired by node.go and started by cmd: it must not know who starts it"},
	{"cmd", "nobody imports a program"},
	{"bench", "nobody imports the measurements"},
}

// floors order the rooms of one house. A room imports rooms on lower floors only; rooms on one
// floor are siblings and meet through small interfaces declared where they are used. A folder
// below a room (node/formats/mrz) has a floor of its own if it stands here, else its parent's.
var floors = map[string]int{
	"pki/identity":              0,
	"pki/signing":               1, // names come before keys
	"pki/authority":             1,
	"pki/signing/service":       2, // the keys in a process of their own
	"pki/signing/remote":        2, // and how a node reaches them
	"pki/roster":                2, // a roster is signed
	"pki/mtls":                  3, // a channel is verified against the roster
	"pki/evidence/evidencetest": 4,
	"pki/evidence":              3, // what a bureau said is proven by the roster of that day

	"federation/fault":   0, // the errors that cross a border
	"federation/policy":  1,
	"federation/members": 1,
	"federation/peers":   1,
	"federation/ask":     2, // asks through whatever gives it connections and decisions
	"federation/server":  2,
	"federation/witness": 2,

	"node/formats/country": 0,
	"node/formats":         1,
	"node/match/script":    -2, // letters, and
	"node/match/people":    -2, // what names are made of
	"node/match/names":     -1, // the comparison of names, before what records make of it
	"node/match":           1,
	"node/match/eval":      2, // measures the matcher
	"node/policies":        1,
	"node/disk":            0, // the file layer under what must not be lost
	"node/disk/disktest":   1,
	"node/vault":           1, // keys, before what lies under them
	"node/store":           2,
	"node/store/storetest": 3,
	"node/journal":         2,
	"node/alarms":          2,
	"node/limits":          2,
	"node/metrics":         2,
	"node/register":        2,
	"node/dualcontrol":     2,
	"node/gate":            3, // the door, before what goes through it
	"node/audit":           3, // the tree over the journal
	"node/screening":       4,
	"node/records":         4,
	"node/api":             5,
	"node":                 6, // the parent wires its children
	"node/nodetest":        7, // scenes between whole nodes
}

// pure are the rooms that decide and therefore touch nothing: what they answer depends on what
// they are given, so that a case can be replayed years later.
var pure = map[string]struct {
	reason string
	except []string // allowed all the same
}{
	"federation/policy": {"a decision depends on its facts alone; files are handed in as an fs.FS", []string{"io/fs"}},
	"node/match":        {"the same query and records always give the same score", nil},
}

// touching are the packages by which a program touches the world.
var touching = regexp.MustCompile(`^(os|os/.*|net|net/.*|io/fs|io/ioutil|database/.*|syscall|log|log/.*|plugin|golang\.org/x/sys/.*|google\.golang\.org/grpc.*)$`)

// alone says which room alone may know a library.
var alone = []struct {
	library *regexp.Regexp
	rooms   []string
	reason  string
}{
	{regexp.MustCompile(`^(database/sql.*|modernc\.org/sqlite.*|github\.com/pressly/goose.*|github\.com/jackc/pgx.*)$`),
		[]string{"node/store"}, "only the store knows SQL, so that a second engine is one room's work"},
	{regexp.MustCompile(`^github\.com/transparency-dev/tessera(/.*)?$|^k8s\.io/klog/.*$`),
		[]string{"node/audit"}, "the log is a function of the journal: one room appends to it"},
	{regexp.MustCompile(`^github\.com/prometheus/.*$`),
		[]string{"node/metrics"}, "what is counted is counted everywhere, what is told is told in one place"},
	{regexp.MustCompile(`^github\.com/smallstep/certificates(/.*)?$`),
		[]string{"pki/authority"}, "only the authority issues, so that there is one place in which names are restricted"},
	{regexp.MustCompile(`^github\.com/hashicorp/.*$`),
		[]string{"federation/members"}, "gossip is a hint: nothing else may be able to build on it"},
	{regexp.MustCompile(`^github\.com/cedar-policy/.*$`),
		[]string{"federation/policy"}, "a decision is made in one place, where an evaluation error is a denial"},
	{regexp.MustCompile(`^buf\.build/go/protoyaml.*$|^github\.com/stretchr/testify(/.*)?$|^github\.com/golang/mock(/.*)?$`),
		nil, "tests are plain Go with go-cmp: fakes, no mocks and no second language of assertions"},
}

// drawers are names that say nothing of what is inside.
var drawers = []string{"util", "utils", "common", "helper", "helpers", "misc", "types", "base", "shared", "lib", "core"}

const maxLines = 600

// file is one of our own Go files.
type file struct {
	path string // relative to the root, with slashes
	room string // its folder; "" is the root
	test bool
	src  []byte
	ast  *ast.File
}

// ours parses every Go file of the house, without the generated ones and the tools' modules.
func ours(t *testing.T) (*token.FileSet, []file) {
	t.Helper()
	fset := token.NewFileSet()
	var files []file
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		p = filepath.ToSlash(p)
		if d.IsDir() {
			if p != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" ||
				slices.Contains([]string{"proto/gen", "tools", "third_party", "bin"}, p)) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(p) != ".go" {
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(fset, p, src, parser.ParseComments)
		if err != nil {
			return err
		}
		room := path.Dir(p)
		if room == "." {
			room = ""
		}
		files = append(files, file{path: p, room: room, test: strings.HasSuffix(p, "_test.go"), src: src, ast: parsed})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fset, files
}

// inside returns the room of an import path of this module, without generated code's detail.
func inside(importPath string) (room string, ok bool) {
	if importPath == module {
		return "", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func imports(f file) []string {
	var all []string
	for _, spec := range f.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(fmt.Sprintf("%s: import %s: %v", f.path, spec.Path.Value, err)) // the parser has accepted it
		}
		all = append(all, p)
	}
	return all
}

func house(room string) int {
	top, _, _ := strings.Cut(room, "/")
	for i, h := range houses {
		if h.name == top {
			return i
		}
	}
	return -1
}

func floor(room string) (int, bool) {
	for r := room; r != "." && r != ""; r = path.Dir(r) {
		if n, ok := floors[r]; ok && (r == room || r != "node") {
			return n, true
		}
	}
	return 0, false
}

// within says whether a room is another or lies below it.
func within(room, parent string) bool {
	return room == parent || strings.HasPrefix(room, parent+"/")
}

func TestImportsRunOneWay(t *testing.T) {
	_, files := ours(t)
	for _, f := range files {
		if f.room == "" {
			continue
		}
		from := house(f.room)
		if from < 0 {
			t.Errorf("%s: %q is no house of ours: give it a place in `houses`, or move it", f.path, f.room)
			continue
		}
		for _, p := range imports(f) {
			room, ok := inside(p)
			if !ok || room == f.room {
				continue
			}
			to := house(room)
			switch {
			case to < 0:
				t.Errorf("%s imports %s, which is in no house", f.path, p)
			case to > from:
				t.Errorf("%s imports %s: imports run cmd > node > federation > pki > proto; %s", f.path, p, houses[from].reason)
			case to != from && (houses[to].name == "cmd" || houses[to].name == "bench"):
				t.Errorf("%s imports %s: %s", f.path, p, houses[to].reason)
			}
		}
	}
}

func TestSiblingsMeetThroughInterfaces(t *testing.T) {
	_, files := ours(t)
	for _, f := range files {
		h := house(f.room)
		if f.room == "" || h < 0 || slices.Contains([]string{"proto", "cmd", "bench"}, houses[h].name) {
			continue
		}
		from, ok := floor(f.room)
		if !ok {
			t.Errorf("%s: the room %s stands on no floor: give it one in `floors`, with the rooms that it may look down on", f.path, f.room)
			continue
		}
		if f.test || strings.HasSuffix(f.room, "test") {
			continue // a scene may put siblings together, and so may what it stands on
		}
		for _, p := range imports(f) {
			room, ok := inside(p)
			if !ok || room == f.room || house(room) != h {
				continue
			}
			if to, ok := floor(room); ok && to >= from {
				t.Errorf("%s imports %s, which is not below it: siblings meet through small interfaces declared where they are used, and parents wire them", f.path, p)
			}
		}
	}
}

func TestWhoDecidesTouchesNothing(t *testing.T) {
	_, files := ours(t)
	for _, f := range files {
		if f.test {
			continue
		}
		for room, rule := range pure {
			if !within(f.room, room) {
				continue
			}
			for _, p := range imports(f) {
				if touching.MatchString(p) && !slices.Contains(rule.except, p) {
					t.Errorf("%s imports %s: %s does no input or output: %s", f.path, p, room, rule.reason)
				}
			}
		}
	}
}

func TestOneRoomKnowsALibrary(t *testing.T) {
	_, files := ours(t)
	for _, f := range files {
		for _, p := range imports(f) {
			for _, rule := range alone {
				if !rule.library.MatchString(p) {
					continue
				}
				if !slices.ContainsFunc(rule.rooms, func(room string) bool { return within(f.room, room) }) {
					t.Errorf("%s imports %s: %s", f.path, p, rule.reason)
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	_, files := ours(t)
	says, clause := map[string]bool{}, map[string]string{}
	for _, f := range files {
		if f.test {
			continue
		}
		name := f.ast.Name.Name
		clause[f.room] = name
		opening := "Package " + name + " "
		if name == "main" {
			opening = "Command " + path.Base(f.room) + " "
		}
		if f.ast.Doc != nil && strings.HasPrefix(f.ast.Doc.Text(), opening) {
			says[f.room] = true
		}
	}
	for room, name := range clause {
		if !says[room] {
			t.Errorf("%s: package %s has no package comment (\"Package %[2]s ...\", a program: \"Command ...\"): say what it is, what it is not, and one flow", room, name)
		}
		if slices.Contains(drawers, name) || slices.Contains(drawers, path.Base(room)) {
			t.Errorf("%s: %q is the name of a drawer: name the room after what is in it", room, name)
		}
	}
}

func TestFilesTellOneStory(t *testing.T) {
	_, files := ours(t)
	for _, f := range files {
		if lines := strings.Count(string(f.src), "\n"); !f.test && lines > maxLines {
			t.Errorf("%s: %d lines, at most %d: a file tells one story; split it where the second begins", f.path, lines, maxLines)
		}
	}
}

func TestNothingHappensBehindMain(t *testing.T) {
	_, files := ours(t)
	for _, f := range files {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: func init: configuration goes in, New comes out; nothing registers itself", f.path)
			}
		}
	}
}

// A sleep in the product cannot be cancelled, and one in a test is a guess about the machine. In
// a bubble of testing/synctest time is the test's own, and sleeping is how it passes.
func TestNobodySleeps(t *testing.T) {
	fset, files := ours(t)
	for _, f := range files {
		if f.test && slices.Contains(imports(f), "testing/synctest") {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if called(call, "time", "Sleep") {
				t.Errorf("%s: time.Sleep: wait for the event, or for a timer beside the context", fset.Position(call.Pos()))
			}
			return true
		})
	}
}

func called(call *ast.CallExpr, pkg, name string) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == pkg
}

// unfinished finds what a reader must not find. Written in pieces, so as not to find itself.
var unfinished = regexp.MustCompile(`\b(` + strings.Join([]string{"TO" + "DO", "FIX" + "ME", "HA" + "CK"}, "|") + `)\b`)

func TestNothingIsLeftForLater(t *testing.T) {
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		p = filepath.ToSlash(p)
		if d.IsDir() {
			if p == ".git" || p == "third_party" || p == "proto/gen" || p == "bin" || d.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if !slices.Contains([]string{".go", ".proto", ".md", ".sql", ".cedar", ".cedarschema", ".yaml", ".yml", ".sh", ".mod"}, path.Ext(p)) &&
			path.Base(p) != "Makefile" && p != ".ci/run" {
			return nil
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(b), "\n") {
			if m := unfinished.FindString(line); m != "" {
				t.Errorf("%s:%d: %s: do it, or write down in docs/decisions why not", p, i+1, m)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLicence(t *testing.T) {
	b, err := os.ReadFile("LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Apache License", "Version 2.0, January 2004", "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("LICENSE does not contain %q: it is to be the whole text of the Apache License 2.0", want)
		}
	}
	if _, err := os.Stat("NOTICE"); err != nil {
		t.Error(err)
	}
}

// TestTheRulesBite proves on invented packages that a broken rule is seen, so that the tests
// above are not green because they look at nothing.
func TestTheRulesBite(t *testing.T) {
	if house("federation/ask") <= house("pki/mtls") || house("node/store") >= house("cmd/entente") || house("drawer") != -1 {
		t.Error("houses are not in order")
	}
	if n, ok := floor("node/formats/mrz"); !ok || n != floors["node/formats"] {
		t.Errorf("floor of node/formats/mrz: %d %v, want its parent's", n, ok)
	}
	if _, ok := floor("node/attic"); ok {
		t.Error("a new room below node got the floor of node itself: it would be allowed to import everything")
	}
	for _, p := range []string{"os", "os/exec", "net/http", "database/sql", "log/slog", "google.golang.org/grpc/status"} {
		if !touching.MatchString(p) {
			t.Errorf("%s does not count as touching the world", p)
		}
	}
	for _, p := range []string{"strings", "errors", "io", "google.golang.org/protobuf/proto"} {
		if touching.MatchString(p) {
			t.Errorf("%s counts as touching the world", p)
		}
	}
	for _, line := range []string{"// TO" + "DO: later", "# FIX" + "ME"} {
		if !unfinished.MatchString(line) {
			t.Errorf("%q is not found", line)
		}
	}
	asleep, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nfunc f() { time.Sleep(1) }", 0)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	ast.Inspect(asleep, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		found = found || ok && called(call, "time", "Sleep")
		return true
	})
	if !found {
		t.Error("a sleep is not found")
	}
}
