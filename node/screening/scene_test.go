package screening_test

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/entente-mesh/entente/federation/ask"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/limits"
	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/node/records"
	"github.com/entente-mesh/entente/node/screening"
	"github.com/entente-mesh/entente/node/store"
	"github.com/entente-mesh/entente/node/vault"
	"github.com/entente-mesh/entente/pki/identity"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The scenes play at a post of Bulgaria; Spain, Belgium and Lebanon are the others.
const (
	bgr    identity.Bureau     = "BGR"
	esp    identity.Bureau     = "ESP"
	bel    identity.Bureau     = "BEL"
	lbn    identity.Bureau     = "LBN"
	fed    identity.Federation = "demo.entente"
	border                     = recordv1.Purpose_PURPOSE_BORDER_CONTROL
	police                     = recordv1.Purpose_PURPOSE_POLICE_CHECK
	visa                       = recordv1.Purpose_PURPOSE_VISA
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// mesh is what the post's node knows of the others.
type mesh struct {
	bureaus []identity.Bureau
	offers  map[identity.Bureau]*queryv1.Offer
}

func (m *mesh) Bureaus() []identity.Bureau { return m.bureaus }
func (m *mesh) RosterVersion() uint64      { return 7 }
func (m *mesh) Offer(b identity.Bureau) (*queryv1.Offer, bool) {
	o, ok := m.offers[b]
	return o, ok
}

// asker answers as it is told, NO_HIT else, and remembers what it was asked.
type asker struct {
	mu        sync.Mutex
	results   map[identity.Bureau]ask.Result
	questions []ask.Question
	deadline  time.Duration // of the last question
	answer    func(q ask.Question) []ask.Result
}

func (a *asker) Ask(ctx context.Context, q ask.Question) []ask.Result {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.questions = append(a.questions, q)
	if d, ok := ctx.Deadline(); ok {
		a.deadline = time.Until(d)
	}
	if a.answer != nil {
		return a.answer(q)
	}
	var all []ask.Result
	for _, t := range q.Targets {
		r, ok := a.results[t.Bureau]
		if !ok {
			r = ask.Result{Status: queryv1.Status_STATUS_NO_HIT}
		}
		r.Bureau, r.Rules, r.Optional = t.Bureau, t.Rules, t.Optional
		all = append(all, r)
	}
	return all
}

// asked is who was asked about what, "ESP persons", of all questions.
func (a *asker) asked() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []string
	for _, q := range a.questions {
		for _, t := range q.Targets {
			if t.Documents {
				all = append(all, string(t.Bureau)+" documents")
			}
			if t.Persons {
				all = append(all, string(t.Bureau)+" persons")
			}
		}
	}
	return all
}

type books struct {
	mu       sync.Mutex
	passages []journal.Passage
	err      error
}

func (b *books) Record(_ context.Context, passages ...journal.Passage) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.passages = append(b.passages, passages...)
	}
	return b.err
}

func (b *books) RecordAnswered(ctx context.Context, _ journal.Memory, passages ...journal.Passage) error {
	return b.Record(ctx, passages...)
}

// officers give everybody a pseudonym that names whom it hides, for the tests.
type officers struct{}

func (officers) Pseudonym(client identity.Identity, officer string, bureau identity.Bureau) string {
	return client.Name + "." + officer + "@" + string(bureau)
}

// post is Bulgaria's node as far as screening goes: real policies and a real store, and others
// that do what the scene says.
type post struct {
	*screening.Screening
	holdings *screening.Holdings
	store    *store.Store
	fitter   *records.Fitter
	mesh     *mesh
	asker    *asker
	books    *books
	gate     *gate.Gate
	policy   func() *policy.Set
	now      time.Time
}

func bulgaria(t *testing.T, permits ...map[string]string) *post {
	t.Helper()
	files, err := policy.Defaults(bgr, fed)
	if err != nil {
		t.Fatal(err)
	}
	folder := fstest.MapFS{}
	for name, text := range files {
		folder[name] = &fstest.MapFile{Data: text}
	}
	for _, permit := range permits {
		for name, text := range permit {
			folder[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	set, err := policy.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	p := &post{mesh: &mesh{bureaus: []identity.Bureau{bel, esp, lbn}, offers: map[identity.Bureau]*queryv1.Offer{}}, asker: &asker{}, books: &books{}, now: noon}
	clock := func() time.Time { return p.now }
	p.store = openStore(t)
	if p.fitter, err = records.NewFitter(bgr); err != nil {
		t.Fatal(err)
	}
	p.holdings = screening.NewHoldings(bgr, p.store, clock, nil)
	p.gate = gate.New(gate.Config{Self: bgr, Federation: fed, Policy: func() *policy.Set { return set }, Books: p.books, Now: clock, Budget: limits.Budget{Time: time.Minute}})
	p.policy = func() *policy.Set { return set }
	p.Screening = p.with(p.gate)
	return p
}

// with is Bulgaria's screening at a gate.
func (p *post) with(g *gate.Gate) *screening.Screening {
	return screening.New(screening.Config{
		Self: bgr, Holdings: p.holdings, Asker: p.asker, Mesh: p.mesh, Patience: time.Second, Now: func() time.Time { return p.now },
		Gate: g, Officers: officers{},
	})
}

// openStore opens a store with keys of its own.
func openStore(t *testing.T) *store.Store {
	t.Helper()
	dir, master := t.TempDir(), bytes.Repeat([]byte{7}, 32)
	keys, err := vault.Open(vault.Config{Path: filepath.Join(dir, "records.keys"), Master: master, Label: "records"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	s, err := store.Open(t.Context(), store.Config{
		Path: filepath.Join(dir, "store.db"), Vault: keys, LookupKey: master, StateKey: bytes.Repeat([]byte{8}, 32), DocumentKey: match.DocumentKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// may is a permit of Bulgaria.
func may(t *testing.T, o policy.PermitOptions) map[string]string {
	t.Helper()
	o.Self = bgr
	if len(o.Purposes) == 0 && o.Bureau != policy.Everybody {
		o.Purposes = []recordv1.Purpose{border}
	}
	name, text, err := policy.Permit(o)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{name: string(text)}
}

// keep puts records into the own store.
func (p *post) keep(t *testing.T, recs ...*recordv1.Record) {
	t.Helper()
	var puts []store.Put
	for _, r := range recs {
		collection := records.Persons
		if r.GetDocument() != nil {
			collection = records.Documents
		}
		fit, err := p.fitter.Fit(r, collection, nil)
		if err != nil {
			t.Fatal(err)
		}
		puts = append(puts, store.Put{Collection: collection, Source: "test", Record: fit})
	}
	if _, err := p.store.Put(t.Context(), puts); err != nil {
		t.Fatal(err)
	}
	if err := p.holdings.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (p *post) check(t *testing.T, req *screeningv1.CheckRequest) *screeningv1.CheckResponse {
	t.Helper()
	if req.GetJustification() == nil {
		req.Justification = &queryv1.Justification{Purpose: border}
	}
	resp, err := p.Check(t.Context(), officer(), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func officer() identity.Identity {
	return identity.Client(fed, bgr, "border-police", identity.RoleOfficer, "officer-7", []recordv1.Purpose{border, police, visa})
}

func person(id, name, birth string) *recordv1.Record {
	p := &recordv1.Person{
		Names: []*recordv1.Name{{Parts: []*recordv1.NamePart{{Kind: recordv1.NamePartKind_NAME_PART_KIND_FULL, Text: name}}}},
		Role:  recordv1.PersonRole_PERSON_ROLE_WANTED, Action: recordv1.Action_ACTION_ARREST,
	}
	if birth != "" {
		p.Births = []*recordv1.Birth{{Precision: recordv1.DatePrecision_DATE_PRECISION_DAY, From: birth, To: birth}}
	}
	return &recordv1.Record{RecordId: id, Body: &recordv1.Record_Person{Person: p}}
}

func document(id, number string, issuer identity.Bureau, status recordv1.DocumentStatus) *recordv1.Record {
	return &recordv1.Record{RecordId: id, Body: &recordv1.Record_Document{Document: &recordv1.Document{
		Number: number, Issuer: string(issuer), Status: status, Type: recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT,
	}}}
}

func passport(number string, issuer identity.Bureau) *screeningv1.CheckRequest {
	return &screeningv1.CheckRequest{Document: &queryv1.DocumentQuery{Number: number, Issuer: string(issuer), Type: recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT}}
}

func traveller(name, birth string) *screeningv1.CheckRequest {
	return &screeningv1.CheckRequest{Person: &queryv1.PersonQuery{Name: name, BirthDate: birth}}
}

func ids(hits []*hitv1.Hit) []string {
	var all []string
	for _, h := range hits {
		all = append(all, h.GetBureau()+"/"+h.GetRecordId())
	}
	return all
}

func equal(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
