package gate_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/entente-mesh/entente/federation/ask"
	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/federation/server"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/limits"
	"github.com/entente-mesh/entente/pki/identity"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// The scenes play at the gate of Spain, before which Bulgaria and Lebanon stand.
const (
	esp    identity.Bureau     = "ESP"
	bgr    identity.Bureau     = "BGR"
	lbn    identity.Bureau     = "LBN"
	fed    identity.Federation = "demo.entente"
	border                     = recordv1.Purpose_PURPOSE_BORDER_CONTROL
	visa                       = recordv1.Purpose_PURPOSE_VISA
	invest                     = recordv1.Purpose_PURPOSE_INVESTIGATION
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// books are kept in memory, and can fail.
type books struct {
	passages []journal.Passage
	commits  int
	memory   []journal.Memory
	err      error
}

func (b *books) Record(_ context.Context, passages ...journal.Passage) error {
	if b.err == nil {
		b.passages = append(b.passages, passages...)
		b.commits++
	}
	return b.err
}

func (b *books) RecordAnswered(ctx context.Context, m journal.Memory, passages ...journal.Passage) error {
	if b.err == nil {
		b.memory = append(b.memory, m)
	}
	return b.Record(ctx, passages...)
}

// lines are the books as one reads them: what passed, which way, with whom, and how it was decided.
func (b *books) lines() []string {
	var all []string
	for _, p := range b.passages {
		e := p.Entry
		line := short(e.GetKind(), "ENTRY_KIND_") + " " + short(e.GetDirection(), "ENTRY_DIRECTION_") + " " + e.GetBureau() + " " + short(e.GetDecision(), "DECISION_")
		for _, word := range []string{e.GetOperation(), e.GetReason()} {
			if word != "" {
				line += " " + word
			}
		}
		for _, o := range e.GetOutcomes() {
			line += " " + strings.TrimSuffix(o.GetBureau()+"/"+o.GetCollection(), "/") + "=" + short(o.GetStatus(), "STATUS_")
		}
		all = append(all, line)
	}
	return all
}

func short(v fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(v.String(), prefix))
}

func (b *books) want(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, b.lines()); diff != "" {
		t.Errorf("books (-want +got):\n%s", diff)
	}
}

// spain loads Spain's default policies and more.
func spain(t testing.TB, more map[string]string) *policy.Set {
	t.Helper()
	files, err := policy.Defaults(esp, fed)
	if err != nil {
		t.Fatal(err)
	}
	folder := fstest.MapFS{}
	for name, text := range files {
		folder[name] = &fstest.MapFile{Data: text}
	}
	for name, text := range more {
		folder[name] = &fstest.MapFile{Data: []byte(text)}
	}
	set, err := policy.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// personsFor is a permit by which Bulgaria and Spain ask each other about persons.
func personsFor(t testing.TB) map[string]string {
	t.Helper()
	name, text, err := policy.Permit(policy.PermitOptions{
		Self: esp, Bureau: string(bgr), Collection: gate.Persons, Purposes: []recordv1.Purpose{border},
	})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{name: string(text)}
}

func open(t testing.TB, more map[string]string) (*gate.Gate, *books) {
	t.Helper()
	set, b := spain(t, more), &books{}
	return gate.New(gate.Config{
		Self: esp, Federation: fed, Policy: func() *policy.Set { return set }, Books: b, Now: func() time.Time { return noon },
		Budget: limits.Budget{Time: time.Minute}, // a busy machine is no reason to answer nothing
	}), b
}

// holdings find what they are told to, whatever is asked.
type holdings struct {
	documents, persons []gate.Found
	err                error
	searched           int
}

func (h *holdings) SearchDocuments(_ context.Context, _ *queryv1.DocumentQuery, depth gate.Depth) ([]gate.Found, error) {
	h.searched++
	return h.documents[:min(depth.Most, len(h.documents))], h.err
}

func (h *holdings) SearchPersons(_ context.Context, _ *queryv1.PersonQuery, depth gate.Depth) ([]gate.Found, error) {
	h.searched++
	return h.persons[:min(depth.Most, len(h.persons))], h.err
}

var everybody = &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_ALL_PERMITTED}

// wanted is an invented wanted person, and the hit as Spain itself sees it.
func wanted(id string, audience *recordv1.Audience) gate.Found {
	person := &recordv1.Person{
		Names:         []*recordv1.Name{{Parts: []*recordv1.NamePart{{Kind: recordv1.NamePartKind_NAME_PART_KIND_FULL, Text: "Zeroualix Karimov"}}}},
		Births:        []*recordv1.Birth{{From: "1989-04-17", To: "1989-04-17", Place: "Birthplaceville"}},
		Nationalities: []*recordv1.Nationality{{Code: "TUN"}},
		Role:          recordv1.PersonRole_PERSON_ROLE_WANTED,
		Action:        recordv1.Action_ACTION_ARREST,
		Warnings:      []string{"armed"},
		Remarks:       "remarkable",
	}
	s := &recordv1.Stewardship{
		OwnerBureau: string(esp), OriginAgency: "origin-agency", NationalRef: "ESP-1", Version: 3, PreviousDigest: []byte("previous"),
		LegalBasis: "legal-basis", Audience: audience, Handling: &recordv1.Handling{Scheme: "europol", Code: "H1"},
		SensitiveCategories: []string{"sensitive-category"}, Provenance: []*recordv1.Provenance{{Source: "provenance-source"}},
	}
	rec := &recordv1.Record{RecordId: id, Stewardship: s, Body: &recordv1.Record_Person{Person: person}}
	return gate.Found{Record: rec, Hit: &hitv1.Hit{
		Bureau: string(esp), Collection: gate.Persons, RecordId: id, Kind: hitv1.HitKind_HIT_KIND_PERSON,
		Score: proto.Float64(0.8765), Band: hitv1.Band_BAND_STRONG,
		Evidence: []*hitv1.LocalEvidence{
			{Feature: hitv1.Feature_FEATURE_NAME, Agreement: hitv1.Agreement_AGREEMENT_SIMILAR, Asked: "asked name", Recorded: "Zeroualix Karimov", How: "spelling", Weight: 0.77},
			{Feature: hitv1.Feature_FEATURE_BIRTH_DATE, Agreement: hitv1.Agreement_AGREEMENT_SAME, Asked: "1989-04-17", Recorded: "1989-04-17", How: "same day", Weight: 0.16},
			{Feature: hitv1.Feature_FEATURE_NATIONALITY, Agreement: hitv1.Agreement_AGREEMENT_DIFFERENT, Asked: "BGR", Recorded: "TUN", How: "different", Weight: -0.04},
			{Feature: hitv1.Feature_FEATURE_SEX, Agreement: hitv1.Agreement_AGREEMENT_UNKNOWN, How: "neither"},
		},
		Explanation: "name: spelling; birth date: same day; nationality: different",
		Action:      person.GetAction(), Handling: s.GetHandling(), PersonRole: person.GetRole(), Stewardship: s, Warnings: person.GetWarnings(),
		Subject: &hitv1.Hit_Person{Person: person},
	}}
}

// stolen is an invented stolen passport of Spain.
func stolen(id string, audience *recordv1.Audience) gate.Found {
	doc := &recordv1.Document{
		Number: "XDA123456", Issuer: string(esp), Type: recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT,
		Status: recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN, Theft: &recordv1.Theft{Place: "Theftplace"},
	}
	s := &recordv1.Stewardship{OwnerBureau: string(esp), Version: 1, Audience: audience}
	return gate.Found{
		Record: &recordv1.Record{RecordId: id, Stewardship: s, Body: &recordv1.Record_Document{Document: doc}},
		Hit: &hitv1.Hit{
			Bureau: string(esp), Collection: gate.Documents, RecordId: id, Kind: hitv1.HitKind_HIT_KIND_DOCUMENT,
			Score: proto.Float64(1), Band: hitv1.Band_BAND_EXACT, Explanation: "document number: same",
			Evidence:       []*hitv1.LocalEvidence{{Feature: hitv1.Feature_FEATURE_DOCUMENT_NUMBER, Agreement: hitv1.Agreement_AGREEMENT_SAME, Recorded: "XDA123456"}},
			DocumentStatus: doc.GetStatus(), Issuer: string(esp), Stewardship: s, Subject: &hitv1.Hit_Document{Document: doc},
		},
	}
}

func bulgaria() identity.Identity { return identity.Node(fed, bgr, "node-1") }

func personAsk() *queryv1.Ask {
	return &queryv1.Ask{
		AskId: "a7f6fb0e-3a34-4f4e-9f6b-0b1c9b5d2a11", Audience: string(esp), MaxCandidates: 10,
		Requester:     &queryv1.Requester{Bureau: string(bgr), Agency: "border-police", Role: "officer"},
		Justification: &queryv1.Justification{Purpose: border},
		Person:        &queryv1.PersonQuery{Name: "Karimov Zerouali", BirthDate: "1989-04-17"},
	}
}

func documentAsk(issuer identity.Bureau) *queryv1.Ask {
	a := personAsk()
	a.Person = nil
	a.Document = &queryv1.DocumentQuery{Number: "XDA123456", Issuer: string(issuer)}
	return a
}

func asked(a *queryv1.Ask) server.Asked {
	payload, err := proto.Marshal(a)
	if err != nil {
		panic(err)
	}
	digest := sha256.Sum256(payload)
	return server.Asked{From: bulgaria(), Ask: a, Signed: &signedv1.Signed{Payload: payload}, Digest: digest[:]}
}

// signed stands for an answer that the mesh listener has signed and filled to its size.
var signed = &signedv1.Signed{Payload: make([]byte, 2048)}

// answer has an ask answered and committed, as the mesh listener does.
func answer(t *testing.T, g *gate.Gate, ask *queryv1.Ask, h gate.Searcher) *queryv1.Answer {
	t.Helper()
	reply, err := g.Answering(h).Answer(t.Context(), asked(ask))
	if err != nil {
		t.Fatal(err)
	}
	if err := reply.Commit(t.Context(), signed, noon.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return reply.Answer
}

func TestHitAbroadTellsNoWordOfTheRecord(t *testing.T) {
	g, b := open(t, personsFor(t))
	a := answer(t, g, personAsk(), &holdings{persons: []gate.Found{wanted("esp-1", everybody)}})
	hits := a.GetResults()[0].GetHits()
	if len(hits) != 1 || a.GetResults()[0].GetStatus() != queryv1.Status_STATUS_HIT {
		t.Fatalf("results %v", a.GetResults())
	}
	h := hits[0]
	if h.Score != nil || len(h.GetEvidence()) > 0 || h.GetSubject() != nil || h.GetConfirmed() {
		t.Errorf("score, evidence or subject crossed the border: %v", h)
	}
	want := &hitv1.DisclosedEvidence{Agreed: []*hitv1.DisclosedAgreement{
		{Feature: hitv1.Feature_FEATURE_NAME, Agreement: hitv1.Agreement_AGREEMENT_SIMILAR},
		{Feature: hitv1.Feature_FEATURE_BIRTH_DATE, Agreement: hitv1.Agreement_AGREEMENT_SAME},
	}}
	if diff := cmp.Diff(want, h.GetDisclosed(), protocmp.Transform()); diff != "" {
		t.Errorf("disclosed (-want +got):\n%s", diff)
	}
	if h.GetExplanation() != "strong match: name is similar, birth date agrees" {
		t.Errorf("explanation %q", h.GetExplanation())
	}
	if h.GetPersonRole() != recordv1.PersonRole_PERSON_ROLE_WANTED || h.GetAction() != recordv1.Action_ACTION_ARREST || len(h.GetMustNot()) == 0 {
		t.Errorf("what to do is missing: %v", h)
	}
	text, err := protojson.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{
		"Zeroualix", "1989", "Birthplaceville", "TUN", "remarkable", "0.87", "spelling", "origin-agency", "legal-basis",
		"sensitive-category", "provenance-source", "ALL_PERMITTED", "previousDigest",
	} {
		if strings.Contains(string(text), word) {
			t.Errorf("%q crossed the border: %s", word, text)
		}
	}
	b.want(t, "ask in BGR allow", "answer out BGR allow ESP/persons=hit")
	ask := personAsk()
	for _, p := range b.passages {
		e := p.Entry
		if e.GetMessageId() != ask.GetAskId() || len(e.GetRules()) == 0 || e.GetPolicyVersion() == "" || e.GetClient() != "" ||
			!proto.Equal(e.GetRequester(), ask.GetRequester()) || !proto.Equal(e.GetJustification(), ask.GetJustification()) {
			t.Errorf("entry %v", e)
		}
		// The books say who asked and why, and nothing of whom: that is in the evidence.
		text := protojson.Format(e)
		for _, word := range []string{"Karimov", "Zerou", "1989", "esp-1", "armed"} {
			if strings.Contains(text, word) {
				t.Errorf("%q stands in the books: %s", word, text)
			}
		}
	}
	if b.passages[1].Evidence != signed || string(b.passages[0].Evidence.GetPayload()) == "" {
		t.Error("the evidence is not whole")
	}
	if diff := cmp.Diff([]journal.Quote{{Owner: "ESP", RecordID: "esp-1"}}, b.passages[1].Quotes); diff != "" || b.passages[0].Quotes != nil {
		t.Errorf("quotes:\n%s", diff)
	}
	// Which rule let the record be told stands there too.
	if rules := b.passages[1].Entry.GetOutcomes()[0].GetRules(); len(rules) < 2 {
		t.Errorf("rules %v: that of the answer and that of the record", rules)
	}
	if b.commits != 1 || len(b.memory) != 1 || b.memory[0].Asker != "BGR" || b.memory[0].AskID != ask.GetAskId() || len(b.memory[0].Digest) != 32 || !b.memory[0].ForgetAfter.Equal(noon.Add(time.Minute)) {
		t.Errorf("%d commits, memory %+v: question, answer and memory are one", b.commits, b.memory)
	}
}

func TestWithheldDoNotPushOut(t *testing.T) {
	g, _ := open(t, personsFor(t))
	var all []gate.Found
	for i := range 399 {
		all = append(all, wanted(fmt.Sprintf("hidden-%d", i), nil))
	}
	all = append(all, wanted("told", everybody))
	ask := personAsk()
	ask.MaxCandidates = 50
	a := answer(t, g, ask, &holdings{persons: all})
	if hits := a.GetResults()[0].GetHits(); len(hits) != 1 || hits[0].GetRecordId() != "told" {
		t.Errorf("hits %v", hits)
	}
	// And the bound that the asker gave holds.
	for i := range all {
		all[i] = wanted(fmt.Sprintf("told-%d", i), everybody)
	}
	ask.MaxCandidates = 3
	if hits := answer(t, g, ask, &holdings{persons: all}).GetResults()[0].GetHits(); len(hits) != 3 || hits[0].GetRecordId() != "told-0" {
		t.Errorf("%d hits, asked for 3", len(hits))
	}
}

func TestRefusalDependsOnTheRequestAlone(t *testing.T) {
	g, b := open(t, nil) // no permit: persons are told to nobody
	empty, full := &holdings{}, &holdings{persons: []gate.Found{wanted("esp-1", everybody)}}
	without, with := answer(t, g, personAsk(), empty), answer(t, g, personAsk(), full)
	if diff := cmp.Diff(without, with, protocmp.Transform()); diff != "" {
		t.Errorf("a refusal shows what is held:\n%s", diff)
	}
	if with.GetResults()[0].GetStatus() != queryv1.Status_STATUS_REFUSED || full.searched+empty.searched != 0 {
		t.Errorf("status %v, searched %d times", with.GetResults()[0].GetStatus(), full.searched)
	}
	b.want(t, "ask in BGR deny POLICY_DENIED", "answer out BGR deny POLICY_DENIED ESP/persons=refused",
		"ask in BGR deny POLICY_DENIED", "answer out BGR deny POLICY_DENIED ESP/persons=refused")
	// Own documents are answered to everybody, others to nobody without a permit.
	held := &holdings{documents: []gate.Found{stolen("esp-doc-1", everybody)}}
	if s := answer(t, g, documentAsk(esp), held).GetResults()[0].GetStatus(); s != queryv1.Status_STATUS_HIT {
		t.Errorf("own document: %v", s)
	}
	for _, issuer := range []identity.Bureau{lbn, ""} {
		if s := answer(t, g, documentAsk(issuer), held).GetResults()[0].GetStatus(); s != queryv1.Status_STATUS_REFUSED {
			t.Errorf("document of %q: %v", issuer, s)
		}
	}
	// One collection is answered, the other refused: something passed.
	ask := documentAsk(esp)
	ask.Person = personAsk().GetPerson()
	a := answer(t, g, ask, held)
	if a.GetResults()[0].GetStatus() != queryv1.Status_STATUS_HIT || a.GetResults()[1].GetStatus() != queryv1.Status_STATUS_REFUSED {
		t.Errorf("results %v", a.GetResults())
	}
	if got, want := b.lines()[len(b.passages)-1], "answer out BGR allow ESP/documents=hit ESP/persons=refused"; got != want {
		t.Errorf("passage %q, want %q", got, want)
	}
}

// broken is a condition that fails when it is evaluated, and not before.
const broken = `when { 9223372036854775807 + 1 > 0 }`

func TestErrorInAPolicyDenies(t *testing.T) {
	for action, want := range map[string]queryv1.Status{"answer": queryv1.Status_STATUS_REFUSED, "disclose": queryv1.Status_STATUS_NO_HIT} {
		more := personsFor(t)
		// Cedar skips a forbid that fails: the verdict alone would allow.
		more["broken.cedar"] = `@id("broken") forbid (principal, action == Action::"` + action + `", resource) ` + broken + ";"
		g, _ := open(t, more)
		a := answer(t, g, personAsk(), &holdings{persons: []gate.Found{wanted("esp-1", everybody)}})
		if got := a.GetResults()[0]; got.GetStatus() != want || len(got.GetHits()) > 0 {
			t.Errorf("%s fails: %v", action, got)
		}
	}
	more := personsFor(t)
	more["broken.cedar"] = `@id("broken") forbid (principal, action == Action::"ask", resource) ` + broken + ";"
	g, _ := open(t, more)
	if d := g.Ask(t.Context(), asking(bgr, gate.Persons)); d.Allow {
		t.Error("an ask passes a policy that fails")
	}
}

func asking(to identity.Bureau, collection string) gate.Asking {
	return gate.Asking{Client: officer(border), To: to, Collection: collection, Purpose: border}
}

func TestNothingPassesWithoutBooks(t *testing.T) {
	g, b := open(t, personsFor(t))
	b.err = errors.New("disk full on /dev/sda1")
	found := &holdings{persons: []gate.Found{wanted("esp-1", everybody)}}
	reply, err := g.Answering(found).Answer(t.Context(), asked(personAsk()))
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]error{"answer": reply.Commit(t.Context(), signed, noon)}
	calls["again"] = g.Answering(found).Again(t.Context(), asked(personAsk()))
	calls["unanswered"] = g.Answering(found).Unanswered(t.Context(), asked(personAsk()), codes.Internal, fault.Internal)
	_, calls["denied check"] = g.Check(t.Context(), checking(officer(visa), border))
	permit, err := g.Check(t.Context(), checking(officer(border), border))
	if err != nil {
		t.Fatal(err)
	}
	calls["check"] = permit.Checked(t.Context(), nil, nil)
	calls["failed check"] = permit.Failed(t.Context(), errors.New("no disk"))
	calls["ask"] = permit.AskLeaves(t.Context(), ask.Target{Bureau: bgr}, personAsk(), signed)
	calls["administer"] = g.Administer(t.Context(), checkID, operator(), policy.OperationReadStatus)
	calls["operated"] = g.Operated(t.Context(), gate.Operation{ID: checkID, Client: operator(), Name: policy.OperationEraseRecord}, "")
	for name, err := range calls {
		reason, _ := fault.ReasonOf(err)
		if reason != fault.BooksUnavailable || status.Code(err) != codes.Unavailable || strings.Contains(err.Error(), "sda1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Who has gone is not told that the books are to blame.
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := permit.Checked(gone, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("gone: %v", err)
	}
	// That another answered meanwhile is no failure of the books: the listener recalls that answer.
	b.err = fmt.Errorf("journal: %w", journal.ErrAskAnswered)
	if err := reply.Commit(t.Context(), signed, noon); !errors.Is(err, journal.ErrAskAnswered) {
		t.Errorf("answered by another: %v", err)
	}
}

func TestSearchThatFailsIsNoAnswer(t *testing.T) {
	g, _ := open(t, personsFor(t))
	a, err := g.Answering(&holdings{err: errors.New("index of Zeroualix broken")}).Answer(t.Context(), asked(personAsk()))
	reason, _ := fault.ReasonOf(err)
	if a.Answer != nil || reason != fault.SearchFailed || strings.Contains(err.Error(), "Zeroualix") {
		t.Errorf("answer %v, error %v", a.Answer, err)
	}
	// A hit that may be told and cannot be marshalled is no silence either.
	bad := wanted("esp-1", everybody)
	bad.Hit.Warnings = []string{"\xff"}
	if a, err := g.Answering(&holdings{persons: []gate.Found{bad}}).Answer(t.Context(), asked(personAsk())); err == nil {
		t.Errorf("answer %v", a.Answer)
	}
	// Nothing asked is nothing to answer.
	nothing := personAsk()
	nothing.Person = nil
	_, err = g.Answering(&holdings{}).Answer(t.Context(), asked(nothing))
	if reason, _ := fault.ReasonOf(err); reason != fault.NothingAsked {
		t.Errorf("nothing asked: %v", err)
	}
}

func officer(purposes ...recordv1.Purpose) identity.Identity {
	return identity.Client(fed, esp, "border-police", identity.RoleOfficer, "officer-7", purposes)
}

const checkID = "0b7b1c1e-6a0c-4a4a-9f0e-5a4ff1e0a001"

// checking is a check of a person.
func checking(client identity.Identity, purpose recordv1.Purpose) gate.Checking {
	return gate.Checking{
		ID: checkID, Client: client, Requester: &queryv1.Requester{Bureau: string(client.Bureau), Agency: client.Agency, Role: string(client.Role), Officer: "own-pseudonym"},
		Officer: "in clear", Justification: &queryv1.Justification{Purpose: purpose}, Person: personAsk().GetPerson(),
	}
}

func operator() identity.Identity {
	return identity.Client(fed, esp, "ncb", identity.RoleOperator, "operator-1", nil)
}

func TestCheck(t *testing.T) {
	never := map[string]string{"never.cedar": `@id("never") forbid (principal, action == Action::"check", resource) when { context.purpose == Purpose::"police-check" };`}
	police := recordv1.Purpose_PURPOSE_POLICE_CHECK
	for name, c := range map[string]struct {
		client identity.Identity
		just   *queryv1.Justification
		code   codes.Code
		reason fault.Reason
	}{
		"border control":        {officer(border), &queryv1.Justification{Purpose: border}, codes.OK, ""},
		"a visa with a case":    {officer(visa), &queryv1.Justification{Purpose: visa, CaseRef: "V-1"}, codes.OK, ""},
		"a visa without a case": {officer(visa), &queryv1.Justification{Purpose: visa}, codes.InvalidArgument, fault.CaseRequired},
		"a purpose not held":    {officer(border), &queryv1.Justification{Purpose: invest, CaseRef: "I-1"}, codes.PermissionDenied, fault.PurposeNotHeld},
		"not held, no case":     {officer(border), &queryv1.Justification{Purpose: invest}, codes.PermissionDenied, fault.PurposeNotHeld},
		"no purpose":            {officer(border), &queryv1.Justification{}, codes.PermissionDenied, fault.PurposeNotHeld},
		"no purposes at all":    {officer(), &queryv1.Justification{Purpose: border}, codes.PermissionDenied, fault.PurposeNotHeld},
		"forbidden by policy":   {officer(police), &queryv1.Justification{Purpose: police}, codes.PermissionDenied, fault.PolicyDenied},
		"another country":       {identity.Client(fed, bgr, "border-police", identity.RoleOfficer, "o", []recordv1.Purpose{border}), &queryv1.Justification{Purpose: border}, codes.PermissionDenied, fault.PolicyDenied},
		"a node":                {identity.Node(fed, esp, "node-1"), &queryv1.Justification{Purpose: border}, codes.PermissionDenied, fault.PurposeNotHeld},
	} {
		t.Run(name, func(t *testing.T) {
			g, b := open(t, never)
			check := checking(c.client, 0)
			check.Justification = c.just
			_, err := g.Check(t.Context(), check)
			reason, _ := fault.ReasonOf(err)
			if status.Code(err) != c.code || reason != c.reason {
				t.Fatalf("error %v, want %v %v", err, c.code, c.reason)
			}
			denied := c.code != codes.OK
			if denied != (len(b.passages) == 1) {
				t.Fatalf("passages %+v", b.passages)
			}
			if denied {
				b.want(t, "check local ESP deny "+string(c.reason))
				if id := b.passages[0].Entry.GetMessageId(); id != checkID {
					t.Errorf("message id %q", id)
				}
			}
		})
	}
}

func TestAskOnlyByPermit(t *testing.T) {
	g, _ := open(t, personsFor(t))
	for _, c := range []struct {
		to         identity.Bureau
		collection string
		allow      bool
	}{{bgr, gate.Persons, true}, {bgr, gate.Documents, false}, {lbn, gate.Persons, false}, {esp, gate.Persons, false}} {
		if d := g.Ask(t.Context(), asking(c.to, c.collection)); d.Allow != c.allow {
			t.Errorf("ask %s about %s: %v", c.to, c.collection, d.Allow)
		}
	}
	a := asking(bgr, gate.Persons)
	a.Purpose = visa
	if d := g.Ask(t.Context(), a); d.Allow {
		t.Error("asked for a purpose without permit")
	}
}
