package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
	"go.yaml.in/yaml/v3"

	"github.com/entente-mesh/entente/pki/identity"
)

// Bounds of a policy folder. They keep a mistaken or hostile file from exhausting the node that
// reads it; a country's treaties with 195 others are a tenth of them.
const (
	maxFileBytes   = 256 << 10
	maxFiles       = 4096
	maxFolderBytes = 16 << 20
	// maxNesting bounds brackets in brackets: the parser is recursive.
	maxNesting = 64
	// maxPolicyBytes bounds chains of operators and accesses, which nest without brackets.
	maxPolicyBytes = 64 << 10
	maxIDLength    = 128
)

// Extension is how the names of policy files end.
const Extension = ".cedar"

// CommunitiesFile lists groups of bureaus that policies may name, as YAML:
//
//	nordic: [DNK, FIN, ISL, NOR, SWE]
const CommunitiesFile = "communities.yaml"

// Set is a folder of policies, loaded and checked. It never changes; any number of goroutines
// may use it. The zero value denies everything.
type Set struct {
	rules       map[string]*rule
	order       []string // ids in the order of file and position
	index       map[string]*actionIndex
	communities map[identity.Bureau][]string
	version     string
	changes     []int64 // instants in milliseconds that a policy compares time with, sorted
	checks      memory[checkKey, Decision]
	questions   memory[questionKey, Decision]
	parents     memory[parentsKey, types.EntityUIDSet]
}

// rule is one policy of the set.
type rule struct {
	id          string
	policy      *cedar.Policy
	permit      bool
	source      Source
	obligations ruleObligations
	scope       scope
	mentions    mentions
	sight       sight
	compiled    test // of a policy on disclose; nil: Cedar evaluates it
}

// Source is where a policy stands and what it says.
type Source struct {
	ID     string // its @id
	File   string // its file in the folder
	Line   int    // the line where it begins, from 1
	Permit bool   // permit, else forbid
	Text   string // the policy as written, with the comment above it
}

// Load reads and checks every policy of a folder: all files below it whose names end in
// ".cedar", hidden ones apart, and communities.yaml. It returns a set that is whole, or an
// error that names every fault with its file and line.
func Load(folder fs.FS) (*Set, error) {
	vocabulary, err := resolveSchema()
	if err != nil {
		return nil, err
	}
	files, err := readFolder(folder)
	if err != nil {
		return nil, err
	}
	l := loader{
		vocabulary: vocabulary,
		validator:  validate.New(vocabulary),
		set:        &Set{rules: map[string]*rule{}},
	}
	digest := sha256.New()
	fmt.Fprintf(digest, "vocabulary %d\n", SchemaVersion)
	for _, f := range files {
		// The length keeps two files from being taken for one.
		fmt.Fprintf(digest, "%q %d\n", f.name, len(f.text))
		digest.Write(f.text)
		if f.name == CommunitiesFile {
			l.communities(f)
		} else {
			l.file(f)
		}
	}
	l.knownCommunities()
	if err := errors.Join(l.errs...); err != nil {
		return nil, err
	}
	l.set.version = hex.EncodeToString(digest.Sum(nil))
	l.set.buildIndex()
	return l.set, nil
}

// Version is the SHA-256 of everything that was loaded, in hex: two nodes with one version
// decide alike.
func (s *Set) Version() string { return s.version }

// Len is the number of policies.
func (s *Set) Len() int { return len(s.rules) }

// Sources returns every policy with its place, in the order of files and lines.
func (s *Set) Sources() []Source {
	all := make([]Source, 0, len(s.order))
	for _, id := range s.order {
		all = append(all, s.rules[id].source)
	}
	return all
}

type file struct {
	name string
	text []byte
}

// readFolder reads what Load takes into account, in the order of the names.
func readFolder(folder fs.FS) ([]file, error) {
	var files []file
	total := 0
	err := fs.WalkDir(folder, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("policy folder: %w", err)
		}
		base := path.Base(name)
		if base != "." && strings.HasPrefix(base, ".") { // an editor's or a version control's own
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		isPolicy := strings.EqualFold(path.Ext(base), Extension)
		if entry.IsDir() || !isPolicy && name != CommunitiesFile {
			return nil
		}
		info, err := fs.Stat(folder, name)
		if err != nil {
			return fmt.Errorf("policy folder: %w", err)
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s: not a regular file", name)
		}
		if info.Size() > maxFileBytes {
			return fmt.Errorf("%s: %d bytes, more than the %d that a policy file may have: split it", name, info.Size(), maxFileBytes)
		}
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			return fmt.Errorf("policy folder: %w", err)
		}
		total += len(text)
		files = append(files, file{name: name, text: text})
		if len(files) > maxFiles || total > maxFolderBytes {
			return fmt.Errorf("policy folder: more than %d files or %d bytes", maxFiles, maxFolderBytes)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// WalkDir goes folder by folder; the version must not depend on how a file system sorts.
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return files, nil
}

// loader gathers policies and faults.
type loader struct {
	vocabulary *resolved.Schema
	validator  *validate.Validator
	set        *Set
	errs       []error
}

func (l *loader) fault(name string, line int, format string, args ...any) {
	l.errs = append(l.errs, fmt.Errorf("%s:%d: %w", name, line, fmt.Errorf(format, args...)))
}

func (l *loader) file(f file) {
	if !utf8.Valid(f.text) || len(f.text) > maxFileBytes {
		l.fault(f.name, 1, "not UTF-8 text of at most %d bytes", maxFileBytes)
		return
	}
	ends, line, err := scan(string(f.text))
	if err != nil {
		l.fault(f.name, line, "%w", err)
		return
	}
	policies, err := cedar.NewPolicyListFromBytes(f.name, f.text)
	if err != nil {
		l.fault(f.name, errorLine(err), "%w", err)
		return
	}
	begin := 0
	for i, p := range policies {
		end := len(f.text)
		if i < len(ends) {
			end = ends[i]
		}
		l.policy(f, p, strings.TrimSpace(string(f.text[begin:end])))
		begin = end
	}
}

func (l *loader) policy(f file, p *cedar.Policy, text string) {
	line := p.Position().Line
	tree := (*ast.Policy)(p.AST())
	before := len(l.errs)
	r := &rule{policy: p, permit: bool(p.Effect())}
	if len(text) > maxPolicyBytes {
		l.fault(f.name, line, "a policy of %d bytes, more than %d: split it", len(text), maxPolicyBytes)
		return
	}
	id := string(p.Annotations()["id"])
	switch {
	case id == "":
		l.fault(f.name, line, `the policy has no @id("..."): give it a name of its own, it stands in the books`)
	case !idPattern.MatchString(id):
		l.fault(f.name, line, "@id(%q): give 1 to %d letters, digits and . _ / -", id, maxIDLength)
	case l.set.rules[id] != nil:
		first := l.set.rules[id].source
		l.fault(f.name, line, "@id(%q) is taken already by %s:%d", id, first.File, first.Line)
	}
	if err := l.validator.Policy("", tree); err != nil {
		l.fault(f.name, line, "policy %q: %w", id, err)
	}
	r.scope = scopeOf(tree)
	if r.permit && len(r.scope.actions) == 0 {
		l.fault(f.name, line, "policy %q: a permit must name its action, for example: action == Action::\"answer\"", id)
	}
	for _, err := range l.literals(tree, &r.mentions) {
		l.fault(f.name, line, "policy %q: %w", id, err)
	}
	r.sight = sightOf(tree, &r.mentions)
	obligations, errs := parseObligations(tree.Annotations, r.permit, r.scope.actions)
	for _, err := range errs {
		l.fault(f.name, line, "policy %q: %w", id, err)
	}
	if len(l.errs) > before {
		return
	}
	r.id, r.obligations = id, obligations
	r.source = Source{ID: id, File: f.name, Line: line, Permit: r.permit, Text: text}
	l.set.rules[id] = r
	l.set.order = append(l.set.order, id)
	l.set.changes = append(l.set.changes, r.mentions.instants...)
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,` + strconv.Itoa(maxIDLength-1) + `}$`)

func (l *loader) communities(f file) {
	var groups map[string][]string
	if err := yaml.Unmarshal(f.text, &groups); err != nil {
		l.fault(f.name, errorLine(err), "give groups of bureaus, for example nordic: [DNK, FIN]: %w", err)
		return
	}
	l.set.communities = map[identity.Bureau][]string{}
	for group, members := range groups {
		if !communityPattern.MatchString(group) {
			l.fault(f.name, 1, "community %q: give a name of lower-case letters, digits and dashes", group)
		}
		for _, m := range members {
			b, err := identity.ParseBureau(m)
			if err != nil {
				l.fault(f.name, 1, "community %q: %w", group, err)
				continue
			}
			l.set.communities[b] = append(l.set.communities[b], group)
		}
	}
	for _, of := range l.set.communities {
		slices.Sort(of)
	}
}

// knownCommunities refuses policies on a group that nobody defined: a forbid on it would never
// apply.
func (l *loader) knownCommunities() {
	defined := map[string]bool{}
	for _, of := range l.set.communities {
		for _, name := range of {
			defined[name] = true
		}
	}
	for _, id := range l.set.order {
		r := l.set.rules[id]
		for _, name := range r.mentions.communities {
			if !defined[name] {
				l.fault(r.source.File, r.source.Line, "policy %q: Community::%q has no members: list them in %s", id, name, CommunitiesFile)
			}
		}
	}
}

var communityPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

var linePattern = regexp.MustCompile(`(?:<input>:|line )(\d+)`)

// errorLine is the line that a parser's error names, 1 if it names none.
func errorLine(err error) int {
	if m := linePattern.FindStringSubmatch(err.Error()); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			return n
		}
	}
	return 1
}

// scan walks over a file as Cedar's lexer sees it: comments and strings apart. It returns where
// each policy ends, and refuses what would exhaust the recursive parser or deceive the reader.
func scan(text string) (ends []int, line int, err error) {
	line = 1
	depth, inString, inComment, escaped := 0, false, false, false
	for i, c := range text {
		// Characters that make a line read otherwise than it is ("Trojan Source",
		// CVE-2021-42574): policies are signed off by people who read them.
		if c >= 0x202A && c <= 0x202E || c >= 0x2066 && c <= 0x2069 || c == 0x200E || c == 0x200F || c == 0 {
			return nil, line, fmt.Errorf("the character U+%04X changes how the line reads: take it out", c)
		}
		switch {
		case c == '\n':
			line++
			inComment = false
		case inComment:
		case inString:
			switch {
			case escaped:
				escaped = false
			case c == '\\':
				escaped = true
			case c == '"':
				inString = false
			}
		case c == '"':
			inString = true
		case c == '/' && strings.HasPrefix(text[i:], "//"):
			inComment = true
		case strings.ContainsRune("([{", c):
			if depth++; depth > maxNesting {
				return nil, line, fmt.Errorf("brackets nested deeper than %d", maxNesting)
			}
		case strings.ContainsRune(")]}", c):
			depth--
		case c == ';':
			ends = append(ends, i+1)
		}
	}
	return ends, line, nil
}
