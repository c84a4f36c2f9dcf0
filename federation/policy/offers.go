package policy

import (
	"strings"
	"time"

	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Offers are the collections about which a bureau may ask this one at a moment, for which
// purposes, as it is told so. They follow from Answer: a purpose is offered if some question for
// it would be answered. Where policies distinguish by agency, role or state, those that they
// name are tried, so that what they single out is offered too. Documents stand in two offers
// where for some purposes any document may be asked about, for others the own state's alone:
// whoever reads offers takes them all together. Pointers and copies are described by the
// services that serve them.
func (s *Set) Offers(self, to identity.Bureau, now time.Time) []*queryv1.CollectionOffer {
	var offers []*queryv1.CollectionOffer
	relevant := s.index[actionAnswer].forBureau(to)
	requesters := requestersOf(relevant, to)
	states := statesOf(relevant)
	for _, collection := range Collections() {
		wide := &queryv1.CollectionOffer{Collection: collection, Mode: queryv1.SharingMode_SHARING_MODE_ASK}
		// So that questions about documents of other states are not even put.
		narrow := &queryv1.CollectionOffer{Collection: collection, Mode: queryv1.SharingMode_SHARING_MODE_ASK, OwnIssuedOnly: true}
		for _, purpose := range identity.Purposes() {
			own, beyond := false, false
			tryAll(requesters, states, self, to, func(r requester, issuer, nationality string) bool {
				if own && issuer == string(self) || beyond && issuer != string(self) {
					return true
				}
				if s.answer(&AnswerFacts{
					Self: self, From: to, Agency: r.agency, Role: r.role, Collection: collection,
					Purpose: purpose, Mode: ModeAsk, IssuingState: issuer, Nationality: nationality,
					HasCase: true, Now: now,
				}, false).Allow {
					own = own || issuer == string(self)
					beyond = beyond || issuer != string(self)
				}
				return !own || !beyond
			})
			switch {
			case beyond:
				wide.Purposes = append(wide.Purposes, purpose)
			case own && collection == CollectionDocuments:
				narrow.Purposes = append(narrow.Purposes, purpose)
			case own: // a person has no issuer: nothing can be said of it in the offer
				wide.Purposes = append(wide.Purposes, purpose)
			}
		}
		for _, offer := range []*queryv1.CollectionOffer{wide, narrow} {
			if len(offer.Purposes) > 0 {
				offers = append(offers, offer)
			}
		}
	}
	return offers
}

// Permitted are the collections of another bureau that this one may ask at a moment, and for
// which purposes: the counterpart of Offers, from Ask.
func (s *Set) Permitted(self, to identity.Bureau, now time.Time) []*adminv1.PermittedAsk {
	var permitted []*adminv1.PermittedAsk
	relevant := s.index[actionAsk].forBureau(to)
	requesters := requestersOf(relevant, self)
	states := statesOf(relevant)
	for _, collection := range Collections() {
		p := &adminv1.PermittedAsk{Collection: collection}
		for _, purpose := range identity.Purposes() {
			allowed := false
			tryAll(requesters, states, to, self, func(r requester, issuer, nationality string) bool {
				client := identity.Client("", self, r.agency, identity.Role(r.role), "", []recordv1.Purpose{purpose})
				allowed = s.ask(&AskFacts{
					Self: self, Client: client, To: to, Collection: collection, Purpose: purpose,
					IssuingState: issuer, Nationality: nationality, Now: now,
				}, false).Allow
				return !allowed
			})
			if allowed {
				p.Purposes = append(p.Purposes, purpose)
			}
		}
		if len(p.Purposes) > 0 {
			permitted = append(permitted, p)
		}
	}
	return permitted
}

// NextChange is the first moment after a given one at which a policy begins or ceases to hold,
// by the moments that policies name: offers made before it may not hold after it.
func (s *Set) NextChange(after time.Time) (time.Time, bool) {
	for _, ms := range s.changes {
		if ms > after.UnixMilli() {
			return time.UnixMilli(ms).UTC(), true
		}
	}
	return time.Time{}, false
}

// requester is an agency and a role that policies tell from others. Empty: none that they name.
type requester struct{ agency, role string }

// requestersOf lists those of a bureau that policies can tell apart.
func requestersOf(relevant candidates, b identity.Bureau) []requester {
	agencies, roles := []string{""}, []string{""}
	for _, r := range relevant {
		for _, a := range r.mentions.agencies {
			if name, ok := strings.CutPrefix(a, string(b)+"/"); ok {
				agencies = add(agencies, name)
			}
		}
		for _, role := range r.mentions.roles {
			roles = add(roles, role)
		}
	}
	var all []requester
	for _, a := range agencies {
		for _, role := range roles {
			all = append(all, requester{agency: a, role: role})
		}
	}
	return all
}

// statesOf lists the states that policies name.
func statesOf(relevant candidates) []string {
	var states []string
	for _, r := range relevant {
		for _, state := range r.mentions.states {
			states = add(states, state)
		}
	}
	return states
}

// tryAll tries every kind of question that policies can tell apart: from each requester, about
// documents that the asked bureau's state, no state or a state that they name issued, and
// likewise for nationalities. It stops when try says so.
func tryAll(requesters []requester, states []string, asked, asking identity.Bureau, try func(r requester, issuer, nationality string) bool) {
	// The asked state comes first, then one that nobody knows.
	issuers := []string{string(asked), ""}
	nationalities := []string{"", string(asked), string(asking)}
	for _, state := range states {
		issuers = add(issuers, state)
		nationalities = add(nationalities, state)
	}
	for _, r := range requesters {
		for _, issuer := range issuers {
			for _, nationality := range nationalities {
				if !try(r, issuer, nationality) {
					return
				}
			}
		}
	}
}
