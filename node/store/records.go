package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	"google.golang.org/protobuf/proto"
)

// The collections. A record's body decides in which one it belongs.
const (
	Persons   = "persons"
	Documents = "documents"
)

// The collections' numbers, as the migrations write them.
const (
	personsNo   = 1
	documentsNo = 2
)

func collectionNo(name string) (int64, error) {
	switch name {
	case Persons:
		return personsNo, nil
	case Documents:
		return documentsNo, nil
	default:
		return 0, invalid("collection %q: give %q or %q", name, Persons, Documents)
	}
}

func collectionName(no int64) string {
	if no == documentsNo {
		return Documents
	}
	return Persons
}

// Put is a record to be kept.
type Put struct {
	// Collection is Persons or Documents.
	Collection string
	// Source names where the record comes from: an import's source, or what creates single
	// records. Lower-case letters, digits, dots, dashes, underscores; at most 64.
	Source string
	// Record is the record. Its stewardship's version, previous_digest and recorded_at are the
	// store's to set: what they hold is ignored, and the message itself is not changed.
	Record *recordv1.Record
	// New refuses the record with ErrExists if its id is taken.
	New bool
}

// Outcome is what a Put did.
type Outcome int

// The outcomes. The zero value is none.
const (
	// Created says that there was no such record, or that it had been withdrawn.
	Created Outcome = iota + 1
	// Updated says that the record was there with another content.
	Updated
	// Unchanged says that the record was there with the same content.
	Unchanged
)

// String is the outcome's name, in lower case.
func (o Outcome) String() string {
	switch o {
	case Created:
		return "created"
	case Updated:
		return "updated"
	case Unchanged:
		return "unchanged"
	default:
		return fmt.Sprintf("outcome %d", int(o))
	}
}

// PutResult says what a Put did, and which version the record has now.
type PutResult struct {
	Outcome Outcome
	Version uint64
}

// Digest is the SHA-256 of what a record says: everything but what the store sets (version,
// previous_digest, recorded_at) and what is derived (number_key, more_keys). Its owner is part of
// it.
//
// It is taken over protobuf's deterministic encoding, which is the same for one version of the
// library, not for all times. That is enough here, where only digests of one node are compared:
// at the worst a new library gives records a new version at their next import.
func Digest(r *recordv1.Record) ([]byte, error) {
	return digestOf(bare(r))
}

// bare is a copy of the record without what the digest leaves out. It always has a stewardship,
// so that a record without one is the same when it comes back from the store with an empty one.
func bare(r *recordv1.Record) *recordv1.Record {
	r = proto.CloneOf(r)
	if r.Stewardship == nil {
		r.Stewardship = &recordv1.Stewardship{}
	}
	r.Stewardship.Version = 0
	r.Stewardship.PreviousDigest = nil
	r.Stewardship.RecordedAt = nil
	if d := r.GetDocument(); d != nil {
		d.NumberKey = ""
		d.MoreKeys = nil
	}
	return r
}

func digestOf(bare *recordv1.Record) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(bare)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	return sum[:], nil
}

// The same forms as the treaty's: what could not be imported or named over the wire is not kept.
var (
	recordIDPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$`)
	sourcePattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
)

// incoming is a record that was found fit to be written.
type incoming struct {
	collection int64
	source     string
	isNew      bool
	key        RecordKey
	record     *recordv1.Record // a copy, with its keys, without version
	digest     []byte           // SHA-256
	mark       []byte           // what is kept of digest and look-up outside of the body
	endKey     string
	lookup     lookup
	hashes     lookupHashes
}

// personal tells whether a record says anything of a person, so that it has a key of its own. A
// document does if it belongs to somebody, or holds words that somebody wrote.
func personal(r *recordv1.Record) bool {
	d := r.GetDocument()
	return d == nil || d.GetPersonRef() != "" || d.GetStatus() == recordv1.DocumentStatus_DOCUMENT_STATUS_ASSOCIATED ||
		d.GetRemarks() != "" || len(d.GetActionText()) > 0 || len(r.GetStewardship().GetProvenance()) > 0
}

func (s *Store) examine(p Put) (incoming, string, error) {
	in := incoming{source: p.Source, isNew: p.New}
	if p.Record == nil {
		return in, "record", invalid("give a record")
	}
	var err error
	if in.collection, err = collectionNo(p.Collection); err != nil {
		return in, "collection", err
	}
	belongs := Persons
	switch p.Record.Body.(type) {
	case *recordv1.Record_Person:
	case *recordv1.Record_Document:
		belongs = Documents
	default:
		return in, "body", invalid("give a person or a document")
	}
	if belongs != p.Collection {
		return in, "collection", invalid("its body belongs in %q", belongs)
	}
	if !recordIDPattern.MatchString(p.Record.RecordId) {
		return in, "record_id", invalid("give 1 to 128 letters, digits and . _ : / - , beginning with a letter or digit")
	}
	if !sourcePattern.MatchString(p.Source) {
		return in, "source", invalid("give 1 to 64 lower-case letters, digits, dots, dashes or underscores")
	}
	in.record = bare(p.Record)
	if in.digest, err = digestOf(in.record); err != nil {
		return in, "record", invalid("it cannot be marshalled: %v", err)
	}
	if d := p.Record.GetDocument(); d != nil {
		in.record.GetDocument().NumberKey = d.NumberKey
		in.record.GetDocument().MoreKeys = slices.Clone(d.MoreKeys)
		var field string
		in.endKey = s.endKeyOf(d)
		if in.lookup, field, err = lookupOf(d, in.endKey); err != nil {
			return in, field, err
		}
		in.hashes = in.lookup.hashes(s.hash)
	}
	in.key = s.hash.record(in.collection, p.Record.RecordId)
	in.mark = s.hash.mark(in.collection, in.digest, in.lookup)
	return in, "", nil
}

// Put keeps records, all or none of them, durably: when it returns nil they survive a crash. A
// record whose content is there already is left alone. Refused records come back in a
// *BatchError.
//
// Each record that says something of a person is sealed under a key of its own; the other
// documents of one call share one.
//
// Who else writes waits as long as the batch takes: batches of 500 to 2,000 are quick for the
// importer and short for an officer at the counter.
func (s *Store) Put(ctx context.Context, puts []Put) ([]PutResult, error) {
	return s.put(ctx, puts, nil)
}

// Rehearse does what Put would do and keeps none of it: it returns what Put would return for the
// store as it is now. Who must know that a whole file is taken before the first of it is kept asks
// here first.
func (s *Store) Rehearse(ctx context.Context, puts []Put) ([]PutResult, error) {
	return s.put(ctx, puts, errRehearsed)
}

// errRehearsed rolls a rehearsal back.
var errRehearsed = errors.New("rehearsed")

// put writes a batch, and ends its transaction with the error given: nil keeps it.
func (s *Store) put(ctx context.Context, puts []Put, end error) ([]PutResult, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	batch := make([]incoming, len(puts))
	var refused []RowError
	for i, p := range puts {
		in, field, err := s.examine(p)
		if err != nil {
			refused = append(refused, RowError{Index: i, RecordID: p.Record.GetRecordId(), Field: field, Err: err})
		}
		batch[i] = in
	}
	if len(refused) > 0 {
		return nil, &BatchError{Rows: refused}
	}
	var results []PutResult
	err = s.write(ctx, func(steady context.Context, t *transaction) error {
		t.rehearsal = end != nil
		p := putting{transaction: t, now: s.now(), sources: map[string]int64{}, results: make([]PutResult, 0, len(batch))}
		if err := p.all(steady, ctx, batch); err != nil {
			return err
		}
		results = p.results
		return end
	})
	if err != nil && (end == nil || !errors.Is(err, end)) {
		return nil, writeError("put", err)
	}
	return results, nil
}

// writeError says what failed. A *BatchError speaks for itself.
func writeError(verb string, err error) error {
	var b *BatchError
	if errors.As(err, &b) {
		return b
	}
	return fmt.Errorf("store: %s: %w", verb, err)
}
