package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// CaseResult is what became of one case.
type CaseResult struct {
	// Name is the case's.
	Name string
	// OK says that the policies decided as expected, by the rules expected.
	OK bool
	// Want is what was expected, Got what was decided, in words.
	Want, Got string
	// Decision is what was decided, for Explain.
	Decision Decision
}

// caseFile is a file of cases. What stands at its top holds for every case that does not say
// otherwise.
type caseFile struct {
	Now        time.Time  `yaml:"now"`
	Self       string     `yaml:"self"`
	Federation string     `yaml:"federation"`
	Cases      []testCase `yaml:"cases"`
}

type testCase struct {
	Name   string    `yaml:"name"`
	Action string    `yaml:"action"`
	Facts  caseFacts `yaml:"facts"`
	Expect string    `yaml:"expect"`
	Rules  []string  `yaml:"rules"`
}

// caseFacts are the facts of any action. Which are of which, factsOf says.
type caseFacts struct {
	Now        time.Time `yaml:"now"`
	Agency     string    `yaml:"agency"`
	Role       string    `yaml:"role"`
	Purposes   []string  `yaml:"purposes"`
	Purpose    string    `yaml:"purpose"`
	HasCase    bool      `yaml:"has_case"`
	To         string    `yaml:"to"`
	From       string    `yaml:"from"`
	Collection string    `yaml:"collection"`
	Mode       string    `yaml:"mode"`
	Issuer     string    `yaml:"issuing_state"`
	National   string    `yaml:"nationality"`
	Operation  string    `yaml:"operation"`
	Colour     string    `yaml:"colour"`
	Demand     string    `yaml:"demand"`
	Record     yaml.Node `yaml:"record"`
	given      []string
}

// factsOf lists the facts that each action knows. "client" actions take agency, role and
// purposes of the certificate.
var factsOf = map[string][]string{
	actionCheck:      {"agency", "role", "purposes", "purpose", "has_case"},
	actionAsk:        {"now", "agency", "role", "purposes", "purpose", "to", "collection", "issuing_state", "nationality"},
	actionAnswer:     {"now", "from", "agency", "role", "purpose", "has_case", "collection", "issuing_state", "nationality"},
	actionDisclose:   {"now", "from", "agency", "role", "purpose", "has_case", "collection", "record"},
	actionPoint:      {"now", "from", "purpose", "collection"},
	actionPush:       {"now", "from", "purpose", "collection"},
	actionAccept:     {"now", "from", "mode", "collection", "colour", "demand"},
	actionAdminister: {"agency", "role", "operation"},
}

// UnmarshalYAML keeps the names of the facts that are given, so that a fact which an action does
// not know, and the case's author believes to matter, is an error.
func (f *caseFacts) UnmarshalYAML(node *yaml.Node) error {
	type plain caseFacts
	if err := node.Decode((*plain)(f)); err != nil {
		return err
	}
	f.given = nil
	for i := 0; i+1 < len(node.Content); i += 2 {
		f.given = append(f.given, node.Content[i].Value)
	}
	return nil
}

// RunCases decides the cases of a YAML file with a set. The error says what is wrong with the
// file; a case that comes out otherwise than expected is a result.
//
//	now: 2026-06-01T08:00:00Z
//	self: ESP
//	cases:
//	  - name: Bulgaria asks about a person at the border
//	    action: answer
//	    facts: {from: BGR, collection: persons, purpose: border-control}
//	    expect: allow
//	    rules: [permit-BGR-persons-ask/answer]
func RunCases(s *Set, cases []byte) ([]CaseResult, error) {
	d := yaml.NewDecoder(bytes.NewReader(cases))
	d.KnownFields(true)
	var f caseFile
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("policy cases: %w", err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("policy cases: more than one document; put all cases into one list")
	}
	if len(f.Cases) == 0 {
		return nil, errors.New("policy cases: none; give a list under cases")
	}
	results := make([]CaseResult, 0, len(f.Cases))
	var errs []error
	for i, c := range f.Cases {
		result, err := f.run(s, c)
		if err != nil {
			errs = append(errs, fmt.Errorf("policy cases: case %d (%q): %w", i+1, c.Name, err))
		}
		results = append(results, result)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return results, nil
}

func (f *caseFile) run(s *Set, c testCase) (CaseResult, error) {
	if c.Name == "" {
		return CaseResult{}, errors.New("name: missing")
	}
	if c.Expect != "allow" && c.Expect != "deny" {
		return CaseResult{}, fmt.Errorf("expect %q: give allow or deny", c.Expect)
	}
	d, err := f.decide(s, c)
	if err != nil {
		return CaseResult{}, err
	}
	got := outcome(d.Allow, d.Rules)
	if d.Err != nil {
		got += ": " + d.Err.Error()
	}
	want := outcome(c.Expect == "allow", c.Rules)
	ok := d.Allow == (c.Expect == "allow")
	if c.Rules != nil {
		a, b := slices.Sorted(slices.Values(c.Rules)), slices.Sorted(slices.Values(d.Rules))
		ok = ok && slices.Equal(a, b)
	}
	return CaseResult{Name: c.Name, OK: ok, Want: want, Got: got, Decision: d}, nil
}

func outcome(allow bool, rules []string) string {
	word := "deny"
	if allow {
		word = "allow"
	}
	if len(rules) == 0 {
		return word
	}
	return word + " by " + strings.Join(rules, ", ")
}

func (f *caseFile) decide(s *Set, c testCase) (Decision, error) {
	known, ok := factsOf[c.Action]
	if !ok {
		return Decision{}, fmt.Errorf("action %q: give check, ask, answer, disclose, point, push, accept or administer", c.Action)
	}
	for _, name := range c.Facts.given {
		if !slices.Contains(known, name) {
			return Decision{}, fmt.Errorf("fact %q: the action %s knows %s", name, c.Action, strings.Join(known, ", "))
		}
	}
	self, err := identity.ParseBureau(f.Self)
	if err != nil {
		return Decision{}, fmt.Errorf("self: %w", err)
	}
	now := f.Now
	if !c.Facts.Now.IsZero() {
		now = c.Facts.Now
	}
	if now.IsZero() && slices.Contains(known, "now") {
		return Decision{}, errors.New("now: missing; give the moment of the case, or of all at the top of the file")
	}
	var purpose recordv1.Purpose
	if slices.Contains(known, "purpose") {
		if purpose, err = identity.ParsePurpose(c.Facts.Purpose); err != nil {
			return Decision{}, err
		}
	}
	var purposes []recordv1.Purpose
	for _, name := range c.Facts.Purposes {
		p, err := identity.ParsePurpose(name)
		if err != nil {
			return Decision{}, err
		}
		purposes = append(purposes, p)
	}
	x := c.Facts
	fed := identity.Federation(f.Federation)
	client := identity.Client(fed, self, x.Agency, identity.Role(x.Role), "case", purposes)
	answer := AnswerFacts{
		Self: self, From: identity.Bureau(x.From), Federation: fed, Agency: x.Agency, Role: x.Role,
		Collection: x.Collection, Purpose: purpose, IssuingState: x.Issuer, Nationality: x.National,
		HasCase: x.HasCase, Now: now,
	}
	switch c.Action {
	case actionCheck:
		return s.Check(CheckFacts{Client: client, Purpose: purpose, HasCase: x.HasCase}), nil
	case actionAsk:
		return s.Ask(AskFacts{
			Self: self, Client: client, To: identity.Bureau(x.To), Collection: x.Collection,
			Purpose: purpose, IssuingState: x.Issuer, Nationality: x.National, Now: now,
		}), nil
	case actionAnswer:
		return s.Answer(answer), nil
	case actionPoint:
		answer.Mode = ModePointer
		return s.Answer(answer), nil
	case actionPush:
		answer.Mode = ModePush
		return s.Answer(answer), nil
	case actionAccept:
		demand, ok := recordv1.Action_value["ACTION_"+strings.ToUpper(strings.ReplaceAll(x.Demand, "-", "_"))]
		if x.Demand != "" && !ok {
			return Decision{}, fmt.Errorf("demand %q: give a demand of the vocabulary, for example arrest", x.Demand)
		}
		return s.Accept(AcceptFacts{
			Self: self, From: identity.Bureau(x.From), Federation: fed, Mode: x.Mode,
			Collection: x.Collection, Colour: x.Colour, Demand: recordv1.Action(demand), Now: now,
		}), nil
	case actionDisclose:
		record, err := recordOf(x.Record)
		if err != nil {
			return Decision{}, err
		}
		return s.Disclose(DiscloseFacts{
			Self: self, From: identity.Bureau(x.From), Federation: fed, Collection: x.Collection,
			Purpose: purpose, Record: record, Agency: x.Agency, Role: x.Role, HasCase: x.HasCase, Now: now,
		}), nil
	default: // administer: factsOf lists no other
		return s.Administer(AdministerFacts{Client: client, Operation: x.Operation}), nil
	}
}

// recordOf reads a record in its proto JSON form, written as YAML.
func recordOf(node yaml.Node) (*recordv1.Record, error) {
	if node.Kind != yaml.MappingNode {
		return nil, errors.New("record: missing; give it in its proto JSON form")
	}
	keepDates(&node)
	var fields map[string]any
	if err := node.Decode(&fields); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	var record recordv1.Record
	if err := protojson.Unmarshal(text, &record); err != nil {
		return nil, fmt.Errorf("record: give it in its proto JSON form: %w", err)
	}
	return &record, nil
}

// keepDates keeps YAML from taking a record's dates for moments: there they are text.
func keepDates(node *yaml.Node) {
	if node.ShortTag() == "!!timestamp" {
		node.Tag = "!!str"
	}
	for _, n := range node.Content {
		keepDates(n)
	}
}
