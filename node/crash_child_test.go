package node_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/nodetest"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
)

// The test binary starts itself again as a node. These variables say in which folder, and at
// which point it kills itself while it starts ("1 after-sync": the first time it comes there).
const (
	childDir   = "ENTENTE_CRASH_TEST_DIR"
	childPoint = "ENTENTE_CRASH_TEST_POINT"
)

// trap kills the process at a point, the left-th time that it comes there.
type trap struct {
	point string
	left  atomic.Int64
}

// TestCrashChild is no test. It is the node that the crash tests kill: a whole one, in a process
// of its own, that obeys words on its standard input.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("it is what the other crash tests start")
	}
	// Whoever started it waits for its words, not for a test's outcome.
	if err := beNode(dir); err != nil {
		fmt.Println("failed:", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	os.Exit(1)
}

func beNode(dir string) error {
	cfg, err := node.LoadConfig(dir, os.Environ())
	if err != nil {
		return err
	}
	var armed atomic.Pointer[trap]
	arm := func(words string) {
		count, point, _ := strings.Cut(words, " ")
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil {
			panic(err)
		}
		made := &trap{point: point}
		made.left.Store(n)
		armed.Store(made)
	}
	if words := os.Getenv(childPoint); words != "" {
		arm(words)
	}
	fail := func(at string) error {
		if t := armed.Load(); t != nil && t.point == at && t.left.Add(-1) == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // nothing that follows is reached
			select {}
		}
		return nil
	}
	ctx := context.Background()
	var ahead atomic.Int64 // of the machine's clock
	n, err := node.New(ctx, cfg, node.Options{
		Version: "test", Fail: fail, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: cfg.Level()})),
	})
	if err != nil {
		return err
	}
	if err := n.Start(ctx); err != nil {
		return errors.Join(err, n.Stop())
	}
	go func() {
		err := n.Wait(ctx) // only if it ends by itself
		fmt.Println("ended:", err)
		os.Exit(1)
	}()
	fmt.Println("up")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		word, rest, _ := strings.Cut(in.Text(), " ")
		switch word {
		case "arm":
			arm(rest)
		case "retain":
			// Asks are remembered for a while, and nothing is erased before they are forgotten.
			ahead.Store(int64(5 * time.Minute))
			count, err := n.Retain(ctx, time.Now().Add(5*time.Minute))
			ahead.Store(0)
			fmt.Println("retained:", count, err)
			continue
		case "erase":
			owner, id, _ := strings.Cut(rest, " ")
			count, err := n.EraseQuoted(ctx, owner, id)
			fmt.Println("erased:", count, err)
			continue
		case "stop":
			return n.Stop()
		}
		fmt.Println("ok")
	}
	return n.Stop() // whoever started it has gone
}

// victim is a node that is killed again and again.
type victim struct {
	t *testing.T
	*nodetest.Bureau

	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	log   *tail
	died  chan struct{}
	roles map[identity.Role]*grpc.ClientConn
	certs map[identity.Role]*mtls.Leaf
	kills int
}

// tail keeps the end of what a process says.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailBytes = 64 << 10

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	if len(l.b) > tailBytes {
		l.b = slices.Clone(l.b[len(l.b)-tailBytes/2:])
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}

// newVictim takes over a bureau of a mesh that is asleep.
func newVictim(t *testing.T, b *nodetest.Bureau) *victim {
	v := &victim{t: t, Bureau: b, log: &tail{}, certs: map[identity.Role]*mtls.Leaf{}}
	for _, role := range []identity.Role{identity.RoleOfficer, identity.RoleOperator, identity.RoleAuditor} {
		var purposes []nodetest.Purpose
		if role == identity.RoleOfficer {
			purposes = append(purposes, nodetest.Border)
		}
		id := identity.Client(nodetest.Federation, b.ID, "border-police", role, "crash-"+string(role), purposes)
		v.certs[role] = mtls.NewLeaf(b.Mint(id, nil))
	}
	t.Cleanup(func() {
		v.hangUp()
		if v.cmd != nil {
			_ = v.cmd.Process.Kill()
			<-v.died
		}
		if t.Failed() {
			t.Logf("%s, killed %d times, said last:\n%s", b.ID, v.kills, v.log)
		}
	})
	return v
}

// tryUp starts the node, and returns what it says: "up", or why it is not. A point is where it
// kills itself while it starts; then it may say nothing.
func (v *victim) tryUp(point string) string {
	v.t.Helper()
	self, err := os.Executable()
	if err != nil {
		v.t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestCrashChild$", "-test.timeout=0")
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "ENTENTE_") })
	cmd.Env = append(cmd.Env, childDir+"="+v.Dir, childPoint+"="+point,
		"ENTENTE_GOSSIP=false", "ENTENTE_ASK_TIMEOUT=5s", "ENTENTE_LOG_LEVEL=warn")
	cmd.Stderr = v.log
	if v.in, err = cmd.StdinPipe(); err != nil {
		v.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		v.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	v.cmd, v.out, v.died = cmd, bufio.NewReader(out), make(chan struct{})
	said, _ := v.out.ReadString('\n') // nothing: it was killed before
	said = strings.TrimSpace(said)
	if said != "up" {
		_ = cmd.Wait() // what it was, ProcessState says
		close(v.died)
		v.cmd = nil
		return said
	}
	return said
}

// up starts the node. A port that somebody else has by chance is waited for.
func (v *victim) up() {
	v.t.Helper()
	for tries := range 40 {
		said := v.tryUp("")
		if said == "up" {
			v.connect()
			return
		}
		if !strings.Contains(said, "address already in use") || tries == 39 {
			v.t.Fatalf("%s does not start after %d kills: %q\n%s", v.ID, v.kills, said, v.log)
		}
		pause := time.NewTimer(100 * time.Millisecond)
		<-pause.C
	}
}

func (v *victim) connect() {
	v.t.Helper()
	v.hangUp()
	v.roles = map[identity.Role]*grpc.ClientConn{}
	root, err := node.ReadRoot(v.Dir)
	if err != nil {
		v.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	for role, leaf := range v.certs {
		creds := mtls.LocalClient(leaf, mtls.Own(nodetest.Federation, v.ID, pool), v.ID, mtls.Options{})
		if v.roles[role], err = grpc.NewClient("passthrough:///"+v.Config.LocalListen, creds.DialOptions()...); err != nil {
			v.t.Fatal(err)
		}
	}
	cmd, died := v.cmd, v.died
	go func() {
		_ = cmd.Wait() // what it was, ProcessState says
		close(died)
	}()
}

func (v *victim) hangUp() {
	for _, c := range v.roles {
		_ = c.Close()
	}
	v.roles = nil
}

// tell says a word to the node, and returns its answer.
func (v *victim) tell(format string, args ...any) string {
	v.t.Helper()
	if _, err := fmt.Fprintf(v.in, format+"\n", args...); err != nil {
		return "" // it was killed
	}
	said, _ := v.out.ReadString('\n') // nothing: it was killed before it answered
	return strings.TrimSpace(said)
}

// kill is SIGKILL.
func (v *victim) kill() {
	v.t.Helper()
	if err := v.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		v.t.Fatal(err)
	}
	v.gone()
}

// gone waits until the process has ended, by its own hand or another.
func (v *victim) gone() {
	v.t.Helper()
	dog := time.NewTimer(nodetest.Patience)
	defer dog.Stop()
	select {
	case <-v.died:
	case <-dog.C:
		v.t.Fatalf("%s was not killed: the point was not reached\n%s", v.ID, v.log)
	}
	v.kills++
	v.hangUp()
	_ = v.in.Close()
	v.cmd = nil
}
