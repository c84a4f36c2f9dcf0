package policy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/entente-mesh/entente/federation/policy"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

func TestRunCases(t *testing.T) {
	set := spain(t, both(
		permit(t, policy.PermitOptions{Bureau: "BGR", Collection: policy.CollectionPersons, Purposes: []recordv1.Purpose{border}, Until: noon}),
		permit(t, policy.PermitOptions{Bureau: "BGR", Collection: policy.CollectionPersons, Mode: policy.ModePush, Purposes: []recordv1.Purpose{border}}),
	))
	results, err := policy.RunCases(set, []byte(`
now: 2026-06-01T08:00:00Z
self: ESP
federation: demo.entente
cases:
  - name: ask
    action: ask
    facts: {agency: border-police, role: officer, purposes: [border-control], purpose: border-control, to: BGR, collection: persons, nationality: SYR}
    expect: allow
    rules: [permit-BGR-persons-ask/ask]
  - name: ask too late
    action: ask
    facts: {now: 2026-06-01T12:00:00Z, agency: border-police, role: officer, purposes: [border-control], purpose: border-control, to: BGR, collection: persons}
    expect: deny
    rules: []
  - name: answer
    action: answer
    facts: {from: BGR, agency: border-police, role: officer, collection: persons, purpose: border-control, has_case: true}
    expect: allow
  - name: another rule than thought
    action: answer
    facts: {from: BGR, collection: persons, purpose: border-control}
    expect: allow
    rules: [answer/own-documents]
  - name: otherwise than thought
    action: answer
    facts: {from: LBN, collection: persons, purpose: border-control}
    expect: allow
  - name: push
    action: push
    facts: {from: BGR, collection: persons, purpose: border-control}
    expect: allow
  - name: point
    action: point
    facts: {from: BGR, collection: persons, purpose: border-control}
    expect: deny
  - name: accept
    action: accept
    facts: {from: BGR, mode: push, collection: persons}
    expect: allow
  - name: alert
    action: accept
    facts: {from: BGR, mode: alert, colour: red, demand: refuse-entry}
    expect: deny
  - name: expired, by a date that YAML would take for its own
    action: disclose
    facts:
      from: BGR
      collection: persons
      purpose: border-control
      record:
        recordId: es:1
        stewardship: {audience: {mode: AUDIENCE_MODE_ALL_PERMITTED}, expiresAt: 2026-05-01T00:00:00Z}
        person: {births: [{from: 1980-01-01, to: 1980-01-01}]}
    expect: deny
    rules: [disclose/expired]
`))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range results {
		if !r.OK {
			got[r.Name] = r.Want + "; " + r.Got
		}
	}
	want := map[string]string{
		"another rule than thought": "allow by answer/own-documents; allow by permit-BGR-persons-ask/answer",
		"otherwise than thought":    "allow; deny",
	}
	if diff := cmp.Diff(want, got); diff != "" || len(results) != 10 {
		t.Errorf("%d results, those that fail (-want +got):\n%s", len(results), diff)
	}
}

func TestRunCasesRefuses(t *testing.T) {
	set := spain(t, nil)
	head := "now: 2026-06-01T08:00:00Z\nself: ESP\ncases:\n  - "
	for name, scene := range map[string]struct{ text, want string }{
		"nothing":               {"", "none"},
		"no YAML":               {"cases: [", "policy cases"},
		"an unknown key":        {"case: []", "field case not found"},
		"an unknown key inside": {head + "{name: a, action: check, expects: deny}", "field expects not found"},
		"no name":               {head + "{action: check, expect: deny}", "name: missing"},
		"no expectation":        {head + "{name: a, action: check, facts: {}}", `expect "": give allow or deny`},
		"no action":             {head + "{name: a, expect: deny}", `action "": give check`},
		"a fact of another":     {head + "{name: a, action: check, expect: deny, facts: {purpose: visa, to: BGR}}", `case 1 ("a"): fact "to": the action check knows`},
		"an unknown fact":       {head + "{name: a, action: check, expect: deny, facts: {purpos: visa}}", `fact "purpos"`},
		"an unknown purpose":    {head + "{name: a, action: check, expect: deny, facts: {purpose: vissa}}", `purpose "vissa"`},
		"purposes unknown":      {head + "{name: a, action: check, expect: deny, facts: {purpose: visa, purposes: [vissa]}}", `purpose "vissa"`},
		"no self":               {"cases:\n  - {name: a, action: check, expect: deny, facts: {purpose: visa}}", "self: bureau id"},
		"no now":                {"self: ESP\ncases:\n  - {name: a, action: answer, expect: deny, facts: {purpose: visa}}", "now: missing"},
		"no record":             {head + "{name: a, action: disclose, expect: deny, facts: {purpose: visa}}", "record: missing"},
		"a record of no form":   {head + "{name: a, action: disclose, expect: deny, facts: {purpose: visa, record: {persn: {}}}}", "record: give it in its proto JSON form"},
		"an unknown demand":     {head + "{name: a, action: accept, expect: deny, facts: {from: BGR, mode: alert, colour: red, demand: hang}}", `demand "hang"`},
		"two documents":         {head + "{name: a, action: check, expect: deny, facts: {purpose: visa}}\n---\nself: BEL\n", "more than one document"},
	} {
		if results, err := policy.RunCases(set, []byte(scene.text)); err == nil || results != nil || !strings.Contains(err.Error(), scene.want) {
			t.Errorf("%s: error %v, want it to say %q", name, err, scene.want)
		}
	}
}

func TestExplain(t *testing.T) {
	set := spain(t, map[string]string{"treaty.cedar": `// Persons, by the treaty of Sofia.
@id("sofia")
@legal("Treaty of Sofia, art. 4")
@redact("warnings, person.images")
@retention("P30D")
@handling("europol/H1")
permit (principal in Bureau::"BGR", action == Action::"answer", resource == Collection::"ESP/persons");

@id("fails")
forbid (principal, action == Action::"answer", resource)
when { context.nationality == "BEL" && 9223372036854775807 + 1 > 0 };
`})
	says := func(d policy.Decision, want ...string) {
		t.Helper()
		text := policy.Explain(d, set)
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("the explanation does not say %q:\n%s", w, text)
			}
		}
	}
	ask := policy.AnswerFacts{Self: esp, From: bgr, Collection: policy.CollectionPersons, Purpose: border, Now: noon}
	says(set.Answer(ask), "ALLOWED: answer. 1 policy permits it", "sofia (treaty.cedar:2)", "by law: Treaty of Sofia, art. 4",
		"taken out: person.images, warnings", "erased after 30 days", "at least as europol/H1",
		"| // Persons, by the treaty of Sofia.", `| permit (principal in Bureau::"BGR"`)
	ask.Purpose = investigation
	says(set.Answer(ask), "DENIED: answer. 1 policy forbids it; a forbid stands above", "answer/case-needed (answer.cedar:", "| forbid (")
	ask.HasCase, ask.From = true, lbn
	says(set.Answer(ask), "DENIED: answer. No policy permits it. Of the ")
	ask.From, ask.Nationality = bgr, "BEL"
	says(set.Answer(ask), "DENIED: answer. The request could not be decided", `policy "fails" (treaty.cedar:9) failed`, "| forbid (principal")
	says(policy.Decision{Action: "answer", Rules: []string{"gone"}}, "gone: not in the policies in force any more")
}
