package evidence

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/roster"
	"github.com/entente-mesh/entente/pki/signing"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
)

// edge is how near to an end of the common time a passage is not judged: the other bureau's clock
// may be tolerance apart, and an ask is on its way for up to its life of two minutes.
const edge = 2*time.Minute + tolerance

// The findings of a join.
const (
	// Omission: one side's books have a passage that the other's must have, and have not. Which of
	// them is false, books alone do not say: a leaf is the word of whose log it is, and a liar can
	// book a message that never was. The message itself proves it, with the other's signature,
	// in a bundle.
	Omission = "omission"
	// Undelivered: the asker books that no answer came, and the other side's books agree. No
	// fault of the books.
	Undelivered = "undelivered"
	// DifferentBytes: both have the passage, and no two of their leaves of it commit to the same
	// bytes.
	DifferentBytes = "different bytes"
)

// Finding is one thing in which two books do not agree.
type Finding struct {
	Finding   string    `json:"finding"`
	MessageID uuid.UUID `json:"message_id"`
	// Lacks is the side whose books lack Passage. Of different bytes: the other side.
	Lacks   identity.Bureau `json:"lacks"`
	Passage string          `json:"passage"`
	// Has is the side whose books show it, by the passage Shows at an index of its log, at that
	// time by its clock.
	Has   identity.Bureau `json:"has"`
	Shows string          `json:"shows"`
	Index uint64          `json:"index"`
	At    time.Time       `json:"at"`
}

// String says it for people.
func (f Finding) String() string {
	switch f.Finding {
	case Undelivered:
		return fmt.Sprintf("message %s: %s at index %d of %s, %s, did not come through to %s, and %s books so", f.MessageID, f.Shows, f.Index, f.Has, stamp(f.At), f.Lacks, f.Has)
	case DifferentBytes:
		return fmt.Sprintf("message %s: %s at index %d of %s, %s, is of other bytes than %s of %s", f.MessageID, f.Shows, f.Index, f.Has, stamp(f.At), f.Passage, f.Lacks)
	default:
		return fmt.Sprintf("message %s: %s lacks %s, which %s shows by %s at index %d, %s", f.MessageID, f.Lacks, f.Passage, f.Has, f.Shows, f.Index, stamp(f.At))
	}
}

// JoinReport is what Join found.
type JoinReport struct {
	Report
	// Findings, in the order of time.
	Findings []Finding `json:"findings"`
	// Matched is how many passages stand in both books.
	Matched int `json:"matched"`
	// NotJudged is how many lie so near to the ends of the common time that the other side's may
	// lie outside.
	NotJudged int `json:"not_judged"`
	// Erased is how many passages that stand in both books could not be compared, because one
	// side has erased what opens its leaf.
	Erased int `json:"erased"`
}

// OK says whether both exports hold and the books agree.
func (r *JoinReport) OK() bool {
	return r.Report.OK() && !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Finding != Undelivered })
}

// Join compares two bureaus' exports about each other. Each entry counts once it is proven against
// its own checkpoint. Then, by message id: an ask that one side sent must be in the other's books
// as received, an answer that one side gave in the other's as received, and the other way round;
// unless the asker books that no answer came. What only one has is named as an omission of the
// other, and where both have opened their leaves these must be about the same bytes. The asker
// chooses the id, and may have sent several messages under one: then each must have its like.
//
// An omission is one side's word against the other's, which the report says: a bundle proves it.
//
// It takes both for strangers'.
func Join(a, b *auditv1.Export, t Trust) JoinReport {
	r := JoinReport{}
	if a.GetBureau() != b.GetPeer() || a.GetPeer() != b.GetBureau() || a.GetFederation() != b.GetFederation() || a.GetBureau() == a.GetPeer() {
		r.add(Fails, "exports", "%s about %s in %.80q, and %s about %s in %.80q: give two bureaus' exports about each other",
			a.GetBureau(), a.GetPeer(), a.GetFederation(), b.GetBureau(), b.GetPeer(), b.GetFederation())
		return r
	}
	from, to := window(a, b)
	if !to.After(from) {
		r.add(Fails, "common time", "the exports have no time in common: export both since and until the same")
		return r
	}
	begin := "the beginning"
	if !from.IsZero() {
		begin = stamp(from)
	}
	r.add(Holds, "common time", "%s to %s; the first and the last %s are not judged", begin, stamp(to), edge)
	left, right := r.book(a, t), r.book(b, t)
	if left == nil || right == nil {
		return r
	}
	j := joiner{report: &r, from: from.Add(edge), to: to.Add(-edge)}
	j.exchange(left, right)
	j.exchange(right, left)
	r.Findings = single(r.Findings)
	if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Finding == Omission }) {
		r.add(Open, "omissions", "a leaf is the word of whose log it is, who can book a message that never was: an omission is proven by a bundle alone that holds the message with the signature of who lacks it")
	}
	slices.SortStableFunc(r.Findings, func(x, y Finding) int {
		return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Has, y.Has), cmp.Compare(x.Index, y.Index))
	})
	return r
}

// single keeps one finding of each passage that a side lacks: the other side's word for it, where
// there is one, before that of its own books.
func single(findings []Finding) []Finding {
	type lack struct {
		id      uuid.UUID
		lacks   identity.Bureau
		passage string
	}
	others := map[lack]bool{}
	for _, f := range findings {
		if f.Has != f.Lacks {
			others[lack{f.MessageID, f.Lacks, f.Passage}] = true
		}
	}
	return slices.DeleteFunc(findings, func(f Finding) bool {
		return f.Has == f.Lacks && others[lack{f.MessageID, f.Lacks, f.Passage}]
	})
}

// window is the time that both exports cover.
func window(a, b *auditv1.Export) (from, to time.Time) {
	since := func(e *auditv1.Export) time.Time {
		if e.GetSince() == nil {
			return time.Time{}
		}
		return e.GetSince().AsTime()
	}
	from, to = since(a), a.GetUntil().AsTime()
	if s := since(b); s.After(from) {
		from = s
	}
	if u := b.GetUntil().AsTime(); u.Before(to) {
		to = u
	}
	return from, to
}

// entry is a proven passage in a book.
type entry struct {
	leaf    Leaf
	index   uint64
	opening *auditv1.Opening // nil if erased
}

// book is an export whose entries are proven, by place and message.
type book struct {
	bureau  identity.Bureau
	entries map[kindAndWay]map[uuid.UUID][]entry
}

type kindAndWay struct {
	kind      auditv1.EntryKind
	direction auditv1.EntryDirection
}

func (k kindAndWay) String() string { return passage(k.kind, k.direction) }

var (
	askOut    = kindAndWay{auditv1.EntryKind_ENTRY_KIND_ASK, auditv1.EntryDirection_ENTRY_DIRECTION_OUT}
	askIn     = kindAndWay{auditv1.EntryKind_ENTRY_KIND_ASK, auditv1.EntryDirection_ENTRY_DIRECTION_IN}
	answerOut = kindAndWay{auditv1.EntryKind_ENTRY_KIND_ANSWER, auditv1.EntryDirection_ENTRY_DIRECTION_OUT}
	answerIn  = kindAndWay{auditv1.EntryKind_ENTRY_KIND_ANSWER, auditv1.EntryDirection_ENTRY_DIRECTION_IN}
	noAnswer  = kindAndWay{auditv1.EntryKind_ENTRY_KIND_NO_ANSWER, auditv1.EntryDirection_ENTRY_DIRECTION_IN}
)

// maxFailures bounds how many entries that do not hold are named one by one.
const maxFailures = 100

// book verifies an export. It returns nil if nothing in it can be believed.
func (r *JoinReport) book(e *auditv1.Export, t Trust) *book {
	bureau := identity.Bureau(e.GetBureau())
	sub := Report{}
	chain := sub.chain(e.GetRosters(), e.GetFederation(), t)
	for _, s := range sub.Steps {
		s.Name += " of " + e.GetBureau()
		r.Steps = append(r.Steps, s)
	}
	if chain == nil {
		return nil
	}
	r.Fingerprint = sub.Fingerprint
	if len(e.GetEntries()) == 0 {
		r.add(Holds, "books of "+e.GetBureau(), "no passage in that time")
		return &book{bureau: bureau}
	}
	name := "checkpoint of " + e.GetBureau()
	c, err := VerifyCheckpoint(e.GetCheckpoint(), chain.Newest().Federation(), bureau, logKeys(chain, bureau, e.GetEntries()))
	if !r.check(name, err, "%s, %d leaves, signed", c.Origin, c.Size) {
		return nil
	}
	b := &book{bureau: bureau, entries: map[kindAndWay]map[uuid.UUID][]entry{}}
	bad, next := 0, uint64(0)
	for i, x := range e.GetEntries() {
		leaf, err := b.take(c, e, x, next)
		if err != nil {
			if bad++; bad <= maxFailures {
				r.add(Fails, "books of "+e.GetBureau(), "entry %d, index %d: %v", i, x.GetIndex(), err)
			}
			continue
		}
		next = x.GetIndex() + 1
		at := kindAndWay{leaf.Kind, leaf.Direction}
		if b.entries[at] == nil {
			b.entries[at] = map[uuid.UUID][]entry{}
		}
		b.entries[at][leaf.MessageID] = append(b.entries[at][leaf.MessageID], entry{leaf, x.GetIndex(), x.GetOpening()})
	}
	if bad > 0 {
		r.add(Fails, "books of "+e.GetBureau(), "%d of %d entries do not hold, and count for nothing", bad, len(e.GetEntries()))
	} else {
		r.add(Holds, "books of "+e.GetBureau(), "%d entries, each in the log", len(e.GetEntries()))
	}
	return b
}

// logKeys are the keys that can have signed a checkpoint over these entries: those good when the
// last was written, or later.
func logKeys(chain *roster.Chain, b identity.Bureau, entries []*auditv1.ExportEntry) []signing.PublicKey {
	var last time.Time
	for _, x := range entries {
		if leaf, err := ParseLeaf(x.GetLeaf()); err == nil && leaf.At.After(last) {
			last = leaf.At
		}
	}
	return chain.KeysSince(b, rosterv1.KeyUsage_KEY_USAGE_LOG, last)
}

// take checks one entry of an export.
func (b *book) take(c Checkpoint, e *auditv1.Export, x *auditv1.ExportEntry, next uint64) (Leaf, error) {
	leaf, err := ParseLeaf(x.GetLeaf())
	if err != nil {
		return Leaf{}, err
	}
	switch (kindAndWay{leaf.Kind, leaf.Direction}) {
	case askOut, askIn, answerOut, answerIn, noAnswer:
	default:
		return Leaf{}, fmt.Errorf("%s is no passage between two bureaus", passage(leaf.Kind, leaf.Direction))
	}
	if string(leaf.Peer) != e.GetPeer() {
		return Leaf{}, fmt.Errorf("it is about %s, the export about %s", leaf.Peer, e.GetPeer())
	}
	if e.GetSince() != nil && leaf.At.Before(e.GetSince().AsTime()) || !leaf.At.Before(e.GetUntil().AsTime()) {
		return Leaf{}, errors.New("it is dated outside the export's time")
	}
	if x.GetIndex() < next {
		return Leaf{}, errors.New("it stands twice, or out of the log's order")
	}
	if x.GetOpening() != nil {
		if err := opens(leaf, x.GetOpening(), nil); err != nil {
			return Leaf{}, err
		}
	}
	return leaf, VerifyInclusion(c, x.GetIndex(), x.GetLeaf(), x.GetInclusion())
}

// joiner compares what one side asked of the other.
type joiner struct {
	report   *JoinReport
	from, to time.Time // what is judged
}

// exchange compares the books about what asker asked and answerer answered.
func (j *joiner) exchange(asker, answerer *book) {
	// What the asker has.
	for id, es := range asker.entries[askOut] {
		if asker.has(noAnswer, id) && !answerer.has(askIn, id) {
			j.find(Undelivered, es[0], asker, answerer, askOut, askIn)
			continue
		}
		j.expect(es, asker, answerer, askOut, askIn)
		if !asker.has(answerIn, id) && !asker.has(noAnswer, id) {
			// Exactly one of them ends every ask, whatever became of it.
			j.find(Omission, es[0], asker, asker, askOut, answerIn)
		}
	}
	for id, es := range asker.entries[answerIn] {
		j.expect(es, asker, answerer, answerIn, answerOut)
		if !asker.has(askOut, id) {
			j.find(Omission, es[0], asker, asker, answerIn, askOut)
		}
	}
	// What the answerer has.
	for _, es := range answerer.entries[askIn] {
		j.expect(es, answerer, asker, askIn, askOut)
	}
	for id, es := range answerer.entries[answerOut] {
		if asker.has(noAnswer, id) && !asker.has(answerIn, id) {
			j.find(Undelivered, es[0], answerer, asker, answerOut, answerIn)
			continue
		}
		j.expect(es, answerer, asker, answerOut, answerIn)
	}
}

func (b *book) has(at kindAndWay, id uuid.UUID) bool { return len(b.entries[at][id]) > 0 }

// expect looks for the other side's entries of a message's passage, and compares the bytes. A retry
// is booked again and is no other passage; other bytes under the same id are. Passages that both
// have are counted once, where they were sent.
func (j *joiner) expect(es []entry, mine, theirs *book, at, other kindAndWay) {
	found := theirs.entries[other][es[0].leaf.MessageID]
	if len(found) == 0 {
		j.find(Omission, es[0], mine, theirs, at, other)
		return
	}
	sent := at.direction == auditv1.EntryDirection_ENTRY_DIRECTION_OUT
	if sent {
		j.report.Matched++
	}
	own, ownErased := digests(es)
	known, erased := digests(found)
	agree := false
	for d := range own {
		agree = agree || known[d]
	}
	switch {
	case !agree && (ownErased || erased):
		if sent {
			j.report.Erased++
		}
		return
	case !agree:
		if sent {
			j.different(es[0], mine, theirs, at, other)
		}
		return
	case erased:
		return // what has no like may be like one that was erased
	}
	for _, e := range es {
		d := string(e.opening.GetEvidenceDigest())
		if e.opening == nil || known[d] {
			continue
		}
		known[d] = true // its retries are no other passages
		j.find(Omission, e, mine, theirs, at, other)
	}
}

// digests are the bytes that entries are about, and whether there is one of which that was erased.
func digests(es []entry) (known map[string]bool, erased bool) {
	known = make(map[string]bool, len(es))
	for _, e := range es {
		if e.opening == nil {
			erased = true
			continue
		}
		known[string(e.opening.GetEvidenceDigest())] = true
	}
	return known, erased
}

// find names a finding, unless it lies where the other side may be outside the window.
func (j *joiner) find(what string, e entry, has, lacks *book, shows, lacking kindAndWay) {
	if e.leaf.At.Before(j.from) || !e.leaf.At.Before(j.to) {
		j.report.NotJudged++
		return
	}
	j.report.Findings = append(j.report.Findings, Finding{
		Finding: what, MessageID: e.leaf.MessageID, Lacks: lacks.bureau, Passage: lacking.String(),
		Has: has.bureau, Shows: shows.String(), Index: e.index, At: e.leaf.At,
	})
}

// different names two commitments to other bytes. Both sides have the passage: no window matters.
func (j *joiner) different(e entry, has, other *book, shows, at kindAndWay) {
	j.report.Findings = append(j.report.Findings, Finding{
		Finding: DifferentBytes, MessageID: e.leaf.MessageID, Lacks: other.bureau, Passage: at.String(),
		Has: has.bureau, Shows: shows.String(), Index: e.index, At: e.leaf.At,
	})
}
