package node_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// leaves is how many leaves the trees of both have, when they have caught up.
func (w *wreck) leaves() []uint64 {
	w.t.Helper()
	var all []uint64
	for _, v := range w.nodes {
		all = append(all, w.verified(v).GetLeaves())
	}
	return all
}

// finish reads both books beside each other, as their auditors would years later, and then opens
// them without a node and holds them against everything that was seen of them.
func (w *wreck) finish() {
	w.t.Helper()
	exports := make([]*auditv1.Export, len(w.nodes))
	for i, v := range w.nodes {
		exports[i] = w.export(v)
		w.wantRecords(v, w.records[v.ID])
	}
	joined := evidence.Join(exports[0], exports[1], evidence.Trust{})
	undelivered := 0
	for _, f := range joined.Findings {
		if f.Finding == evidence.Undelivered {
			undelivered++
			continue
		}
		w.t.Errorf("the two books: %v", f)
	}
	if !joined.OK() {
		w.t.Errorf("the two books do not stand: %v", joined.Steps)
	}
	w.t.Logf("joined: %d passages in both books, %d not judged, %d undelivered, %d erased", joined.Matched, joined.NotJudged, undelivered, joined.Erased)
	for _, v := range w.nodes {
		v.kill()
	}
	// Each carries the other's checkpoints in its evidence.
	opened := map[identity.Bureau]*journal.Journal{}
	for _, v := range w.nodes {
		j, closeAll, err := node.OpenBooks(w.t.Context(), v.Config)
		if err != nil {
			w.t.Fatalf("open the books of %s: %v", v.ID, err)
		}
		defer func() {
			if err := closeAll(); err != nil {
				w.t.Error(err)
			}
		}()
		opened[v.ID] = j
		if report, err := j.Check(w.t.Context(), nil); err != nil || len(report.Flaws) > 0 {
			w.t.Errorf("the journal of %s: %v %v", v.ID, report, err)
		}
		w.carried(j)
	}
	for id, j := range opened {
		w.wantLeaves(id, j)
	}
}

func (w *wreck) export(v *victim) *auditv1.Export {
	w.t.Helper()
	stream, err := w.books(v).Export(w.t.Context(), &auditv1.ExportRequest{Peer: string(w.other(v).ID)})
	if err != nil {
		w.t.Fatal(err)
	}
	whole := &auditv1.Export{}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return whole
		}
		if err != nil {
			w.t.Fatalf("export of %s: %v", v.ID, err)
		}
		proto.Merge(whole, resp.GetPart())
	}
}

// carried notes the checkpoints in all signed messages that a journal keeps.
func (w *wreck) carried(j *journal.Journal) {
	w.t.Helper()
	err := j.Scan(w.t.Context(), time.Time{}, time.Time{}, func(l journal.Located) error {
		if !l.Evidence {
			return nil
		}
		signed, err := j.Evidence(context.Background(), l)
		if err != nil {
			return err
		}
		var note []byte
		ask, answer := &queryv1.Ask{}, &queryv1.Answer{}
		if l.Leaf.Kind == auditv1.EntryKind_ENTRY_KIND_ASK {
			err = proto.Unmarshal(signed.GetPayload(), ask)
			note = ask.GetLogCheckpoint()
		} else {
			err = proto.Unmarshal(signed.GetPayload(), answer)
			note = answer.GetLogCheckpoint()
		}
		if err != nil || len(note) == 0 {
			return err
		}
		c, err := evidence.ParseCheckpoint(note)
		if err != nil {
			return err
		}
		for id := range w.seen {
			if evidence.Origin("test.entente", id, "1") == c.Origin {
				w.seen[id][string(note)] = true
				return nil
			}
		}
		w.t.Errorf("a checkpoint of %s", c.Origin)
		return nil
	})
	if err != nil {
		w.t.Error(err)
	}
}

// wantLeaves holds a journal's leaves against every passage that was seen in it, and against every
// checkpoint that anybody was given.
func (w *wreck) wantLeaves(id identity.Bureau, j *journal.Journal) {
	w.t.Helper()
	sizes := map[uint64][]evidence.Checkpoint{}
	for note := range w.seen[id] {
		c, err := evidence.ParseCheckpoint([]byte(note))
		if err != nil {
			w.t.Fatal(err)
		}
		sizes[c.Size] = append(sizes[c.Size], c)
	}
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	found, compared := map[string][]passage{}, 0
	for n := j.Leaves(); tree.End() < n; {
		leaves, err := j.ReadLeaves(tree.End(), 1024)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, l := range leaves {
			message := l.MessageID.String()
			found[message] = append(found[message], passage{l.Kind, l.Direction})
			raw := l.Bytes()
			if err := tree.Append(rfc6962.DefaultHasher.HashLeaf(raw[:]), nil); err != nil {
				w.t.Fatal(err)
			}
			for _, c := range sizes[tree.End()] {
				root, err := tree.GetRootHash(nil)
				if err != nil || string(root) != string(c.Root[:]) {
					w.t.Errorf("%s: a checkpoint of %d leaves is not of this tree (%v)", id, c.Size, err)
				}
				compared++
			}
		}
	}
	if compared != len(w.seen[id]) {
		w.t.Errorf("%s: %d checkpoints were seen, %d are of a size that the log has been", id, len(w.seen[id]), compared)
	}
	missing := 0
	for message, all := range w.kept[id] {
		if all[0] == checked {
			continue // in a leaf that several share; it is looked up in the bodies
		}
		across := slices.DeleteFunc(slices.Clone(all), func(p passage) bool { return p.way == auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL })
		if !slices.Equal(found[message], across) {
			missing++
			w.t.Errorf("%s: of %s stands %v, and stood %v", id, message, found[message], across)
		}
	}
	w.t.Logf("%s: %d leaves, %d checkpoints of %d sizes lead to them, %d messages stand", id, j.Leaves(), compared, len(sizes), len(w.kept[id])-missing)
}
