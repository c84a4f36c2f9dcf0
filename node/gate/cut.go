package gate

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/entente-mesh/entente/federation/policy"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// cut returns the hit as it may cross a border. By default: which record, whose, in which band,
// which of the asker's own inputs agreed, what to do and what not to do. The score, the
// comparison and the record itself go only where policy says evidence is whole: exact scores
// and unmatched parts are an oracle for who asks a thousand times.
func cut(f Found, o policy.Obligations) *hitv1.Hit {
	whole := f.Hit
	told := &hitv1.Hit{
		Bureau:         whole.GetBureau(),
		Collection:     whole.GetCollection(),
		RecordId:       whole.GetRecordId(),
		Kind:           whole.GetKind(),
		Band:           whole.GetBand(),
		Disclosed:      agreements(whole.GetEvidence()),
		Action:         whole.GetAction(),
		ActionText:     whole.GetActionText(),
		Handling:       policy.StricterHandling(whole.GetHandling(), o.Handling),
		DocumentStatus: whole.GetDocumentStatus(),
		PersonRole:     whole.GetPersonRole(),
		Issuer:         whole.GetIssuer(),
		RetentionDays:  o.RetentionDays,
		Warnings:       whole.GetWarnings(),
		Minor:          whole.GetMinor(),
	}
	told.Stewardship = travelling(whole.GetStewardship(), told.GetHandling(), o.FullEvidence)
	if o.FullEvidence {
		told.Score = whole.Score
		told.Evidence = whole.GetEvidence()
		told.Explanation = whole.GetExplanation()
		told.Subject = whole.GetSubject()
	}
	quoted := false
	if len(o.Redact) > 0 {
		told = proto.CloneOf(told) // redaction must not reach into the own record
		for _, path := range withTwins(o.Redact) {
			redact(told.ProtoReflect(), strings.Split(path, "."))
			_, compared := below(path, "evidence")
			quoted = quoted || compared
		}
		quoted = withoutRecorded(told.GetEvidence(), o.Redact) || quoted
	}
	// What is derived is derived from what is left, so that it tells nothing of what was taken out.
	if !redacts(o.Redact, "must_not") {
		told.MustNot = MustNot(told)
	}
	if !redacts(o.Redact, "explanation") && (!o.FullEvidence || quoted) {
		told.Explanation = explain(told.GetDisclosed(), told.GetBand())
	}
	return told
}

// travelling is the part of a stewardship that goes with a hit: what binds its receiver (purpose,
// handling, grading, onward transfer, expiry, review) and what names the record.
//
// What stays: who else may know and where the record comes from (audience, origin_agency,
// provenance), and what is the owner's business alone (recorded_at, last_reviewed,
// deletion_hold). previous_digest stays because an unsalted digest of a person's data is an
// oracle for who guesses them. legal_basis and sensitive_categories speak of what the record
// says ("participation in a terrorist group", "health"): they go where the record itself goes.
func travelling(s *recordv1.Stewardship, handling *recordv1.Handling, whole bool) *recordv1.Stewardship {
	if s == nil {
		return nil
	}
	t := &recordv1.Stewardship{
		OwnerBureau:    s.GetOwnerBureau(),
		NationalRef:    s.GetNationalRef(),
		Version:        s.GetVersion(),
		Purposes:       s.GetPurposes(),
		Handling:       handling,
		Grading:        s.GetGrading(),
		OnwardTransfer: s.GetOnwardTransfer(),
		ExpiresAt:      s.GetExpiresAt(),
		ReviewDue:      s.GetReviewDue(),
		Compliance:     s.GetCompliance(),
		Exercise:       s.GetExercise(),
	}
	if whole {
		t.LegalBasis = s.GetLegalBasis()
		t.SensitiveCategories = s.GetSensitiveCategories()
	}
	return t
}

// twins are the fields of a hit that say the same. Who takes out one means the other too.
var twins = [][]string{
	{"handling", "stewardship.handling"},
	{"issuer", "document.issuer"},
	{"document_status", "document.status"},
	{"person_role", "person.role"},
	{"warnings", "person.warnings"},
	{"action", "person.action", "document.action"},
	{"action_text", "person.action_text", "document.action_text"},
	// The words of a name stand beside their likes, and once more in words. The weights add up.
	{"evidence.asked", "evidence.tokens.asked"},
	{"evidence.recorded", "evidence.tokens.recorded", "evidence.how"},
	{"evidence.how", "evidence.tokens"},
	{"score", "evidence.weight", "evidence.whole_weight", "evidence.tokens.weight"},
}

// withTwins adds to the paths those of the fields that say the same.
func withTwins(paths []string) []string {
	all := slices.Clone(paths)
	for _, path := range paths {
		for _, group := range twins {
			for _, twin := range group {
				rest, ok := below(path, twin)
				if !ok {
					continue
				}
				for _, other := range group {
					all = append(all, other+rest)
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// below tells whether a path is a field or lies within it, and what follows the field.
func below(path, field string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, field)
	return rest, ok && (rest == "" || rest[0] == '.')
}

// redacts tells whether a field is among those that are taken out whole.
func redacts(paths []string, field string) bool {
	return slices.Contains(paths, field)
}

// recordedBy are the fields of the record that each comparison quotes.
var recordedBy = map[hitv1.Feature][]string{
	hitv1.Feature_FEATURE_NAME:            {"person.names"},
	hitv1.Feature_FEATURE_BIRTH_DATE:      {"person.births"},
	hitv1.Feature_FEATURE_NATIONALITY:     {"person.nationalities"},
	hitv1.Feature_FEATURE_SEX:             {"person.sex"},
	hitv1.Feature_FEATURE_DOCUMENT_NUMBER: {"document.number", "document.number_key", "document.range_end"},
	hitv1.Feature_FEATURE_DOCUMENT_ISSUER: {"document.issuer", "issuer"},
	hitv1.Feature_FEATURE_DOCUMENT_TYPE:   {"document.type"},
	hitv1.Feature_FEATURE_BIRTH_COUNTRY:   {"person.births"},
}

// withoutRecorded takes out of whole evidence what it quotes of fields that are redacted: the
// value, and the words on how it differs from what was asked, one by one and together. It tells
// whether there was any.
func withoutRecorded(evidence []*hitv1.LocalEvidence, redacted []string) (found bool) {
	for _, e := range evidence {
		for _, field := range recordedBy[e.GetFeature()] {
			for _, path := range redacted {
				if _, ok := below(path, field); ok || path == strings.SplitN(field, ".", 2)[0] {
					e.Recorded, e.How, e.Tokens, e.WholeWeight, found = "", "", nil, 0, true
				}
			}
		}
	}
	return found
}

// agreements are the asker's inputs that agreed, without a word of the record.
func agreements(evidence []*hitv1.LocalEvidence) *hitv1.DisclosedEvidence {
	d := &hitv1.DisclosedEvidence{}
	for _, e := range evidence {
		if e.GetAgreement() != hitv1.Agreement_AGREEMENT_SAME && e.GetAgreement() != hitv1.Agreement_AGREEMENT_SIMILAR {
			continue
		}
		same := func(a *hitv1.DisclosedAgreement) bool { return a.GetFeature() == e.GetFeature() }
		if i := slices.IndexFunc(d.Agreed, same); i >= 0 {
			// Several comparisons of one input (name tokens) are one agreement, as weak as the weakest.
			if e.GetAgreement() == hitv1.Agreement_AGREEMENT_SIMILAR {
				d.Agreed[i].Agreement = hitv1.Agreement_AGREEMENT_SIMILAR
			}
			continue
		}
		d.Agreed = append(d.Agreed, &hitv1.DisclosedAgreement{Feature: e.GetFeature(), Agreement: e.GetAgreement()})
	}
	return d
}

var featureWords = map[hitv1.Feature]string{
	hitv1.Feature_FEATURE_NAME:            "name",
	hitv1.Feature_FEATURE_BIRTH_DATE:      "birth date",
	hitv1.Feature_FEATURE_NATIONALITY:     "nationality",
	hitv1.Feature_FEATURE_SEX:             "sex",
	hitv1.Feature_FEATURE_DOCUMENT_NUMBER: "document number",
	hitv1.Feature_FEATURE_DOCUMENT_ISSUER: "issuing state",
	hitv1.Feature_FEATURE_DOCUMENT_TYPE:   "document type",
	hitv1.Feature_FEATURE_BIRTH_COUNTRY:   "country of birth",
}

func explain(d *hitv1.DisclosedEvidence, b hitv1.Band) string {
	parts := make([]string, 0, len(d.GetAgreed()))
	for _, a := range d.GetAgreed() {
		how := "agrees"
		if a.GetAgreement() == hitv1.Agreement_AGREEMENT_SIMILAR {
			how = "is similar"
		}
		word, ok := featureWords[a.GetFeature()]
		if !ok {
			word = "another input"
		}
		parts = append(parts, word+" "+how)
	}
	band := strings.ToLower(strings.TrimPrefix(b.String(), "BAND_")) + " match"
	if len(parts) == 0 {
		return band
	}
	return band + ": " + strings.Join(parts, ", ")
}

// redact clears the field that a path names, in every element where it passes a list. A path
// that names no field of a hit is refused when the policy is loaded.
func redact(m protoreflect.Message, path []string) {
	field := m.Descriptor().Fields().ByName(protoreflect.Name(path[0]))
	if field == nil || !m.Has(field) {
		return
	}
	if len(path) == 1 {
		m.Clear(field)
		return
	}
	if field.Message() == nil || field.IsMap() {
		return
	}
	if field.IsList() {
		list := m.Mutable(field).List()
		for i := range list.Len() {
			redact(list.Get(i).Message(), path[1:])
		}
		return
	}
	redact(m.Mutable(field).Message(), path[1:])
}
