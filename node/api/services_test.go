package api_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/node/alarms"
	"github.com/entente-mesh/entente/node/api"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/limits"
	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/node/store"
	"github.com/entente-mesh/entente/node/vault"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// massRows is from how many rows on an import needs two persons, where imports do.
const massRows = 3

func someKey(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// keep opens the store and the journal, each with a vault of its own.
func (h *house) keep(t *testing.T, dir string) {
	t.Helper()
	keys := func(label string) *vault.Vault {
		v, err := vault.Open(vault.Config{Path: filepath.Join(dir, label+".keys"), Master: someKey(1), Label: label})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	records, bodies := keys("records"), keys("journal")
	var err error
	if h.store, err = store.Open(t.Context(), store.Config{
		Path: filepath.Join(dir, "store.db"), Vault: records, LookupKey: someKey(2), StateKey: someKey(3), DocumentKey: match.DocumentKey,
	}); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(t.Context(), journal.Config{
		Dir: filepath.Join(dir, "journal"), Federation: fed, Bureau: bel, Replica: "1", Vault: bodies, Marks: someKey(5),
	})
	if err != nil {
		t.Fatal(err)
	}
	h.books = &books{Journal: j}
	t.Cleanup(func() {
		if err := errors.Join(j.Close(), h.store.Close(), bodies.Close(), records.Close()); err != nil {
			t.Error(err)
		}
	})
}

// count opens the limits and the alarms.
func (h *house) count(t *testing.T) {
	t.Helper()
	kept := &state{rows: map[string][]byte{}}
	book := func(ctx context.Context, e *auditv1.Entry) error {
		return h.books.Journal.Record(ctx, journal.Passage{Entry: e})
	}
	var err error
	h.alarms, err = alarms.New(t.Context(), alarms.Config{Self: bel, State: kept, Book: book})
	if err != nil {
		t.Fatal(err)
	}
	h.limits, err = limits.New(t.Context(), limits.Config{
		Self: bel, State: kept, Book: book, RefusalDelay: time.Nanosecond,
		Raise: func(ctx context.Context, kind adminv1.AlarmKind, subject, text string) {
			h.alarms.Raise(ctx, alarms.Alarm{Kind: kind, Subject: subject, Text: text})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- h.limits.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ran
		if err := h.limits.Close(context.Background()); err != nil {
			t.Error(err)
		}
		h.alarms.Close(context.Background())
	})
}

// eraser erases what is in the house.
type eraser struct{ h *house }

func (e eraser) Erase(ctx context.Context, collection, id string) (time.Time, error) {
	return e.h.store.Erase(ctx, collection, id)
}

func (e eraser) Copies(ctx context.Context, owner, id string) ([]*recordv1.Copy, error) {
	held, err := e.h.store.Copies(ctx, owner, id)
	var all []*recordv1.Copy
	for _, c := range held {
		all = append(all, &recordv1.Copy{Place: "records", Collection: c.Collection, Version: c.Version, Since: timestamppb.New(c.Since)})
	}
	return all, err
}

func (e eraser) Evidence(ctx context.Context, owner, id string) ([]*recordv1.Copy, error) {
	found, err := e.h.books.FindQuotes(ctx, owner, id)
	var all []*recordv1.Copy
	for _, l := range found {
		if l.Evidence {
			all = append(all, &recordv1.Copy{Place: "evidence", MessageId: l.Leaf.MessageID.String()})
		}
	}
	return all, err
}

func (e eraser) EraseEvidence(ctx context.Context, owner, id string) (int, error) {
	found, err := e.h.books.FindQuotes(ctx, owner, id)
	if err != nil {
		return 0, err
	}
	return e.h.books.EraseEvidence(ctx, found)
}

func (eraser) Object(collection, _ string) string { return collection + "/ref:x" }
func (eraser) KeyBackups() time.Duration          { return 24 * time.Hour }

// library reads the journal. What needs the tree, the node's own tests show.
type library struct{ *journal.Journal }

func located(found []journal.Located, err error) ([]*auditv1.Located, error) {
	if err == nil && len(found) == 0 {
		err = api.ErrNotInBooks
	}
	var all []*auditv1.Located
	for _, l := range found {
		all = append(all, &auditv1.Located{Entry: l.Entry, Index: l.Index, Place: uint32(l.Place)})
	}
	return all, err
}

func (b library) List(ctx context.Context, _ *auditv1.ListRequest, do func(*auditv1.Located) error) error {
	return b.Scan(ctx, time.Time{}, time.Time{}, func(l journal.Located) error {
		return do(&auditv1.Located{Entry: l.Entry, Index: l.Index, Place: uint32(l.Place)})
	})
}

func (b library) Get(ctx context.Context, id string) ([]*auditv1.Located, error) {
	return located(b.Find(ctx, id))
}

func (b library) Officer(ctx context.Context, pseudonym string) ([]*auditv1.Located, error) {
	return located(b.FindOfficer(ctx, pseudonym))
}

func (b library) Verify(ctx context.Context, progress func(uint64)) (*auditv1.VerifyReport, error) {
	r, err := b.Check(ctx, progress)
	return &auditv1.VerifyReport{Whole: len(r.Flaws) == 0, Leaves: r.Leaves, Entries: r.Entries}, err
}

func (b library) Prove(ctx context.Context, id string, otherSide bool) (*auditv1.Bundle, string, error) {
	found, err := b.Find(ctx, id)
	if err != nil || len(found) == 0 || !found[0].Evidence {
		return nil, "", errors.Join(err, api.ErrNotInBooks)
	}
	ask, err := b.Evidence(ctx, found[0])
	missing := ""
	if otherSide {
		missing = "nobody is there"
	}
	return &auditv1.Bundle{Ask: ask}, missing, err
}

func (b library) Export(ctx context.Context, peer identity.Bureau, since, until time.Time, do func(*auditv1.Export) error) error {
	return b.Scan(ctx, since, until, func(l journal.Located) error {
		if l.Leaf.Peer != peer {
			return nil
		}
		return do(&auditv1.Export{Peer: string(peer)})
	})
}
