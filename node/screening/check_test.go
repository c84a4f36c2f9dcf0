package screening_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/ask"
	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/formats/mrz"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/node/screening"
	"github.com/entente-mesh/entente/node/store"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

func TestNobodyAbroadIsAskedWithoutPermit(t *testing.T) {
	p := bulgaria(t)
	resp := p.check(t, &screeningv1.CheckRequest{
		Document: passport("XDA123456", esp).GetDocument(), Person: traveller("Karim Zerouali", "1989-04-17").GetPerson(), Reference: "lane 4",
	})
	if resp.GetVerdict() != screeningv1.Verdict_VERDICT_NO_HIT || len(resp.GetBureaus()) != 1 || len(p.asker.questions) != 0 {
		t.Errorf("verdict %v, bureaus %v, asked %v", resp.GetVerdict(), resp.GetBureaus(), p.asker.asked())
	}
	own := resp.GetBureaus()[0]
	if own.GetBureau() != "BGR" || own.GetSettled() != screeningv1.Settled_SETTLED_LOCAL || own.GetStatus() != queryv1.Status_STATUS_NO_HIT {
		t.Errorf("own status %v", own)
	}
	if resp.GetReference() != "lane 4" || resp.GetCheckId() == "" || resp.GetAdvice() != "" {
		t.Errorf("response %v", resp)
	}
	if len(p.books.passages) != 1 || p.books.passages[0].Entry.GetMessageId() != resp.GetCheckId() {
		t.Errorf("books %+v", p.books.passages)
	}
}

// offer is what a bureau offers to Bulgaria.
func offer(collections ...*queryv1.CollectionOffer) *queryv1.Offer {
	return &queryv1.Offer{Collections: collections, NotAfter: timestamppb.New(noon.Add(time.Hour))}
}

func offered(collection string, own bool, purposes ...recordv1.Purpose) *queryv1.CollectionOffer {
	return &queryv1.CollectionOffer{Collection: collection, Mode: queryv1.SharingMode_SHARING_MODE_ASK, Purposes: purposes, OwnIssuedOnly: own}
}

func TestConcerned(t *testing.T) {
	persons := func(b identity.Bureau) policy.PermitOptions {
		return policy.PermitOptions{Bureau: string(b), Collection: "persons"}
	}
	documents := func(b string) policy.PermitOptions { return policy.PermitOptions{Bureau: b, Collection: "documents"} }
	espAndBel := []policy.PermitOptions{persons(esp), persons(bel)}
	man := traveller("Karim Zerouali", "1989-04-17")
	tunisian := traveller("Karim Zerouali", "1989-04-17")
	tunisian.Person.Nationality = "ESP"
	briton := traveller("Karim Zerouali", "1989-04-17")
	briton.Person.Nationality = "GBD"
	policeCheck := traveller("Karim Zerouali", "1989-04-17")
	policeCheck.Justification = &queryv1.Justification{Purpose: police}
	pointer := offered("persons", false, border)
	pointer.Mode = queryv1.SharingMode_SHARING_MODE_POINTER
	neverOwn := map[string]string{"never.cedar": `@id("never") forbid (principal, action == Action::"ask", resource) when { context.nationality == resource.bureau || context.issuing_state == resource.bureau };`}
	neverBritons := map[string]string{"never.cedar": `@id("never") forbid (principal, action == Action::"ask", resource) when { context.nationality == "GBR" };`}
	for name, c := range map[string]struct {
		permits []policy.PermitOptions
		more    map[string]string
		offers  map[identity.Bureau]*queryv1.Offer
		check   *screeningv1.CheckRequest
		asked   []string
	}{
		"a permit names the bureaus, and no other":   {permits: espAndBel, check: man, asked: []string{"BEL persons", "ESP persons"}},
		"a permit for persons is none for documents": {permits: espAndBel, check: passport("EH1", esp)},
		"a permit is for its purpose":                {permits: espAndBel, check: policeCheck},
		"an expired permit is none":                  {permits: []policy.PermitOptions{{Bureau: "ESP", Collection: "persons", Until: noon.Add(-time.Minute)}}, check: man},
		"everybody is the issuing state alone":       {permits: []policy.PermitOptions{documents("ALL")}, check: passport("EH1", lbn), asked: []string{"LBN documents"}},
		"everybody, of no known issuer":              {permits: []policy.PermitOptions{documents("ALL")}, check: passport("EH1", "")},
		"everybody, of a state that is no member":    {permits: []policy.PermitOptions{documents("ALL")}, check: passport("EH1", "FRA")},
		"a named bureau is asked about any issuer":   {permits: []policy.PermitOptions{documents("ESP")}, check: passport("EH1", lbn), asked: []string{"ESP documents"}},
		"both collections in one ask": {
			permits: []policy.PermitOptions{persons(esp), documents("ESP")},
			check:   &screeningv1.CheckRequest{Document: passport("EH1", lbn).GetDocument(), Person: man.GetPerson()},
			asked:   []string{"ESP documents", "ESP persons"},
		},
		"one that offers nothing is not concerned": {
			permits: espAndBel, offers: map[identity.Bureau]*queryv1.Offer{esp: offer(), bel: offer(offered("documents", false, border))}, check: man,
		},
		"one that offers another purpose": {
			permits: espAndBel, offers: map[identity.Bureau]*queryv1.Offer{esp: offer(offered("persons", false, visa))}, check: man, asked: []string{"BEL persons"},
		},
		"one that offers a pointer is not asked": {
			permits: []policy.PermitOptions{persons(esp)}, offers: map[identity.Bureau]*queryv1.Offer{esp: offer(pointer)}, check: man,
		},
		"own documents only, another's": {
			permits: []policy.PermitOptions{documents("ESP")}, offers: map[identity.Bureau]*queryv1.Offer{esp: offer(offered("documents", true, border))}, check: passport("EH1", lbn),
		},
		"own documents only, own": {
			permits: []policy.PermitOptions{documents("ESP")}, offers: map[identity.Bureau]*queryv1.Offer{esp: offer(offered("documents", true, border))},
			check: passport("EH1", esp), asked: []string{"ESP documents"},
		},
		"two offers are read together, any document": {
			permits: []policy.PermitOptions{documents("ESP")},
			offers:  map[identity.Bureau]*queryv1.Offer{esp: offer(offered("documents", true, visa), offered("documents", false, border))},
			check:   passport("EH1", lbn), asked: []string{"ESP documents"},
		},
		"two offers are read together, the other purpose": {
			permits: []policy.PermitOptions{documents("ESP")},
			offers:  map[identity.Bureau]*queryv1.Offer{esp: offer(offered("documents", false, visa), offered("documents", true, border))},
			check:   passport("EH1", lbn),
		},
		"a state is never asked about its own nationals": {permits: espAndBel, more: neverOwn, check: tunisian, asked: []string{"BEL persons"}},
		"nor about the bearers of its documents": {
			permits: espAndBel, more: neverOwn, asked: []string{"BEL persons"},
			check: &screeningv1.CheckRequest{Document: passport("EH1", esp).GetDocument(), Person: man.GetPerson()},
		},
		"nobody about a common name":      {permits: espAndBel, check: traveller("MOHAMED AHMED", "1989")},
		"about one with the day of birth": {permits: espAndBel, check: traveller("MOHAMED AHMED", "1989-04-17"), asked: []string{"BEL persons", "ESP persons"}},
		"about the document beside a common name": {
			permits: []policy.PermitOptions{persons(esp), documents("ESP")}, asked: []string{"ESP documents"},
			check: &screeningv1.CheckRequest{Document: passport("EH1", lbn).GetDocument(), Person: traveller("MOHAMED AHMED", "").GetPerson()},
		},
		"a state's nationals by another code": {permits: espAndBel, more: neverBritons, check: briton},
	} {
		t.Run(name, func(t *testing.T) {
			all := []map[string]string{c.more}
			for _, o := range c.permits {
				all = append(all, may(t, o))
			}
			p := bulgaria(t, all...)
			if c.offers != nil {
				p.mesh.offers = c.offers
			}
			resp := p.check(t, proto.CloneOf(c.check))
			equal(t, "asked", p.asker.asked(), c.asked...)
			if resp.GetVerdict() != screeningv1.Verdict_VERDICT_NO_HIT {
				t.Errorf("verdict %v", resp.GetVerdict())
			}
		})
	}
}

func TestFailuresAreStatuses(t *testing.T) {
	since := noon.Add(-time.Hour)
	advised := map[string]string{"advised.cedar": `@id("advised") @advice("Call the duty officer in Madrid.") permit (principal, action == Action::"ask", resource == Collection::"ESP/persons") when { context.purpose == Purpose::"border-control" };
@id("spare") @optional permit (principal, action == Action::"ask", resource == Collection::"LBN/persons");`}
	belPermit := may(t, policy.PermitOptions{Bureau: "BEL", Collection: "persons"})
	p := bulgaria(t, advised, belPermit)
	p.asker.results = map[identity.Bureau]ask.Result{
		esp: {Status: queryv1.Status_STATUS_UNAVAILABLE, Since: since, Reason: strings.Repeat("x", 600), AskID: "ask-1", Collections: []string{"persons"}, Elapsed: time.Millisecond},
		lbn: {Status: queryv1.Status_STATUS_TIMEOUT},
	}
	resp := p.check(t, traveller("Karim Zerouali", "1989-04-17"))
	if resp.GetVerdict() != screeningv1.Verdict_VERDICT_INCOMPLETE || !strings.Contains(resp.GetAdvice(), "ESP") || !strings.Contains(resp.GetAdvice(), "Call the duty officer in Madrid.") {
		t.Errorf("verdict %v, advice %q", resp.GetVerdict(), resp.GetAdvice())
	}
	var order []string
	for _, b := range resp.GetBureaus() {
		order = append(order, b.GetBureau()+" "+strings.TrimPrefix(b.GetStatus().String(), "STATUS_"))
	}
	equal(t, "bureaus", order, "BGR NO_HIT", "BEL NO_HIT", "ESP UNAVAILABLE", "LBN TIMEOUT")
	b := resp.GetBureaus()[2]
	if !b.GetSince().AsTime().Equal(since) || b.GetAskId() != "ask-1" || len(b.GetRules()) != 1 || b.GetRules()[0] != "advised" || len(b.GetReason()) > 520 || b.GetOptional() {
		t.Errorf("Spain: %v", b)
	}
	if !resp.GetBureaus()[3].GetOptional() {
		t.Error("Lebanon is not optional")
	}
	// With Spain heard, Lebanon's silence is none, and nobody is advised.
	delete(p.asker.results, esp)
	resp = p.check(t, traveller("Karim Zerouali", "1989-04-17"))
	if resp.GetVerdict() != screeningv1.Verdict_VERDICT_NO_HIT || resp.GetAdvice() != "" {
		t.Errorf("verdict %v, advice %q", resp.GetVerdict(), resp.GetAdvice())
	}
	// Nothing at all came back: that is no answer either.
	p.asker.answer = func(ask.Question) []ask.Result { return nil }
	resp = p.check(t, traveller("Karim Zerouali", "1989-04-17"))
	if resp.GetVerdict() != screeningv1.Verdict_VERDICT_INCOMPLETE || len(resp.GetBureaus()) != 4 {
		t.Errorf("verdict %v, bureaus %v", resp.GetVerdict(), resp.GetBureaus())
	}
}

func TestHitsAreMergedAndSorted(t *testing.T) {
	p := bulgaria(t, may(t, policy.PermitOptions{Bureau: "BEL", Collection: "persons"}), may(t, policy.PermitOptions{Bureau: "ESP", Collection: "persons"}))
	p.keep(t, person("own-1", "Karim Zerouali", "1989-04-17"), person("own-2", "Karim Zerouali", ""))
	foreign := func(b identity.Bureau, id string, band hitv1.Band) *hitv1.Hit {
		return &hitv1.Hit{Bureau: string(b), RecordId: id, Band: band}
	}
	p.asker.results = map[identity.Bureau]ask.Result{
		esp: {Status: queryv1.Status_STATUS_HIT, Hits: []*hitv1.Hit{foreign(esp, "e1", hitv1.Band_BAND_EXACT), foreign(esp, "e2", hitv1.Band_BAND_POSSIBLE)}},
		bel: {Status: queryv1.Status_STATUS_HIT, Hits: []*hitv1.Hit{foreign(bel, "b1", hitv1.Band_BAND_EXACT)}},
	}
	resp := p.check(t, traveller("Karim Zerouali", "1989-04-17"))
	equal(t, "hits", ids(resp.GetHits()), "BGR/own-1", "BEL/b1", "ESP/e1", "BGR/own-2", "ESP/e2")
	own := resp.GetHits()[0]
	if own.Score == nil || len(own.GetEvidence()) == 0 || own.GetPerson() == nil || own.GetStewardship().GetVersion() != 1 || own.GetDisclosed() != nil {
		t.Errorf("the own hit is not whole: %v", own)
	}
	if resp.GetVerdict() != screeningv1.Verdict_VERDICT_HIT || !strings.Contains(resp.GetAdvice(), "a lead, not a verdict") {
		t.Errorf("verdict %v, advice %q", resp.GetVerdict(), resp.GetAdvice())
	}
	var told []string
	for _, o := range p.books.passages[0].Entry.GetOutcomes() {
		told = append(told, o.GetBureau()+"="+strings.TrimPrefix(o.GetStatus().String(), "STATUS_"))
	}
	equal(t, "books", told, "BGR=HIT", "BEL=HIT", "ESP=HIT")
}

func TestQuestionCarriesWhoAsks(t *testing.T) {
	p := bulgaria(t, may(t, policy.PermitOptions{Bureau: "ESP", Collection: "persons"}))
	req := traveller("Karim Zerouali", "1989-04-17")
	// What the certificate says stands above what the request claims.
	req.Requester = &queryv1.Requester{Bureau: "USA", Agency: "another", Role: "operator", Unit: "lane 4", Officer: "badge 12", Workstation: "ws-3", OnBehalfOf: "customs"}
	p.check(t, req)
	r := p.asker.questions[0].Requester
	want := &queryv1.Requester{Bureau: "BGR", Agency: "border-police", Role: "officer", Unit: "lane 4", Officer: "officer-7.badge 12@BGR", Workstation: "ws-3", OnBehalfOf: "customs"}
	if !proto.Equal(r, want) {
		t.Errorf("requester %v, want %v", r, want)
	}
	// Each bureau knows the officer by another name, and none by the one that was given.
	if got := p.asker.questions[0].Targets[0].Officer; got != "officer-7.badge 12@ESP" {
		t.Errorf("Spain is told of %q", got)
	}
	if e := p.books.passages[0].Entry; !strings.HasSuffix(e.GetClient(), "/officer-7#badge 12") || e.GetRequester().GetOfficer() != "officer-7.badge 12@BGR" {
		t.Errorf("entry %v", e)
	}
	if q := p.asker.questions[0]; q.RosterVersion != 7 || q.MaxCandidates != 10 || q.Document != nil {
		t.Errorf("question %+v", q)
	}
}

func TestPatience(t *testing.T) {
	for name, c := range map[string]struct {
		given *durationpb.Duration
		most  time.Duration
		least time.Duration
	}{
		"the node's":              {nil, time.Second, 900 * time.Millisecond},
		"less":                    {durationpb.New(200 * time.Millisecond), 200 * time.Millisecond, 100 * time.Millisecond},
		"no more than the node's": {durationpb.New(time.Hour), time.Second, 900 * time.Millisecond},
		"below nothing":           {durationpb.New(-time.Hour), time.Second, 900 * time.Millisecond},
	} {
		p := bulgaria(t, may(t, policy.PermitOptions{Bureau: "ESP", Collection: "persons"}))
		req := traveller("Karim Zerouali", "1989-04-17")
		req.Patience = c.given
		p.check(t, req)
		if p.asker.deadline > c.most || p.asker.deadline < c.least {
			t.Errorf("%s: %v", name, p.asker.deadline)
		}
	}
}

func TestMinorsAndMustNot(t *testing.T) {
	p := bulgaria(t)
	boy := person("boy", "Samir Haddadin", "2011-03-02")
	boy.GetPerson().Role, boy.GetPerson().Action = recordv1.PersonRole_PERSON_ROLE_MISSING, recordv1.Action_ACTION_PROTECT
	boy.GetPerson().Images = []*recordv1.Attachment{{MediaType: "image/jpeg", Content: make([]byte, 1<<20)}}
	p.keep(t, boy)
	h := p.check(t, traveller("Samir Haddadin", "2011-03-02")).GetHits()[0]
	if !h.GetMinor() || h.GetAction() != recordv1.Action_ACTION_PROTECT || !strings.Contains(strings.Join(h.GetMustNot(), " "), "A child") {
		t.Errorf("hit %v", h.GetMustNot())
	}
	// A photograph is told by its digest: a few of them would be larger than an answer may be.
	if img := h.GetPerson().GetImages()[0]; len(img.GetContent()) != 0 || len(img.GetDigest()) != 32 {
		t.Errorf("image of %d bytes, digest %x", len(img.GetContent()), img.GetDigest())
	}
	held, err := p.store.Get(t.Context(), "persons", "boy")
	if err != nil || len(held.GetPerson().GetImages()[0].GetContent()) != 1<<20 {
		t.Errorf("the record lost its image: %v", err)
	}
	p.now = time.Date(2029, 3, 2, 0, 0, 0, 0, time.UTC)
	if h := p.check(t, traveller("Samir Haddadin", "2011-03-02")).GetHits()[0]; h.GetMinor() {
		t.Error("a minor on his eighteenth birthday")
	}
}

func TestActionOnDocument(t *testing.T) {
	own := recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN
	for status, want := range map[recordv1.DocumentStatus]recordv1.Action{
		own: recordv1.Action_ACTION_SEIZE_DOCUMENT,
		recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN_BLANK:     recordv1.Action_ACTION_SEIZE_DOCUMENT,
		recordv1.DocumentStatus_DOCUMENT_STATUS_LOST:             recordv1.Action_ACTION_SEIZE_DOCUMENT,
		recordv1.DocumentStatus_DOCUMENT_STATUS_REVOKED:          recordv1.Action_ACTION_SEIZE_DOCUMENT,
		recordv1.DocumentStatus_DOCUMENT_STATUS_INVALID:          recordv1.Action_ACTION_SEIZE_DOCUMENT,
		recordv1.DocumentStatus_DOCUMENT_STATUS_ASSOCIATED:       recordv1.Action_ACTION_INFORM,
		recordv1.DocumentStatus_DOCUMENT_STATUS_COUNTERFEIT_SEEN: recordv1.Action_ACTION_INFORM,
	} {
		p := bulgaria(t)
		p.keep(t, document("d1", "XA123456", bgr, status))
		hits := p.check(t, passport("XA123456", bgr)).GetHits()
		if len(hits) != 1 || hits[0].GetAction() != want || hits[0].GetDocumentStatus() != status || hits[0].GetIssuer() != "BGR" {
			t.Errorf("%v: %v", status, hits)
		}
	}
	p := bulgaria(t)
	asked := document("d1", "XA123456", bgr, own)
	asked.GetDocument().Action = recordv1.Action_ACTION_DISCREET
	p.keep(t, asked)
	if h := p.check(t, passport("XA123456", bgr)).GetHits()[0]; h.GetAction() != recordv1.Action_ACTION_DISCREET {
		t.Errorf("the owner's wish: %v", h.GetAction())
	}
}

func TestRecordsThatAreNoHit(t *testing.T) {
	p := bulgaria(t)
	expired, recovered := person("expired", "Karim Zerouali", "1989-04-17"), document("recovered", "XA123456", bgr, recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN)
	expired.Stewardship = &recordv1.Stewardship{ExpiresAt: timestamppb.New(noon)}
	old := document("old", "XA123456", bgr, recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN)
	old.Stewardship = &recordv1.Stewardship{ExpiresAt: timestamppb.New(noon.Add(-time.Second))}
	recovered.GetDocument().RecoveredAt = timestamppb.New(noon.Add(-time.Hour))
	p.keep(t, expired, old, recovered)
	for _, req := range []*screeningv1.CheckRequest{traveller("Karim Zerouali", "1989-04-17"), passport("XA123456", bgr)} {
		if resp := p.check(t, req); resp.GetVerdict() != screeningv1.Verdict_VERDICT_NO_HIT {
			t.Errorf("hits %v", ids(resp.GetHits()))
		}
	}
	// Twenty that have expired do not push out the one that has not.
	var all []*recordv1.Record
	for i := range 20 {
		r := person("expired-"+string(rune('a'+i)), "Karim Zerouali", "1989-04-17")
		r.Stewardship = &recordv1.Stewardship{ExpiresAt: timestamppb.New(noon)}
		all = append(all, r)
	}
	p.keep(t, append(all, person("valid", "Karim Zerouali", "1989-04-17"))...)
	equal(t, "hits", ids(p.check(t, traveller("Karim Zerouali", "1989-04-17")).GetHits()), "BGR/valid")
	// What is withdrawn is found no more.
	if _, err := p.store.Withdraw(t.Context(), "persons", []string{"valid"}); err != nil {
		t.Fatal(err)
	}
	if err := p.holdings.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if hits := p.check(t, traveller("Karim Zerouali", "1989-04-17")).GetHits(); len(hits) != 0 {
		t.Errorf("hits %v", ids(hits))
	}
}

func TestDocumentsOfSeveralKeys(t *testing.T) {
	p := bulgaria(t)
	assoc := recordv1.DocumentStatus_DOCUMENT_STATUS_ASSOCIATED
	p.keep(t, document("sentence", "Passport OA454805, before that A1234567", "", assoc), document("plain", "EH482913", bel, assoc))
	for number, want := range map[string][]string{
		"OA454805": {"BGR/sentence"}, "0A454805": {"BGR/sentence"}, "A1234567": {"BGR/sentence"}, "EH-482 913": {"BGR/plain"}, "EH482914": nil,
	} {
		equal(t, number, ids(p.check(t, passport(number, bel)).GetHits()), want...)
	}
	// Another state's document of the same number is another document.
	equal(t, "of Spain", ids(p.check(t, passport("EH482913", esp)).GetHits()))
}

func TestMRZIsCheckedEvenIfItIsReadBadly(t *testing.T) {
	p := bulgaria(t)
	p.keep(t, person("own-1", "Karim Zerouali", "1989-04-17"), document("doc-1", "XA1234567", bgr, recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN))
	good := td3(t, "BGR", "XA1234567", "ZEROUALI", "KARIM", "1989-04-17")
	resp := p.check(t, &screeningv1.CheckRequest{Mrz: good})
	equal(t, "hits", ids(resp.GetHits()), "BGR/doc-1", "BGR/own-1")
	tr := resp.GetTraveller()
	if tr.GetFormat() != "TD3" || tr.GetDocument().GetIssuer() != "BGR" || tr.GetPerson().GetBirthDate() != "1989-04-17" {
		t.Errorf("traveller %v", tr)
	}
	// A wrong check digit of the number is a problem, and the check goes on.
	line2 := len(good) - 44
	flipped := []byte(good)
	flipped[line2+9] = '0' + (flipped[line2+9]-'0'+1)%10
	resp = p.check(t, &screeningv1.CheckRequest{Mrz: string(flipped)})
	if len(resp.GetProblems()) == 0 {
		t.Error("a wrong check digit is no problem")
	}
	equal(t, "hits all the same", ids(resp.GetHits()), "BGR/doc-1", "BGR/own-1")
}

// td3 is the machine-readable zone of an invented passport.
func td3(t *testing.T, issuer, number, primary, secondary, born string) string {
	t.Helper()
	text, err := mrz.EncodeTD3(mrz.Document{
		Type: "P", Issuer: issuer, Number: number, Nationality: issuer, BirthDate: born, Sex: recordv1.Sex_SEX_MALE,
		Expiry: "2030-01-01", Primary: primary, Secondary: secondary,
	})
	if err != nil {
		t.Fatal(err)
	}
	if d, problems, err := (mrz.Parser{Now: func() time.Time { return noon }}).Parse(text); err != nil || len(problems) > 0 || d.Number != number {
		t.Fatalf("the zone made here is not good: %v %v %v", d, problems, err)
	}
	return text
}

func TestBadRequests(t *testing.T) {
	p := bulgaria(t)
	for name, c := range map[string]struct {
		req    *screeningv1.CheckRequest
		reason fault.Reason
		field  string
	}{
		"nothing":                     {&screeningv1.CheckRequest{}, fault.NothingAsked, "mrz"},
		"MRZ and fields":              {&screeningv1.CheckRequest{Mrz: "P<", Document: passport("EH1", esp).GetDocument()}, fault.MalformedRequest, "mrz"},
		"no MRZ":                      {&screeningv1.CheckRequest{Mrz: "hello"}, fault.MRZUnreadable, "mrz"},
		"a blank number":              {passport("  ", esp), fault.MalformedRequest, "document.number"},
		"a number without any":        {passport("--<<", esp), fault.MalformedRequest, "document.number"},
		"a word for a number":         {passport("unknown", esp), fault.MalformedRequest, "document.number"},
		"an unknown issuer":           {passport("EH1", "QQQ"), fault.UnknownCountry, "document.issuer"},
		"no name":                     {traveller(" ", "1989"), fault.MalformedRequest, "person.name"},
		"a name in an unknown script": {traveller("ᚠᚢᚦ ᚨᚱᚲ", "1989"), fault.MalformedRequest, "person.name"},
		"no day":                      {traveller("Karim", "1989-02-30"), fault.MalformedRequest, "person.birth_date"},
		"no month":                    {traveller("Karim", "1989-13"), fault.MalformedRequest, "person.birth_date"},
		"on behalf of a person":       {&screeningv1.CheckRequest{Person: &queryv1.PersonQuery{Name: "Karim"}, Requester: &queryv1.Requester{OnBehalfOf: "Sgt. Karim"}}, fault.MalformedRequest, "requester.on_behalf_of"},
		"an unknown nationality":      {&screeningv1.CheckRequest{Person: &queryv1.PersonQuery{Name: "Karim", Nationality: "QQQ"}}, fault.UnknownCountry, "person.nationality"},
	} {
		c.req.Justification = &queryv1.Justification{Purpose: border}
		resp, err := p.Check(t.Context(), officer(), c.req)
		reason, _ := fault.ReasonOf(err)
		if resp != nil || status.Code(err) != codes.InvalidArgument || reason != c.reason || fault.FieldOf(err) != c.field {
			t.Errorf("%s: %v (field %q)", name, err, fault.FieldOf(err))
		}
		if err != nil && strings.Contains(err.Error(), "Karim") {
			t.Errorf("%s: the error names the person: %v", name, err)
		}
	}
	// A purpose that the certificate does not hold.
	req := passport("EH1", esp)
	req.Justification = &queryv1.Justification{Purpose: recordv1.Purpose_PURPOSE_ANALYSIS, CaseRef: "1"}
	_, err := p.Check(t.Context(), officer(), req)
	if reason, _ := fault.ReasonOf(err); reason != fault.PurposeNotHeld {
		t.Errorf("error %v", err)
	}
	if len(p.asker.questions) != 0 {
		t.Error("somebody was asked")
	}
}

func TestNoAnswerWithoutBooks(t *testing.T) {
	p := bulgaria(t)
	p.keep(t, person("own-1", "Karim Zerouali", "1989-04-17"))
	p.books.err = errors.New("disk full")
	req := traveller("Karim Zerouali", "1989-04-17")
	req.Justification = &queryv1.Justification{Purpose: border}
	resp, err := p.Check(t.Context(), officer(), req)
	if reason, _ := fault.ReasonOf(err); resp != nil || reason != fault.BooksUnavailable {
		t.Errorf("response %v, error %v", resp, err)
	}
}

// failing is a store that cannot be read.
type failing struct {
	*store.Store
	err error
}

func (f *failing) FindDocuments(ctx context.Context, l store.DocumentLookup) ([]*recordv1.Record, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.Store.FindDocuments(ctx, l)
}

func (f *failing) Changes(ctx context.Context, after int64, limit int, collections ...string) ([]store.Change, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.Store.Changes(ctx, after, limit, collections...)
}

func TestOwnStoreFails(t *testing.T) {
	p := bulgaria(t)
	p.keep(t, person("own-1", "Karim Zerouali", "1989-04-17"))
	f := &failing{Store: p.store}
	h := screening.NewHoldings(bgr, f, func() time.Time { return p.now }, nil)
	if err := h.Load(t.Context()); err != nil || h.Persons() != 1 {
		t.Fatal(err)
	}
	f.err = errors.New("database disk image of Zerouali is malformed")
	if _, err := h.SearchDocuments(t.Context(), passport("EH1", bgr).GetDocument(), gate.Depth{Most: 10}); err == nil {
		t.Error("documents that cannot be read are no hit")
	}
	// A hiccup costs nothing; an index that has not followed for long is no answer.
	person := traveller("Karim Zerouali", "1989-04-17").GetPerson()
	for _, c := range []struct {
		later time.Duration
		fails bool
	}{{0, false}, {2 * time.Second, false}, {2 * time.Second, true}} {
		p.now = p.now.Add(c.later)
		if err := h.Load(t.Context()); err == nil {
			t.Error("a failing store loads")
		}
		if found, err := h.SearchPersons(t.Context(), person, gate.Depth{Most: 10}); (err != nil) != c.fails || !c.fails && len(found) != 1 {
			t.Errorf("after %v: %d found, %v", c.later, len(found), err)
		}
	}
	// The officer is told so, and not "no hit", nor what broke.
	s := screening.New(screening.Config{Self: bgr, Gate: p.gate, Holdings: h, Asker: p.asker, Mesh: p.mesh, Now: func() time.Time { return p.now }})
	for _, req := range []*screeningv1.CheckRequest{passport("EH1", bgr), traveller("Karim Zerouali", "1989-04-17")} {
		req.Justification = &queryv1.Justification{Purpose: border}
		resp, err := s.Check(t.Context(), officer(), req)
		reason, _ := fault.ReasonOf(err)
		if resp != nil || reason != fault.SearchFailed || strings.Contains(err.Error(), "Zerouali") {
			t.Errorf("response %v, error %v", resp, err)
		}
		if e := p.books.passages[len(p.books.passages)-1].Entry; e.GetDecision() != auditv1.Decision_DECISION_FAILED || e.GetReason() != string(fault.SearchFailed) {
			t.Errorf("books %v", e)
		}
	}
	f.err = nil
	if err := h.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found, err := h.SearchPersons(t.Context(), person, gate.Depth{Most: 10}); err != nil || len(found) != 1 {
		t.Errorf("recovered: %v, %v", found, err)
	}
}

func TestFollow(t *testing.T) {
	p := bulgaria(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.holdings.Follow(ctx); close(done) }()
	fit, err := p.fitter.Fit(person("own-1", "Karim Zerouali", "1989-04-17"), "persons", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.store.Put(t.Context(), []store.Put{{Collection: "persons", Source: "test", Record: fit}}); err != nil {
		t.Fatal(err)
	}
	p.holdings.Poke()
	p.holdings.Poke()               // never blocks
	for p.holdings.Persons() == 0 { // the test's own patience ends it
		p.holdings.Visible(t.Context())
	}
	cancel()
	<-done
}

func TestCallerGoesAway(t *testing.T) {
	p := bulgaria(t, may(t, policy.PermitOptions{Bureau: "ESP", Collection: "persons"}))
	ctx, cancel := context.WithCancel(t.Context())
	p.asker.answer = func(q ask.Question) []ask.Result {
		cancel()
		return []ask.Result{{Bureau: esp, Status: queryv1.Status_STATUS_UNAVAILABLE}}
	}
	p.books.err = context.Canceled
	req := traveller("Karim Zerouali", "1989-04-17")
	req.Justification = &queryv1.Justification{Purpose: border}
	if _, err := p.Check(ctx, officer(), req); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestSearchesAreBounded(t *testing.T) {
	p := bulgaria(t)
	var all []*recordv1.Record
	for i := range 30 {
		all = append(all, person("p-"+string(rune('a'+i/10))+string(rune('0'+i%10)), "Karim Zerouali", "1989-04-17"))
	}
	p.keep(t, all...)
	if hits := p.check(t, traveller("Karim Zerouali", "1989-04-17")).GetHits(); len(hits) != 10 {
		t.Errorf("%d hits", len(hits))
	}
	found, err := p.holdings.SearchPersons(t.Context(), traveller("Karim Zerouali", "1989-04-17").GetPerson(), gate.Depth{Most: match.MaxHits})
	if err != nil || len(found) != 30 {
		t.Errorf("the gate sees %d of 30: %v", len(found), err)
	}
}

func TestActionWord(t *testing.T) {
	if got := screening.ActionWord(recordv1.Action_ACTION_SEIZE_DOCUMENT); got != "seize document" {
		t.Error(got)
	}
	if got := screening.ActionWord(recordv1.Action_ACTION_UNSPECIFIED); got != "contact the owner" {
		t.Error(got)
	}
}
