package service_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// nobody is a user whom no signer of these tests is run by.
const nobody = 65534

// TestStranger: a process of another user that can reach the socket is refused by what the kernel
// says of it, unless the signer was told to admit that user.
func TestStranger(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can play another user")
	}
	s := newShelf(t)
	var log bytes.Buffer
	stop := s.start(t, slog.New(slog.NewTextHandler(&log, nil)))
	// The file system lets everybody through: the list alone must hold.
	for path, mode := range map[string]os.FileMode{filepath.Dir(s.socket): 0o755, s.socket: 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	out, err := process(t, "stranger", s, nobody).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "admits user 65534") {
		t.Errorf("a stranger has it sign: %v\n%s", err, out)
	}
	if out, err := process(t, "stranger", s, 0).CombinedOutput(); err != nil {
		t.Errorf("the own user: %v\n%s", err, out)
	}
	stop()
	if !strings.Contains(log.String(), "uid=65534") {
		t.Errorf("the log does not name the user:\n%s", log.String())
	}
	stop = s.start(t, nil, nobody)
	if err := os.Chmod(s.socket, 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := process(t, "stranger", s, nobody).CombinedOutput(); err != nil {
		t.Errorf("a user on the list: %v\n%s", err, out)
	}
	stop()
}
