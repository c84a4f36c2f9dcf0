package screening_test

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/federation/server"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/store"
	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// cost is what an answer to Spain took at Bulgaria's door, down to the rows that were read.
type cost struct {
	Answer *queryv1.Answer
	Gate   gate.Work
	Store  store.Work
	Scored uint64
	Bodies uint64 // of persons, that were opened
}

// answered has Bulgaria answer Spain, and returns the answer and what it took.
func (p *post) answered(t *testing.T, document *queryv1.DocumentQuery, person *queryv1.PersonQuery) cost {
	t.Helper()
	gateBefore, storeBefore, scoredBefore, openedBefore := p.gate.Work(), p.store.Work(), p.holdings.Scored(), p.holdings.Opened()
	question := &queryv1.Ask{
		AskId: "a7f6fb0e-3a34-4f4e-9f6b-0b1c9b5d2a11", Audience: string(bgr), MaxCandidates: 10,
		Requester:     &queryv1.Requester{Bureau: string(esp), Agency: "border-police", Role: "officer"},
		Justification: &queryv1.Justification{Purpose: border}, Document: document, Person: person,
	}
	payload, err := proto.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(payload)
	reply, err := p.gate.Answering(p.holdings).Answer(t.Context(), server.Asked{
		From: identity.Node(fed, esp, "1"), Ask: question, Signed: &signedv1.Signed{Payload: payload}, Digest: digest[:],
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := reply.Commit(t.Context(), &signedv1.Signed{Payload: make([]byte, 2048)}, noon.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	g, s := p.gate.Work(), p.store.Work()
	return cost{
		Answer: reply.Answer, Scored: p.holdings.Scored() - scoredBefore, Bodies: p.holdings.Opened() - openedBefore,
		Store: store.Work{Hashes: s.Hashes - storeBefore.Hashes, Rows: s.Rows - storeBefore.Rows, Opened: s.Opened - storeBefore.Opened},
		Gate: gate.Work{
			Searches: g.Searches - gateBefore.Searches, Candidates: g.Candidates - gateBefore.Candidates, Decisions: g.Decisions - gateBefore.Decisions,
			Cuts: g.Cuts - gateBefore.Cuts, Marshalled: g.Marshalled - gateBefore.Marshalled, Passages: g.Passages - gateBefore.Passages,
			EntryBlocks: g.EntryBlocks - gateBefore.EntryBlocks, EvidenceBlocks: g.EvidenceBlocks - gateBefore.EvidenceBlocks,
		},
	}
}

// TestWithheldCostsWhatNoneCosts holds a record that Spain may not know of against none, through
// a real store, a real index and real policies: the same answer, as many rows read, bodies opened
// and candidates compared, and as much work at the gate.
func TestWithheldCostsWhatNoneCosts(t *testing.T) {
	forbids := map[string]string{"protect.cedar": `@id("never/refugees") forbid (principal, action == Action::"disclose", resource) when { resource.sensitive_categories.contains("refugee") };
@id("never/minors") forbid (principal, action == Action::"disclose", resource) when { resource.minor };
@id("never/other-purposes") forbid (principal, action == Action::"disclose", resource) when { !resource.purposes.isEmpty() && !resource.purposes.contains(context.purpose) };`}
	p := bulgaria(t, forbids, may(t, policy.PermitOptions{Bureau: "ESP", Collection: "persons"}), may(t, policy.PermitOptions{Bureau: "ESP", Collection: "documents"}))
	all := &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_ALL_PERMITTED}
	ways := map[string]func(r *recordv1.Record){
		"nobody": func(r *recordv1.Record) { r.Stewardship.Audience.Mode = recordv1.AudienceMode_AUDIENCE_MODE_NONE },
		"another": func(r *recordv1.Record) {
			r.Stewardship.Audience = &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_LISTED, Allow: []string{"LBN"}}
		},
		"denied":          func(r *recordv1.Record) { r.Stewardship.Audience.Deny = []string{"ESP"} },
		"another purpose": func(r *recordv1.Record) { r.Stewardship.Purposes = []recordv1.Purpose{visa} },
		"expired":         func(r *recordv1.Record) { r.Stewardship.ExpiresAt = timestamppb.New(noon.Add(-time.Hour)) },
		"a refugee":       func(r *recordv1.Record) { r.Stewardship.SensitiveCategories = []string{"refugee"} },
		"a child": func(r *recordv1.Record) {
			for _, b := range r.GetPerson().GetBirths() {
				b.From, b.To = "2015-03-04", "2015-03-04"
			}
		},
	}
	name := func(i int) string {
		return []string{"Zerdalan", "Quistori", "Vermondo", "Halvekin", "Brustaldi", "Ontemarr", "Pelgrino"}[i] + " Ferrandes"
	}
	number := func(i int) string { return fmt.Sprintf("QD%07d", 7_000_000+i) }
	i := 0
	type question struct {
		way      string
		document *queryv1.DocumentQuery
		person   *queryv1.PersonQuery
	}
	var questions []question
	var kept []*recordv1.Record
	for way, change := range ways {
		birth := "1981-03-04"
		if way == "a child" {
			birth = "2015-03-04"
		}
		m, d := person(fmt.Sprintf("p%d", i), name(i), birth), document(fmt.Sprintf("d%d", i), number(i), bgr, recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN)
		for _, r := range []*recordv1.Record{m, d} {
			r.Stewardship = &recordv1.Stewardship{Audience: proto.CloneOf(all)}
			change(r)
		}
		questions = append(questions, question{way, nil, &queryv1.PersonQuery{Name: name(i), BirthDate: birth}})
		if way != "a child" && way != "a refugee" {
			questions = append(questions, question{way, &queryv1.DocumentQuery{Number: number(i), Issuer: "BGR"}, nil})
		}
		kept = append(kept, m, d)
		i++
	}
	for n := range 40 { // others, among whom they are
		kept = append(kept, document(fmt.Sprintf("other%d", n), fmt.Sprintf("QE%07d", n*7919), bgr, recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN))
	}
	told := person("told", "Ulvaric Senderov", "1970-02-03")
	told.Stewardship = &recordv1.Stewardship{Audience: all}
	p.keep(t, append(kept, told)...)

	noDocument := p.answered(t, &queryv1.DocumentQuery{Number: "QD7000999", Issuer: "BGR"}, nil)
	noPerson := p.answered(t, nil, &queryv1.PersonQuery{Name: "Mokarian Wyldebrant", BirthDate: "1981-03-04"})
	for _, q := range questions {
		none := noPerson
		if q.document != nil {
			none = noDocument
		}
		if diff := cmp.Diff(none, p.answered(t, q.document, q.person), protocmp.Transform()); diff != "" {
			t.Errorf("%s, document %t: a withheld record costs otherwise than none (-none +withheld):\n%s", q.way, q.document != nil, diff)
		}
	}
	// At home it is there.
	for _, q := range questions {
		if q.way != "expired" && len(p.check(t, checkOf(q.document, q.person)).GetHits()) != 1 {
			t.Errorf("%s: not held at all", q.way)
		}
	}
	if hit := p.answered(t, nil, &queryv1.PersonQuery{Name: "Ulvaric Senderov", BirthDate: "1970-02-03"}); len(hit.Answer.GetResults()[0].GetHits()) != 1 {
		t.Error("what may be told is not told")
	}
	if noDocument.Store.Opened != gate.DefaultSlots || noDocument.Gate.Candidates != gate.DefaultSlots || noPerson.Scored != gate.DefaultSlots || noPerson.Bodies != gate.DefaultSlots+1 {
		t.Errorf("none costs %+v and %+v: no decoys were worked on", noDocument, noPerson)
	}
}

// TestManyDocumentsAbroad: that there are more than one look-up takes is no secret to let out, and
// no reason not to answer.
func TestManyDocumentsAbroad(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand documents")
	}
	p := bulgaria(t, may(t, policy.PermitOptions{Bureau: "ESP", Collection: "documents"}))
	var all []*recordv1.Record
	for n := range 1_001 {
		d := document(fmt.Sprintf("d%d", n), "QD7000000", bgr, recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN)
		d.Stewardship = &recordv1.Stewardship{Audience: &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_NONE}}
		all = append(all, d)
	}
	p.keep(t, all...)
	q := &queryv1.DocumentQuery{Number: "QD7000000", Issuer: "BGR"}
	if s := p.answered(t, q, nil).Answer.GetResults()[0].GetStatus(); s != queryv1.Status_STATUS_NO_HIT {
		t.Errorf("abroad: %v", s)
	}
	// At home some of them would pass for all.
	if _, err := p.holdings.SearchDocuments(t.Context(), q, gate.Depth{Most: 10}); err == nil {
		t.Error("at home some of too many passed for all")
	}
}

func checkOf(document *queryv1.DocumentQuery, person *queryv1.PersonQuery) *screeningv1.CheckRequest {
	return &screeningv1.CheckRequest{Document: document, Person: person}
}
