package records

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/node/store"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// pass is one reading of a file, and what was met in it so far. The same file gives the same
// refusals in every pass.
type pass struct {
	im     *Importer
	header *recordv1.ImportHeader
	ids    idSet
	// audiences are those of the file's persons that do not have the import's: their documents
	// are told to nobody else.
	audiences map[idKey]*recordv1.Audience
	// unnamed counts the bad rows of which the file does not tell whose they are.
	unnamed int
}

func (im *Importer) newPass(h *recordv1.ImportHeader) *pass {
	return &pass{im: im, header: h, ids: newIDSet(im.Store), audiences: map[idKey]*recordv1.Audience{}}
}

// refusal is a record of a row that is not kept.
type refusal struct {
	*Unfit
	id string
}

// fit fits the records of one row. The first record is the row's subject: if it is not kept,
// what hangs on it (the documents of a person) is not kept either.
func (p *pass) fit(ctx context.Context, r row) (kept []store.Put, refused []refusal, err error) {
	if len(r.records) == 0 {
		if r.badID == "" {
			p.unnamed++
			return nil, nil, nil
		}
		// The file holds it, though it cannot be read: it is not gone.
		p.ids.name(Persons, r.badID)
		p.ids.name(Documents, r.badID)
		return nil, nil, nil
	}
	for i, rec := range r.records {
		collection, id := collectionOf(rec), rec.GetRecordId()
		p.ids.name(collection, id)
		fit, err := p.one(ctx, rec)
		var unfit *Unfit
		switch {
		case errors.As(err, &unfit):
		case err != nil:
			return nil, nil, err
		case p.ids.keep(collection, id):
			kept = append(kept, store.Put{Collection: collection, Source: p.header.GetSource(), Record: fit})
			continue
		default:
			unfit = &Unfit{Field: "record_id", Reason: "the id stands twice in the file: the first one is kept; give each record its own id"}
		}
		refused = append(refused, refusal{Unfit: unfit, id: id})
		if i == 0 {
			for _, hanging := range r.records[1:] {
				p.ids.name(collectionOf(hanging), hanging.GetRecordId())
			}
			return nil, refused, nil
		}
	}
	return kept, refused, nil
}

// one fits one record. Errors that are not of type *Unfit are the store's.
func (p *pass) one(ctx context.Context, rec *recordv1.Record) (*recordv1.Record, error) {
	audience := p.header.GetAudience()
	if d := rec.GetDocument(); d != nil {
		if p.header.GetCollection() == Persons {
			// A person's documents come with the person. Others would be withdrawn by the next
			// list of documents, or never.
			if d.GetStatus() != recordv1.DocumentStatus_DOCUMENT_STATUS_ASSOCIATED {
				return nil, &Unfit{Field: "document.status", Reason: "among persons only their own documents (ASSOCIATED) are taken: import this one with --collection documents"}
			}
			if !p.ids.kept(Persons, d.GetPersonRef()) {
				return nil, &Unfit{Field: "document.person_ref", Reason: "no person with this id was taken before it: write the person first, or import the document with --collection documents"}
			}
		}
		var err error
		if audience, err = p.audienceOf(ctx, d.GetPersonRef()); err != nil {
			return nil, err
		}
	}
	fit, err := p.im.Fitter.Fit(rec, p.header.GetCollection(), audience)
	if err == nil && fit.GetPerson() != nil && !proto.Equal(fit.GetStewardship().GetAudience(), p.header.GetAudience()) {
		p.audiences[p.ids.key(Persons, rec.GetRecordId())] = fit.GetStewardship().GetAudience()
	}
	return fit, err
}

// audienceOf is who may be told of a document that does not say so itself: those who may be told
// of its person, since it gives the person away.
func (p *pass) audienceOf(ctx context.Context, person string) (*recordv1.Audience, error) {
	if person == "" {
		return p.header.GetAudience(), nil
	}
	if a, ok := p.audiences[p.ids.key(Persons, person)]; ok {
		return a, nil
	}
	if p.ids.kept(Persons, person) {
		return p.header.GetAudience(), nil
	}
	held, err := p.im.Store.Get(ctx, Persons, person)
	if errors.Is(err, store.ErrNotFound) {
		return p.header.GetAudience(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	return held.GetStewardship().GetAudience(), nil
}

// idKey is an id as the store's keyed hash of it.
type idKey struct {
	collection string
	key        store.RecordKey
}

// idSet remembers the ids of a file as keyed hashes: ten million of them in memory, without the
// texts, and comparable with what the store holds without opening it. Of each it knows whether its
// record is kept.
type idSet struct {
	store Store
	ids   map[idKey]bool
}

func newIDSet(s Store) idSet { return idSet{store: s, ids: map[idKey]bool{}} }

func (s idSet) key(collection, id string) idKey {
	return idKey{collection, s.store.KeyOf(collection, id)}
}

// name notes an id that the file names, without saying that its record is kept.
func (s idSet) name(collection, id string) {
	k := s.key(collection, id)
	if _, known := s.ids[k]; !known {
		s.ids[k] = false
	}
}

// keep notes a record that is kept. It returns false if one of its id is kept already.
func (s idSet) keep(collection, id string) bool {
	k := s.key(collection, id)
	if s.ids[k] {
		return false
	}
	s.ids[k] = true
	return true
}

func (s idSet) named(collection, id string) bool {
	_, ok := s.ids[s.key(collection, id)]
	return ok
}

func (s idSet) kept(collection, id string) bool { return s.ids[s.key(collection, id)] }

// meter tells how far an import is: both of its passes together read the file twice.
type meter struct {
	r           io.Reader
	bytes, rows uint64
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.bytes += uint64(n)
	return n, err
}

func (m *meter) progress() *recordv1.ImportProgress {
	return &recordv1.ImportProgress{Bytes: m.bytes / 2, Rows: m.rows / 2}
}
