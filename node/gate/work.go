package gate

import (
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/node/journal"
)

// Work is what a gate has done, counted so that a test can hold a withheld record against none: if
// the sums differ, so may the time.
type Work struct {
	Searches   uint64 // collections that were searched
	Candidates uint64 // carried through the gate, decoys among them
	Decisions  uint64 // on whether a candidate may be told
	Cuts       uint64 // down to what crosses a border
	Marshalled uint64 // candidates that were serialised
	Passages   uint64 // given to the books
	// EntryBlocks and EvidenceBlocks are how much the books wrote for them, in the steps to which
	// they pad.
	EntryBlocks, EvidenceBlocks uint64
}

type work struct {
	searches, candidates, decisions, cuts, marshalled, passages, entries, evidence atomic.Uint64
}

// Work returns what was done so far.
func (g *Gate) Work() Work {
	w := &g.work
	return Work{
		Searches: w.searches.Load(), Candidates: w.candidates.Load(), Decisions: w.decisions.Load(), Cuts: w.cuts.Load(),
		Marshalled: w.marshalled.Load(), Passages: w.passages.Load(), EntryBlocks: w.entries.Load(), EvidenceBlocks: w.evidence.Load(),
	}
}

// The steps to which the books pad what they write.
const (
	entryBlock    = 256
	evidenceBlock = 1024
)

func (w *work) booked(passages []journal.Passage) {
	for _, p := range passages {
		w.passages.Add(1)
		w.entries.Add(uint64((proto.Size(p.Entry) + entryBlock - 1) / entryBlock))
		w.evidence.Add(uint64((proto.Size(p.Evidence) + evidenceBlock - 1) / evidenceBlock))
	}
}
