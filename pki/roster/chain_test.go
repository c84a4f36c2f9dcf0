package roster

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// TestAChainAnswersForItsDays has BEL change its message key in version 2 and LBN leave in version
// 3, and asks years later.
func TestAChainAnswersForItsDays(t *testing.T) {
	m := four(t)
	one := m.first(t)
	old := signing.KeyID(signing.AlgorithmEd25519, publicOf(m["BEL"].message))
	renewed := newKey(t)
	r := next(t, one, dawn.AddDate(0, 1, 0))
	for _, b := range r.GetBureaus() {
		if b.GetBureau() == "BEL" {
			b.Keys[0] = NewKey(rosterv1.KeyUsage_KEY_USAGE_MESSAGE, publicOf(renewed), time.Time{})
		}
	}
	second := m.signed(t, r, "BEL", "ESP", "BGR")
	two, err := VerifyNext(one, second, dawn.AddDate(0, 1, 0))
	if err != nil {
		t.Fatal(err)
	}
	third := m.signed(t, next(t, two, dawn.AddDate(0, 2, 0), Remove("LBN")), "BEL", "ESP", "BGR")
	all := []*signedv1.Signed{one.Signed(), second, third}
	c, err := VerifyChain(all, fed)
	if err != nil {
		t.Fatal(err)
	}
	const message = rosterv1.KeyUsage_KEY_USAGE_MESSAGE
	lbn := signing.KeyID(signing.AlgorithmEd25519, publicOf(m["LBN"].message))
	for name, tt := range map[string]struct {
		bureau string
		key    string
		floor  uint64
		at     time.Time
		want   error
	}{
		"the key of that day":               {"BEL", old, 0, dawn.AddDate(0, 0, 5), nil},
		"before the first roster":           {"BEL", old, 0, dawn.AddDate(0, 0, -5), ErrNoRoster},
		"the old key, next roster drafted":  {"BEL", old, 0, dawn.AddDate(0, 1, 5), ErrUnknownKey},
		"the same, version 1 was in force":  {"BEL", old, 1, dawn.AddDate(0, 1, 5), nil},
		"the new key, before it was listed": {"BEL", signing.KeyID(signing.AlgorithmEd25519, publicOf(renewed)), 0, dawn.AddDate(0, 0, 5), ErrUnknownKey},
		"who has left":                      {"LBN", lbn, 0, dawn.AddDate(0, 2, 5), ErrNotMember},
		"who had not yet":                   {"LBN", lbn, 0, dawn.AddDate(0, 1, 5), nil},
		"another's key":                     {"ESP", old, 1, dawn.AddDate(0, 0, 5), ErrUnknownKey},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.Keys(tt.floor).Key(identity.Bureau(tt.bureau), tt.key, message, tt.at); !errors.Is(err, tt.want) {
				t.Errorf("%v, expected %v", err, tt.want)
			}
		})
	}
	if n := len(c.KeysSince("BEL", message, dawn)); n != 2 {
		t.Errorf("BEL had %d message keys, expected 2", n)
	}
	for _, v := range []*View{one, two} {
		if got, ok := c.Find(v.Fingerprint()); !ok || got.Version() != v.Version() {
			t.Errorf("version %d is not found by its fingerprint", v.Version())
		}
	}
	for name, broken := range map[string][]*signedv1.Signed{
		"none": nil, "a gap": {all[0], all[2]}, "the wrong way": {all[1], all[0]}, "twice": {all[0], all[0]},
	} {
		if _, err := VerifyChain(broken, fed); err == nil {
			t.Errorf("%s: a chain", name)
		}
	}
}

// TestWhatARosterSaidOfAKeyIsNotForgotten revokes a key, drops it, and lists it again several versions
// later.
func TestWhatARosterSaidOfAKeyIsNotForgotten(t *testing.T) {
	m := four(t)
	stolen := newKey(t)
	const log = rosterv1.KeyUsage_KEY_USAGE_LOG
	of := func(r *rosterv1.Roster, b identity.Bureau) *rosterv1.Bureau {
		for _, entry := range r.GetBureaus() {
			if entry.GetBureau() == string(b) {
				return entry
			}
		}
		t.Fatalf("%s is no member", b)
		return nil
	}
	drop := func(r *rosterv1.Roster, _ time.Time) error {
		e := of(r, "BEL")
		e.Keys = slices.DeleteFunc(e.Keys, func(k *rosterv1.Key) bool { return bytes.Equal(k.GetKey(), publicOf(stolen)) })
		return nil
	}
	list := func(b identity.Bureau, usage rosterv1.KeyUsage, revoked time.Time) Change {
		return func(r *rosterv1.Roster, _ time.Time) error {
			k := NewKey(usage, publicOf(stolen), time.Time{})
			if !revoked.IsZero() {
				k.RevokedAt = timestamppb.New(revoked)
			}
			of(r, b).Keys = append(of(r, b).GetKeys(), k)
			return nil
		}
	}
	listed := m["BEL"].entry
	listed.Keys = append(listed.Keys, NewKey(log, publicOf(stolen), time.Time{}))
	v := m.first(t)
	all := []*signedv1.Signed{v.Signed()}
	on := func(changes ...Change) {
		t.Helper()
		s := m.signed(t, next(t, v, v.IssuedAt().Add(time.Hour), changes...), "BEL", "ESP", "BGR")
		var err error
		if v, err = VerifyNext(v, s, v.IssuedAt().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	revokedAt := dawn.Add(time.Hour)
	on(Revoke("BEL", signing.KeyID(signing.AlgorithmEd25519, publicOf(stolen))))
	on(drop)
	for range 20 { // others come and go meanwhile
		k := NewKey(log, publicOf(newKey(t)), time.Time{})
		on(func(r *rosterv1.Roster, _ time.Time) error {
			of(r, "ESP").Keys = append(of(r, "ESP").GetKeys(), k)
			return nil
		})
		on(func(r *rosterv1.Roster, _ time.Time) error {
			e := of(r, "ESP")
			e.Keys = slices.DeleteFunc(e.Keys, func(l *rosterv1.Key) bool { return bytes.Equal(l.GetKey(), k.GetKey()) })
			return nil
		})
	}
	c, err := VerifyChain(all, fed)
	if err != nil {
		t.Fatal(err)
	}
	key := signing.PublicKey{Bureau: "BEL", Usage: log, Algorithm: signing.AlgorithmEd25519, Key: publicOf(stolen)}
	good := signing.PublicKey{Bureau: "BEL", Usage: rosterv1.KeyUsage_KEY_USAGE_MESSAGE, Algorithm: signing.AlgorithmEd25519, Key: publicOf(m["BEL"].message)}
	if !c.Revoked(key) || c.Revoked(good) {
		t.Errorf("revoked: the stolen key %v, a good one %v", c.Revoked(key), c.Revoked(good))
	}
	at := v.IssuedAt().Add(time.Hour)
	for name, tt := range map[string]struct {
		change Change
		ok     bool
	}{
		"again, as if it were good":  {list("BEL", log, time.Time{}), false},
		"again, revoked later":       {list("BEL", log, revokedAt.Add(time.Hour)), false},
		"again, revoked as it was":   {list("BEL", log, revokedAt), true},
		"again, revoked from before": {list("BEL", log, revokedAt.Add(-time.Minute)), true},
		"under another bureau":       {list("ESP", log, revokedAt), false},
		"for another usage":          {list("BEL", rosterv1.KeyUsage_KEY_USAGE_MESSAGE, revokedAt), false},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Next(v, at, 0, tt.change); (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("drafted: %v", err)
			}
			r := next(t, v, at) // as somebody drafts it who does not ask
			if err := tt.change(r, at); err != nil {
				t.Fatal(err)
			}
			s := m.signed(t, r, "BEL", "ESP", "BGR", "LBN")
			if _, err := VerifyNext(v, s, at); (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("verified: %v", err)
			}
			if _, err := VerifyChain(append(all[:len(all):len(all)], s), fed); (err == nil) != tt.ok {
				t.Errorf("in a chain: %v", err)
			}
		})
	}
}

// TestTheHistoryOfAChainStaysShallow has every roster of a long chain list other keys.
func TestTheHistoryOfAChainStaysShallow(t *testing.T) {
	var h *history
	const rosters, each = 1000, 5
	key := func(i int) listedKey {
		return listedKey{PublicKey: signing.PublicKey{Key: fmt.Appendf(nil, "%d", i)}, revokedAt: dawn.Add(time.Duration(i))}
	}
	for n := range rosters {
		keys := map[string]listedKey{}
		for i := range each {
			keys[fmt.Sprint(i)] = key(n*each + i)
		}
		h = h.with(keys)
		if again := h.with(keys); again != h {
			t.Fatal("a roster that says nothing new adds to the history")
		}
	}
	for i := range rosters * each {
		if k, ok := h.word(key(i).Key); !ok || !k.revokedAt.Equal(key(i).revokedAt) {
			t.Fatalf("key %d is forgotten", i)
		}
	}
	h = h.with(map[string]listedKey{"": {PublicKey: key(7).PublicKey, revokedAt: dawn.Add(-time.Hour)}})
	if k, _ := h.word(key(7).Key); !k.revokedAt.Equal(dawn.Add(-time.Hour)) {
		t.Error("the newest word does not count")
	}
	layers := 0
	for l := h; l != nil; l = l.older {
		layers++
	}
	if layers > 14 {
		t.Errorf("%d layers", layers)
	}
}
