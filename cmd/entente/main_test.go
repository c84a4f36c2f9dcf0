package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// TestMain makes the test binary the command itself: a copy of it stands in the path under the
// name entente, so that scripts and tests start real processes without building anything.
func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"entente": main})
}

// leakChecked runs the tests and fails if they leave a goroutine behind.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	if raceDetector {
		clean, err := plainCommand()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer clean()
	}
	code := l.m.Run()
	if code != 0 {
		return code
	}
	// A logger that the certificate authority's libraries bring along flushes for ever.
	if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/golang/glog.(*fileSink).flushDaemon")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// plainCommand puts an entente without the race detector first in the path, and returns what
// removes it. The detector is for the tests that run nodes in this process; in the hundreds of
// processes that scripts start, each of which opens keys whose passphrases are dear to try, it
// would take ten minutes and see the same.
func plainCommand() (clean func(), err error) {
	dir, err := os.MkdirTemp("", "entente-plain-")
	if err != nil {
		return nil, err
	}
	clean = func() { _ = os.RemoveAll(dir) }
	name := filepath.Join(dir, "entente")
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if out, err := exec.Command("go", "build", "-o", name, ".").CombinedOutput(); err != nil {
		clean()
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return clean, os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

// watchdog bounds every wait for an event. It is not an expectation: it is for machines that are
// hopelessly busy, and for hangs.
const watchdog = 60 * time.Second

// eventually asks until the answer is yes.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.NewTimer(watchdog)
	defer end.Stop()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-end.C:
			t.Fatalf("not within %s: %s", watchdog, what)
		case <-tick.C:
		}
	}
}

// folder is a folder in which an operator works by hand.
type folder struct {
	t   *testing.T
	dir string
}

func newFolder(t *testing.T) *folder {
	t.Helper()
	return &folder{t, t.TempDir()}
}

func (f *folder) at(parts ...string) string {
	return filepath.Join(append([]string{f.dir}, parts...)...)
}

func (f *folder) write(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(f.at(name), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// outcome is what a command left.
type outcome struct {
	code           int
	stdout, stderr string
}

// command is entente as a process of its own, in the folder.
func (f *folder) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(f.t.Context(), "entente", args...)
	cmd.Dir = f.dir
	// What configures a node on this machine must not reach those of the test.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "ENTENTE_") })
	return cmd
}

// try runs a command to its end, whatever that is.
func (f *folder) try(stdin string, args ...string) outcome {
	f.t.Helper()
	cmd := f.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		f.t.Fatalf("entente %s: %v", strings.Join(args, " "), err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// do runs a command that must succeed.
func (f *folder) do(args ...string) outcome {
	f.t.Helper()
	o := f.try("", args...)
	if o.code != 0 {
		f.t.Fatalf("entente %s: exit status %d\n%s%s", strings.Join(args, " "), o.code, o.stdout, o.stderr)
	}
	return o
}

// into runs a command that must succeed, with its output in a file: entente ARGS > NAME.
func (f *folder) into(name string, args ...string) outcome {
	f.t.Helper()
	o := f.do(args...)
	f.write(name, o.stdout)
	return o
}

// fails runs a command that must fail, with exit status 1 and a sentence that holds the words.
func (f *folder) fails(words string, args ...string) outcome {
	f.t.Helper()
	o := f.try("", args...)
	if o.code != exitFailed || !strings.Contains(o.stderr, words) {
		f.t.Fatalf("entente %s: exit status %d, want 1 and %q\n%s%s", strings.Join(args, " "), o.code, words, o.stdout, o.stderr)
	}
	return o
}

// jsonInto reads the one object that a command printed.
func jsonInto[M proto.Message](t testing.TB, text string, m M) M {
	t.Helper()
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) != 1 {
		t.Fatalf("%d lines, want one object:\n%s", len(lines), text)
	}
	if err := protojson.Unmarshal([]byte(lines[0]), m); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return m
}

// check makes a check at the node of a folder, for border control, as its officer.
func (f *folder) check(dir string, args ...string) *screeningv1.CheckResponse {
	f.t.Helper()
	o := f.do(append([]string{"check", "--dir", dir, "--purpose", "border-control", "--json"}, args...)...)
	return jsonInto(f.t, o.stdout, &screeningv1.CheckResponse{})
}

// statusAt returns what became of a check at one bureau.
func statusAt(resp *screeningv1.CheckResponse, bureau string) *screeningv1.BureauStatus {
	for _, s := range resp.GetBureaus() {
		if s.GetBureau() == bureau {
			return s
		}
	}
	return nil
}

// opaqueID is the id of a document of a list: it does not tell the number, and every node makes its
// own.
var opaqueID = regexp.MustCompile(`^sltd:[a-z2-7]{24}$`)

// came renders what came of a check: "HIT: BGR=NO_HIT ESP=HIT; ESP/persons/esp:1"; an opaque id is
// "sltd:*".
func came(resp *screeningv1.CheckResponse) string {
	var b strings.Builder
	b.WriteString(strings.TrimPrefix(resp.GetVerdict().String(), "VERDICT_") + ":")
	for _, s := range resp.GetBureaus() {
		fmt.Fprintf(&b, " %s=%s", s.GetBureau(), strings.TrimPrefix(s.GetStatus().String(), "STATUS_"))
	}
	for _, h := range resp.GetHits() {
		fmt.Fprintf(&b, "; %s/%s/%s", h.GetBureau(), h.GetCollection(), opaqueID.ReplaceAllString(h.GetRecordId(), "sltd:*"))
	}
	return b.String()
}

func wantCame(t testing.TB, resp *screeningv1.CheckResponse, want string) {
	t.Helper()
	if got := came(resp); got != want {
		t.Errorf("the check came out as\n  %s, want\n  %s\n%v", got, want, resp)
	}
}

// heard tells whether a bureau answered.
func heard(s *screeningv1.BureauStatus) bool {
	return s.GetStatus() == queryv1.Status_STATUS_HIT || s.GetStatus() == queryv1.Status_STATUS_NO_HIT
}

// running is a node as a process.
type running struct {
	t    testing.TB
	dir  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	log  *lockedBuffer
}

// lockedBuffer is written by a process and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// launch starts a node and waits until it says that it runs. What is still running when the test
// ends is killed.
func launch(t testing.TB, cmd *exec.Cmd, dir string) *running {
	t.Helper()
	n := &running{t: t, dir: dir, cmd: cmd, done: make(chan struct{}), log: &lockedBuffer{}}
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, n.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // what it was, ProcessState says
		close(n.done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-n.done
		if t.Failed() {
			t.Logf("%s said:\n%s", dir, n.log)
		}
	})
	eventually(t, "the node in "+dir+" runs", func() bool {
		select {
		case <-n.done:
			t.Fatalf("the node in %s ended: %v\n%s", dir, cmd.ProcessState, n.log)
		default:
		}
		return strings.Contains(out.String(), "\n")
	})
	if line := out.String(); !strings.Contains(line, "is running: mesh 127.0.0.1:") {
		t.Fatalf("the node in %s said %q", dir, line)
	}
	return n
}

// up starts the node in dir: entente run --dir DIR.
func (f *folder) up(dir string) *running {
	f.t.Helper()
	return launch(f.t, f.command("run", "--dir", dir), dir)
}

func (n *running) end(what string) {
	n.t.Helper()
	dog := time.NewTimer(watchdog)
	defer dog.Stop()
	select {
	case <-n.done:
	case <-dog.C:
		n.t.Fatalf("the node in %s did not end after %s", n.dir, what)
	}
}

// kill ends the process as a power cut would.
func (n *running) kill() {
	n.t.Helper()
	if err := n.cmd.Process.Kill(); err != nil {
		n.t.Fatal(err)
	}
	n.end("SIGKILL")
}

// stop tells the node to stop, which must end well.
func (n *running) stop() {
	n.t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		n.t.Fatal(err)
	}
	n.end("SIGTERM")
	if code := n.cmd.ProcessState.ExitCode(); code != 0 {
		n.t.Errorf("the node in %s was told to stop and ended with status %d\n%s", n.dir, code, n.log)
	}
}

// jsonLines checks that a text is n JSON objects, one a line, and returns them.
func jsonLines(text string, n int) ([]map[string]any, error) {
	var all []map[string]any
	for line := range strings.Lines(text) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			return nil, fmt.Errorf("no JSON object: %q: %w", line, err)
		}
		all = append(all, object)
	}
	if len(all) != n {
		return nil, fmt.Errorf("%d objects, want %d:\n%s", len(all), n, text)
	}
	return all, nil
}
