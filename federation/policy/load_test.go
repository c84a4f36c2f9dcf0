package policy_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/entente-mesh/entente/federation/policy"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// answerRule is a permit for BGR with annotations above and conditions below.
func answerRule(annotations, conditions string) string {
	return annotations + `
permit (principal in Bureau::"BGR", action == Action::"answer", resource == Collection::"ESP/persons")
` + conditions + ";\n"
}

func TestLoadRefuses(t *testing.T) {
	for name, scene := range map[string]struct{ text, want string }{
		"a syntax error":           {"// one\n\n@id(\"a\")\npermit (principal, action == Action::\"ask\" resource);", "test.cedar:4: "},
		"a string without end":     {"\n\n@id(\"a)\npermit", "test.cedar:3: "},
		"no id":                    {"\n" + answerRule("", ""), `test.cedar:3: the policy has no @id`},
		"an empty id":              {answerRule(`@id("")`, ""), "has no @id"},
		"an id with blanks":        {answerRule(`@id("a b")`, ""), `@id("a b"): give`},
		"an id twice":              {answerRule(`@id("a")`, "") + answerRule(`@id("a")`, ""), `test.cedar:4: @id("a") is taken already by test.cedar:1`},
		"an unknown annotation":    {answerRule(`@id("a") @redakt("warnings")`, ""), "the annotation @redakt is not known"},
		"a duplicate annotation":   {answerRule(`@id("a") @hold @hold`, ""), "duplicate annotation"},
		"an unknown attribute":     {answerRule(`@id("a")`, "when { context.purposes }"), "attribute `purposes` in context"},
		"an attribute of another":  {answerRule(`@id("a")`, "when { principal.purposes.isEmpty() }"), "not found"},
		"an unknown action":        {`@id("a") permit (principal, action == Action::"anwser", resource);`, "unrecognized action"},
		"an unknown type":          {`@id("a") permit (principal in Country::"BGR", action == Action::"answer", resource);`, "unrecognized entity type"},
		"an action of others":      {`@id("a") permit (principal is Client, action == Action::"answer", resource);`, "unable to find an applicable action"},
		"a permit of every action": {`@id("a") permit (principal, action, resource);`, "a permit must name its action"},
		"no boolean":               {answerRule(`@id("a")`, `when { context.nationality }`), "expected Bool"},
		"a type that differs":      {answerRule(`@id("a")`, `when { context.nationality == 7 }`), "test.cedar:1"},
		"a purpose mistyped":       {answerRule(`@id("a")`, `when { context.purpose == Purpose::"boarder-control" }`), "is not in the vocabulary: give one of border-control, police-check"},
		"a role mistyped":          {answerRule(`@id("a")`, `when { [Role::"officer", Role::"oficer"].contains(principal.role) }`), "is not in the vocabulary"},
		"a bureau mistyped":        {`@id("a") forbid (principal in Bureau::"bgr", action, resource);`, "names nothing"},
		"a collection mistyped":    {`@id("a") forbid (principal, action == Action::"answer", resource == Collection::"ESP/person");`, "names nothing"},
		"an agency mistyped":       {`@id("a") forbid (principal in Agency::"border-police", action == Action::"answer", resource);`, "names nothing"},
		"a community of nobody":    {`@id("a") forbid (principal in Community::"nordic", action == Action::"answer", resource);`, "has no members"},
		"a date that is none":      {answerRule(`@id("a")`, `when { context.now < datetime("2026-02-30") }`), "failed to parse as a datetime"},
		"brackets without end":     {`@id("a") permit (principal, action == Action::"ask", resource) when { ` + strings.Repeat("(", 100000), "brackets nested deeper"},
		"text that deceives":       {"// permit \u202e\n", "test.cedar:1: the character U+202E"},
		"no text":                  {"\xff\xfe", "not UTF-8"},
		"too long a policy":        {answerRule(`@id("a")`, "when { true"+strings.Repeat(" && true", 10000)+" }"), "split it"},
		"too long a file":          {strings.Repeat("// nothing\n", 30000), "split it"},
		"redacting nothing known":  {answerRule(`@id("a") @redact("warning")`, ""), `"warning" is not a field of a hit`},
		"redacting the essential":  {answerRule(`@id("a") @redact("record_id")`, ""), "cannot be taken out"},
		"redacting emptiness":      {answerRule(`@id("a") @redact("")`, ""), "is not a field"},
		"a retention of words":     {answerRule(`@id("a") @retention("90 days")`, ""), `give days as "P90D"`},
		"a retention of ages":      {answerRule(`@id("a") @retention("P9999D")`, ""), "give 1 to 3660 days"},
		"a handling unknown":       {answerRule(`@id("a") @handling("secret")`, ""), `handling "secret": give one of europol/H0`},
		"evidence of a kind":       {answerRule(`@id("a") @evidence("all")`, ""), `give "full" or "band"`},
		"a law uncited":            {answerRule(`@id("a") @legal("")`, ""), "cite the law"},
		"advice of nothing":        {`@id("a") @advice("") permit (principal, action == Action::"ask", resource);`, "give a sentence"},
		"a hold on an answer":      {answerRule(`@id("a") @hold`, ""), "@hold has an effect on accept alone"},
		"a hold with a value":      {`@id("a") @hold("no") permit (principal, action == Action::"accept", resource);`, "stands alone"},
		"optional on an answer":    {answerRule(`@id("a") @optional`, ""), "@optional has an effect on ask alone"},
		"optional for two":         {`@id("a") @optional permit (principal, action in [Action::"ask", Action::"answer"], resource);`, "@optional has an effect on ask alone"},
		"an obligation forbidden":  {`@id("a") @redact("warnings") forbid (principal, action == Action::"answer", resource);`, "has no effect on a forbid"},
	} {
		t.Run(name, func(t *testing.T) {
			// One bad policy refuses the folder, however good the others are.
			set, err := policy.Load(spainFolder(t, map[string]string{"test.cedar": scene.text}))
			if set != nil || err == nil {
				t.Fatal("loaded")
			}
			if !strings.Contains(err.Error(), scene.want) || !strings.Contains(err.Error(), "test.cedar") {
				t.Errorf("error %q, want it to say %q and where", err, scene.want)
			}
		})
	}
}

func TestLoadNamesEveryFault(t *testing.T) {
	_, err := policy.Load(fstest.MapFS{
		"a.cedar":          {Data: []byte("\n@id(\"x\") @nope\npermit (principal, action == Action::\"ask\", resource);")},
		"treaties/b.cedar": {Data: []byte("\n\n\npermit (principal")},
	})
	if err == nil {
		t.Fatal("loaded")
	}
	for _, want := range []string{"a.cedar:2: ", "treaties/b.cedar:4: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %s", err, want)
		}
	}
}

func TestLoadFolder(t *testing.T) {
	const forbid = "@id(\"no-bgr\")\nforbid (principal in Bureau::\"BGR\", action == Action::\"answer\", resource);"
	ask := policy.AnswerFacts{Self: esp, From: bgr, Collection: policy.CollectionPersons, Purpose: border, Now: noon}
	permits := permit(t, policy.PermitOptions{Bureau: "BGR", Collection: policy.CollectionPersons, Purposes: []recordv1.Purpose{border}})

	// A forbid counts wherever it lies in the folder, and however its name is written.
	for _, name := range []string{"x.cedar", "deep/er/x.cedar", "X.CEDAR"} {
		denied(t, spain(t, both(permits, map[string]string{name: forbid})).Answer(ask), "no-bgr")
	}
	// What is not a policy file is left alone.
	for _, name := range []string{"x.cedar.bak", ".x.cedar", ".git/x.cedar", "README.md"} {
		allowed(t, spain(t, both(permits, map[string]string{name: forbid})).Answer(ask), "permit-BGR-persons-ask/answer")
	}
	empty, err := policy.Load(fstest.MapFS{"readme.txt": {Data: []byte("nothing yet")}})
	if err != nil || empty.Len() != 0 {
		t.Fatalf("an empty folder: %v", err)
	}
	denied(t, empty.Answer(ask))
	if _, err := policy.Load(fstest.MapFS{"x.cedar/y": {}}); err != nil {
		t.Errorf("a folder named as a policy: %v", err)
	}
}

func TestVersion(t *testing.T) {
	a, again := spain(t, nil), spain(t, nil)
	if a.Version() != again.Version() || len(a.Version()) != 64 {
		t.Errorf("versions %q and %q of one folder", a.Version(), again.Version())
	}
	// A change of a comment is a change; so is a file moved.
	const rule = `@id("x") forbid (principal, action, resource);`
	seen := map[string]string{a.Version(): "defaults"}
	for name, files := range map[string]map[string]string{
		"rule":            {"x.cedar": rule},
		"comment":         {"x.cedar": "// why\n" + rule},
		"moved":           {"y.cedar": rule},
		"split":           {"x.cedar": rule, "y.cedar": "// nothing"},
		"communities":     {policy.CommunitiesFile: "nordic: [DNK, SWE]"},
		"two communities": {policy.CommunitiesFile: "nordic: [DNK]\nbaltic: [EST]"},
	} {
		v := spain(t, files).Version()
		if other, taken := seen[v]; taken {
			t.Errorf("%s has the version of %s", name, other)
		}
		seen[v] = name
	}
}

func TestSources(t *testing.T) {
	set := loadText(t, "// A file.\n\n// Why; and \"how\".\n@id(\"one\")\npermit (principal, action == Action::\"ask\", resource)\nwhen { context.nationality == \"a;b\" };\n\n@id(\"two\") forbid (principal, action, resource);\n// end\n")
	sources := set.Sources()
	if len(sources) != 2 || set.Len() != 2 {
		t.Fatalf("%d sources", len(sources))
	}
	one, two := sources[0], sources[1]
	if one.ID != "one" || one.Line != 4 || !one.Permit || !strings.HasPrefix(one.Text, "// A file.") || !strings.HasSuffix(one.Text, `"a;b" };`) {
		t.Errorf("one: %+v", one)
	}
	if two.ID != "two" || two.Line != 8 || two.Permit || two.Text != `@id("two") forbid (principal, action, resource);` {
		t.Errorf("two: %+v", two)
	}
}

func TestCommunities(t *testing.T) {
	const rule = `
@id("nordic/persons")
permit (principal in Community::"nordic", action == Action::"answer", resource == Collection::"ESP/persons");`
	set := spain(t, map[string]string{"nordic.cedar": rule, policy.CommunitiesFile: "nordic: [DNK, SWE]\nother: [BGR]\n"})
	ask := policy.AnswerFacts{Self: esp, From: "SWE", Collection: policy.CollectionPersons, Purpose: border, Now: noon}
	allowed(t, set.Answer(ask), "nordic/persons")
	ask.From = bgr
	denied(t, set.Answer(ask))
	ask.From = lbn
	denied(t, set.Answer(ask))

	for name, text := range map[string]string{
		"no list":       "nordic: DNK",
		"no bureau":     "nordic: [dk]",
		"a strange one": "Nordic Council: [DNK]",
		"no YAML":       "nordic: [",
	} {
		if _, err := policy.Load(spainFolder(t, map[string]string{policy.CommunitiesFile: text})); err == nil || !strings.Contains(err.Error(), policy.CommunitiesFile+":1: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Cedar skips a policy that fails while it is evaluated. Here it denies, whatever it is.
func TestFailingPolicyDenies(t *testing.T) {
	const overflow = `when { 9223372036854775807 + 1 > 0 };`
	ask := policy.AnswerFacts{Self: esp, From: bgr, Collection: policy.CollectionPersons, Purpose: border, Now: noon}
	permits := permit(t, policy.PermitOptions{Bureau: "BGR", Collection: policy.CollectionPersons, Purposes: []recordv1.Purpose{border}})
	for _, effect := range []string{"forbid", "permit"} {
		set := spain(t, both(permits, map[string]string{
			"x.cedar": "@id(\"fails\")\n" + effect + ` (principal, action == Action::"answer", resource)` + overflow,
		}))
		d := set.Answer(ask)
		undecided(t, d, `policy "fails" (x.cedar:1) failed`)
		if len(d.Rules) != 1 || d.Rules[0] != "fails" {
			t.Errorf("rules %v", d.Rules)
		}
		if d.Obligations.Redact != nil || d.Obligations.FullEvidence {
			t.Errorf("a denial with obligations: %+v", d.Obligations)
		}
		if o := set.Offers(esp, bgr, noon); len(o) != 0 {
			t.Errorf("offered %v", o)
		}
	}
}

func FuzzLoad(f *testing.F) {
	files, err := policy.Defaults(esp, fed)
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range files {
		f.Add(text)
	}
	for name, text := range permit(f, policy.PermitOptions{Bureau: "BGR", Collection: policy.CollectionDocuments, Purposes: []recordv1.Purpose{border}, Until: noon}) {
		f.Add([]byte(name))
		f.Add([]byte(text))
	}
	f.Add([]byte(`@id("a") @hold permit (principal, action == Action::"accept", resource) when { if true then !!!!true else -1 < 2 };`))
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := policy.Load(fstest.MapFS{"x.cedar": {Data: text}, policy.CommunitiesFile: {Data: text}})
		if (set == nil) == (err == nil) {
			t.Fatalf("set %v with error %v", set, err)
		}
		set, err = policy.Load(fstest.MapFS{"x.cedar": {Data: text}})
		if err != nil {
			return
		}
		// What loads can be decided by and explained.
		d := set.Answer(policy.AnswerFacts{Self: esp, From: bgr, Collection: policy.CollectionPersons, Purpose: border, Now: noon})
		if policy.Explain(d, set) == "" || len(set.Sources()) != set.Len() {
			t.Fatal("cannot be explained")
		}
	})
}
