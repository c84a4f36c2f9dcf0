package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/vault"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// durable measures the part that every row above rests on: one passage, durable in the journal,
// beside the plainest durable write.
func (b *bench) durable(ctx context.Context) (err error) {
	master := bytes.Repeat([]byte{7}, vault.KeySize)
	keys, err := vault.Open(vault.Config{Path: filepath.Join(b.dir, "passages.keys"), Master: master, Label: "journal"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	j, err := journal.Open(ctx, journal.Config{
		Dir: filepath.Join(b.dir, "passages"), Federation: "bench.entente", Bureau: home, Replica: "1", Vault: keys, Marks: master,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	passage := work{"passage", func(ctx context.Context, n int) error {
		return j.Record(ctx, journal.Passage{Entry: &auditv1.Entry{
			MessageId: fmt.Sprintf("00000000-0000-4000-8000-%012d", n), Kind: auditv1.EntryKind_ENTRY_KIND_CHECK,
			Direction: auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL, Bureau: string(home), At: timestamppb.Now(),
			Requester: &queryv1.Requester{Bureau: string(home), Agency: "border-police", Role: "officer"},
			Decision:  auditv1.Decision_DECISION_ALLOW, Rules: []string{"check/own-agencies"}, PolicyVersion: "bench",
			Outcomes: []*auditv1.Outcome{{Bureau: string(home), Status: queryv1.Status_STATUS_NO_HIT}},
		}})
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
		what: "One passage in the journal, durable: p50, one caller", measured: length(one),
		yardstick: "bare commit " + length(bare), ratio: times(over(one, bare)),
	})
	b.note(row{
		what: "The same: throughput, 64 callers, who share commits", measured: rates[0].String(),
		yardstick: "bare commits one after the other " + perSecond(float64(time.Second)/float64(bare)),
		ratio:     times(rates[0].rate * bare.Seconds()),
	})
	return nil
}
