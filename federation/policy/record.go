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
	if _, err := questionOf(f.Self, f.From, f.Collection, f.Purpose, f.Now); err != nil {
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
	d := disclosing{DiscloseFacts: &f, beyond: beyond}
	d.world = world{set: s, principal: bureauThing(f.From, f.Federation), resource: recordThing(&d)}
	return s.disclose(&d)
}

// disclose evaluates the policies as Cedar does: all of them, a forbid above every permit.
func (s *Set) disclose(d *disclosing) Decision {
	var forbids, permits []*rule
	var failed []cedar.DiagnosticError
	relevant := s.index[actionDisclose].forBureau(d.From)
	for _, r := range relevant {
		holds := false
		if r.compiled != nil {
			holds = r.compiled(d)
		} else {
			_, diagnostic := cedar.Authorize(candidates{r}, &d.world, d.request())
			failed = append(failed, diagnostic.Errors...)
			holds = len(diagnostic.Reasons) > 0
		}
		switch {
		case !holds:
		case r.permit:
			permits = append(permits, r)
		default:
			forbids = append(forbids, r)
		}
	}
	decision := Decision{Action: actionDisclose, Considered: len(relevant), Allow: len(permits) > 0}
	if len(forbids) > 0 {
		decision.Allow, permits = false, forbids
	}
	return s.conclude(decision, permits, failed)
}

// request is what Cedar evaluates policies for that are not compiled.
func (d *disclosing) request() cedar.Request {
	if d.context == nil {
		context := wholly("context", d)
		d.context = &context
	}
	return cedar.Request{
		Principal: d.world.principal.uid,
		Action:    uid(typeAction, actionDisclose),
		Resource:  d.world.resource.uid,
		Context:   *d.context,
	}
}

// disclosed are the attributes of a record and of the context in which it is disclosed, as the
// vocabulary describes them.
var disclosed = [...]attribute{
	{of: "context", name: "purpose", value: func(d *disclosing) types.Value { return purposeOf(d.Purpose) }},
	truth("context", "beyond_own_issued", func(d *disclosing) bool { return d.beyond }),
	moment("context", "now", func(d *disclosing) int64 { return d.Now.UnixMilli() }),
	{of: "resource", name: "holds", value: func(d *disclosing) types.Value { return uid(typeSubject, d.Collection) }},
	{of: "resource", name: "owner", value: func(d *disclosing) types.Value {
		if owner := d.Record.GetStewardship().GetOwnerBureau(); owner != "" {
			return types.String(owner)
		}
		return types.String(d.Self)
	}},
	{of: "resource", name: "audience", value: func(d *disclosing) types.Value {
		return audienceOf(d.Record.GetStewardship().GetAudience().GetMode())
	}},
	listed("resource", "audience_allow", func(d *disclosing) list {
		return bureaus(d.Record.GetStewardship().GetAudience().GetAllow())
	}),
	listed("resource", "audience_deny", func(d *disclosing) list {
		return bureaus(d.Record.GetStewardship().GetAudience().GetDeny())
	}),
	listed("resource", "purposes", func(d *disclosing) list { return purposes(d.Record.GetStewardship().GetPurposes()) }),
	moment("resource", "expires_at", func(d *disclosing) int64 {
		if at := d.Record.GetStewardship().GetExpiresAt(); at != nil {
			return at.AsTime().UnixMilli()
		}
		return noExpiry
	}),
	{of: "resource", name: "compliance", value: func(d *disclosing) types.Value {
		return complianceOf(d.Record.GetStewardship().GetCompliance().GetState())
	}},
	{of: "resource", name: "handling", value: func(d *disclosing) types.Value {
		return types.String(HandlingCode(d.Record.GetStewardship().GetHandling()))
	}},
	truth("resource", "exercise", func(d *disclosing) bool { return d.Record.GetStewardship().GetExercise() }),
	listed("resource", "sensitive_categories", func(d *disclosing) list {
		return texts(d.Record.GetStewardship().GetSensitiveCategories())
	}),
	{of: "resource", name: "demand", value: func(d *disclosing) types.Value {
		if document := d.Record.GetDocument(); document != nil {
			return demandOf(document.GetAction())
		}
		return demandOf(d.Record.GetPerson().GetAction())
	}},
	{of: "resource", name: "person_role", value: func(d *disclosing) types.Value {
		return personRoleOf(d.Record.GetPerson().GetRole())
	}},
	truth("resource", "minor", func(d *disclosing) bool { return Minor(d.Record.GetPerson(), d.Now) }),
	truth("resource", "entity", func(d *disclosing) bool {
		return d.Record.GetPerson().GetKind() == recordv1.PersonKind_PERSON_KIND_ENTITY
	}),
	{of: "resource", name: "document_status", value: func(d *disclosing) types.Value {
		return documentStatusOf(d.Record.GetDocument().GetStatus())
	}},
	{of: "resource", name: "issuer", value: func(d *disclosing) types.Value {
		return types.String(d.Record.GetDocument().GetIssuer())
	}},
	truth("resource", "recovered", func(d *disclosing) bool {
		at := d.Record.GetDocument().GetRecoveredAt()
		return at != nil && !at.AsTime().After(d.Now)
	}),
}

// The entities of the values of a record's enumerations.
var (
	purposeOf    = named(recordv1.Purpose_name, namedPurposeUID)
	audienceOf   = named(recordv1.AudienceMode_name, audienceUID)
	complianceOf = named(recordv1.ComplianceState_name, func(s recordv1.ComplianceState) types.EntityUID {
		return uid("Compliance", enumName(s, "COMPLIANCE_STATE_"))
	})
	demandOf     = named(recordv1.Action_name, demandUID)
	personRoleOf = named(recordv1.PersonRole_name, func(r recordv1.PersonRole) types.EntityUID {
		return uid("PersonRole", enumName(r, "PERSON_ROLE_"))
	})
	documentStatusOf = named(recordv1.DocumentStatus_name, func(s recordv1.DocumentStatus) types.EntityUID {
		return uid("DocumentStatus", enumName(s, "DOCUMENT_STATUS_"))
	})
)

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
		year, month, day, ok := dayOf(latest)
		// No day of the calendar: protect rather than guess.
		return !ok || at.Before(time.Date(year+adulthood, month, day, 0, 0, 0, 0, time.UTC))
	})
}

// dayOf reads a day of the calendar, "2006-01-02", as time.Parse does, but without an error to
// make for those that are none.
func dayOf(s string) (year int, month time.Month, day int, ok bool) {
	if len(s) != len(time.DateOnly) || s[4] != '-' || s[7] != '-' {
		return 0, 0, 0, false
	}
	var parts [3]int
	for i, digits := range [...]string{s[:4], s[5:7], s[8:]} {
		for _, c := range []byte(digits) {
			if c < '0' || c > '9' {
				return 0, 0, 0, false
			}
			parts[i] = parts[i]*10 + int(c-'0')
		}
	}
	year, month, day = parts[0], time.Month(parts[1]), parts[2]
	y, m, d := time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Date()
	return year, month, day, y == year && m == month && d == day
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

func purposeSet(purposes []recordv1.Purpose) types.Set {
	if len(purposes) == 0 {
		return types.Set{}
	}
	values := make([]types.Value, len(purposes))
	for i, p := range purposes {
		// A purpose that this version does not know never matches, and the set does not become
		// empty, which would be every purpose.
		values[i] = namedPurposeUID(p)
	}
	return types.NewSet(values...)
}
