package screening

import (
	"slices"

	"github.com/entente-mesh/entente/federation/ask"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// concerned names the bureaus that this check asks, and what. A bureau is concerned when the
// own policy permits to ask it and it describes that it answers such questions. One that has
// not described itself (it is away) and may be asked is concerned all the same: its silence
// must not look like "no hit". Nobody else is asked about anything.
func (s *Screening) concerned(client identity.Identity, just *queryv1.Justification, subject *subject) []ask.Target {
	var targets []ask.Target
	doc, person := subject.traveller.GetDocument(), subject.traveller.GetPerson()
	for _, b := range s.cfg.Mesh.Bureaus() {
		asking := gate.Asking{
			Client: client, To: b, Purpose: just.GetPurpose(),
			IssuingState: doc.GetIssuer(), Nationality: person.GetNationality(),
		}
		t := ask.Target{Bureau: b, Optional: true}
		if doc != nil {
			asking.Collection = gate.Documents
			if d := s.cfg.Gate.Ask(asking); d.Allow && s.offers(b, asking) {
				t.Documents = true
				oblige(&t, d)
			}
		}
		if person != nil {
			asking.Collection = gate.Persons
			if d := s.cfg.Gate.Ask(asking); d.Allow && s.offers(b, asking) {
				t.Persons = true
				oblige(&t, d)
			}
		}
		if t.Documents || t.Persons {
			targets = append(targets, t)
		}
	}
	return targets
}

// offers tells whether a bureau says that it answers such a question, or has said nothing.
func (s *Screening) offers(b identity.Bureau, a gate.Asking) bool {
	offer, known := s.cfg.Mesh.Offer(b)
	if !known {
		return true
	}
	for _, c := range offer.GetCollections() {
		if c.GetCollection() != a.Collection || c.GetMode() != queryv1.SharingMode_SHARING_MODE_ASK {
			continue
		}
		if a.Collection == gate.Documents && c.GetOwnIssuedOnly() && a.IssuingState != string(b) {
			continue
		}
		if slices.Contains(c.GetPurposes(), a.Purpose) {
			return true
		}
	}
	return false
}

// oblige notes the rules that oblige to ask. A bureau is optional only if every rule says so.
func oblige(t *ask.Target, d policy.Decision) {
	t.Rules = append(t.Rules, d.Rules...)
	t.Optional = t.Optional && d.Obligations.Optional
}
