package gate

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/policy"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

func TestWhatMustBeLookedAtDoesNotPass(t *testing.T) {
	for name, c := range map[string]struct {
		d     policy.Decision
		allow bool
	}{
		"allowed":           {policy.Decision{Allow: true}, true},
		"denied":            {policy.Decision{}, false},
		"allowed, but hold": {policy.Decision{Allow: true, Obligations: policy.Obligations{Hold: true}}, false},
		"allowed, error":    {policy.Decision{Allow: true, Err: errors.New("x")}, false},
	} {
		if got := enforced(c.d).Allow; got != c.allow {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// boy is a hit on an invented child, as its own bureau sees it.
func boy() Found {
	person := &recordv1.Person{
		Names:      []*recordv1.Name{{Parts: []*recordv1.NamePart{{Text: "Name-One"}}}, {Parts: []*recordv1.NamePart{{Text: "Name-Two"}}}},
		Births:     []*recordv1.Birth{{From: "2011-03-02", To: "2011-03-02"}},
		Role:       recordv1.PersonRole_PERSON_ROLE_MISSING,
		Action:     recordv1.Action_ACTION_PROTECT,
		ActionText: []*recordv1.LocalText{{Language: "en", Text: "Text-Action"}},
		Warnings:   []string{"Warning-One"},
		Selectors:  []*recordv1.Selector{{Kind: "phone", Value: "Phone-One"}},
		Remarks:    "Remark-One",
	}
	s := &recordv1.Stewardship{OwnerBureau: "ESP", Handling: &recordv1.Handling{Scheme: "europol", Code: "H3", Text: "Handling-Text"}, LegalBasis: "Basis", SensitiveCategories: []string{"health"}}
	return Found{Record: &recordv1.Record{RecordId: "esp-1", Stewardship: s, Body: &recordv1.Record_Person{Person: person}}, Hit: &hitv1.Hit{
		Bureau: "ESP", Collection: Persons, RecordId: "esp-1", Kind: hitv1.HitKind_HIT_KIND_PERSON, Score: proto.Float64(0.9), Band: hitv1.Band_BAND_EXACT,
		Evidence: []*hitv1.LocalEvidence{
			{Feature: hitv1.Feature_FEATURE_NAME, Agreement: hitv1.Agreement_AGREEMENT_SAME, Asked: "Name-One", Recorded: "Name-One", How: "same NAME~NAME", Weight: 0.7654,
				Tokens: []*hitv1.TokenPair{
					{Kind: hitv1.TokenKind_TOKEN_KIND_SOUND, Asked: "ASKED-WORD", Recorded: "LISTED-WORD", Weight: 0.6543, Moved: true},
					{Kind: hitv1.TokenKind_TOKEN_KIND_NOT_ASKED, Recorded: "LISTED-ALONE", Weight: -0.0432},
				}, WholeWeight: 0.1543},
			{Feature: hitv1.Feature_FEATURE_BIRTH_DATE, Agreement: hitv1.Agreement_AGREEMENT_SIMILAR, Asked: "2011", Recorded: "2011-03-02", How: "year only"},
		},
		Explanation: "name: same; birth date: year only", Minor: true, Action: person.GetAction(), ActionText: person.GetActionText(),
		Handling: s.GetHandling(), PersonRole: person.GetRole(), Warnings: person.GetWarnings(), Stewardship: s, Subject: &hitv1.Hit_Person{Person: person},
	}}
}

func TestWholeEvidenceOnlyUnderItsObligation(t *testing.T) {
	f := boy()
	before := proto.CloneOf(f.Hit)
	if told := cut(f, policy.Obligations{}); told.Score != nil || told.GetPerson() != nil || len(told.GetEvidence()) > 0 || told.GetExplanation() != "exact match: name agrees, birth date is similar" {
		t.Errorf("without the obligation: %v", told)
	}
	told := cut(f, policy.Obligations{FullEvidence: true, RetentionDays: 90, Handling: "europol/H2"})
	if told.GetScore() != 0.9 || told.GetPerson() == nil || len(told.GetEvidence()) != 2 || told.GetExplanation() != f.Hit.GetExplanation() {
		t.Errorf("with it: %v", told)
	}
	if told.GetRetentionDays() != 90 {
		t.Errorf("retention %d", told.GetRetentionDays())
	}
	want := &recordv1.Handling{Scheme: "europol", Code: "H2", Text: "Handling-Text"}
	for place, got := range map[string]*recordv1.Handling{"hit": told.GetHandling(), "stewardship": told.GetStewardship().GetHandling()} {
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("the stricter handling does not stand in the %s:\n%s", place, diff)
		}
	}
	if diff := cmp.Diff(before, f.Hit, protocmp.Transform()); diff != "" {
		t.Errorf("the own hit was changed:\n%s", diff)
	}
}

func TestRedaction(t *testing.T) {
	for name, c := range map[string]struct {
		redact []string
		gone   []string // words that must not be in the hit any more
		left   []string
	}{
		"a field within a oneof":   {[]string{"person.remarks"}, []string{"Remark-One"}, []string{"Name-One", "Phone-One"}},
		"in every element":         {[]string{"person.selectors.value"}, []string{"Phone-One"}, []string{`"phone"`}},
		"names, and what quotes":   {[]string{"person.names"}, []string{"Name-Two", `"recorded":"Name-One"`}, []string{"2011-03-02", `"asked":"Name-One"`}},
		"names, and their words":   {[]string{"person.names"}, []string{"LISTED-WORD", "LISTED-ALONE", "ASKED-WORD", "SOUND", "0.1543"}, nil},
		"a part of names":          {[]string{"person.names.parts.text"}, []string{"LISTED-WORD", "LISTED-ALONE"}, nil},
		"the person's words":       {[]string{"person"}, []string{"LISTED-WORD", "LISTED-ALONE"}, nil},
		"words":                    {[]string{"evidence.tokens"}, []string{"LISTED-WORD", "NAME~NAME"}, []string{`"recorded":"Name-One"`}},
		"what is recorded":         {[]string{"evidence.recorded"}, []string{"LISTED-WORD", "LISTED-ALONE", "NAME~NAME", "year only"}, []string{"ASKED-WORD"}},
		"what words record":        {[]string{"evidence.tokens.recorded"}, []string{"LISTED-WORD", "LISTED-ALONE", "NAME~NAME", `"recorded":"Name-One"`}, []string{"ASKED-WORD"}},
		"how it compares":          {[]string{"evidence.how"}, []string{"LISTED-WORD", "SOUND", "NAME~NAME"}, nil},
		"the score, and its sum":   {[]string{"score"}, []string{"0.9", "0.7654", "0.6543", "0.1543", "0.0432"}, []string{"LISTED-WORD"}},
		"weights":                  {[]string{"evidence.weight"}, []string{`"score"`, "0.7654", "0.6543", "0.1543"}, nil},
		"in lists of lists":        {[]string{"person.names.parts.text"}, []string{"Name-Two", `"recorded":"Name-One"`}, []string{`"names"`}},
		"birth date":               {[]string{"person.births"}, []string{"2011-03-02", "year only"}, []string{"Name-Two"}},
		"the person":               {[]string{"person"}, []string{"Name-Two", "2011-03-02", "Remark-One", "Phone-One"}, []string{"Warning-One"}},
		"warnings stand twice":     {[]string{"warnings"}, []string{"Warning-One"}, nil},
		"the inner one means both": {[]string{"person.warnings"}, []string{"Warning-One"}, nil},
		"action and its words":     {[]string{"action", "action_text"}, []string{"ACTION_PROTECT", "Text-Action", "to be protected"}, []string{"A child"}},
		"the child":                {[]string{"minor"}, []string{"A child", `"minor"`}, []string{"to be protected"}},
		"the role":                 {[]string{"person_role"}, []string{"PERSON_ROLE_MISSING"}, nil},
		"handling":                 {[]string{"handling"}, []string{"Handling-Text"}, nil},
		"what not to do":           {[]string{"must_not"}, []string{"mustNot"}, nil},
		"the explanation":          {[]string{"explanation"}, []string{`"explanation"`}, nil},
		"all comparisons":          {[]string{"evidence", "disclosed"}, []string{`"evidence"`, `"disclosed"`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := boy()
			before := proto.CloneOf(f.Record)
			raw, err := protojson.Marshal(cut(f, policy.Obligations{FullEvidence: true, Redact: c.redact}))
			if err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(string(raw), `": "`, `":"`)
			text = strings.ReplaceAll(text, `":  "`, `":"`)
			for _, word := range c.gone {
				if strings.Contains(text, word) {
					t.Errorf("%q was to be taken out: %s", word, text)
				}
			}
			for _, word := range c.left {
				if !strings.Contains(text, word) {
					t.Errorf("%q was not to be taken out: %s", word, text)
				}
			}
			if diff := cmp.Diff(before, f.Record, protocmp.Transform()); diff != "" {
				t.Errorf("redaction reached into the own record:\n%s", diff)
			}
		})
	}
}

func TestRedactedEvidenceLeavesNoExplanation(t *testing.T) {
	told := cut(boy(), policy.Obligations{FullEvidence: true, Redact: []string{"person.births"}})
	if told.GetExplanation() != "exact match: name agrees, birth date is similar" {
		t.Errorf("explanation %q", told.GetExplanation())
	}
	told = cut(boy(), policy.Obligations{Redact: []string{"disclosed"}})
	if told.GetExplanation() != "exact match" {
		t.Errorf("explanation %q tells what was taken out", told.GetExplanation())
	}
}

// TestEveryFieldOfStewardshipIsDecided holds for each field that the schema has whether it
// travels: one that is added later must be decided too.
func TestEveryFieldOfStewardshipIsDecided(t *testing.T) {
	travels := map[protoreflect.Name]bool{
		"owner_bureau": true, "national_ref": true, "version": true, "purposes": true, "handling": true, "grading": true,
		"onward_transfer": true, "expires_at": true, "review_due": true, "compliance": true, "exercise": true,
		"origin_agency": false, "previous_digest": false, "recorded_at": false, "audience": false, "last_reviewed": false,
		"deletion_hold": false, "provenance": false,
	}
	withRecord := []protoreflect.Name{"legal_basis", "sensitive_categories"}
	full := &recordv1.Stewardship{
		OwnerBureau: "ESP", OriginAgency: "a", NationalRef: "r", Version: 2, PreviousDigest: []byte{1}, RecordedAt: timestamppb.Now(),
		LegalBasis: "l", Purposes: []recordv1.Purpose{1}, Audience: &recordv1.Audience{}, Handling: &recordv1.Handling{Code: "H1"},
		Grading: &recordv1.Grading{}, OnwardTransfer: "o", ExpiresAt: timestamppb.Now(), ReviewDue: timestamppb.Now(), LastReviewed: timestamppb.Now(),
		DeletionHold: true, Compliance: &recordv1.Compliance{}, SensitiveCategories: []string{"s"}, Provenance: []*recordv1.Provenance{{}}, Exercise: true,
	}
	fields := full.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if !full.ProtoReflect().Has(field) {
			t.Errorf("%s is not set here: add it", field.Name())
		}
		want, decided := travels[field.Name()]
		only := slices.Contains(withRecord, field.Name())
		if !decided && !only {
			t.Errorf("nobody has decided whether %s travels", field.Name())
		}
		if got := travelling(full, full.GetHandling(), false).ProtoReflect().Has(field); got != want {
			t.Errorf("%s travels: %v, want %v", field.Name(), got, want)
		}
		if got := travelling(full, full.GetHandling(), true).ProtoReflect().Has(field); got != (want || only) {
			t.Errorf("%s travels with the record: %v", field.Name(), got)
		}
	}
	if travelling(nil, nil, false) != nil {
		t.Error("no stewardship became one")
	}
}

func TestMustNot(t *testing.T) {
	for want, h := range map[string]*hitv1.Hit{
		"have BEL confirm it":        {Bureau: "BEL"},
		"A child":                    {Minor: true},
		"as a suspect":               {Action: recordv1.Action_ACTION_PROTECT},
		"notice, hold or search":     {Action: recordv1.Action_ACTION_DISCREET},
		"where they are":             {Action: recordv1.Action_ACTION_LOCATE},
		"on this record":             {Action: recordv1.Action_ACTION_INFORM},
		"it is valid and belongs":    {DocumentStatus: recordv1.DocumentStatus_DOCUMENT_STATUS_ASSOCIATED},
		"the genuine one may be":     {DocumentStatus: recordv1.DocumentStatus_DOCUMENT_STATUS_COUNTERFEIT_SEEN},
		"take the bearer for the th": {DocumentStatus: recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN},
	} {
		if got := MustNot(h); !strings.Contains(strings.Join(got, " "), want) || !strings.HasPrefix(got[0], "Do not act on this hit alone") {
			t.Errorf("%v: %q, want %q", h, got, want)
		}
	}
	if got := MustNot(&hitv1.Hit{Action: recordv1.Action_ACTION_ARREST}); len(got) != 1 {
		t.Errorf("an arrest: %q", got)
	}
}

func TestWeakestAgreementIsTold(t *testing.T) {
	d := agreements([]*hitv1.LocalEvidence{
		{Feature: hitv1.Feature_FEATURE_NAME, Agreement: hitv1.Agreement_AGREEMENT_SAME},
		{Feature: hitv1.Feature_FEATURE_NAME, Agreement: hitv1.Agreement_AGREEMENT_SIMILAR},
		{Feature: hitv1.Feature_FEATURE_SEX, Agreement: hitv1.Agreement_AGREEMENT_DIFFERENT},
		{Feature: hitv1.Feature_FEATURE_NATIONALITY, Agreement: hitv1.Agreement_AGREEMENT_UNKNOWN},
	})
	if len(d.GetAgreed()) != 1 || d.GetAgreed()[0].GetAgreement() != hitv1.Agreement_AGREEMENT_SIMILAR {
		t.Errorf("agreed %v", d.GetAgreed())
	}
}

// TestEvidenceStaysAtHome holds for every field of the evidence that it does not cross a border
// unless whole evidence does: one that is added later must stay as well.
func TestEvidenceStaysAtHome(t *testing.T) {
	f := boy()
	f.Hit.Evidence = append(f.Hit.Evidence, &hitv1.LocalEvidence{
		Feature: hitv1.Feature_FEATURE_BIRTH_COUNTRY, Agreement: hitv1.Agreement_AGREEMENT_SAME, Asked: "TUN", Recorded: "TUN ITA", How: "same", Weight: 0.04,
	})
	told := cut(f, policy.Obligations{})
	raw, err := protojson.Marshal(told)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"LISTED", "ASKED-WORD", "SOUND", "TUN", "tokens", "eight", "Name-One"} {
		if strings.Contains(string(raw), word) {
			t.Errorf("%q crossed the border: %s", word, raw)
		}
	}
	if want := "exact match: name agrees, birth date is similar, country of birth agrees"; told.GetExplanation() != want {
		t.Errorf("explanation %q, want %q", told.GetExplanation(), want)
	}
	whole := cut(f, policy.Obligations{FullEvidence: true, Redact: []string{"person.births"}})
	if n := len(whole.GetEvidence()[0].GetTokens()); n != 2 {
		t.Errorf("%d words go with whole evidence", n)
	}
	if e := whole.GetEvidence()[2]; e.GetRecorded() != "" || e.GetHow() != "" {
		t.Errorf("the country of birth was to be taken out: %v", e)
	}
}
