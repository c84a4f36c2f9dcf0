package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/nodetest"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

const (
	noHit      = queryv1.Status_STATUS_NO_HIT
	hit        = queryv1.Status_STATUS_HIT
	refusal    = queryv1.Status_STATUS_REFUSED
	silence    = queryv1.Status_STATUS_UNAVAILABLE
	clean      = screeningv1.Verdict_VERDICT_NO_HIT
	found      = screeningv1.Verdict_VERDICT_HIT
	incomplete = screeningv1.Verdict_VERDICT_INCOMPLETE
)

// boyBorn is the birth date of somebody who is fifteen.
func boyBorn() string { return time.Now().AddDate(-15, -4, 0).Format(time.DateOnly) }

// TestWhoIsToldOfARecord enters one record for each case at BEL, and has BGR and ESP, which may
// both ask, look for every one of them.
func TestWhoIsToldOfARecord(t *testing.T) {
	m := nodetest.Found(t, "BEL", "BGR", "ESP")
	bel := m.Bureau("BEL")
	for _, other := range []identity.Bureau{"BGR", "ESP"} {
		m.PermitBoth("BEL", other, nodetest.Persons, nodetest.Border, nodetest.Police)
	}
	listed := func(b ...string) *recordv1.Audience {
		return &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_LISTED, Allow: b}
	}
	role := func(r recordv1.PersonRole, a recordv1.Action) func(*recordv1.Record) {
		return func(rec *recordv1.Record) { rec.GetPerson().Role, rec.GetPerson().Action = r, a }
	}
	minor := func(a recordv1.Action) func(*recordv1.Record) {
		return func(rec *recordv1.Record) {
			rec.GetPerson().Action = a
			rec.GetPerson().Births[0].From, rec.GetPerson().Births[0].To = boyBorn(), boyBorn()
		}
	}
	type told struct{ bgr, esp queryv1.Status }
	nobody, both := told{noHit, noHit}, told{hit, hit}
	cases := []struct {
		name    string
		edit    func(*recordv1.Record)
		purpose nodetest.Purpose // default: border control
		want    told
		notHome bool
	}{
		{name: "all whom policy permits", edit: func(*recordv1.Record) {}, want: both},
		{name: "no audience", edit: func(r *recordv1.Record) { r.Stewardship.Audience = nil }, want: nobody},
		{name: "audience of nobody", edit: func(r *recordv1.Record) {
			r.Stewardship.Audience = &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_NONE, Allow: []string{"BGR"}}
		}, want: nobody},
		{name: "listed: BGR", edit: func(r *recordv1.Record) { r.Stewardship.Audience = listed("BGR") }, want: told{hit, noHit}},
		{name: "listed: nobody", edit: func(r *recordv1.Record) { r.Stewardship.Audience = listed() }, want: nobody},
		{name: "denied: BGR", edit: func(r *recordv1.Record) { r.Stewardship.Audience.Deny = []string{"BGR"} }, want: told{noHit, hit}},
		{name: "listed and denied: BGR", edit: func(r *recordv1.Record) {
			r.Stewardship.Audience = listed("BGR", "ESP")
			r.Stewardship.Audience.Deny = []string{"BGR"}
		}, want: told{noHit, hit}},
		{name: "for police checks, asked at the border", edit: func(r *recordv1.Record) { r.Stewardship.Purposes = []nodetest.Purpose{nodetest.Police} }, want: nobody},
		{name: "for police checks, asked at one", purpose: nodetest.Police, edit: func(r *recordv1.Record) { r.Stewardship.Purposes = []nodetest.Purpose{nodetest.Police} }, want: both},
		{name: "handling H2", edit: func(r *recordv1.Record) { r.Stewardship.Handling = &recordv1.Handling{Scheme: "europol", Code: "H2"} }, want: nobody},
		{name: "handling that nobody knows", edit: func(r *recordv1.Record) { r.Stewardship.Handling = &recordv1.Handling{Scheme: "own", Code: "X"} }, want: nobody},
		{name: "handling H1", edit: func(r *recordv1.Record) { r.Stewardship.Handling = &recordv1.Handling{Scheme: "europol", Code: "H1"} }, want: both},
		{name: "expired", notHome: true, edit: func(r *recordv1.Record) { r.Stewardship.ExpiresAt = timestamppb.New(time.Now().Add(-time.Hour)) }, want: nobody},
		{name: "not expired yet", edit: func(r *recordv1.Record) { r.Stewardship.ExpiresAt = timestamppb.New(time.Now().Add(time.Hour)) }, want: both},
		{name: "a victim", edit: role(recordv1.PersonRole_PERSON_ROLE_VICTIM, recordv1.Action_ACTION_PROTECT), want: nobody},
		{name: "a witness", edit: role(recordv1.PersonRole_PERSON_ROLE_WITNESS, recordv1.Action_ACTION_LOCATE), want: nobody},
		{name: "a victim, for ESP", edit: func(r *recordv1.Record) {
			role(recordv1.PersonRole_PERSON_ROLE_VICTIM, recordv1.Action_ACTION_PROTECT)(r)
			r.Stewardship.Audience = listed("ESP")
		}, want: told{noHit, hit}},
		{name: "a child to be arrested", edit: minor(recordv1.Action_ACTION_ARREST), want: nobody},
		{name: "a child to be watched", edit: minor(recordv1.Action_ACTION_DISCREET), want: nobody},
		{name: "a child to be protected", edit: minor(recordv1.Action_ACTION_PROTECT), want: both},
	}
	for i, c := range cases {
		rec := nodetest.Person(fmt.Sprintf("bel:%d", i), surname(i), given(i), "1990-07-21")
		c.edit(rec)
		bel.Create(rec)
	}
	check := func(at *nodetest.Bureau, i int) *screeningv1.CheckResponse {
		t.Helper()
		born := "1990-07-21"
		if strings.HasPrefix(cases[i].name, "a child") {
			born = boyBorn()
		}
		req := nodetest.CheckPerson(surname(i), given(i), born)
		req.Justification = &queryv1.Justification{Purpose: max(cases[i].purpose, nodetest.Border)}
		return at.Check(req)
	}
	for i, c := range cases {
		home := check(bel, i)
		if (home.GetVerdict() == found) == c.notHome {
			t.Errorf("%s: at home %v", c.name, home.GetVerdict())
		}
		for at, want := range map[identity.Bureau]queryv1.Status{"BGR": c.want.bgr, "ESP": c.want.esp} {
			resp := check(m.Bureau(at), i)
			s := nodetest.Status(resp, "BEL")
			if s.GetStatus() != want {
				t.Errorf("%s: %s is told %v, want %v", c.name, at, s.GetStatus(), want)
			}
			if want == noHit && (resp.GetVerdict() != clean || len(resp.GetHits()) != 0 || s.GetReason() != "" || resp.GetAdvice() != "") {
				t.Errorf("%s: %s can tell that something is withheld: %v", c.name, at, resp)
			}
			for _, h := range resp.GetHits() {
				if h.GetScore() != 0 || h.GetPerson() != nil || len(h.GetEvidence()) != 0 || h.GetStewardship().GetAudience() != nil {
					t.Errorf("%s: more was told than may cross a border: %v", c.name, h)
				}
				if strings.HasPrefix(c.name, "a child") && (!h.GetMinor() || !strings.Contains(strings.Join(h.GetMustNot(), " "), "child")) {
					t.Errorf("%s: the officer is not told that it is a child: %v", c.name, h)
				}
			}
		}
	}
}

// surname is one for each case, none like another.
func surname(i int) string {
	names := []string{
		"Vandersmissen", "Okonkwo", "Brzezicki", "Haraldsdottir", "Quispe", "Tchaikowsky", "Lindqvist", "Mbeki", "Fujiwara", "Castellanos",
		"Deschamps", "Oyelaran", "Papanikolaou", "Zubizarreta", "Wojciechowski", "Abercrombie", "Nguyenova", "Sjoberg", "Kertesz", "Iglesias",
	}
	return names[i]
}

// given is as unlike the others: who is born on one day and bears one rare given name may have
// changed the other name.
func given(i int) string {
	names := []string{
		"Yorick", "Adeyemi", "Radomir", "Thorvald", "Huallpa", "Anastas", "Gunnar", "Sipho", "Haruki", "Ramiro",
		"Loic", "Babatunde", "Stavros", "Iker", "Zbigniew", "Cuthbert", "Bohdana", "Torbjorn", "Laszlo", "Baltasar",
	}
	return names[i]
}

// TestWithheldLooksLikeNothing compares the answers themselves: of a record that is withheld, of
// one that is not there, and of one that is told.
func TestWithheldLooksLikeNothing(t *testing.T) {
	m := nodetest.Found(t, "BEL", "BGR")
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	m.PermitBoth("BEL", "BGR", nodetest.Persons, nodetest.Border)
	withheld := nodetest.Person("bel:1", "Vandersmissen", "Yorick", "1990-07-21")
	withheld.Stewardship.Audience = nil
	bel.Create(withheld, nodetest.Person("bel:2", "Okonkwo", "Adaeze", "1990-07-21"))
	conn := bgr.DialMesh(bel)
	answer := func(primary, secondary string, p nodetest.Purpose) (*queryv1.Answer, int) {
		t.Helper()
		ask := bgr.Ask("BEL")
		ask.Justification.Purpose = p
		ask.Person = &queryv1.PersonQuery{Primary: primary, Secondary: secondary, BirthDate: "1990-07-21"}
		signed, err := sendAsk(t, conn, sign(t, bgr.Signer(), ask))
		if err != nil {
			t.Fatal(err)
		}
		return read(t, m, signed), proto.Size(signed)
	}
	kept, keptSize := answer("Vandersmissen", "Yorick", nodetest.Border)
	none, noneSize := answer("Haraldsdottir", "Gudrun", nodetest.Border)
	yes, yesSize := answer("Okonkwo", "Adaeze", nodetest.Border)
	if kept.GetResults()[0].GetStatus() != noHit || !proto.Equal(kept.GetResults()[0], none.GetResults()[0]) {
		t.Errorf("withheld %v, not there %v", kept.GetResults(), none.GetResults())
	}
	if yes.GetResults()[0].GetStatus() != hit {
		t.Errorf("told: %v", yes.GetResults())
	}
	if keptSize != noneSize || yesSize != noneSize {
		t.Errorf("%d bytes for a withheld record, %d for none, %d for one that is told: want one size", keptSize, noneSize, yesSize)
	}
	// A refusal depends on the request alone: the same for whoever is asked about.
	var refusals []*queryv1.CollectionAnswer
	for _, who := range []string{"Vandersmissen", "Haraldsdottir", "Okonkwo"} {
		a, size := answer(who, "Yorick", nodetest.Police)
		refusals = append(refusals, a.GetResults()[0])
		if a.GetResults()[0].GetStatus() != refusal || size != noneSize {
			t.Errorf("a purpose that is not permitted: %v in %d bytes", a.GetResults(), size)
		}
	}
	if !proto.Equal(refusals[0], refusals[1]) || !proto.Equal(refusals[0], refusals[2]) {
		t.Errorf("refusals differ: %v", refusals)
	}
}

// TestAPermitIsNeededOnBothSides, and nothing is asked where one is missing.
func TestAPermitIsNeededOnBothSides(t *testing.T) {
	m := nodetest.Found(t, "BEL", "BGR")
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	bel.Create(nodetest.Person("bel:1", "Vandersmissen", "Yorick", "1990-07-21"))
	m.WaitConnected()
	border := []nodetest.Purpose{nodetest.Border}
	check := func() *screeningv1.CheckResponse {
		t.Helper()
		return bgr.Check(nodetest.CheckPerson("Vandersmissen", "Yorick", "1990-07-21"))
	}
	quiet := func(why string) {
		t.Helper()
		silent(t, m, func() {
			if resp := check(); resp.GetVerdict() != clean || len(resp.GetBureaus()) != 1 {
				t.Errorf("%s: %v %v", why, resp.GetVerdict(), resp.GetBureaus())
			}
		})
	}
	quiet("no permit on either side")
	bgr.Permit(nodetest.PermitOptions{Bureau: "BEL", Collection: nodetest.Persons, Purposes: border})
	quiet("BEL does not offer it")

	began := time.Now()
	bel.Permit(nodetest.PermitOptions{Bureau: "BGR", Collection: nodetest.Persons, Purposes: border})
	m.WaitOffers("BGR", "BEL", nodetest.Persons)
	t.Logf("BGR heard %s after the command that BEL offers it", time.Since(began).Round(time.Millisecond))
	if resp := check(); resp.GetVerdict() != found {
		t.Errorf("with both permits: %v", resp.GetVerdict())
	}

	// Taken back by the asker, it is not asked; taken back by the answerer, neither.
	took := func(at *nodetest.Bureau, other identity.Bureau) {
		t.Helper()
		if err := os.Remove(filepath.Join(node.PoliciesDir(at.Dir), "permit-"+string(other)+"-persons-ask.cedar")); err != nil {
			t.Fatal(err)
		}
		at.Reload()
	}
	took(bgr, "BEL")
	quiet("BGR has taken its permit back")
	bgr.Permit(nodetest.PermitOptions{Bureau: "BEL", Collection: nodetest.Persons, Purposes: border})
	began = time.Now()
	took(bel, "BGR")
	m.Eventually("BGR hears that BEL offers it no more", func() bool {
		for _, o := range bgr.Offers("BEL") {
			if o.GetCollection() == nodetest.Persons {
				return false
			}
		}
		return true
	})
	t.Logf("BGR heard %s after the command that BEL offers it no more", time.Since(began).Round(time.Millisecond))
	quiet("BEL has taken its permit back")
}

// TestAPermitHasAnEnd: in the past from the beginning, and when the clock passes it.
func TestAPermitHasAnEnd(t *testing.T) {
	m := nodetest.Found(t, "BEL", "BGR")
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	bel.Create(nodetest.Person("bel:1", "Vandersmissen", "Yorick", "1990-07-21"))
	m.WaitConnected()
	until := func(at time.Time) {
		t.Helper()
		for _, p := range []struct {
			at    *nodetest.Bureau
			other string
		}{{bel, "BGR"}, {bgr, "BEL"}} {
			p.at.Permit(nodetest.PermitOptions{Bureau: p.other, Collection: nodetest.Persons, Purposes: []nodetest.Purpose{nodetest.Border}, Until: at})
		}
	}
	check := func() *screeningv1.CheckResponse {
		t.Helper()
		return bgr.Check(nodetest.CheckPerson("Vandersmissen", "Yorick", "1990-07-21"))
	}
	until(time.Now().Add(-time.Minute))
	silent(t, m, func() {
		if resp := check(); resp.GetVerdict() != clean || len(resp.GetBureaus()) != 1 {
			t.Errorf("a permit of the past: %v %v", resp.GetVerdict(), resp.GetBureaus())
		}
	})
	until(time.Now().Add(time.Hour))
	m.WaitOffers("BGR", "BEL", nodetest.Persons)
	if resp := check(); resp.GetVerdict() != found {
		t.Errorf("a permit for an hour: %v", resp.GetVerdict())
	}
	// By BEL's clock it is over first. What BGR still asks is refused, and looks like no answer.
	bel.Clock.Set(2 * time.Hour)
	ask := askYorick(bgr, "BEL")
	ask.IssuedAt, ask.NotAfter = timestamppb.New(bel.Clock.Now()), timestamppb.New(bel.Clock.Now().Add(time.Minute))
	answer, err := sendAsk(t, bgr.DialMesh(bel), sign(t, bgr.Signer(), ask))
	if err != nil {
		t.Fatal(err)
	}
	if s := read(t, m, answer).GetResults()[0].GetStatus(); s != refusal {
		t.Errorf("after the permit's end BEL answers %v", s)
	}
	bgr.Clock.Set(2 * time.Hour)
	silent(t, m, func() {
		if resp := check(); resp.GetVerdict() != clean || len(resp.GetBureaus()) != 1 {
			t.Errorf("two hours later: %v %v", resp.GetVerdict(), resp.GetBureaus())
		}
	})
}

// TestABureauThatIsAway: what a concerned one's silence means, and an optional one's.
func TestABureauThatIsAway(t *testing.T) {
	m := nodetest.Found(t, "BEL", "BGR", "ESP")
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	bel.Create(nodetest.Person("bel:1", "Vandersmissen", "Yorick", "1990-07-21"))
	m.PermitBoth("BEL", "BGR", nodetest.Persons, nodetest.Border)
	m.PermitBoth("ESP", "BGR", nodetest.Persons, nodetest.Border)
	check := func(what string, want screeningv1.Verdict, at queryv1.Status) *screeningv1.CheckResponse {
		t.Helper()
		resp := bgr.Check(nodetest.CheckPerson("Vandersmissen", "Yorick", "1990-07-21"))
		s := nodetest.Status(resp, "BEL")
		if resp.GetVerdict() != want || s.GetStatus() != at {
			t.Errorf("%s: %v, BEL %v, want %v and %v", what, resp.GetVerdict(), s, want, at)
		}
		if nodetest.Status(resp, "ESP").GetStatus() != noHit {
			t.Errorf("%s: ESP's answer is lost: %v", what, resp.GetBureaus())
		}
		return resp
	}
	check("before", found, hit)
	bel.Kill()
	resp := check("the first after the crash", incomplete, silence)
	if resp.GetAdvice() == "" || !strings.Contains(resp.GetAdvice(), "BEL") {
		t.Errorf("advice %q does not name who is missing", resp.GetAdvice())
	}
	resp = check("the second", incomplete, silence)
	s := nodetest.Status(resp, "BEL")
	if s.GetSince() == nil || len(s.GetRules()) == 0 || s.GetReason() == "" {
		t.Errorf("it does not say since when, why, and what obliged the ask: %v", s)
	}
	t.Logf("the second check after the crash took %s", resp.GetElapsed().AsDuration())
	bgr.Permit(nodetest.PermitOptions{Bureau: "BEL", Collection: nodetest.Persons, Purposes: []nodetest.Purpose{nodetest.Border}, Optional: true})
	if resp = check("optional and away", clean, silence); !nodetest.Status(resp, "BEL").GetOptional() {
		t.Errorf("BEL is not shown as optional: %v", resp.GetBureaus())
	}
	bel.MustStart()
	began := time.Now()
	m.Eventually("BGR uses BEL again", func() bool { return bgr.Connected("BEL") })
	t.Logf("BEL was used again %s after it was back", time.Since(began).Round(time.Millisecond))
	check("optional and back", found, hit)
}

// TestABadPolicyChangesNothing: all or nothing, and the error says where.
func TestABadPolicyChangesNothing(t *testing.T) {
	m := nodetest.Found(t, "BEL", "BGR")
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	bel.Create(nodetest.Person("bel:1", "Vandersmissen", "Yorick", "1990-07-21"))
	m.PermitBoth("BEL", "BGR", nodetest.Persons, nodetest.Border)
	path := filepath.Join(node.PoliciesDir(bel.Dir), "mistake.cedar")
	if err := os.WriteFile(path, []byte("// A slip.\n@id(\"mistake\")\nforbid (principal, action == Action::\"answr\", resource);\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := bel.Admin().ReloadPolicy(t.Context(), &adminv1.ReloadPolicyRequest{})
	if err == nil || !strings.Contains(err.Error(), "mistake.cedar:") {
		t.Errorf("a policy with a slip was loaded, or the error does not say where it is: %v", err)
	}
	if resp := bgr.Check(nodetest.CheckPerson("Vandersmissen", "Yorick", "1990-07-21")); resp.GetVerdict() != found {
		t.Errorf("the policy before is not in force any more: %v", resp.GetVerdict())
	}
	// A rule of the country's own stands above every permit, from the reload on.
	bel.Policy("mistake.cedar", "@id(\"no-answers-today\")\nforbid (principal, action == Action::\"answer\", resource);\n")
	answer, err := sendAsk(t, bgr.DialMesh(bel), sign(t, bgr.Signer(), askYorick(bgr, "BEL")))
	if err != nil {
		t.Fatal(err)
	}
	if s := read(t, m, answer).GetResults()[0].GetStatus(); s != refusal {
		t.Errorf("against the country's own rule BEL answers %v", s)
	}
}

// TestOwnDocumentsAreForEverybody: whoever is in the roster may ask BEL about BEL's documents;
// Lebanon needs one line of its own, BEL none. What BEL holds on others' documents, and on whose
// bearers it looks, takes a permit.
func TestOwnDocumentsAreForEverybody(t *testing.T) {
	m := nodetest.Found(t, "BEL", "LBN", "ESP")
	bel, lbn := m.Bureau("BEL"), m.Bureau("LBN")
	m.WaitConnected()
	associated := func(id, number, issuer string) *recordv1.Record {
		r := nodetest.Stolen(id, number, issuer)
		r.GetDocument().Status = recordv1.DocumentStatus_DOCUMENT_STATUS_ASSOCIATED
		return r
	}
	recovered := nodetest.Stolen("bel:doc-3", "EH482915", "BEL")
	recovered.GetDocument().RecoveredAt = timestamppb.New(time.Now().Add(-time.Hour))
	bel.Create(nodetest.Stolen("bel:doc-1", "EH482913", "BEL"), associated("bel:doc-2", "EH482914", "BEL"), recovered, associated("bel:doc-4", "PAB220417", "ESP"))
	silent(t, m, func() {
		if resp := lbn.Check(nodetest.CheckDocument("EH482913", "BEL")); resp.GetVerdict() != clean || len(resp.GetBureaus()) != 1 {
			t.Errorf("without Lebanon's own permit: %v %v", resp.GetVerdict(), resp.GetBureaus())
		}
	})
	lbn.Permit(nodetest.PermitOptions{Bureau: "ALL", Collection: nodetest.Documents, Purposes: []nodetest.Purpose{nodetest.Border}})
	look := func(when, number, issuer string, concerned int, want screeningv1.Verdict) {
		t.Helper()
		resp := lbn.Check(nodetest.CheckDocument(number, issuer))
		if resp.GetVerdict() != want || len(resp.GetBureaus()) != concerned+1 {
			t.Errorf("%s, %s of %q: %v, %v, want %v and %d asked", when, number, issuer, resp.GetVerdict(), resp.GetBureaus(), want, concerned)
		}
	}
	const all = "with one line for all"
	look(all, "EH482913", "BEL", 1, found)
	look(all, "eh 482913", "BEL", 1, found)
	look(all, "EH482999", "BEL", 1, clean)
	look(all, "EH482914", "BEL", 1, clean) // valid, and whose it is is BEL's secret
	look(all, "EH482915", "BEL", 1, clean) // found again
	look(all, "PAB220417", "ESP", 1, clean)
	look(all, "EH482913", "", 0, clean) // nobody is asked about a document of nobody's
	bel.Permit(nodetest.PermitOptions{Bureau: "LBN", Collection: nodetest.Documents, Purposes: []nodetest.Purpose{nodetest.Border}})
	lbn.Permit(nodetest.PermitOptions{Bureau: "BEL", Collection: nodetest.Documents, Purposes: []nodetest.Purpose{nodetest.Border}})
	m.WaitOffers("LBN", "BEL", nodetest.Documents)
	const both = "with permits on both sides"
	look(both, "EH482914", "BEL", 1, found)
	look(both, "PAB220417", "ESP", 2, found)
	look(both, "EH482913", "", 1, found)
	look(both, "EH482915", "BEL", 1, clean)
}
