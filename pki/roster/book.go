package roster

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

const maxReason = 512 // bytes of the reason for a distrust

// Book is what one bureau has installed: the chain of rosters that it has seen, pinned on disk,
// and whom it distrusts. It is safe for concurrent use. Readers take an immutable snapshot
// without a lock, because they come with every connection and every message; writers are one at
// a time, also across processes, and change the snapshot only when the disk has the change.
//
// It implements signing.Keys.
type Book struct {
	dir        folder
	federation identity.Federation
	self       identity.Bureau
	now        func() time.Time

	state atomic.Pointer[state] // never nil

	mu sync.Mutex // writers, one at a time, also while they work on the disk

	watching sync.Mutex // owns watchers, held for moments: who listens does not wait for writers
	watchers map[chan struct{}]struct{}
}

// state is one snapshot. It never changes.
type state struct {
	chain    []*View // from the pinned roster to the newest, versions without gap
	distrust map[identity.Bureau]Distrust
}

// Distrust is the bureau's own decision to have no dealings with another.
type Distrust struct {
	// Reason is for the own people and never leaves the bureau.
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

func (s *state) newest() *View {
	if len(s.chain) == 0 {
		return nil
	}
	return s.chain[len(s.chain)-1]
}

// version returns the installed roster of a version, nil if there is none.
func (s *state) version(n uint64) *View {
	if len(s.chain) == 0 || n < s.chain[0].Version() || n > s.newest().Version() {
		return nil
	}
	return s.chain[n-s.chain[0].Version()]
}

// InstallOptions say why the first roster is believed.
type InstallOptions struct {
	// Fingerprint is what was received by another channel. With it, only the roster that has
	// it is installed, the first or a later one.
	Fingerprint string
	// TrustFirstUse installs the first roster without a fingerprint. For trials.
	TrustFirstUse bool
}

// OpenBook opens the book of the bureau self in a folder, which it makes if there is none. It
// verifies the whole chain again, from the pinned roster upward, and fails with ErrTampered if
// anything is not as it was installed. No roster installed is fine: nobody is trusted yet. now
// nil means time.Now.
func OpenBook(dir string, f identity.Federation, self identity.Bureau, now func() time.Time) (*Book, error) {
	if now == nil {
		now = time.Now
	}
	b := &Book{dir: folder{path: dir}, federation: f, self: self, now: now, watchers: map[chan struct{}]struct{}{}}
	if err := b.dir.make(); err != nil {
		return nil, fmt.Errorf("roster: %w", err)
	}
	unlock, err := b.dir.lock()
	if err != nil {
		return nil, fmt.Errorf("roster: %w", err)
	}
	defer unlock()
	s, err := b.load()
	if err != nil {
		return nil, fmt.Errorf("roster: %w", err)
	}
	b.state.Store(s)
	return b, nil
}

// Federation is whose rosters the book holds.
func (b *Book) Federation() identity.Federation { return b.federation }

// Self is the bureau whose book it is.
func (b *Book) Self() identity.Bureau { return b.self }

// Current is the newest roster installed, expired or not; nil if there is none.
func (b *Book) Current() *View { return b.state.Load().newest() }

// History returns the signed rosters after a version, oldest first, so that a bureau that was
// away can follow the chain. The messages are shared: do not change them.
func (b *Book) History(after uint64) []*signedv1.Signed {
	var out []*signedv1.Signed
	for _, v := range b.state.Load().chain {
		if v.Version() > after {
			out = append(out, v.signed)
		}
	}
	return out
}

// Roots returns the CA roots of a bureau that is a member and not distrusted. The pool is
// shared: verify with it, do not add to it. It fails with ErrNoRoster, ErrExpired, ErrNotMember
// or ErrDistrusted.
func (b *Book) Roots(of identity.Bureau) (*x509.CertPool, error) {
	m, err := b.Member(of)
	if err != nil {
		return nil, err
	}
	return m.Pool, nil
}

// Member returns a member that is not distrusted. It fails as Roots does.
func (b *Book) Member(of identity.Bureau) (Member, error) {
	v, err := b.trusted(of)
	if err != nil {
		return Member{}, fmt.Errorf("%s: %w", of, err)
	}
	return v.members[of], nil
}

// Key returns a key of a member that is not distrusted. It fails as Roots does, and as
// View.Key.
func (b *Book) Key(of identity.Bureau, keyID string, usage rosterv1.KeyUsage, at time.Time) (signing.PublicKey, error) {
	v, err := b.trusted(of)
	if err != nil {
		return signing.PublicKey{}, fmt.Errorf("key of %s: %w", of, err)
	}
	return v.Key(of, keyID, usage, at)
}

// trusted returns the roster if, now, it stands for that bureau.
func (b *Book) trusted(of identity.Bureau) (*View, error) {
	s := b.state.Load()
	v := s.newest()
	switch {
	case v == nil:
		return nil, ErrNoRoster
	case v.Expired(b.now()):
		return nil, ErrExpired
	}
	if _, ok := v.members[of]; !ok {
		return nil, ErrNotMember
	}
	if _, ok := s.distrust[of]; ok {
		return nil, ErrDistrusted
	}
	return v, nil
}

// Install verifies a roster and installs it; it is on disk when Install returns.
//
// The first is believed for its fingerprint (or TrustFirstUse) and must not have expired. Every
// other must continue the one installed, see VerifyNext, save that an expired one is taken as a
// link to its successors: until one that is valid follows, the book answers ErrExpired. The
// roster that is installed already changes nothing. An older one is ErrRollback, one further on
// is ErrGap. A different one of a version already seen, if it is validly signed, is ErrFork, and
// both are kept as evidence, see Forks.
func (b *Book) Install(s *signedv1.Signed, o InstallOptions) (*View, error) {
	var v *View
	err := b.change(func(old *state) (*state, error) {
		next, err := b.install(old, s, o)
		if err != nil {
			return nil, err
		}
		v = next.newest()
		return next, nil
	})
	if err != nil {
		return nil, fmt.Errorf("install roster: %w", err)
	}
	return v, nil
}

func (b *Book) install(old *state, s *signedv1.Signed, o InstallOptions) (*state, error) {
	if o.Fingerprint != "" && !EqualFingerprint(o.Fingerprint, Fingerprint(s.GetPayload())) {
		return nil, fmt.Errorf("%w: do not install it; the roster has %s", ErrFingerprint, Fingerprint(s.GetPayload()))
	}
	newest := old.newest()
	if newest == nil {
		if o.Fingerprint == "" && !o.TrustFirstUse {
			return nil, fmt.Errorf("%w: give the fingerprint of the first roster, as another bureau's people read it to you", ErrFingerprint)
		}
		v, err := VerifyFirst(s, b.federation, b.now())
		if err != nil {
			return nil, err
		}
		return b.keep(old, v)
	}
	offered, err := newView(s, b.federation)
	if err != nil {
		return nil, err
	}
	if same := old.version(offered.Version()); same != nil && same.digest == offered.digest {
		if same == newest {
			return old, nil
		}
		return nil, fmt.Errorf("%w: version %d, installed is %d", ErrRollback, same.Version(), newest.Version())
	}
	if offered.Version() <= newest.Version() {
		return nil, b.rival(old, offered)
	}
	v, err := verifyLink(newest, s)
	switch {
	case errors.Is(err, ErrFork):
		return nil, errors.Join(err, b.dir.keepFork(newest, offered))
	case err != nil:
		return nil, err
	}
	if err := notAhead(v, b.now()); err != nil {
		return nil, err
	}
	return b.keep(old, v)
}

// keep makes a verified roster durable and returns the state with it. The roster comes first: a
// crash in between leaves a roster that continues the chain, which is taken up at the next
// opening, or a first one without a pin, which is passed over.
func (b *Book) keep(old *state, v *View) (*state, error) {
	next := &state{chain: append(old.chain[:len(old.chain):len(old.chain)], v), distrust: old.distrust}
	if len(old.chain) == 0 {
		if err := b.dir.clear(); err != nil {
			return nil, err
		}
	}
	if err := b.dir.writeRoster(v); err != nil {
		return nil, err
	}
	if err := b.dir.writePins(b.pins(next)); err != nil {
		return nil, err
	}
	return next, nil
}

// rival says what a different roster of a version already installed is: proof of a fork if it is
// as validly signed as the one installed; nothing otherwise, because a draft that was dropped
// may well carry a few signatures.
func (b *Book) rival(old *state, offered *View) error {
	rollback := fmt.Errorf("%w: version %d, installed is %d", ErrRollback, offered.Version(), old.newest().Version())
	ours := old.version(offered.Version())
	if ours == nil {
		return rollback // before the pin: nothing to compare with
	}
	if before := old.version(offered.Version() - 1); before != nil {
		if _, err := verifyLink(before, offered.signed); err != nil && !errors.Is(err, ErrFork) {
			return fmt.Errorf("%w: it is not the one installed, and its own signatures do not hold: %w", rollback, err)
		}
	} else {
		// Anybody can make a first roster with keys of their own. It is a fork if a bureau
		// of ours signed it, too.
		_, err := verifyAnchor(offered.signed, b.federation)
		if err != nil || len(signersOf(ours, offered.signed, offered.issuedAt)) == 0 {
			return fmt.Errorf("%w: it is not the one pinned, and none of its bureaus signed it", rollback)
		}
	}
	err := fmt.Errorf("%w: version %d: raise the alarm; the evidence is kept", ErrFork, offered.Version())
	return errors.Join(err, b.dir.keepFork(ours, offered))
}

// Distrust has the book answer ErrDistrusted for a member from now on, whatever the roster says.
// The reason is for the own people: one line, it never leaves the bureau. It is on disk when
// Distrust returns. Distrusting again keeps the time and changes the reason.
func (b *Book) Distrust(other identity.Bureau, reason string) error {
	reason = strings.TrimSpace(reason)
	if reason == "" || len(reason) > maxReason || !utf8.ValidString(reason) || strings.ContainsFunc(reason, unicode.IsControl) {
		return fmt.Errorf("distrust %s: reason: give one line of 1 to %d bytes", other, maxReason)
	}
	if other == b.self {
		return fmt.Errorf("distrust %s: that is the own bureau", other)
	}
	err := b.change(func(old *state) (*state, error) {
		v := old.newest()
		if v == nil {
			return nil, ErrNoRoster
		}
		// A slip in the id would leave trusted whom the operator believes to have cut off.
		if _, ok := v.members[other]; !ok {
			return nil, ErrNotMember
		}
		d := Distrust{Reason: reason, Since: b.now().UTC().Truncate(time.Second)}
		if was, ok := old.distrust[other]; ok {
			d.Since = was.Since
		}
		return b.keepDistrust(old, func(m map[identity.Bureau]Distrust) { m[other] = d })
	})
	if err != nil {
		return fmt.Errorf("distrust %s: %w", other, err)
	}
	return nil
}

// Trust takes a distrust back. It does nothing for a bureau that is not distrusted.
func (b *Book) Trust(other identity.Bureau) error {
	err := b.change(func(old *state) (*state, error) {
		if _, ok := old.distrust[other]; !ok {
			return old, nil
		}
		return b.keepDistrust(old, func(m map[identity.Bureau]Distrust) { delete(m, other) })
	})
	if err != nil {
		return fmt.Errorf("trust %s: %w", other, err)
	}
	return nil
}

func (b *Book) keepDistrust(old *state, edit func(map[identity.Bureau]Distrust)) (*state, error) {
	next := &state{chain: old.chain, distrust: map[identity.Bureau]Distrust{}}
	maps.Copy(next.distrust, old.distrust)
	edit(next.distrust)
	return next, b.dir.writePins(b.pins(next))
}

// Distrusted says whether, why and since when a bureau is distrusted here.
func (b *Book) Distrusted(other identity.Bureau) (reason string, since time.Time, ok bool) {
	d, ok := b.state.Load().distrust[other]
	return d.Reason, d.Since, ok
}

// Distrusts returns everybody who is distrusted here, also bureaus that have left the roster.
func (b *Book) Distrusts() map[identity.Bureau]Distrust {
	out := map[identity.Bureau]Distrust{}
	maps.Copy(out, b.state.Load().distrust)
	return out
}

// Forks returns the paths of the evidence of forks, sorted. Each file holds both rosters, the
// installed one first. An empty list is the good news.
func (b *Book) Forks() ([]string, error) { return b.dir.forks() }

// Changes returns a channel that is signalled after every installation, distrust and return of
// trust, and a function that ends it. Signals run together: look at the book, not at their
// number.
func (b *Book) Changes() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	b.watching.Lock()
	defer b.watching.Unlock()
	b.watchers[c] = struct{}{}
	return c, func() {
		b.watching.Lock()
		defer b.watching.Unlock()
		delete(b.watchers, c)
	}
}

// Reload takes up what another process has written to the folder, and signals a change if there
// was one. If the folder fails its checks, the book stays as it was.
func (b *Book) Reload() error {
	return b.change(func(old *state) (*state, error) { return old, nil })
}

// change makes one change under the locks. It looks at the disk first, because another process
// (the operator's command beside a running node) may have written since.
func (b *Book) change(f func(*state) (*state, error)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	unlock, err := b.dir.lock()
	if err != nil {
		return err
	}
	defer unlock()
	before := b.state.Load()
	old, err := b.refresh(before)
	if err != nil {
		return err
	}
	next, err := f(old)
	if err != nil {
		next = old // what others wrote is taken up all the same
	}
	if next == before {
		return err
	}
	b.state.Store(next)
	b.watching.Lock()
	defer b.watching.Unlock()
	for c := range b.watchers {
		select {
		case c <- struct{}{}:
		default: // a signal is waiting already
		}
	}
	return err
}

// refresh returns the state on disk: the one in memory if the disk has the same.
func (b *Book) refresh(mem *state) (*state, error) {
	disk, err := b.dir.readPins()
	if err != nil {
		return nil, err
	}
	want, err := encodePins(b.pins(mem))
	if err != nil {
		return nil, err
	}
	have, err := encodePins(disk)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(want, have) {
		return mem, nil
	}
	s, err := b.load()
	if err != nil {
		return nil, err
	}
	// Another process only ever goes forward. Going back would be a rollback by way of the disk.
	if v := mem.newest(); v != nil {
		if now := s.version(v.Version()); now == nil || now.digest != v.digest {
			return nil, fmt.Errorf("%w: version %d, which this process has in use, is not in the folder", ErrTampered, v.Version())
		}
	}
	return s, nil
}
