//go:build unix

package service_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/entente-mesh/entente/pki/signing"
	"github.com/entente-mesh/entente/pki/signing/remote"
	"github.com/entente-mesh/entente/pki/signing/service"
)

const watchdog = time.Minute

// playSigner is a signer's process: it says when it serves.
func playSigner(keys, socket string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := func() error {
		s, err := service.ReadSettings(keys)
		if err != nil {
			return err
		}
		messages, logs, err := service.OpenKeys(keys, s)
		if err != nil {
			return err
		}
		svc, err := service.New(service.Config{Messages: messages, Logs: logs, Replicas: s.Replicas, Allow: s.AllowUIDs})
		if err != nil {
			return err
		}
		l, err := service.Listen(socket)
		if err != nil {
			return err
		}
		fmt.Println("serving")
		return svc.Serve(ctx, l)
	}()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// playStranger knocks, and says how that went.
func playStranger(socket string) int {
	r, err := remote.Dial(context.Background(), remote.Config{Socket: socket, Federation: fed, Bureau: "BEL", Timeout: watchdog})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer r.Close()
	if _, err := r.Ask(anAsk()); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// process starts this test binary in another part.
func process(t *testing.T, play string, s shelf, uid uint32) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if uid != 0 {
		self = copyFor(t, self, filepath.Dir(s.socket))
	}
	ctx, cancel := context.WithTimeout(context.Background(), watchdog)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self)
	cmd.Dir = "/"
	cmd.Env = []string{"PLAY=" + play, "KEYS=" + s.keys, "SOCKET=" + s.socket}
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	return cmd
}

// copyFor copies the binary to where another user can start it.
func copyFor(t *testing.T, binary, dir string) string {
	t.Helper()
	b, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "stranger.test")
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return to
}

// serving starts a signer's process and waits until it serves.
func serving(t *testing.T, s shelf) *exec.Cmd {
	t.Helper()
	cmd := process(t, "signer", s, 0)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "serving\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return cmd
}

// eventually asks until the answer is yes.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	end := time.NewTimer(watchdog)
	defer end.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatal("not in time")
		}
	}
}

// TestKilledSigner: the signer's process is killed, the node gets clear errors and nothing
// signed, and the next signer remembers.
func TestKilledSigner(t *testing.T) {
	s := newShelf(t)
	cmd := serving(t, s)
	r := s.dial(t)
	h, other := grown(t, "true", 20), grown(t, "false", 20)
	if _, err := r.Checkpoint(t.Context(), "1", 9, h.root(t, 9), nil); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	for range 3 {
		if signed, err := r.Ask(anAsk()); !errors.Is(err, remote.ErrUnavailable) || signed != nil || !strings.Contains(err.Error(), "entente signer") {
			t.Errorf("without a signer: %v, %v", signed, err)
		}
	}
	if _, err := r.Checkpoint(t.Context(), "1", 9, h.root(t, 9), nil); !errors.Is(err, remote.ErrUnavailable) {
		t.Errorf("without a signer: %v", err)
	}
	if _, err := remote.Dial(t.Context(), remote.Config{Socket: s.socket, Federation: fed, Bureau: "BEL"}); !errors.Is(err, remote.ErrUnavailable) {
		t.Errorf("dial without a signer: %v", err)
	}

	cmd = serving(t, s) // over the socket that the dead one left
	// It connects again by itself.
	eventually(t, func() bool { _, err := r.Ask(anAsk()); return err == nil })
	var follows *signing.NotFollowingError
	if _, err := r.Checkpoint(t.Context(), "1", 9, other.root(t, 9), nil); !errors.As(err, &follows) || follows.Last != 9 {
		t.Errorf("the second signer has forgotten: %v", err)
	}
	if _, err := r.Checkpoint(t.Context(), "1", 20, h.root(t, 20), h.proof(t, 9, 20)); err != nil {
		t.Error(err)
	}
	if _, err := service.Listen(s.socket); err == nil || !strings.Contains(err.Error(), "stop that one first") {
		t.Errorf("a second signer on the socket: %v", err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("told to stop: %v", err)
	}
	if _, err := os.Lstat(s.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it left its socket: %v", err)
	}
}

// TestSocketFolders: where somebody else could put a socket of his own, there is none.
func TestSocketFolders(t *testing.T) {
	s := newShelf(t)
	dir := filepath.Dir(s.socket)
	for _, mode := range []os.FileMode{0o777, 0o770, 0o702} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if l, err := service.Listen(s.socket); err == nil || !strings.Contains(err.Error(), "chmod") {
			t.Errorf("in a folder of mode %04o: %v, %v", mode, l, err)
		}
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := service.Listen(s.socket); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("over a file: %v", err)
	}
	if err := os.Remove(s.socket); err != nil {
		t.Fatal(err)
	}
	if _, err := service.Listen(filepath.Join(dir, strings.Repeat("x", 100))); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("a long path: %v", err)
	}
	if _, err := service.Listen(filepath.Join(dir, "missing", "s")); err == nil {
		t.Error("in no folder")
	}
	l, err := service.Listen(s.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(s.socket); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket's mode: %v, %v", info.Mode(), err)
	}
}
