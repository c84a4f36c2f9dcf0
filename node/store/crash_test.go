package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/entente-mesh/entente/node/store"
)

// The test binary starts itself again as another process. These variables tell it what to play,
// and on which file.
const (
	childVariable = "ENTENTE_STORE_TEST_CHILD"
	childPath     = "ENTENTE_STORE_TEST_PATH"
	childStart    = "ENTENTE_STORE_TEST_START"
)

func child(play string) int {
	path := os.Getenv(childPath)
	switch play {
	case "open":
		return childOpen(path)
	case "import":
		start, err := strconv.Atoi(os.Getenv(childStart))
		if err != nil {
			fmt.Println(err)
			return 2
		}
		return childImport(path, start)
	default:
		fmt.Println("unknown play", play)
		return 2
	}
}

func startChild(t *testing.T, play, path string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), append(env, childVariable+"="+play, childPath+"="+path)...)
	cmd.Stderr = os.Stderr
	return cmd
}

func openChild(path string) (*store.Store, error) {
	c, _, err := configOf(path)
	if err != nil {
		return nil, err
	}
	return store.Open(context.Background(), c)
}

// childOpen opens the store, and prints why it could not. As root it steps down first: to root
// every folder is writable.
func childOpen(path string) int {
	if os.Getuid() == 0 {
		const nobody = 65534
		if err := syscall.Setuid(nobody); err != nil {
			fmt.Println(err)
			return 2
		}
	}
	dir, err := os.MkdirTemp("", "entente-store") // the vault's own medium can be written
	if err != nil {
		fmt.Println(err)
		return 2
	}
	defer os.RemoveAll(dir)
	c, _, err := configWith(path, filepath.Join(dir, "records.vault"))
	if err != nil {
		fmt.Println(err)
		return 2
	}
	s, err := store.Open(context.Background(), c)
	if err != nil {
		fmt.Println(errors.Is(err, store.ErrLocked), err)
		return 1
	}
	s.Close()
	return 0
}

func TestReadOnlyFolder(t *testing.T) {
	for _, fresh := range []bool{true, false} {
		t.Run(fmt.Sprintf("fresh %v", fresh), func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "store.db")
			if !fresh {
				open(t, path).Close()
			}
			if err := os.Chmod(dir, 0o555); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Chmod(dir, 0o755) })
			out, err := startChild(t, "open", path).Output()
			if err == nil || !strings.Contains(string(out), "must be able to write") || !strings.Contains(string(out), path) {
				t.Errorf("got %v, %s", err, out)
			}
		})
	}
}

func TestLockedByAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	first := startChild(t, "import", path, childStart+"=0")
	out, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	if !bufio.NewScanner(out).Scan() { // a batch is acknowledged: it has the store open
		t.Fatal("the other process did not begin")
	}
	_, err = store.Open(t.Context(), config(t, path))
	if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "stop the node") {
		t.Errorf("got %v", err)
	}
	first.Process.Kill()
	first.Wait()
	open(t, path) // the lock went with its process
}

// What one batch of the crash test holds: so many passports beginning at batch*crashBatch, and the
// withdrawal of the batch before the last one's first.
const crashBatch = 40

func crashPuts(batch int) []store.Put {
	puts := make([]store.Put, crashBatch)
	for i := range puts {
		puts[i] = stolenPassport(batch*crashBatch + i)
	}
	return puts
}

func stateKey(batch int) string { return fmt.Sprintf("batch-%d", batch) }

// childImport imports batch after batch, with a piece of state after each, and prints the number of each
// that was acknowledged, until it is killed.
func childImport(path string, start int) int {
	ctx := context.Background()
	s, err := openChild(path)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for b := start; ; b++ {
		if _, err := s.Put(ctx, crashPuts(b)); err != nil {
			fmt.Println(err)
			return 1
		}
		if err := s.PutState(ctx, "limits", stateKey(b), nil); err != nil {
			fmt.Println(err)
			return 1
		}
		if b%3 == 2 {
			if _, err := s.Withdraw(ctx, store.Documents, []string{crashPuts(b - 2)[0].Record.RecordId}); err != nil {
				fmt.Println(err)
				return 1
			}
		}
		fmt.Println(b)
	}
}

// TestKilled kills an importing process again and again, at moments that nobody chose. Whatever it
// had acknowledged is there each time, whole, and the file is sound.
func TestKilled(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "store.db")
	next := 0
	for round := range rounds {
		acknowledged := killWhileImporting(t, path, next, random)
		examineAfterKill(t, path, acknowledged)
		next = acknowledged + 1 // what came after it may be there: it is imported again
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	t.Logf("%d batches in %d lives", next, rounds)
}

// killWhileImporting lets a process import from batch start on, kills it, and returns the last
// batch that it acknowledged.
func killWhileImporting(t *testing.T, path string, start int, random *rand.Rand) int {
	t.Helper()
	cmd := startChild(t, "import", path, childStart+"="+strconv.Itoa(start))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// A few batches go through, then the blow falls somewhere in the middle of the next ones.
	more := 1 + random.IntN(40)
	delay := time.Duration(random.IntN(8_000)) * time.Microsecond
	last := start - 1
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatalf("the importing process: %s", lines.Text())
		}
		last = n
		if more--; more == 0 {
			time.AfterFunc(delay, func() { cmd.Process.Signal(syscall.SIGKILL) })
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the importing process was not killed: %v", err)
	}
	return last
}

// examineAfterKill opens the store after a kill, and looks at every batch.
func examineAfterKill(t *testing.T, path string, acknowledged int) {
	t.Helper()
	s, err := store.Open(t.Context(), config(t, path))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Check(t.Context(), nil); err != nil {
		t.Error(err)
	}
	states, err := s.ListState(t.Context(), "limits")
	if err != nil {
		t.Fatal(err)
	}
	for b := 0; ; b++ {
		kept := 0
		puts := crashPuts(b)
		for i, p := range puts {
			_, err := s.Get(t.Context(), store.Documents, p.Record.RecordId)
			switch {
			case err == nil:
				kept++
				if i == 0 && b%3 == 0 && b+2 <= acknowledged {
					t.Errorf("batch %d: its withdrawal was acknowledged, and is lost", b)
				}
			case !errors.Is(err, store.ErrNotFound):
				t.Fatal(err)
			case i == 0 && b%3 == 0 && b+1 <= acknowledged:
				kept++ // withdrawn, acknowledged or on its way
			}
		}
		switch {
		case kept == crashBatch:
			if _, there := states[stateKey(b)]; b <= acknowledged && !there {
				t.Errorf("batch %d: its state was acknowledged, and is lost", b)
			}
		case b <= acknowledged:
			t.Errorf("batch %d was acknowledged, and %d of %d are there", b, kept, crashBatch)
			return
		case kept != 0:
			t.Errorf("batch %d: %d of %d are there, a part of a transaction", b, kept, crashBatch)
			return
		default:
			return
		}
	}
}
