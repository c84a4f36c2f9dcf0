package entente_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	pkiv1 "github.com/entente-mesh/entente/proto/gen/entente/pki/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
	signerv1 "github.com/entente-mesh/entente/proto/gen/entente/signer/v1"
)

var updateDocs = flag.Bool("update", false, "write the pages that are made of code (docs/errors.md)")

// handbook are the pages that people follow: what they show is run.
func handbook(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{"README.md"}, pages...)
}

// allPages are those, and the decisions.
func allPages(t *testing.T) []string {
	t.Helper()
	decisions, err := filepath.Glob("docs/decisions/*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(handbook(t), decisions...)
}

func pageText(t *testing.T, page string) string {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// How long a shown command may take, how long a node may need to start, and how long what a
// reader would type some seconds later is tried again.
const (
	commandPatience = 5 * time.Minute
	startPatience   = time.Minute
	settlePatience  = time.Minute
)

// shown is one command of a page, with what it is to print.
type shown struct {
	page string
	line int
	text string
	want []string
	// fails says that the page shows a mistake.
	fails bool
}

var (
	continuesPage = regexp.MustCompile(`(?m)^<!-- continues (\S+) -->$`)
	hereDocument  = regexp.MustCompile(`<<'(\w+)'`)
)

// shownIn reads the console blocks of a page, after those of the page that it continues.
func shownIn(t *testing.T, page string) []shown {
	t.Helper()
	text := pageText(t, page)
	var all []shown
	if m := continuesPage.FindStringSubmatch(text); m != nil {
		all = slices.DeleteFunc(shownIn(t, filepath.Join(filepath.Dir(page), m[1])), func(c shown) bool {
			return strings.HasPrefix(c.text, "go run ") // leaves nothing behind to continue with
		})
	}
	own, err := readShown(page, text)
	if err != nil {
		t.Fatal(err)
	}
	if len(own) == 0 {
		return nil // a page without commands is not worth its forerunner's
	}
	return append(all, own...)
}

func readShown(page, text string) ([]shown, error) {
	var all []shown
	lines := strings.Split(text, "\n")
	console := false
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case !console:
			console = line == "```console"
			continue
		case line == "```":
			console = false
			continue
		}
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			if len(all) == 0 {
				return nil, fmt.Errorf("%s:%d: a console block begins with a command", page, i+1)
			}
			last := &all[len(all)-1]
			last.want = append(last.want, strings.TrimRight(line, " "))
			continue
		}
		s := shown{page: page, line: i + 1}
		for strings.HasSuffix(command, `\`) && i+1 < len(lines) {
			i++
			command = strings.TrimSuffix(command, `\`) + strings.TrimLeft(lines[i], " ")
		}
		if end := hereDocument.FindStringSubmatch(command); end != nil {
			for i+1 < len(lines) {
				i++
				command += "\n" + lines[i]
				if lines[i] == end[1] {
					break
				}
			}
		}
		s.text, s.fails = strings.CutSuffix(command, " # fails")
		all = append(all, s)
	}
	if console {
		return nil, fmt.Errorf("%s: a console block is not closed", page)
	}
	return all, nil
}

// missing returns the first wanted line that the output does not hold, in order; "..." stands
// for anything.
func missing(want []string, output string) string {
	lines := strings.Split(output, "\n")
	at := 0
	for _, w := range want {
		if w == "" || w == "..." {
			continue
		}
		var pieces []string
		for piece := range strings.SplitSeq(w, "...") {
			pieces = append(pieces, regexp.QuoteMeta(piece))
		}
		re := regexp.MustCompile("^" + strings.Join(pieces, ".*") + "[ \r]*$")
		for at < len(lines) && !re.MatchString(lines[at]) {
			at++
		}
		if at == len(lines) {
			return w
		}
		at++
	}
	return ""
}

// settles are the commands that look, and change nothing: what they show may need a moment.
var settles = regexp.MustCompile(`^entente (check|peers --dir|status) ?`)

// TestDocumentsSayWhatHappens types what the pages show, each page in a folder of its own.
func TestDocumentsSayWhatHappens(t *testing.T) {
	if testing.Short() {
		t.Skip("the pages are run without -short")
	}
	if runtime.GOOS == "windows" {
		t.Skip("the pages show a POSIX shell")
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "./cmd/entente")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build ./cmd/entente: %v\n%s", err, out)
	}
	for _, page := range handbook(t) {
		commands := shownIn(t, page)
		if len(commands) == 0 {
			continue
		}
		t.Run(filepath.Base(page), func(t *testing.T) {
			t.Parallel() // every page has a folder and ports of its own, and mostly waits
			s := &reader{t: t, dir: t.TempDir(), environ: plainEnvironment(bin), running: map[string]*exec.Cmd{}}
			defer s.end()
			for _, c := range commands {
				s.play(c)
			}
		})
	}
}

// plainEnvironment is this one with the built program first, and without settings of a node.
func plainEnvironment(bin string) []string {
	own := slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "ENTENTE_") || strings.HasPrefix(e, "PATH=")
	})
	return append(own, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "LC_ALL=C")
}

// reader types what one page shows at one terminal.
type reader struct {
	t       *testing.T
	dir     string
	environ []string
	running map[string]*exec.Cmd // by their command line
}

var (
	makeLine = regexp.MustCompile(`^make ([a-z-]+)$`)
	killLine = regexp.MustCompile(`^kill (-9 )?%\?(\S+)$`)
)

func (s *reader) play(c shown) {
	s.t.Helper()
	if m := makeLine.FindStringSubmatch(c.text); m != nil {
		if !regexp.MustCompile(`(?m)^` + m[1] + `:`).MatchString(pageText(s.t, "Makefile")) {
			s.t.Fatalf("%s:%d: the Makefile has no target %s", c.page, c.line, m[1])
		}
		return
	}
	if m := killLine.FindStringSubmatch(c.text); m != nil {
		s.kill(c, m[2], m[1] != "")
		return
	}
	if line, ok := strings.CutSuffix(c.text, " &"); ok {
		s.start(c, line)
		return
	}
	deadline := time.Now().Add(settlePatience)
	for {
		out, err := s.run(c.text)
		lacks := missing(c.want, out)
		if (err != nil) == c.fails && lacks == "" {
			return
		}
		if !c.fails && settles.MatchString(c.text) && time.Now().Before(deadline) {
			<-time.After(100 * time.Millisecond)
			continue
		}
		switch {
		case lacks != "":
			s.t.Fatalf("%s:%d: $ %s\ndoes not print the line\n%s\nbut (%v)\n%s", c.page, c.line, c.text, lacks, err, out)
		case c.fails:
			s.t.Fatalf("%s:%d: $ %s\nsucceeds, and is shown to fail; it prints\n%s", c.page, c.line, c.text, out)
		default:
			s.t.Fatalf("%s:%d: $ %s\n%v\n%s", c.page, c.line, c.text, err, out)
		}
	}
}

func (s *reader) run(line string) (string, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), commandPatience)
	defer cancel()
	dir := s.dir
	if strings.HasPrefix(line, "go run ") {
		var err error
		if dir, err = os.Getwd(); err != nil {
			s.t.Fatal(err)
		}
		line += " --exit" // a reader presses Ctrl-C
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, s.environ, 10*time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// start starts a node and waits until it says that it runs.
func (s *reader) start(c shown, line string) {
	s.t.Helper()
	log, err := os.CreateTemp(s.dir, "node-*.log")
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("sh", "-c", "exec "+line)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.environ, log, log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.running[line] = cmd
	deadline := time.Now().Add(startPatience)
	for {
		out := pageText(s.t, log.Name())
		if strings.Contains(out, " is running") && missing(c.want, out) == "" {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s:%d: $ %s &\nis not running after %s\n%s", c.page, c.line, line, startPatience, out)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// kill ends the one node whose command line holds a word, as the shell's %?word does.
func (s *reader) kill(c shown, word string, hard bool) {
	s.t.Helper()
	var found []string
	for line := range s.running {
		if strings.Contains(line, word) {
			found = append(found, line)
		}
	}
	if len(found) != 1 {
		s.t.Fatalf("%s:%d: %d running commands hold %q", c.page, c.line, len(found), word)
	}
	cmd := s.running[found[0]]
	delete(s.running, found[0])
	if err := stopProcess(cmd, hard); err != nil && !hard {
		s.t.Errorf("%s:%d: %s did not end as it should: %v", c.page, c.line, found[0], err)
	}
}

func stopProcess(cmd *exec.Cmd, hard bool) error {
	signal := os.Signal(os.Interrupt)
	if hard {
		signal = os.Kill
	}
	if err := cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return cmd.Wait()
}

func (s *reader) end() {
	for line, cmd := range s.running {
		if err := stopProcess(cmd, false); err != nil {
			s.t.Errorf("%s: %v", line, err)
		}
	}
}

// canonical is a code as the specification of gRPC writes it.
func canonical(e fault.Entry) string { return code.Code(e.Code).String() }

const errorsPage = `# Errors

What a call to a node can fail with. Every error has a canonical gRPC code, a sentence that says what
to do, and a ` + "`google.rpc.ErrorInfo`" + ` of the domain ` + "`" + fault.Domain + "`" + ` with one of the reasons below, so
that programs need not read sentences; where one field is at fault, the metadata ` + "`field`" + ` names it.
Reasons are never renamed and never used for two things. A bureau that does not answer is no error of
a check: it is a status in the answer ([agencies](agencies.md)).

This page is written by ` + "`go test . -run TestErrorsPage -update`" + ` from the catalogue in the code.

| reason | code | what happened | what to do |
|---|---|---|---|
%s
Some errors are not ours to word: a request above the largest that a listener takes at all (5 MiB at
the mesh listener, 4 MiB at the local one) is refused by gRPC itself before it is read, with
RESOURCE_EXHAUSTED and without ErrorInfo. A caller whose certificate the other side does not admit
gets no connection, and therefore no error of this list: its own log says
UNAVAILABLE and the TLS alert, the log of the side that refused says why.
`

func TestErrorsPage(t *testing.T) {
	var rows strings.Builder
	for _, e := range fault.Catalogue() {
		fmt.Fprintf(&rows, "| `%s` | `%s` | %s | %s |\n", e.Reason, canonical(e), e.Meaning, e.Remedy)
	}
	want := fmt.Sprintf(errorsPage, rows.String())
	if *updateDocs {
		if err := os.WriteFile("docs/errors.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if pageText(t, "docs/errors.md") != want {
		t.Error("docs/errors.md is not what the catalogue says: go test . -run TestErrorsPage -update")
	}
}

// otherSettings is for every key a value that is not its default.
var otherSettings = map[string]string{
	"bureau": "ESP", "federation": "other.entente", "replica": "2", "mesh_listen": "127.0.0.1:7001", "local_listen": "127.0.0.1:7002",
	"advertise": "node.example:7001", "ask_timeout": "3s", "max_candidates": "11", "clock_skew": "31s", "gossip": "false", "log_level": "debug",
	"node_key_file": "elsewhere/node.key", "signer_socket": "/run/entente/signer.sock", "metrics_listen": "127.0.0.1:9464",
	"two_persons": "reload-policy", "mass_rows": "500", "books_days": "400", "key_backup_days": "7",
}

// shownSetting is a value as fmt prints it: a list has brackets there.
func shownSetting(v reflect.Value) string { return strings.Trim(fmt.Sprint(v.Interface()), "[]") }

// TestConfigurationPage holds that every key is on the page with its default, and that the
// environment overrides every one of them.
func TestConfigurationPage(t *testing.T) {
	page := pageText(t, "docs/configuration.md")
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([^|]+) \\| `([A-Z_]+)` \\| [^|]+ \\|$")
	rows := map[string][]string{}
	for _, m := range row.FindAllStringSubmatch(page, -1) {
		rows[m[1]] = m[2:]
	}
	dir := t.TempDir()
	required := "bureau: BEL\nfederation: demo.entente\nmesh_listen: 127.0.0.1:7441\nlocal_listen: 127.0.0.1:7442\n"
	if err := os.WriteFile(filepath.Join(dir, node.ConfigFile), []byte(required), 0o600); err != nil {
		t.Fatal(err)
	}
	plain, err := node.LoadConfig(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defaults := reflect.ValueOf(node.DefaultConfig())
	for i := range defaults.NumField() {
		key := defaults.Type().Field(i).Tag.Get("yaml")
		if key == "-" {
			continue
		}
		want := "required"
		switch value := defaults.Field(i); {
		case !value.IsZero():
			want = fmt.Sprintf("`%v`", value.Interface())
		case key == "advertise":
			want = "`mesh_listen`"
		case key == "signer_socket", key == "metrics_listen":
			want = "none"
		}
		got, ok := rows[key]
		if !ok {
			t.Errorf("docs/configuration.md has no row for %s", key)
			continue
		}
		delete(rows, key)
		if got[0] != want {
			t.Errorf("docs/configuration.md: %s: default %s, the code has %s", key, got[0], want)
		}
		if variable := "ENTENTE_" + strings.ToUpper(key); got[1] != variable {
			t.Errorf("docs/configuration.md: %s: variable %s, expected %s", key, got[1], variable)
		}
		overridden, err := node.LoadConfig(dir, []string{got[1] + "=" + otherSettings[key]})
		if err != nil {
			t.Errorf("%s=%s: %v", got[1], otherSettings[key], err)
			continue
		}
		now := reflect.ValueOf(overridden).Field(i)
		if text := shownSetting(now); text != otherSettings[key] || text == shownSetting(reflect.ValueOf(plain).Field(i)) {
			t.Errorf("%s=%s has no effect: %s is %s", got[1], otherSettings[key], key, text)
		}
	}
	for key := range rows {
		t.Errorf("docs/configuration.md has a row for %s, which is no key", key)
	}
}

// TestPagesNameEveryWord holds that a reader finds every word that an answer can hold.
func TestPagesNameEveryWord(t *testing.T) {
	for page, enums := range map[string][]protoreflect.Enum{
		"docs/agencies.md": {
			screeningv1.Verdict(0), screeningv1.Settled(0), queryv1.Status(0), hitv1.Band(0), recordv1.Action(0),
			recordv1.DocumentStatus(0), recordv1.Purpose(0), recordv1.DocumentType(0),
			hitv1.TokenKind(0), hitv1.Feature(0),
		},
		"docs/operators.md": {adminv1.PeerState(0), adminv1.AlarmKind(0), recordv1.AudienceMode(0)},
		"docs/audit.md":     {auditv1.EntryKind(0), auditv1.EntryDirection(0), auditv1.Decision(0)},
		"docs/pki.md":       {rosterv1.KeyUsage(0)},
	} {
		text := strings.ToLower(pageText(t, page))
		for _, e := range enums {
			values := e.Descriptor().Values()
			prefix := strings.TrimSuffix(string(values.ByNumber(0).Name()), "UNSPECIFIED")
			for i := range values.Len() {
				word := strings.ToLower(strings.TrimPrefix(string(values.Get(i).Name()), prefix))
				if values.Get(i).Number() == 0 {
					continue
				}
				spellings := []string{word, strings.ReplaceAll(word, "_", " "), strings.ReplaceAll(word, "_", "-")}
				if !slices.ContainsFunc(spellings, func(w string) bool { return strings.Contains(text, w) }) {
					t.Errorf("%s does not name %s", page, values.Get(i).Name())
				}
			}
		}
	}
	treaty := pageText(t, "docs/treaty.md")
	for _, f := range []protoreflect.FileDescriptor{
		adminv1.File_entente_admin_v1_admin_service_proto, gossipv1.File_entente_gossip_v1_gossip_service_proto,
		pkiv1.File_entente_pki_v1_enrolment_service_proto, queryv1.File_entente_query_v1_query_service_proto,
		recordv1.File_entente_record_v1_record_service_proto, rosterv1.File_entente_roster_v1_roster_proto,
		screeningv1.File_entente_screening_v1_screening_proto, auditv1.File_entente_audit_v1_audit_service_proto,
		auditv1.File_entente_audit_v1_witness_service_proto, signerv1.File_entente_signer_v1_signer_service_proto,
	} {
		for i := range f.Services().Len() {
			service := f.Services().Get(i)
			for j := range service.Methods().Len() {
				row := regexp.MustCompile(`(?m)^\|.*\b` + string(service.Name()) + `\b.*\b` + string(service.Methods().Get(j).Name()) + `\b.*\|$`)
				if !row.MatchString(treaty) {
					t.Errorf("docs/treaty.md has no row with %s and its %s", service.Name(), service.Methods().Get(j).Name())
				}
			}
		}
	}
}

var (
	pageLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	pageHeading = regexp.MustCompile(`(?m)^#{1,6} (.+)$`)
	notInSlug   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are a page's headings as links name them.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range pageHeading.FindAllStringSubmatch(text, -1) {
		all[strings.ReplaceAll(notInSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return all
}

func TestLinksLeadSomewhere(t *testing.T) {
	// The README names docs/benchmarks.md, which is there once make bench has written it.
	linked := map[string]bool{"README.md": true, "docs/benchmarks.md": true}
	for _, page := range allPages(t) {
		for _, m := range pageLink.FindAllStringSubmatch(pageText(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target, anchor, _ := strings.Cut(m[1], "#")
			if target == "" {
				target = page
			} else {
				target = filepath.Join(filepath.Dir(page), target)
			}
			info, err := os.Stat(target)
			if err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
				continue
			}
			linked[target] = true
			if anchor != "" && !info.IsDir() && !anchors(pageText(t, target))[anchor] {
				t.Errorf("%s links to %s: %s has no such heading", page, m[1], target)
			}
		}
	}
	for _, page := range allPages(t) {
		if !linked[page] {
			t.Errorf("no page links to %s: nobody finds it", page)
		}
	}
}

// TestTheReaderIsStrict proves that the commands of a page are read as a reader types them, and
// that a page which shows something else than happens is noticed.
func TestTheReaderIsStrict(t *testing.T) {
	text := "Text.\n```console\n$ one \\\n    --flag\nout\n$ cat > f <<'END'\n$ not a command\nEND\n$ two # fails\n```\n```sh\n$ not run\n```\n"
	got, err := readShown("x.md", text)
	if err != nil {
		t.Fatal(err)
	}
	want := []shown{
		{page: "x.md", line: 3, text: "one --flag", want: []string{"out"}},
		{page: "x.md", line: 6, text: "cat > f <<'END'\n$ not a command\nEND"},
		{page: "x.md", line: 9, text: "two", fails: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v\nwant %+v", got, want)
	}
	for _, bad := range []string{"```console\nout\n```\n", "```console\n$ one\n"} {
		if _, err := readShown("x.md", bad); err == nil {
			t.Errorf("%q is taken for a console block", bad)
		}
	}
	output := "HIT  (A, in 3ms)\n  BGR  NO HIT\n  ESP  HIT"
	for _, c := range []struct {
		want []string
		ok   bool
	}{
		{[]string{"HIT  (A, in ...)", "", "  ESP  HIT"}, true},
		{[]string{"...", "  BGR  ..."}, true},
		{[]string{"  ESP  HIT", "  BGR  NO HIT"}, false}, // the other way round
		{[]string{"BGR  NO HIT"}, false},                 // a part of a line
		{[]string{"HIT"}, false},
		{[]string{"  ESP  HIT", "  ESP  HIT"}, false}, // once is not twice
	} {
		if lacks := missing(c.want, output); (lacks == "") != c.ok {
			t.Errorf("missing(%q) = %q", c.want, lacks)
		}
	}
	if !maps.Equal(anchors("# A page\n## Who's `who`, today\n"), map[string]bool{"a-page": true, "whos-who-today": true}) {
		t.Error("headings are not named as links name them")
	}
}
