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
		MustNot:        whole.GetMustNot(),
		Handling:       whole.GetHandling(),
		DocumentStatus: whole.GetDocumentStatus(),
		PersonRole:     whole.GetPersonRole(),
		Issuer:         whole.GetIssuer(),
		Stewardship:    travelling(whole.GetStewardship()),
		RetentionDays:  o.RetentionDays,
		Warnings:       whole.GetWarnings(),
		Minor:          whole.GetMinor(),
	}
	told.Explanation = explain(told.GetDisclosed(), told.GetBand())
	told.Handling = policy.StricterHandling(told.GetHandling(), o.Handling)
	if o.FullEvidence {
		told.Score = whole.Score
		told.Evidence = whole.GetEvidence()
		told.Explanation = whole.GetExplanation()
		told.Subject = whole.GetSubject()
	}
	told = proto.Clone(told).(*hitv1.Hit) // redaction must not reach into the own record
	for _, path := range o.Redact {
		redact(told.ProtoReflect(), strings.Split(path, "."))
	}
	return told
}

// travelling is the part of a stewardship that goes with a hit: what binds its receiver.
func travelling(s *recordv1.Stewardship) *recordv1.Stewardship {
	if s == nil {
		return nil
	}
	return &recordv1.Stewardship{
		OwnerBureau:         s.GetOwnerBureau(),
		Version:             s.GetVersion(),
		Purposes:            s.GetPurposes(),
		Handling:            s.GetHandling(),
		Grading:             s.GetGrading(),
		OnwardTransfer:      s.GetOnwardTransfer(),
		ExpiresAt:           s.GetExpiresAt(),
		ReviewDue:           s.GetReviewDue(),
		Compliance:          s.GetCompliance(),
		NationalRef:         s.GetNationalRef(),
		Exercise:            s.GetExercise(),
		DeletionHold:        s.GetDeletionHold(),
		LegalBasis:          s.GetLegalBasis(),
		RecordedAt:          s.GetRecordedAt(),
		LastReviewed:        s.GetLastReviewed(),
		PreviousDigest:      s.GetPreviousDigest(),
		OriginAgency:        "",
		Audience:            nil, // who else may know is the owner's business
		Provenance:          nil, // and so are its sources
		SensitiveCategories: nil,
	}
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
}

func explain(d *hitv1.DisclosedEvidence, b hitv1.Band) string {
	parts := make([]string, 0, len(d.GetAgreed()))
	for _, a := range d.GetAgreed() {
		how := "agrees"
		if a.GetAgreement() == hitv1.Agreement_AGREEMENT_SIMILAR {
			how = "is similar"
		}
		parts = append(parts, featureWords[a.GetFeature()]+" "+how)
	}
	band := strings.ToLower(strings.TrimPrefix(b.String(), "BAND_"))
	return band + " match: " + strings.Join(parts, ", ")
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
