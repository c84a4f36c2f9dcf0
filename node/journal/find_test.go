package journal_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/entente-mesh/entente/node/journal"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// TestFindBoundsWhatStandsUnderOneID has FRA send hundreds of asks under the id of one that is
// answered, before it and after it, and others under the id of an ask of the own bureau's.
func TestFindBoundsWhatStandsUnderOneID(t *testing.T) {
	const storm = 300
	w := lossy()
	c, err := w.config()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	j, err := journal.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	const (
		ask  = auditv1.EntryKind_ENTRY_KIND_ASK
		in   = auditv1.EntryDirection_ENTRY_DIRECTION_IN
		out  = auditv1.EntryDirection_ENTRY_DIRECTION_OUT
		repl = auditv1.EntryKind_ENTRY_KIND_ANSWER
	)
	again := func(n int) {
		t.Helper()
		var all []journal.Passage
		for i := range storm {
			p := border(n, ask, in)
			p.Evidence = signed(fmt.Sprint("again ", i))
			all = append(all, p)
		}
		record(t, j, all...)
	}
	again(1)
	answer(t, j, 1)
	again(1)
	last := j.Leaves() - 1

	found, err := j.Find(t.Context(), id(1))
	if err != nil {
		t.Fatal(err)
	}
	// The first, the one that was answered with its answer, and the newest.
	if len(found) != journal.MaxFound+3 {
		t.Fatalf("%d of %d are found", len(found), 2*storm+2)
	}
	for i, l := range found[:journal.MaxFound] {
		if l.Index != uint64(i) {
			t.Errorf("the %d. is leaf %d", i, l.Index)
		}
	}
	for i, want := range []uint64{storm, storm + 1, last} {
		if l := found[journal.MaxFound+i]; l.Index != want {
			t.Errorf("leaf %d stands where leaf %d is expected", l.Index, want)
		}
	}
	if got, err := j.Evidence(t.Context(), found[journal.MaxFound]); err != nil || !strings.HasSuffix(string(got.GetPayload()), "IN 1") {
		t.Errorf("the ask before the answer is %q: %v", got.GetPayload(), err)
	}
	if left := fmt.Sprintf("left_out=%d", 2*storm+2-len(found)); !strings.Contains(log.String(), left) || !strings.Contains(log.String(), id(1)) {
		t.Errorf("the log does not say %s:\n%s", left, log.String())
	}

	// The own ask and its answer are other classes, wherever they stand.
	again(2)
	record(t, j, border(2, ask, out))
	again(2)
	record(t, j, border(2, repl, in))
	if found, err = j.Find(t.Context(), id(2)); err != nil {
		t.Fatal(err)
	}
	ways := map[string]int{}
	for _, l := range found {
		ways[l.Leaf.Kind.String()+l.Leaf.Direction.String()]++
	}
	if ways[ask.String()+out.String()] != 1 || ways[repl.String()+in.String()] != 1 || len(found) != journal.MaxFound+3 {
		t.Errorf("%v", ways)
	}
}
