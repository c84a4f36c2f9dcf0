package screening

import (
	"slices"
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
		h.Subject = &hitv1.Hit_Person{Person: withoutFiles(p)}
	} else {
		d := rec.GetDocument()
		h.Kind, h.Collection = hitv1.HitKind_HIT_KIND_DOCUMENT, gate.Documents
		h.DocumentStatus, h.Issuer = d.GetStatus(), d.GetIssuer()
		h.Action, h.ActionText = actionOnDocument(d), d.GetActionText()
		h.Subject = &hitv1.Hit_Document{Document: d}
	}
	h.MustNot = gate.MustNot(h)
	return h
}

// withoutFiles is a person without the content of their photographs and templates, which are told
// by digest: a few of them would make an answer larger than a message may be, and the whole check
// would fail for it.
func withoutFiles(p *recordv1.Person) *recordv1.Person {
	holds := func(a *recordv1.Attachment) bool { return len(a.GetContent()) > 0 }
	if !slices.ContainsFunc(p.GetImages(), holds) && !slices.ContainsFunc(p.GetBiometrics(), holds) {
		return p
	}
	p = proto.CloneOf(p)
	for _, a := range slices.Concat(p.GetImages(), p.GetBiometrics()) {
		a.Content = nil
	}
	return p
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

// ActionWord is an action as people read it: "seize document".
func ActionWord(a recordv1.Action) string {
	if a == recordv1.Action_ACTION_UNSPECIFIED {
		return "contact the owner"
	}
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(a.String(), "ACTION_"), "_", " "))
}
