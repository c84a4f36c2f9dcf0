package gate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/pki/identity"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
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
	passages []gate.Passage
	err      error
}

func (b *books) Record(_ context.Context, p gate.Passage) error {
	if b.err == nil {
		b.passages = append(b.passages, p)
	}
	return b.err
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
	}), b
}

// holdings find what they are told to, whatever is asked.
type holdings struct {
	documents, persons []gate.Found
	err                error
	searched           int
}

func (h *holdings) SearchDocuments(_ context.Context, _ *queryv1.DocumentQuery, limit int) ([]gate.Found, error) {
	h.searched++
	return h.documents[:min(limit, len(h.documents))], h.err
}

func (h *holdings) SearchPersons(_ context.Context, _ *queryv1.PersonQuery, limit int) ([]gate.Found, error) {
	h.searched++
	return h.persons[:min(limit, len(h.persons))], h.err
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

func answer(t *testing.T, g *gate.Gate, ask *queryv1.Ask, h *holdings) *queryv1.Answer {
	t.Helper()
	a, err := g.Answer(t.Context(), bulgaria(), ask, h)
	if err != nil {
		t.Fatal(err)
	}
	return a
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
	if len(b.passages) != 1 {
		t.Fatalf("%d passages", len(b.passages))
	}
	p := b.passages[0]
	if p.MessageID != a.GetAskId() || p.Direction != gate.In || p.Bureau != bgr || p.Decision != "allow" || p.Purpose != "border-control" ||
		!slices.Equal(p.Outcome, []string{"persons=HIT"}) || len(p.Rules) == 0 || p.PolicyVersion == "" {
		t.Errorf("passage %+v", p)
	}
}

func TestWithheldLooksLikeNoRecord(t *testing.T) {
	g, b := open(t, personsFor(t))
	none := answer(t, g, personAsk(), &holdings{})
	for name, f := range map[string]gate.Found{
		"no audience":        wanted("esp-1", nil),
		"another's":          wanted("esp-1", &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_LISTED, Allow: []string{"LBN"}}),
		"an empty list":      wanted("esp-1", &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_LISTED}),
		"denied by the list": wanted("esp-1", &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_ALL_PERMITTED, Deny: []string{"BGR"}}),
	} {
		withheld := answer(t, g, personAsk(), &holdings{persons: []gate.Found{f}})
		if diff := cmp.Diff(none, withheld, protocmp.Transform()); diff != "" {
			t.Errorf("%s: a withheld record shows (-none +withheld):\n%s", name, diff)
		}
	}
	for _, p := range b.passages[1:] {
		if diff := cmp.Diff(b.passages[0], p); diff != "" {
			t.Errorf("a withheld record shows in the books:\n%s", diff)
		}
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
	if b.passages[0].Decision != "deny" {
		t.Errorf("passage %+v", b.passages[0])
	}
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
	if p := b.passages[len(b.passages)-1]; p.Decision != "allow" || !slices.Equal(p.Outcome, []string{"documents=HIT", "persons=REFUSED"}) {
		t.Errorf("passage %+v", p)
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
	a, err := g.Answer(t.Context(), bulgaria(), personAsk(), found)
	calls := map[string]error{"answer": err}
	if a != nil {
		t.Errorf("an answer without books: %v", a)
	}
	_, calls["denied check"] = g.Check(t.Context(), "c1", officer(visa), &queryv1.Justification{Purpose: border})
	permit, err := g.Check(t.Context(), "c2", officer(border), &queryv1.Justification{Purpose: border})
	if err != nil {
		t.Fatal(err)
	}
	calls["check"] = g.Checked(t.Context(), "c2", officer(border), border, permit, nil)
	calls["ask"] = g.Leaving(t.Context(), personAsk(), []byte{1})
	calls["administer"] = g.Administer(t.Context(), "o1", operator(), policy.OperationReadStatus)
	for name, err := range calls {
		reason, _ := fault.ReasonOf(err)
		if reason != fault.BooksUnavailable || status.Code(err) != codes.Unavailable || strings.Contains(err.Error(), "sda1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Who has gone is not told that the books are to blame.
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Leaving(gone, personAsk(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("gone: %v", err)
	}
}

func TestSearchThatFailsIsNoAnswer(t *testing.T) {
	g, _ := open(t, personsFor(t))
	a, err := g.Answer(t.Context(), bulgaria(), personAsk(), &holdings{err: errors.New("index of Zeroualix broken")})
	reason, _ := fault.ReasonOf(err)
	if a != nil || reason != fault.SearchFailed || strings.Contains(err.Error(), "Zeroualix") {
		t.Errorf("answer %v, error %v", a, err)
	}
	// A hit that may be told and cannot be marshalled is no silence either.
	bad := wanted("esp-1", everybody)
	bad.Hit.Warnings = []string{"\xff"}
	if a, err := g.Answer(t.Context(), bulgaria(), personAsk(), &holdings{persons: []gate.Found{bad}}); err == nil {
		t.Errorf("answer %v", a)
	}
	// Nothing asked is nothing to answer.
	nothing := personAsk()
	nothing.Person = nil
	_, err = g.Answer(t.Context(), bulgaria(), nothing, &holdings{})
	if reason, _ := fault.ReasonOf(err); reason != fault.NothingAsked {
		t.Errorf("nothing asked: %v", err)
	}
}

func officer(purposes ...recordv1.Purpose) identity.Identity {
	return identity.Client(fed, esp, "border-police", identity.RoleOfficer, "officer-7", purposes)
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
			_, err := g.Check(t.Context(), "check-1", c.client, c.just)
			reason, _ := fault.ReasonOf(err)
			if status.Code(err) != c.code || reason != c.reason {
				t.Fatalf("error %v, want %v %v", err, c.code, c.reason)
			}
			denied := c.code != codes.OK
			if denied != (len(b.passages) == 1) {
				t.Fatalf("passages %+v", b.passages)
			}
			if denied && (b.passages[0].Decision != "deny" || b.passages[0].MessageID != "check-1" || b.passages[0].Direction != gate.Local) {
				t.Errorf("passage %+v", b.passages[0])
			}
		})
	}
}

func TestCheckedIsRecordedUnderThePolicyThatPermittedIt(t *testing.T) {
	first, second := spain(t, nil), spain(t, personsFor(t))
	set, b := first, &books{}
	g := gate.New(gate.Config{Self: esp, Federation: fed, Policy: func() *policy.Set { return set }, Books: b})
	permit, err := g.Check(t.Context(), "c1", officer(border), &queryv1.Justification{Purpose: border})
	if err != nil {
		t.Fatal(err)
	}
	set = second // the operator reloads
	if err := g.Checked(t.Context(), "c1", officer(border), border, permit, []string{"NO_HIT", "ESP=NO_HIT"}); err != nil {
		t.Fatal(err)
	}
	p := b.passages[0]
	if p.PolicyVersion != first.Version() || p.Decision != "allow" || !slices.Equal(p.Rules, []string{"check/own-agencies"}) || p.Agency != "border-police" {
		t.Errorf("passage %+v", p)
	}
}

func TestAdministerAndLeavingAreRecorded(t *testing.T) {
	g, b := open(t, nil)
	if err := g.Administer(t.Context(), "op-1", operator(), policy.OperationDistrustPeer); err != nil {
		t.Error(err)
	}
	err := g.Administer(t.Context(), "op-2", officer(border), policy.OperationDistrustPeer)
	if reason, _ := fault.ReasonOf(err); reason != fault.RoleNotPermitted {
		t.Errorf("an officer distrusts a peer: %v", err)
	}
	ask := personAsk()
	ask.Audience = string(bgr)
	if err := g.Leaving(t.Context(), ask, []byte{7}); err != nil {
		t.Error(err)
	}
	var got []string
	for _, p := range b.passages {
		got = append(got, p.Kind+" "+string(p.Direction)+" "+string(p.Bureau)+" "+p.Decision)
	}
	want := []string{"administer local ESP allow", "administer local ESP deny", "ask out BGR allow"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("passages (-want +got):\n%s", diff)
	}
	if !slices.Equal(b.passages[2].Digest, []byte{7}) || b.passages[2].MessageID != ask.GetAskId() {
		t.Errorf("ask %+v", b.passages[2])
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
