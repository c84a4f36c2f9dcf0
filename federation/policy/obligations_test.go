package policy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/entente-mesh/entente/federation/policy"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

func TestObligationsCombine(t *testing.T) {
	ask := policy.AnswerFacts{Self: esp, From: bgr, Collection: policy.CollectionPersons, Purpose: border, Now: noon}
	rule := func(id, annotations string) string { return answerRule(`@id("`+id+`") `+annotations, "") }
	for name, scene := range map[string]struct {
		rules string
		want  policy.Obligations
	}{
		"none": {rule("a", ""), policy.Obligations{}},
		"one": {
			rule("a", `@redact("warnings, person.images,warnings") @retention("P90D") @handling("europol/H1") @evidence("full") @legal("Treaty of 2019, art. 4")`),
			policy.Obligations{Redact: []string{"person.images", "warnings"}, RetentionDays: 90, Handling: "europol/H1", FullEvidence: true},
		},
		"redactions: union": {
			rule("a", `@redact("warnings,minor")`) + rule("b", `@redact("person_role, warnings")`) + rule("c", ""),
			policy.Obligations{Redact: []string{"minor", "person_role", "warnings"}},
		},
		"retention: minimum": {
			rule("a", `@retention("P90D")`) + rule("b", `@retention("P30D")`) + rule("c", ""),
			policy.Obligations{RetentionDays: 30},
		},
		"handling: strictest, across schemes": {
			rule("a", `@handling("europol/H1")`) + rule("b", `@handling("uk-5x5x5/4")`) + rule("c", `@handling("europol/H0")`),
			policy.Obligations{Handling: "uk-5x5x5/4"},
		},
		"evidence: full if all say so": {
			rule("a", `@evidence("full")`) + rule("b", `@evidence("full")`),
			policy.Obligations{FullEvidence: true},
		},
		"evidence: not if one is silent":    {rule("a", `@evidence("full")`) + rule("b", ""), policy.Obligations{}},
		"evidence: not if one says band":    {rule("a", `@evidence("full")`) + rule("b", `@evidence("band")`), policy.Obligations{}},
		"evidence: the order does not help": {rule("a", ``) + rule("b", `@evidence("full")`), policy.Obligations{}},
	} {
		t.Run(name, func(t *testing.T) {
			d := loadText(t, scene.rules).Answer(ask)
			if !d.Allow {
				t.Fatalf("denied: %v", d.Err)
			}
			if diff := cmp.Diff(scene.want, d.Obligations); diff != "" {
				t.Errorf("obligations (-want +got):\n%s", diff)
			}
		})
	}
	// A permit that does not apply binds to nothing; a denial to its advice alone.
	d := loadText(t, rule("a", "")+answerRule(`@id("b") @retention("P1D")`, `when { context.nationality == "BEL" }`)).Answer(ask)
	allowed(t, d, "a")
	if d.Obligations.RetentionDays != 0 {
		t.Errorf("bound by a permit that does not apply: %+v", d.Obligations)
	}
	d = loadText(t, rule("a", `@retention("P1D")`)+"\n@id(\"no\")\nforbid (principal, action, resource);").Answer(ask)
	denied(t, d, "no")
	if diff := cmp.Diff(policy.Obligations{}, d.Obligations); diff != "" {
		t.Errorf("a denial with obligations: %s", diff)
	}
}

func TestOptionalAndHold(t *testing.T) {
	ask := policy.AskFacts{Self: esp, Client: officer(border), To: bgr, Collection: policy.CollectionPersons, Purpose: border, Now: noon}
	rule := func(id, annotations string) string {
		return `@id("` + id + `") ` + annotations + ` permit (principal, action == Action::"ask", resource == Collection::"BGR/persons");` + "\n"
	}
	// A bureau is optional only if no permit obliges to hear it.
	for text, want := range map[string]bool{
		rule("a", "@optional"):                          true,
		rule("a", "@optional") + rule("b", ""):          false,
		rule("a", "@optional") + rule("b", "@optional"): true,
		rule("a", ""): false,
	} {
		if d := loadText(t, text).Ask(ask); !d.Allow || d.Obligations.Optional != want {
			t.Errorf("%s: allow=%v optional=%v", text, d.Allow, d.Obligations.Optional)
		}
	}
	d := loadText(t, rule("a", `@advice("Ring the duty officer.")`)+rule("b", `@advice("Look again.")`)+rule("c", `@advice("Look again.")`)).Ask(ask)
	if want := "Ring the duty officer. Look again."; d.Obligations.Advice != want {
		t.Errorf("advice %q, want %q", d.Obligations.Advice, want)
	}
	d = loadText(t, `@id("no") @advice("Ask by the liaison officer.") forbid (principal, action == Action::"ask", resource);`).Ask(ask)
	denied(t, d, "no")
	if d.Obligations.Advice != "Ask by the liaison officer." {
		t.Errorf("advice of a denial: %q", d.Obligations.Advice)
	}

	accept := policy.AcceptFacts{Self: esp, From: bgr, Mode: policy.ModeAlert, Colour: "red", Demand: recordv1.Action_ACTION_ARREST, Now: noon}
	alerts := loadText(t, `
@id("alerts") permit (principal, action == Action::"accept", resource is Alert);
@id("red") @hold permit (principal, action == Action::"accept", resource is Alert)
when { resource.colour == Colour::"red" && resource.demand == Demand::"arrest" };`)
	d = alerts.Accept(accept)
	allowed(t, d, "alerts", "red")
	if !d.Obligations.Hold {
		t.Error("not held")
	}
	accept.Colour = "blue"
	d = alerts.Accept(accept)
	allowed(t, d, "alerts")
	if d.Obligations.Hold {
		t.Error("held")
	}
}

func TestObligationsWith(t *testing.T) {
	answer := policy.Obligations{Redact: []string{"warnings"}, RetentionDays: 30, Handling: "europol/H0", FullEvidence: true, Advice: "a"}
	disclose := policy.Obligations{Redact: []string{"minor"}, RetentionDays: 10, Handling: "europol/H2", Hold: true, Advice: "b"}
	want := policy.Obligations{Redact: []string{"minor", "warnings"}, RetentionDays: 10, Handling: "europol/H2", Hold: true, FullEvidence: true, Advice: "a b"}
	if diff := cmp.Diff(want, answer.With(disclose)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Disclosing a record does not widen the evidence that the answer grants.
	if (policy.Obligations{}).With(answer).FullEvidence {
		t.Error("evidence widened")
	}
}

func TestStricterHandling(t *testing.T) {
	h := func(scheme, code string) *recordv1.Handling {
		return &recordv1.Handling{Scheme: scheme, Code: code, Text: "ask us"}
	}
	for _, scene := range []struct {
		record     *recordv1.Handling
		obligation string
		want       string
	}{
		{nil, "", ""},
		{nil, "europol/H1", "europol/H1"},
		{h("europol", "H0"), "", "europol/H0"},
		{h("europol", "H0"), "europol/H1", "europol/H1"},
		{h("europol", "H3"), "europol/H1", "europol/H3"},
		{h("uk-5x5x5", "3"), "europol/H1", "uk-5x5x5/3"},
		{h("uk-5x5x5", "1"), "europol/H1", "europol/H1"},
		{h("our-own", "X"), "europol/H2", "our-own/X"}, // what we cannot read may forbid all
	} {
		got := policy.StricterHandling(scene.record, scene.obligation)
		if policy.HandlingCode(got) != scene.want {
			t.Errorf("%v with %q: %q, want %q", scene.record, scene.obligation, policy.HandlingCode(got), scene.want)
		}
		if scene.record != nil && got.GetText() != "ask us" {
			t.Errorf("%v with %q: the owner's words are lost", scene.record, scene.obligation)
		}
	}
	if _, err := policy.ParseHandling("H1"); err == nil || !strings.Contains(err.Error(), "europol/H1") {
		t.Errorf("a code without scheme: %v", err)
	}
}
