package journal

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Passage is what passed the gate, with what belongs to it.
type Passage struct {
	// Entry is the passage as a person reads it. The message id is a UUID; kind, direction and time
	// are given; the bureau is the other one, of a local passage the own. The journal adds the salt,
	// where there is none, and the padding, which must be empty.
	Entry *auditv1.Entry
	// Evidence is what was signed, of a passage across a border. Optional.
	Evidence *signedv1.Signed
	// Officer is the pseudonym to look the passage up by. Optional.
	Officer string
	// Quotes are the records that the evidence quotes. Optional.
	Quotes []Quote
}

// Quote names a record that a passage's evidence quotes.
type Quote struct {
	Owner    string // the bureau whose record it is
	RecordID string
}

// Memory is an ask to remember: its answer is the evidence of the ANSWER passage of the same call.
type Memory struct {
	// Asker is the bureau that asked, AskID the id it gave the ask: the answer's message id.
	Asker, AskID string
	// Digest is the SHA-256 of the ask that was signed.
	Digest []byte
	// ForgetAfter is until when the ask can come again.
	ForgetAfter time.Time
}

// Located is a passage in the journal.
type Located struct {
	// Leaf is the leaf that it stands in, alone or with other local passages.
	Leaf evidence.Leaf
	// Index is the leaf's, Place the passage's place in it.
	Index uint64
	Place int
	// Commitment is the passage's own. Of a passage with a leaf of its own it is the leaf's.
	Commitment [evidence.DigestSize]byte
	// Entry is the entry, without padding. Nil if it was erased.
	Entry *auditv1.Entry
	// Opening opens the commitment. Nil if the entry was erased.
	Opening *auditv1.Opening
	// Erased says that the entry was erased.
	Erased bool
	// Evidence says that there is evidence, EvidenceErased that there was.
	Evidence, EvidenceErased bool

	segment uint64
	offset  int64 // of the frame, in the segment as it was
}

const (
	maxOfficer = 256
	maxQuotes  = 4096
	// maxQuoted is in bytes: a record's id has up to 128 characters, of up to four bytes. Of either
	// name only a mark is kept.
	maxQuoted = 1024
	// maxRemembered bounds each part of what is remembered of an ask: its length is one byte.
	maxRemembered = 255
)

// The journal keeps time in nanoseconds since 1970 in 64 bits.
var (
	earliest = time.Unix(0, 0)
	latest   = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)
)

// local says whether passages of a kind share a leaf.
func local(k auditv1.EntryKind) bool {
	switch k {
	case auditv1.EntryKind_ENTRY_KIND_ASK, auditv1.EntryKind_ENTRY_KIND_ANSWER, auditv1.EntryKind_ENTRY_KIND_NO_ANSWER:
		return false
	}
	return true
}

// admit checks what a caller gave.
func (j *Journal) admit(p Passage) (id uuid.UUID, bureau identity.Bureau, err error) {
	fail := func(field, format string, args ...any) (uuid.UUID, identity.Bureau, error) {
		return id, bureau, fmt.Errorf("%w: %s: %s", ErrInvalid, field, fmt.Sprintf(format, args...))
	}
	e := p.Entry
	if e == nil {
		return fail("entry", "give one")
	}
	if id, err = uuid.Parse(e.GetMessageId()); err != nil || e.GetMessageId() != id.String() {
		return fail("entry.message_id", "give a UUID in its canonical form, as 36 characters")
	}
	if bureau, err = identity.ParseBureau(e.GetBureau()); err != nil {
		return fail("entry.bureau", "give the other bureau's id, or of a local passage the own: three capital letters")
	}
	if _, known := auditv1.EntryKind_name[int32(e.GetKind())]; !known || e.GetKind() == 0 {
		return fail("entry.kind", "%d is none", e.GetKind())
	}
	if local(e.GetKind()) {
		switch {
		case e.GetDirection() != auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL:
			return fail("entry.direction", "of a %v it is LOCAL", e.GetKind())
		case bureau != j.config.Bureau:
			return fail("entry.bureau", "of a %v it is the own bureau, %s", e.GetKind(), j.config.Bureau)
		case p.Evidence != nil:
			return fail("evidence", "of a %v nothing is signed: leave it out", e.GetKind())
		}
	} else if d := e.GetDirection(); d != auditv1.EntryDirection_ENTRY_DIRECTION_IN && d != auditv1.EntryDirection_ENTRY_DIRECTION_OUT {
		return fail("entry.direction", "of a %v it is IN or OUT", e.GetKind())
	}
	switch at := e.GetAt(); {
	case at == nil || !keepable(at):
		return fail("entry.at", "give the time of the passage, between 1970 and 2262")
	case len(e.GetSalt()) != 0 && len(e.GetSalt()) != evidence.SaltSize:
		return fail("entry.salt", "%d bytes: give %d, or none", len(e.GetSalt()), evidence.SaltSize)
	case len(e.GetPadding()) != 0:
		return fail("entry.padding", "leave it empty: the journal fills it")
	case p.Evidence != nil && len(p.Evidence.GetPayload()) == 0:
		return fail("evidence.payload", "give the bytes that were signed, or no evidence")
	case len(p.Officer) > maxOfficer:
		return fail("officer", "%d bytes: give at most %d", len(p.Officer), maxOfficer)
	case len(p.Quotes) > maxQuotes:
		return fail("quotes", "%d: give at most %d", len(p.Quotes), maxQuotes)
	}
	for i, q := range p.Quotes {
		if q.Owner == "" || q.RecordID == "" || len(q.Owner) > maxQuoted || len(q.RecordID) > maxQuoted {
			return fail(fmt.Sprintf("quotes[%d]", i), "give owner and record id, of at most %d bytes each", maxQuoted)
		}
	}
	return id, bureau, nil
}

func keepable(at *timestamppb.Timestamp) bool { return at.IsValid() && keeps(at.AsTime()) }

func keeps(at time.Time) bool { return !at.Before(earliest) && at.Before(latest) }

// remembers finds the passage with which an ask is remembered.
func remembers(m Memory, passages []Passage) (at int, err error) {
	for _, f := range []struct {
		name, value string
	}{{"asker", m.Asker}, {"ask id", m.AskID}, {"digest", string(m.Digest)}} {
		if f.value == "" || len(f.value) > maxRemembered {
			return 0, fmt.Errorf("%w: memory: %s: give 1 to %d bytes", ErrInvalid, f.name, maxRemembered)
		}
	}
	if !keeps(m.ForgetAfter) {
		return 0, fmt.Errorf("%w: memory: forget after: give a time between 1970 and 2262", ErrInvalid)
	}
	for i, p := range passages {
		e := p.Entry
		if e.GetKind() == auditv1.EntryKind_ENTRY_KIND_ANSWER && e.GetDirection() == auditv1.EntryDirection_ENTRY_DIRECTION_OUT &&
			e.GetBureau() == m.Asker && e.GetMessageId() == m.AskID && p.Evidence != nil {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%w: memory: give with it the passage of the answer: kind ANSWER, direction OUT, bureau and message id of the ask, and the signed answer as evidence", ErrInvalid)
}

// The errors that callers tell apart.
var (
	// ErrBroken says that a write or a sync failed: nobody knows what is on the disk, so nothing goes
	// on until the journal is opened again.
	ErrBroken = errors.New("the journal is broken: its disk failed; restart the node when the disk is sound")
	// ErrClosed says that the journal is closed.
	ErrClosed = errors.New("the journal is closed")
	// ErrInvalid says that what was given cannot be recorded. The text says which field, and what to
	// give.
	ErrInvalid = errors.New("cannot be recorded")
	// ErrAskReused says that another ask stands under the id.
	ErrAskReused = errors.New("the ask's id was used before for another ask")
	// ErrAskAnswered says that this very ask was answered before: RecallAsk returns the answer.
	ErrAskAnswered = errors.New("the ask was answered before")
	// ErrErased says that what is looked for was erased.
	ErrErased = errors.New("erased")
)

// Damage says where the journal is not what was written. It is an error.
type Damage struct {
	File   string // in the journal's folder
	Offset int64  // the byte where it begins
	Index  uint64 // the leaf that it concerns
	What   string // one of the constants below
	Detail string // for a person
}

// Error implements error.
func (d *Damage) Error() string {
	text := fmt.Sprintf("journal: %s: %s at byte %d, leaf %d", d.File, d.What, d.Offset, d.Index)
	if d.Detail != "" {
		text += ": " + d.Detail
	}
	return text
}

// What can be wrong.
const (
	Damaged      = "damaged"
	Missing      = "missing"
	Reordered    = "reordered"
	BodyDamaged  = "body damaged"
	BodyMissing  = "body missing" // and not booked as erased
	NotErased    = "not erased"   // and booked as erased
	IndexDamaged = "index damaged"
)
