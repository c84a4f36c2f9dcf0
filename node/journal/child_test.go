package journal_test

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
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/entente-mesh/entente/node/disk"
)

// The test binary starts itself again as another process. These variables tell it what to play,
// and where.
const (
	childVariable = "ENTENTE_JOURNAL_TEST_CHILD"
	childDir      = "ENTENTE_JOURNAL_TEST_DIR"
	childStart    = "ENTENTE_JOURNAL_TEST_START"
)

// child answers asks from four callers, and prints the number of each that was acknowledged, until
// it is killed.
func child() int {
	start, err := strconv.Atoi(os.Getenv(childStart))
	if err != nil {
		fmt.Println(err)
		return 2
	}
	w := &world{files: disk.OS(), dir: os.Getenv(childDir), segment: 256 << 10, now: noon}
	j, err := w.tryOpen(context.Background())
	if err != nil {
		fmt.Println(err)
		return 1
	}
	var mu sync.Mutex
	var callers sync.WaitGroup
	for k := range 4 {
		callers.Go(func() {
			for n := start + k; ; n += 4 {
				m, p := answered(n)
				err := j.RecordAnswered(context.Background(), m, p...)
				mu.Lock()
				if err != nil {
					fmt.Println(err)
				} else {
					fmt.Println(n)
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	callers.Wait()
	return 1
}

// TestKilled kills a recording process again and again, at moments that nobody chose. Whatever it
// had acknowledged is there each time, and remembered.
func TestKilled(t *testing.T) {
	rounds := 10
	if testing.Short() || raceEnabled {
		rounds = 3
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{files: disk.OS(), dir: filepath.Join(t.TempDir(), "journal"), segment: 256 << 10, now: noon}
	acknowledged := map[int]bool{}
	next := 0
	for round := range rounds {
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), childVariable+"=1", childDir+"="+w.dir, childStart+"="+strconv.Itoa(next))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		more := 1 + rand.IntN(150)
		delay := time.Duration(rand.IntN(3_000)) * time.Microsecond
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			n, err := strconv.Atoi(lines.Text())
			if err != nil {
				t.Fatalf("the recording process: %s", lines.Text())
			}
			acknowledged[n] = true
			next = max(next, n+8)
			if more--; more == 0 {
				time.AfterFunc(delay, func() { cmd.Process.Signal(syscall.SIGKILL) })
			}
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the recording process was not killed: %v", err)
		}
		j := w.open(t)
		whole(t, j)
		for n := range acknowledged {
			found, err := j.Find(t.Context(), id(n))
			if err != nil || len(found) != 2 {
				t.Errorf("round %d: passage %d was acknowledged, and %d are there, %v", round, n, len(found), err)
			}
			if _, _, ok, err := j.RecallAsk(t.Context(), "FRA", id(n)); !ok || err != nil {
				t.Errorf("round %d: ask %d was acknowledged, and is not remembered: %v", round, n, err)
			}
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d asks in %d lives", len(acknowledged), rounds)
}
