package screening

import (
	"context"
	"slices"

	"github.com/entente-mesh/entente/federation/ask"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// concerned is a bureau that a check asks, and what policy advises if it does not answer.
type concerned struct {
	ask.Target
	advice string
}

// concerned names the bureaus that this check asks, and what. A bureau is concerned when the
// own policy permits to ask it and it describes that it answers such questions. One that has
// not described itself (it is away) and may be asked is concerned all the same: its silence
// must not look like "no hit". Nobody else is asked about anything, and nobody about a name by which
// nobody can be found.
func (s *Screening) concerned(ctx context.Context, client identity.Identity, just *queryv1.Justification, subject *subject) []concerned {
	var all []concerned
	doc, person := subject.traveller.GetDocument(), subject.traveller.GetPerson()
	for _, b := range s.cfg.Mesh.Bureaus() {
		asking := gate.Asking{
			Client: client, To: b, Purpose: just.GetPurpose(),
			IssuingState: doc.GetIssuer(), Nationality: person.GetNationality(),
		}
		c := concerned{Target: ask.Target{Bureau: b, Optional: true}}
		if doc != nil {
			asking.Collection = gate.Documents
			c.Documents = s.concernedBy(ctx, &c, asking)
		}
		if person != nil && !subject.common {
			asking.Collection = gate.Persons
			c.Persons = s.concernedBy(ctx, &c, asking)
		}
		if c.Documents || c.Persons {
			all = append(all, c)
		}
	}
	return all
}

// concernedBy tells whether a bureau is asked one question, and notes the rules that oblige to
// it. A bureau is optional only if every rule says so.
func (s *Screening) concernedBy(ctx context.Context, c *concerned, a gate.Asking) bool {
	d := s.cfg.Gate.Ask(ctx, a)
	if !d.Allow || !s.offers(c.Bureau, a) {
		return false
	}
	for _, rule := range d.Rules {
		if !slices.Contains(c.Rules, rule) {
			c.Rules = append(c.Rules, rule)
		}
	}
	c.Optional = c.Optional && d.Obligations.Optional
	c.advice = joined(c.advice, d.Obligations.Advice)
	return true
}

// offers tells whether a bureau says that it answers such a question, or has said nothing.
func (s *Screening) offers(b identity.Bureau, a gate.Asking) bool {
	offer, known := s.cfg.Mesh.Offer(b)
	if !known { // nor if it has expired, which its own clock decides: the mesh knows how that goes
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
