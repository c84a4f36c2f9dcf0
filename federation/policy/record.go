package policy

import (
	"slices"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// DiscloseFacts are what is known when a record of the own bureau has matched a question that
// may be answered.
type DiscloseFacts struct {
	// Self is the own bureau, From the one that asks, proven to be a member of the roster.
	Self, From identity.Bureau
	// Federation is the federation of both. Needed only by policies that name it.
	Federation identity.Federation
	// Collection is the own collection in which the record lies.
	Collection string
	// Purpose is what the question is for.
	Purpose recordv1.Purpose
	// Record is the record that matched.
	Record *recordv1.Record
	// Agency, Role and HasCase are the question's, as in AnswerFacts. They tell whether its
	// asker may ask about documents of any state, where the country's permits distinguish by
	// them; the permits that this package writes do not.
	Agency, Role string
	HasCase      bool
	// Now is the moment at which the policies must hold.
	Now time.Time
}

// Disclose decides whether another bureau may be told of one record. Where not, the record is
// withheld, and looks like no record.
func (s *Set) Disclose(f DiscloseFacts) Decision {
	purpose, err := questionOf(f.Self, f.From, f.Collection, f.Purpose, f.Now)
	if err != nil {
		return undecidable(actionDisclose, "%w", err)
	}
	if (f.Collection == CollectionDocuments) != (f.Record.GetDocument() != nil) ||
		(f.Collection == CollectionPersons) != (f.Record.GetPerson() != nil) {
		return undecidable(actionDisclose, "record: not one of the collection %s", f.Collection)
	}
	beyond := false
	if f.Collection == CollectionDocuments {
		// Would the question have been answered had no state, or another, issued the document?
		beyond = s.Answer(AnswerFacts{
			Self: f.Self, From: f.From, Federation: f.Federation, Agency: f.Agency, Role: f.Role,
			Collection: f.Collection, Purpose: f.Purpose, HasCase: f.HasCase, Now: f.Now,
		}).Allow
	}
	return s.decide(actionDisclose, f.From, bureauThing(f.From, f.Federation), recordThing(&f),
		types.RecordMap{
			"purpose":           purpose,
			"beyond_own_issued": types.Boolean(beyond),
			"now":               types.NewDatetime(f.Now),
		})
}

// recordAttributes are a record's attributes, as the vocabulary describes them.
func recordAttributes(f *DiscloseFacts) types.Record {
	st, person, document := f.Record.GetStewardship(), f.Record.GetPerson(), f.Record.GetDocument()
	owner := st.GetOwnerBureau()
	if owner == "" {
		owner = string(f.Self)
	}
	expires := noExpiry
	if at := st.GetExpiresAt(); at != nil {
		expires = types.NewDatetime(at.AsTime())
	}
	demand := person.GetAction()
	if document != nil {
		demand = document.GetAction()
	}
	return types.NewRecord(types.RecordMap{
		"holds":                uid(typeSubject, f.Collection),
		"owner":                types.String(owner),
		"audience":             audienceUID(st.GetAudience().GetMode()),
		"audience_allow":       bureauSet(st.GetAudience().GetAllow()),
		"audience_deny":        bureauSet(st.GetAudience().GetDeny()),
		"purposes":             purposeSet(st.GetPurposes()),
		"expires_at":           expires,
		"compliance":           uid("Compliance", enumName(st.GetCompliance().GetState(), "COMPLIANCE_STATE_")),
		"handling":             types.String(HandlingCode(st.GetHandling())),
		"exercise":             types.Boolean(st.GetExercise()),
		"sensitive_categories": textSet(st.GetSensitiveCategories()),
		"demand":               demandUID(demand),
		"person_role":          uid("PersonRole", enumName(person.GetRole(), "PERSON_ROLE_")),
		"minor":                types.Boolean(Minor(person, f.Now)),
		"entity":               types.Boolean(person.GetKind() == recordv1.PersonKind_PERSON_KIND_ENTITY),
		"document_status":      uid("DocumentStatus", enumName(document.GetStatus(), "DOCUMENT_STATUS_")),
		"issuer":               types.String(document.GetIssuer()),
		"recovered":            types.Boolean(document.GetRecoveredAt() != nil && !document.GetRecoveredAt().AsTime().After(f.Now)),
	})
}

// adulthood is the age from which a person is no child (Convention on the Rights of the Child,
// article 1).
const adulthood = 18

// Minor says whether a person is, or by what is recorded may be, under eighteen: the latest day
// of any birth recorded counts. A person without a birth date is not taken for a minor, an
// entity never.
func Minor(p *recordv1.Person, at time.Time) bool {
	if p.GetKind() == recordv1.PersonKind_PERSON_KIND_ENTITY {
		return false
	}
	return slices.ContainsFunc(p.GetBirths(), func(b *recordv1.Birth) bool {
		latest := b.GetTo()
		if latest == "" {
			latest = b.GetFrom()
		}
		if latest == "" {
			return false
		}
		born, err := time.Parse(time.DateOnly, latest)
		if err != nil { // no day of the calendar: protect rather than guess
			return true
		}
		return at.UTC().Before(born.AddDate(adulthood, 0, 0))
	})
}

func audienceUID(mode recordv1.AudienceMode) types.EntityUID {
	switch mode {
	case recordv1.AudienceMode_AUDIENCE_MODE_LISTED:
		return uid("Audience", "listed")
	case recordv1.AudienceMode_AUDIENCE_MODE_ALL_PERMITTED:
		return uid("Audience", "all-permitted")
	default: // not said, or a mode of a later version: nobody
		return uid("Audience", "none")
	}
}

func demandUID(a recordv1.Action) types.EntityUID {
	return uid("Demand", enumName(a, "ACTION_"))
}

func bureauSet(ids []string) types.Set {
	if len(ids) == 0 {
		return types.Set{}
	}
	values := make([]types.Value, len(ids))
	for i, id := range ids {
		values[i] = bureauUID(identity.Bureau(id))
	}
	return types.NewSet(values...)
}

func purposeSet(purposes []recordv1.Purpose) types.Set {
	if len(purposes) == 0 {
		return types.Set{}
	}
	values := make([]types.Value, len(purposes))
	for i, p := range purposes {
		// A purpose that this version does not know keeps its number as its name: it never
		// matches, and the set does not become empty, which would be every purpose.
		values[i] = uid(typePurpose, identity.PurposeName(p))
	}
	return types.NewSet(values...)
}

func textSet(texts []string) types.Set {
	if len(texts) == 0 {
		return types.Set{}
	}
	values := make([]types.Value, len(texts))
	for i, t := range texts {
		values[i] = cedar.String(t)
	}
	return types.NewSet(values...)
}
