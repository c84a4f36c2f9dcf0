package policy

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// questionPolicy writes a policy on questions at random.
func (a author) questionPolicy(action string, n int) string {
	moment := pick(a, `datetime("2026-06-01T12:00:00Z")`, `datetime("2026-06-01T12:00:00.001Z")`, `datetime("2026-06-01T14:00:00+0200")`, `datetime("2027-01-01")`)
	compare := pick(a, " < ", " <= ", " > ", " >= ", " == ", " != ")
	condition := func() string {
		return pick(a,
			"context.now"+compare+moment, "context.now"+compare+moment, moment+compare+"context.now",
			"["+moment+"].contains(context.now)",
			"context.now"+compare+moment+`.offset(duration("1ms"))`,
			"context.now.toTime() < duration(\"12h\")",
			"context has now && context.now"+compare+moment,
			`context.issuing_state == "ESP"`, `context.nationality == resource.bureau`, `["BGR", ""].contains(context.nationality)`,
			`principal.role == Role::"officer"`, `principal in Agency::"ESP/border-police"`, `principal in Agency::"BGR/border-police"`,
			`principal == Client::"ESP/border-police/officer/ruiz"`, `principal == Requester::"BGR/border-police/officer"`,
			`context.purpose == Purpose::"border-control"`, `principal.purposes.contains(context.purpose)`, "context.has_case",
			`resource.holds == Subject::"persons"`, `principal in Federation::"demo.entente"`, `resource in Community::"balkan"`,
			`context == context`,
		)
	}
	text := fmt.Sprintf("@id(%q)\n%s (principal, action == Action::%q, resource)", fmt.Sprint("p/", n), pick(a, "permit", "permit", "forbid"), action)
	for range a.IntN(3) {
		text += "\n" + pick(a, "when", "unless") + " { " + pick(a, condition(), condition()+" || "+condition()) + " }"
	}
	return text + ";\n"
}

// TestRememberedQuestions shows that what is remembered of one question is given for questions
// that the policies cannot tell from it alone, and never beyond a moment that they name.
func TestRememberedQuestions(t *testing.T) {
	a := author{rand.New(rand.NewPCG(3, 4))}
	remembered, given := 0, 0
	for range 150 {
		folder := fstest.MapFS{CommunitiesFile: {Data: []byte("balkan: [BGR, ESP]\n")}}
		for n := range 2 + a.IntN(5) {
			for _, action := range []string{actionAsk, actionAnswer} {
				text := a.questionPolicy(action, n)
				if _, err := Load(fstest.MapFS{CommunitiesFile: folder[CommunitiesFile], "x.cedar": {Data: []byte(text)}}); err != nil {
					continue // what the vocabulary refuses of this action
				}
				folder[fmt.Sprint(action, n, ".cedar")] = &fstest.MapFile{Data: []byte(renamed(text, action))}
			}
		}
		set, err := Load(folder)
		if err != nil {
			t.Fatal(err)
		}
		for range 150 {
			now := testNoon.Add(pick[time.Duration](a, 0, time.Millisecond, 2*time.Millisecond, -time.Millisecond, time.Microsecond, -time.Nanosecond, -12*time.Hour, 365*24*time.Hour))
			purpose, collection := pick[recordv1.Purpose](a, 1, 10), pick(a, Collections()...)
			issuer, national := pick(a, "", "ESP", "BGR"), pick(a, "", "BGR", "LBN")
			agency, role, fed := pick(a, "border-police", "customs"), pick(a, "officer", "analyst"), pick[identity.Federation](a, "", "demo.entente")
			other := pick[identity.Bureau](a, "BGR", "LBN")
			ask := AskFacts{
				Self: "ESP", To: other, Collection: collection, Purpose: purpose, IssuingState: issuer, Nationality: national, Now: now,
				Client: identity.Client(fed, "ESP", agency, identity.Role(role), pick(a, "ruiz", "another"), pick(a, nil, []recordv1.Purpose{1}, []recordv1.Purpose{10, 1})),
			}
			answer := AnswerFacts{
				Self: "ESP", From: other, Federation: fed, Agency: agency, Role: role, Collection: collection, Purpose: purpose,
				Mode: pick(a, "", ModeAsk), IssuingState: issuer, Nationality: national, HasCase: a.IntN(2) == 0, Now: now,
			}
			before := len(set.questions.kept)
			for _, c := range []struct{ got, want Decision }{{set.Ask(ask), set.ask(&ask, false)}, {set.Answer(answer), set.answer(&answer, false)}} {
				if diff := cmp.Diff(Explain(c.want, set), Explain(c.got, set)); diff != "" {
					t.Fatalf("%+v\n%+v\n%s", ask, answer, diff)
				}
				_ = append(c.got.Rules, "another's") // must not reach who asks next
			}
			remembered += len(set.questions.kept) - before
			given += 2
		}
	}
	if remembered == 0 || given < 4*remembered {
		t.Errorf("%d of %d decisions were made anew", remembered, given)
	}
	t.Logf("%d of %d decisions were made anew to be remembered", remembered, given)
}

// renamed gives a policy an id of its own among those of both actions.
func renamed(text, action string) string { return "@id(\"" + action + "-" + text[len("@id(\""):] }

// TestRememberedUpToABoundary asks the same before, at and after the end of a permit, and again in
// the other order.
func TestRememberedUpToABoundary(t *testing.T) {
	until := testNoon
	name, text, err := Permit(PermitOptions{Self: "ESP", Bureau: "BGR", Collection: CollectionPersons, Purposes: []recordv1.Purpose{1}, Until: until})
	if err != nil {
		t.Fatal(err)
	}
	set, err := Load(fstest.MapFS{name: {Data: text}})
	if err != nil {
		t.Fatal(err)
	}
	for _, off := range []time.Duration{-time.Hour, -time.Millisecond, -time.Nanosecond, 0, time.Nanosecond, time.Hour, 0, -time.Nanosecond, -time.Hour} {
		d := set.Answer(AnswerFacts{Self: "ESP", From: "BGR", Agency: "a", Role: "officer", Collection: CollectionPersons, Purpose: 1, Now: until.Add(off)})
		if d.Allow != (off < 0) || d.Err != nil {
			t.Errorf("%v from its end the permit says %v", off, d.Allow)
		}
	}
	if n := len(set.questions.kept); n != 3 {
		t.Errorf("%d spans remembered, want before, at and after", n)
	}
	if d := set.Answer(AnswerFacts{Self: "ESP", From: "BGR", Agency: "a", Role: "officer", Collection: CollectionPersons, Purpose: 1}); d.Err == nil {
		t.Error("a question of no time is answered from memory")
	}
}

// TestMemoryIsBounded fills it, from several sides at once.
func TestMemoryIsBounded(t *testing.T) {
	var m memory[int, int]
	var all sync.WaitGroup
	for side := range 4 {
		all.Go(func() {
			for i := range mostKept {
				m.keep(side*mostKept+i, i)
				if v, ok := m.find(side*mostKept + i); ok && v != i {
					t.Errorf("%d instead of %d", v, i)
				}
			}
		})
	}
	all.Wait()
	if len(m.kept) > mostKept {
		t.Errorf("%d kept", len(m.kept))
	}
}
