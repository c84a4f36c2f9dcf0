package journal_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/entente-mesh/entente/node/disk"
	"github.com/entente-mesh/entente/node/journal"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// BenchmarkSync is the yardstick: one write of the size of a lone passage and one sync, on a file
// that was lengthened before.
func BenchmarkSync(b *testing.B) {
	f, err := disk.OS().OpenFile(filepath.Join(b.TempDir(), "file"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	frame := make([]byte, 800)
	for i := range frame {
		frame[i] = byte(i)
	}
	var took []time.Duration
	at, room := int64(0), int64(0)
	for b.Loop() {
		if at+int64(len(frame)) > room {
			room += 4 << 20
			if err := f.Truncate(room); err != nil {
				b.Fatal(err)
			}
		}
		start := time.Now()
		if _, err := f.WriteAt(frame, at); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
		at += int64(len(frame))
	}
	percentiles(b, took)
}

func percentiles(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}

func BenchmarkRecord(b *testing.B) {
	for _, kind := range []string{"check", "ask"} {
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/callers=%d", kind, callers), func(b *testing.B) {
				j := real(b).open(b)
				var next atomic.Int64
				var wait sync.WaitGroup
				took := make([][]time.Duration, callers)
				b.ResetTimer()
				for k := range callers {
					wait.Go(func() {
						for {
							n := int(next.Add(1))
							if n > b.N {
								return
							}
							p := check(n)
							if kind == "ask" {
								p = border(n, auditv1.EntryKind_ENTRY_KIND_ASK, auditv1.EntryDirection_ENTRY_DIRECTION_OUT)
							}
							start := time.Now()
							if err := j.Record(context.Background(), p); err != nil {
								b.Error(err)
								return
							}
							took[k] = append(took[k], time.Since(start))
						}
					})
				}
				wait.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "passages/s")
				percentiles(b, slices.Concat(took...))
			})
		}
	}
}

// BenchmarkReopen is what a start after a crash costs, and a whole check: of 50,000 passages.
func BenchmarkReopen(b *testing.B) {
	w := real(b)
	j := w.open(b)
	for n := 0; n < 50_000; n += 500 {
		var list []journal.Passage
		for i := range 500 {
			list = append(list, check(n+i))
		}
		record(b, j, list...)
	}
	j.Close()
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			w.open(b).Close()
		}
	})
	b.Run("check", func(b *testing.B) {
		j := w.open(b)
		for b.Loop() {
			whole(b, j)
		}
	})
}
