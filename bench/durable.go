package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/entente-mesh/entente/node/store"
)

// durable measures the part that every row above rests on: one passage, durable in the store,
// beside the plainest durable write.
func (b *bench) durable(ctx context.Context) (err error) {
	s, err := store.Open(ctx, store.Config{Path: filepath.Join(b.dir, "passages.db")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	passage := work{"passage", func(ctx context.Context, n int) error {
		return s.RecordPassage(ctx, store.Passage{
			MessageID: fmt.Sprintf("00000000-0000-4000-8000-%012d", n), Kind: "check", Direction: "local", Bureau: string(home),
			Agency: "border-police", Purpose: "border-control", Decision: "allow", Rules: []string{"check/own-agencies"},
			PolicyVersion: "bench", At: time.Now(), Detail: []byte(`{"outcome":["NO_HIT"]}`),
		})
	}}
	spreads, err := latencies(ctx, b.rounds, passage, b.yard.commit())
	if err != nil {
		return err
	}
	rates, err := throughputs(ctx, b.turns, b.calls, passage)
	if err != nil {
		return err
	}
	one, bare := spreads[0].p50(), spreads[1].p50()
	b.note(row{
		what: "One passage in the store, durable: p50, one caller", measured: length(one),
		yardstick: "bare commit " + length(bare), ratio: times(over(one, bare)),
	})
	b.note(row{
		what: "The same: throughput, 64 callers, who share commits", measured: perSecond(rates[0]),
		yardstick: "bare commits one after the other " + perSecond(float64(time.Second)/float64(bare)),
		ratio:     times(rates[0] * bare.Seconds()),
	})
	return nil
}
