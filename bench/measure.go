package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// work is something that is measured: once does it one time. The number tells the calls of a run
// apart, so that no two ask the same.
type work struct {
	name string
	once func(ctx context.Context, n int) error
}

// spread is how long each of many calls took, in order of length.
type spread []time.Duration

// at returns the duration that a share of the calls did not exceed.
func (s spread) at(share float64) time.Duration {
	return s[min(len(s)-1, int(share*float64(len(s))))]
}

func (s spread) p50() time.Duration { return s.at(0.50) }
func (s spread) p99() time.Duration { return s.at(0.99) }

// blockSize is how many calls of one kind follow each other before the next kind's turn: enough
// to run warm, few enough that what disturbs the machine disturbs all kinds alike.
const blockSize = 20

// latencies measures several kinds of work in turn, with one caller, and returns the spread of
// each.
func latencies(ctx context.Context, rounds int, works ...work) ([]spread, error) {
	spreads := make([]spread, len(works))
	n := 0
	turn := func(i, calls int, keep bool) error {
		for range calls {
			n++
			began := time.Now()
			if err := works[i].once(ctx, n); err != nil {
				return fmt.Errorf("%s: %w", works[i].name, err)
			}
			if keep {
				spreads[i] = append(spreads[i], time.Since(began))
			}
		}
		return nil
	}
	for i := range works {
		if err := turn(i, min(rounds, max(blockSize, rounds/10)), false); err != nil {
			return nil, err
		}
	}
	for done := 0; done < rounds; done += blockSize {
		for i := range works {
			if err := turn(i, min(blockSize, rounds-done), true); err != nil {
				return nil, err
			}
		}
	}
	for _, s := range spreads {
		slices.Sort(s)
	}
	return spreads, nil
}

// manyCallers is how many call at the same time where throughput is measured.
const manyCallers = 64

// pace is how fast a kind of work went with many callers.
type pace struct {
	rate float64       // calls a second: the median of the turns
	cpu  time.Duration // of this process, for each call; 0 where the system does not tell
}

// String writes it with what each call took of the processors: that hardly depends on who else
// works on the machine.
func (p pace) String() string {
	if p.cpu == 0 {
		return perSecond(p.rate)
	}
	return fmt.Sprintf("%s, %s of CPU each", perSecond(p.rate), length(p.cpu))
}

// ticksASecond is in what Linux counts a process's time, on every machine.
const ticksASecond = 100

// used is how long this process has run on the processors so far.
func used() time.Duration {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	// The name, in brackets, may hold blanks; behind it user and system time are the 12th and 13th.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticksASecond
}

// throughputs measures several kinds of work in turn, with many callers, and returns how fast
// each went.
func throughputs(ctx context.Context, turns, calls int, works ...work) ([]pace, error) {
	rates, spent := make([][]float64, len(works)), make([]time.Duration, len(works))
	var n atomic.Int64
	turn := func(w work, calls int) (float64, error) {
		runtime.GC() // each turn begins with the same heap, whoever was before it
		began := time.Now()
		var left atomic.Int64
		left.Store(int64(calls))
		var wg sync.WaitGroup
		failed := make(chan error, manyCallers)
		for range manyCallers {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					if err := w.once(ctx, int(n.Add(1))); err != nil {
						failed <- fmt.Errorf("%s: %w", w.name, err)
						return
					}
				}
			})
		}
		wg.Wait()
		took := time.Since(began)
		select {
		case err := <-failed:
			return 0, err
		default:
			return float64(calls) / took.Seconds(), nil
		}
	}
	for _, w := range works {
		if _, err := turn(w, max(manyCallers, calls/5)); err != nil {
			return nil, err
		}
	}
	for range turns {
		for i, w := range works {
			before := used()
			rate, err := turn(w, calls)
			if err != nil {
				return nil, err
			}
			rates[i] = append(rates[i], rate)
			spent[i] += used() - before
		}
	}
	paces := make([]pace, len(works))
	for i, r := range rates {
		slices.Sort(r)
		paces[i] = pace{rate: r[len(r)/2], cpu: spent[i] / time.Duration(turns*calls)}
	}
	return paces, nil
}

// profile writes a CPU profile of work with many callers, apart from what is measured.
func (b *bench) profile(ctx context.Context, name string, calls int, w work) error {
	if b.profiles == "" {
		return nil
	}
	return b.profiled(name, func() error {
		_, err := throughputs(ctx, 1, calls, w)
		return err
	})
}

// profiled runs something once, with a CPU profile of it if profiles are wanted.
func (b *bench) profiled(name string, f func() error) error {
	if b.profiles == "" {
		return f()
	}
	if err := os.MkdirAll(b.profiles, 0o755); err != nil {
		return err
	}
	path := filepath.Join(b.profiles, name+".pprof")
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	err = f()
	pprof.StopCPUProfile()
	if err != nil {
		return err
	}
	b.say("  profile: %s", path)
	// What was allocated since the program began: with -only, mostly by this step.
	allocs, err := os.Create(filepath.Join(b.profiles, name+".allocs.pprof"))
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("allocs").WriteTo(allocs, 0), allocs.Close())
}
