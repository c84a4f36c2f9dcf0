package roster

import (
	"fmt"
	"slices"
	"time"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Chain is a series of rosters, each the successor of the one before, for who checks later what
// was said under them. It never changes. It asks neither for expiry nor for distrust today: what
// counts is the day of the message.
type Chain struct {
	views []*View // versions without gap
}

// VerifyChain verifies rosters, oldest first: the first as VerifyFirst does, every other as the
// successor of the one before, see VerifyNext, save that none need be valid today. It fails as
// they do. The signatures show that each roster is what the bureaus of the one before agreed on;
// that the first has the right bureaus, only a fingerprint from another channel shows, see Find.
func VerifyChain(rosters []*signedv1.Signed, f identity.Federation) (*Chain, error) {
	if len(rosters) == 0 {
		return nil, fmt.Errorf("%w: rosters: give them from the first to the one of that day", ErrNoRoster)
	}
	c := &Chain{views: make([]*View, 0, len(rosters))}
	for i, s := range rosters {
		var v *View
		var err error
		if i == 0 {
			v, err = verifyAnchor(s, f)
		} else {
			v, err = verifyLink(c.views[i-1], s)
		}
		if err != nil {
			return nil, fmt.Errorf("rosters[%d]: %w", i, err)
		}
		c.views = append(c.views, v)
	}
	return c, nil
}

// First is the oldest roster of the chain.
func (c *Chain) First() *View { return c.views[0] }

// Newest is the newest roster of the chain.
func (c *Chain) Newest() *View { return c.views[len(c.views)-1] }

// Find returns the roster that has a fingerprint. Who trusts one roster of a chain can trust those
// before it, because each holds the digest of its predecessor, and those after it, because its
// bureaus signed them.
func (c *Chain) Find(fingerprint string) (*View, bool) {
	for _, v := range c.views {
		if EqualFingerprint(fingerprint, v.Fingerprint()) {
			return v, true
		}
	}
	return nil, false
}

// At returns the newest roster written by then.
func (c *Chain) At(t time.Time) (*View, bool) {
	for _, v := range slices.Backward(c.views) {
		if !v.issuedAt.After(t) {
			return v, true
		}
	}
	return nil, false
}

// Keys looks keys up as of the day for which they are asked: in the newest roster written by then,
// and if the key is not in that one, in those before it down to version floor, since a roster is
// in force at a bureau only weeks after it is drafted. floor 0 asks the roster of the day alone.
//
// A key that any roster of the chain, also a later one, calls revoked before that day is not good:
// from then on somebody else may have had it.
func (c *Chain) Keys(floor uint64) signing.Keys { return chainKeys{c, floor} }

type chainKeys struct {
	chain *Chain
	floor uint64
}

// Key implements signing.Keys.
func (k chainKeys) Key(b identity.Bureau, keyID string, usage rosterv1.KeyUsage, at time.Time) (signing.PublicKey, error) {
	day, ok := k.chain.At(at)
	if !ok {
		return signing.PublicKey{}, fmt.Errorf("key of %s: %w: the first is of %s", b, ErrNoRoster, k.chain.First().IssuedAt().Format(time.DateOnly))
	}
	key, err := day.Key(b, keyID, usage, at)
	for v := day.Version(); err != nil && k.floor > 0 && v > k.floor && v > k.chain.First().Version(); v-- {
		older := k.chain.views[v-1-k.chain.First().Version()]
		if got, olderErr := older.Key(b, keyID, usage, at); olderErr == nil {
			key, err = got, nil
		}
	}
	if err != nil {
		return signing.PublicKey{}, fmt.Errorf("as of roster %d: %w", day.Version(), err)
	}
	for _, v := range k.chain.views {
		if r := v.keys[key.ID()].revokedAt; !r.IsZero() && !at.Before(r) {
			return signing.PublicKey{}, fmt.Errorf("as of roster %d, key %.16s of %s: %w", v.Version(), key.ID(), b, ErrKeyRevoked)
		}
	}
	return key, nil
}

// KeysSince returns a bureau's keys of one usage that were good at that time or later, whichever
// roster of the chain lists them: the keys under which something undated can have been signed that
// is known not to be older.
func (c *Chain) KeysSince(b identity.Bureau, usage rosterv1.KeyUsage, since time.Time) []signing.PublicKey {
	last := map[string]listedKey{}
	for _, v := range c.views { // the newest word on a key counts
		for id, k := range v.keys {
			if k.Bureau == b && k.Usage == usage {
				last[id] = k
			}
		}
	}
	var out []signing.PublicKey
	for _, k := range last {
		gone := !k.revokedAt.IsZero() && !since.Before(k.revokedAt) || !k.notAfter.IsZero() && since.After(k.notAfter)
		if !gone {
			out = append(out, k.PublicKey)
		}
	}
	return sorted(out)
}

// Revoked says whether any roster of the chain calls a key revoked, as of whichever day: also one
// that later rosters do not list any more.
func (c *Chain) Revoked(k signing.PublicKey) bool {
	was, ok := c.Newest().past.word(k.Key)
	return ok && !was.revokedAt.IsZero()
}

// KeysOf returns a bureau's keys of one usage that are good at that time, sorted by id.
func (v *View) KeysOf(b identity.Bureau, usage rosterv1.KeyUsage, at time.Time) []signing.PublicKey {
	var out []signing.PublicKey
	for _, k := range v.keys {
		if k.Bureau == b && k.Usage == usage && k.goodAt(at) == nil {
			out = append(out, k.PublicKey)
		}
	}
	return sorted(out)
}

// KeysOf returns the keys of one usage of a member that is not distrusted that are good at that
// time, sorted by id. It fails as Roots does.
func (b *Book) KeysOf(of identity.Bureau, usage rosterv1.KeyUsage, at time.Time) ([]signing.PublicKey, error) {
	v, err := b.trusted(of)
	if err != nil {
		return nil, fmt.Errorf("keys of %s: %w", of, err)
	}
	return v.KeysOf(of, usage, at), nil
}

func sorted(keys []signing.PublicKey) []signing.PublicKey {
	slices.SortFunc(keys, func(a, b signing.PublicKey) int {
		switch x, y := a.ID(), b.ID(); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	return keys
}
