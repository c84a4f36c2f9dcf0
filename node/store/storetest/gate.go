package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/entente-mesh/entente/node/store"
	"github.com/google/go-cmp/cmp"
)

func digest(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func recall(t *testing.T, s *store.Store, asker, id string) (digest, answer []byte, found bool) {
	t.Helper()
	digest, answer, found, err := s.RecallAsk(t.Context(), asker, id)
	if err != nil {
		t.Fatal(err)
	}
	return digest, answer, found
}

func askOnce(t *testing.T, s *store.Store) {
	ctx, until := t.Context(), time.Now().Add(2*time.Minute)
	const id = "7d8f4c0e-2b11-4d57-9a3a-5f0c6a1b2c3d"
	if _, _, found := recall(t, s, "LBN", id); found {
		t.Error("recalled before it was asked")
	}
	if err := s.CommitAsk(ctx, "LBN", id, digest(1), []byte("answer"), until); err != nil {
		t.Fatal(err)
	}
	d, a, found := recall(t, s, "LBN", id)
	if !found || !bytes.Equal(d, digest(1)) || string(a) != "answer" {
		t.Errorf("recalled %x, %q, %v", d, a, found)
	}
	if err := s.CommitAsk(ctx, "LBN", id, digest(1), []byte("another answer"), until); err != nil {
		t.Errorf("the same bytes again: %v", err)
	}
	if _, a, _ := recall(t, s, "LBN", id); string(a) != "answer" {
		t.Errorf("the first answer does not stand: %q", a)
	}
	if err := s.CommitAsk(ctx, "LBN", id, digest(2), []byte("answer"), until); !errors.Is(err, store.ErrAskReused) {
		t.Errorf("other bytes under the id: %v", err)
	}
	if d, _, _ := recall(t, s, "LBN", id); !bytes.Equal(d, digest(1)) {
		t.Error("other bytes overwrote the first")
	}
	// Ids belong to their asker: one bureau cannot use up another's.
	if err := s.CommitAsk(ctx, "BGR", id, digest(2), nil, until); err != nil {
		t.Errorf("of another asker: %v", err)
	}
	if d, a, found := recall(t, s, "BGR", id); !found || !bytes.Equal(d, digest(2)) || len(a) != 0 {
		t.Errorf("of another asker: %x, %q, %v", d, a, found)
	}
}

// askRace lets many answer two different asks under one id at the same moment. One of the two
// stands, and every answerer of the other is told.
func askRace(t *testing.T, s *store.Store) {
	for round := range 20 {
		id := fmt.Sprintf("ask-%d", round)
		var kept, reused [2]atomic.Int64
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				err := s.CommitAsk(t.Context(), "LBN", id, digest(byte(i%2)), []byte{byte(i % 2)}, time.Now())
				switch {
				case err == nil:
					kept[i%2].Add(1)
				case errors.Is(err, store.ErrAskReused):
					reused[i%2].Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		d, a, _ := recall(t, s, "LBN", id)
		winner := int(a[0])
		if !bytes.Equal(d, digest(byte(winner))) || kept[winner].Load() != 8 || reused[1-winner].Load() != 8 {
			t.Fatalf("round %d: %d stands; kept %d and %d, told %d and %d", round, winner,
				kept[0].Load(), kept[1].Load(), reused[0].Load(), reused[1].Load())
		}
	}
}

func forget(t *testing.T, s *store.Store) {
	now := time.Now()
	var wg sync.WaitGroup
	const old = 2_500 // more than one sweep forgets at a time
	for i := range old + 1 {
		until := now.Add(-time.Second)
		if i == old {
			until = now.Add(time.Second)
		}
		wg.Go(func() {
			if err := s.CommitAsk(t.Context(), "LBN", fmt.Sprintf("ask-%d", i), digest(1), nil, until); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n, err := s.ForgetAsks(t.Context(), now); n != old || err != nil {
		t.Errorf("forgot %d, %v; want %d", n, err, old)
	}
	if _, _, found := recall(t, s, "LBN", "ask-0"); found {
		t.Error("an old ask is remembered")
	}
	if _, _, found := recall(t, s, "LBN", fmt.Sprintf("ask-%d", old)); !found {
		t.Error("a good ask is forgotten")
	}
	if n, err := s.ForgetAsks(t.Context(), now); n != 0 || err != nil {
		t.Errorf("forgot %d more, %v", n, err)
	}
}

func borderCheck(id string) store.Passage {
	return store.Passage{
		MessageID: id, Kind: "check", Direction: "local", Bureau: "BGR", Agency: "border-police", Purpose: "border-control",
		Decision: "permit", Rules: []string{"own-agencies", "border"}, PolicyVersion: "5e884898", At: time.Unix(1418900000, 42).UTC(),
		Detail: []byte{0, 1, 2},
	}
}

func passages(t *testing.T, s *store.Store) {
	var want []store.Passage
	for i := range 5 {
		p := borderCheck(fmt.Sprintf("check-%d", i))
		if i == 3 {
			p = store.Passage{Kind: "ask", Decision: "deny", At: p.At} // what may be absent
		}
		if err := s.RecordPassage(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		p.Seq = int64(i + 1)
		want = append(want, p)
	}
	got, err := s.Passages(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got, err = s.Passages(t.Context(), 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[2:4], got); diff != "" {
		t.Errorf("a page of two:\n%s", diff)
	}
}

func manyPassages(t *testing.T, s *store.Store) {
	const callers, each = 32, 20
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				id := fmt.Sprintf("check-%d-%d", c, i)
				if err := s.RecordPassage(t.Context(), borderCheck(id)); err != nil {
					t.Error(err)
				}
				if i%4 == 0 {
					if err := s.CommitAsk(t.Context(), "LBN", id, digest(9), nil, time.Now()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Go(func() { // an import meanwhile
		for i := range 10 {
			if _, err := s.Put(t.Context(), in("sltd", passport(numbered("doc:", i), numbered("EH", i)))); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	list, err := s.Passages(t.Context(), 0, 10_000)
	if err != nil || len(list) != callers*each {
		t.Fatalf("%d passages, %v", len(list), err)
	}
	next := map[string]int{}
	for i, p := range list {
		if p.Seq != int64(i+1) {
			t.Fatalf("passage %d stands in place %d", p.Seq, i+1)
		}
		var c, n int
		if _, err := fmt.Sscanf(p.MessageID, "check-%d-%d", &c, &n); err != nil {
			t.Fatal(err)
		}
		caller := fmt.Sprint(c)
		if next[caller] != n { // one caller's passages stay in its order
			t.Errorf("caller %d: passage %d where %d was due", c, n, next[caller])
		}
		next[caller]++
	}
}

func goneAway(t *testing.T, s *store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, putErr := s.Put(ctx, in("manual", passport("doc:1", "EH1")))
	_, withdrawErr := s.Withdraw(ctx, store.Documents, []string{"doc:1"})
	errs := []error{
		putErr, withdrawErr,
		s.RecordPassage(ctx, borderCheck("check-1")),
		s.CommitAsk(ctx, "LBN", "ask-1", digest(1), nil, time.Now()),
	}
	for i, err := range errs {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	// Others are not disturbed, and the next group has no trace of those.
	if err := s.RecordPassage(t.Context(), borderCheck("check-2")); err != nil {
		t.Fatal(err)
	}
	list, err := s.Passages(t.Context(), 0, 10)
	if err != nil || slices.ContainsFunc(list, func(p store.Passage) bool { return p.MessageID == "check-1" }) {
		t.Errorf("%v, %v", list, err)
	}
	if n, err := s.Count(t.Context(), store.Documents); n != 0 || err != nil {
		t.Errorf("%d documents, %v", n, err)
	}
	if _, _, found := recall(t, s, "LBN", "ask-1"); found {
		t.Error("the ask of a caller that had gone away is remembered")
	}
}
