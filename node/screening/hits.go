package screening

import (
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/pki/identity"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// hitOf is a candidate as the own side sees it: whole.
func hitOf(self identity.Bureau, c match.Candidate, now time.Time) *hitv1.Hit {
	rec := c.Record
	s := rec.GetStewardship()
	h := &hitv1.Hit{
		Bureau:      string(self),
		RecordId:    rec.GetRecordId(),
		Score:       proto.Float64(c.Score),
		Band:        c.Band,
		Evidence:    c.Evidence,
		Explanation: c.Explanation,
		Handling:    s.GetHandling(),
		Stewardship: s,
	}
	if p := rec.GetPerson(); p != nil {
		h.Kind, h.Collection = hitv1.HitKind_HIT_KIND_PERSON, gate.Persons
		h.PersonRole = p.GetRole()
		h.Warnings = p.GetWarnings()
		h.Minor = policy.Minor(p, now)
		h.Action, h.ActionText = p.GetAction(), p.GetActionText()
		h.Subject = &hitv1.Hit_Person{Person: p}
	} else {
		d := rec.GetDocument()
		h.Kind, h.Collection = hitv1.HitKind_HIT_KIND_DOCUMENT, gate.Documents
		h.DocumentStatus, h.Issuer = d.GetStatus(), d.GetIssuer()
		h.Action, h.ActionText = actionOnDocument(d), d.GetActionText()
		h.Subject = &hitv1.Hit_Document{Document: d}
	}
	h.MustNot = mustNot(h)
	return h
}

// actionOnDocument is what the owner asks, or what follows from the status.
func actionOnDocument(d *recordv1.Document) recordv1.Action {
	if d.GetAction() != recordv1.Action_ACTION_UNSPECIFIED {
		return d.GetAction()
	}
	switch d.GetStatus() {
	case recordv1.DocumentStatus_DOCUMENT_STATUS_ASSOCIATED, recordv1.DocumentStatus_DOCUMENT_STATUS_COUNTERFEIT_SEEN:
		return recordv1.Action_ACTION_INFORM
	default:
		return recordv1.Action_ACTION_SEIZE_DOCUMENT
	}
}

// mustNot is what the officer must not do on this hit alone.
func mustNot(h *hitv1.Hit) []string {
	out := []string{"Do not act on this hit alone: compare person and document first, then have " + h.GetBureau() + " confirm it."}
	if h.GetMinor() {
		out = append(out, "A child: do not arrest, handcuff or question without a guardian or child protection officer.")
	}
	switch h.GetAction() {
	case recordv1.Action_ACTION_PROTECT:
		out = append(out, "Do not treat the person as a suspect: they are to be protected.")
	case recordv1.Action_ACTION_DISCREET:
		out = append(out, "Do not let the person notice, hold or search them.")
	case recordv1.Action_ACTION_LOCATE:
		out = append(out, "Do not hold the person: the owner wants to know where they are.")
	case recordv1.Action_ACTION_INFORM:
		out = append(out, "Do not hold the person on this record.")
	}
	switch h.GetDocumentStatus() {
	case recordv1.DocumentStatus_DOCUMENT_STATUS_ASSOCIATED:
		out = append(out, "Do not seize the document: it is valid and belongs to a person of interest.")
	case recordv1.DocumentStatus_DOCUMENT_STATUS_COUNTERFEIT_SEEN:
		out = append(out, "Do not take the document for false: a counterfeit with this number was seen, the genuine one may be before you.")
	case recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN, recordv1.DocumentStatus_DOCUMENT_STATUS_LOST:
		out = append(out, "Do not take the bearer for the thief: who reports a document lost may find it again.")
	}
	return out
}

// ActionWord is an action as people read it: "seize document".
func ActionWord(a recordv1.Action) string {
	if a == recordv1.Action_ACTION_UNSPECIFIED {
		return "contact the owner"
	}
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(a.String(), "ACTION_"), "_", " "))
}
