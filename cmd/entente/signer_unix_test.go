//go:build unix

package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/entente-mesh/entente/pki/signing/remote"
)

// TestSignerProcess: an operator separates the keys from a node by two commands, and the signer
// runs until it is told to stop.
func TestSignerProcess(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	f.do("init", "--country", "BEL", "--federation", "demo.entente", "--dir", "bel")
	short, err := os.MkdirTemp("", "ent") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	socket := filepath.Join(short, "s")
	f.do("signer", "split", "--dir", "bel", "--to", "signer", "--socket", socket)

	cmd := f.command("signer", "--dir", "signer")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "The signer of BEL is running: "+socket+"\n" {
		t.Fatalf("%q, %v\n%s", line, err, said.String())
	}
	r, err := remote.Dial(t.Context(), remote.Config{Socket: socket, Federation: "demo.entente", Bureau: "BEL", Timeout: watchdog})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Checkpoint(t.Context(), "1", 1, make([]byte, 32), nil); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if o := f.try("", "signer", "--dir", "signer"); o.code != exitFailed || !strings.Contains(o.stderr, "another process signs with it") {
		t.Errorf("a second signer: %d\n%s", o.code, o.stderr)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("told to stop: %v\n%s", err, said.String())
	}
	if !strings.Contains(said.String(), "SignCheckpoint") {
		t.Errorf("it has counted nothing:\n%s", said.String())
	}
}
