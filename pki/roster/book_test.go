package roster

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

var _ signing.Keys = (*Book)(nil)
var _ signing.Keys = (*View)(nil)

// clock is a clock that a test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

func open(t testing.TB, dir string, c *clock) *Book {
	t.Helper()
	b, err := OpenBook(dir, fed, "BEL", c.now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// installed is BEL's book with version 1 of the four.
func installed(t testing.TB) (mesh, *Book, *clock) {
	t.Helper()
	m, c := four(t), &clock{at: dawn}
	b := open(t, filepath.Join(t.TempDir(), "roster"), c)
	s := m.found(t, 3, dawn)
	if _, err := b.Install(s, InstallOptions{Fingerprint: Fingerprint(s.GetPayload())}); err != nil {
		t.Fatal(err)
	}
	return m, b, c
}

// follow has the next version signed by three and installed.
func follow(t testing.TB, m mesh, b *Book, at time.Time, changes ...Change) *signedv1.Signed {
	t.Helper()
	s := m.signed(t, next(t, b.Current(), at, changes...), "BEL", "ESP", "BGR")
	if _, err := b.Install(s, InstallOptions{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// same checks that a book on disk is the book in memory.
func same(t *testing.T, b *Book, c *clock) {
	t.Helper()
	again := open(t, b.dir.path, c)
	if diff := cmp.Diff(b.History(0), again.History(0), protocmp.Transform()); diff != "" {
		t.Errorf("chain after opening again (-memory +disk):\n%s", diff)
	}
	if diff := cmp.Diff(b.Distrusts(), again.Distrusts()); diff != "" {
		t.Errorf("distrusts after opening again (-memory +disk):\n%s", diff)
	}
}

func TestEmptyBookTrustsNobody(t *testing.T) {
	b := open(t, t.TempDir(), &clock{at: dawn})
	if _, err := b.Roots("ESP"); !errors.Is(err, ErrNoRoster) {
		t.Errorf("roots: %v", err)
	}
	if _, err := b.Key("ESP", strings.Repeat("0", 64), rosterv1.KeyUsage_KEY_USAGE_MESSAGE, dawn); !errors.Is(err, ErrNoRoster) {
		t.Errorf("key: %v", err)
	}
	if err := b.Distrust("ESP", "trial"); !errors.Is(err, ErrNoRoster) {
		t.Errorf("distrust: %v", err)
	}
	if b.Current() != nil || len(b.History(0)) != 0 || b.Self() != "BEL" || b.Federation() != fed {
		t.Error("an empty book holds something")
	}
}

func TestFirstInstallAsksForTheFingerprint(t *testing.T) {
	m, c := four(t), &clock{at: dawn}
	s := m.found(t, 3, dawn)
	fp := Fingerprint(s.GetPayload())
	b := open(t, t.TempDir(), c)
	for name, o := range map[string]InstallOptions{
		"none":                            {},
		"another":                         {Fingerprint: Fingerprint([]byte("other"))},
		"its first half":                  {Fingerprint: fp[:39]},
		"another, and trust on first use": {Fingerprint: Fingerprint([]byte("other")), TrustFirstUse: true},
	} {
		if _, err := b.Install(s, o); !errors.Is(err, ErrFingerprint) || b.Current() != nil {
			t.Errorf("%s: got %v, want ErrFingerprint", name, err)
		}
	}
	v, err := b.Install(s, InstallOptions{Fingerprint: strings.ToLower(strings.ReplaceAll(fp, " ", ":"))})
	if err != nil || v.Version() != 1 || v.Fingerprint() != fp {
		t.Fatalf("with the right one: %v", err)
	}
	same(t, b, c)
	trial := open(t, t.TempDir(), c)
	if _, err := trial.Install(s, InstallOptions{TrustFirstUse: true}); err != nil {
		t.Errorf("trust on first use: %v", err)
	}
	c.set(dawn.Add(DefaultLife))
	late := open(t, t.TempDir(), c)
	if _, err := late.Install(s, InstallOptions{Fingerprint: fp}); !errors.Is(err, ErrExpired) {
		t.Errorf("an expired one as the first: got %v, want ErrExpired", err)
	}
	if _, err := late.Install(nil, InstallOptions{TrustFirstUse: true}); !errors.Is(err, ErrMalformed) {
		t.Errorf("nothing as the first: got %v, want ErrMalformed", err)
	}
}

func TestWhoSpeaksForWhom(t *testing.T) {
	m, b, c := installed(t)
	esp := signing.NewSigner(fed, "ESP", m["ESP"].message)
	const usage = rosterv1.KeyUsage_KEY_USAGE_MESSAGE
	for _, id := range []string{esp.KeyID(), signing.KeyHint(esp.KeyID())} {
		k, err := b.Key("ESP", id, usage, c.now())
		if err != nil || k.ID() != esp.KeyID() || k.Bureau != "ESP" || k.Usage != usage {
			t.Errorf("ESP's key by %s: %+v %v", id, k, err)
		}
		if _, err := b.Key("BEL", id, usage, c.now()); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("ESP's key for BEL by %s: got %v, want ErrUnknownKey", id, err)
		}
		if _, err := b.Key("ESP", id, rosterv1.KeyUsage_KEY_USAGE_GOVERNANCE, c.now()); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("ESP's message key as governance key by %s: got %v, want ErrUnknownKey", id, err)
		}
	}
	if _, err := b.Key("ESP", "", usage, c.now()); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("no id: %v", err)
	}
	for _, who := range []identity.Bureau{"FRA", "", "esp"} {
		if _, err := b.Roots(who); !errors.Is(err, ErrNotMember) {
			t.Errorf("roots of %q: got %v, want ErrNotMember", who, err)
		}
	}
	at := dawn.Add(time.Hour)
	follow(t, m, b, at, Revoke("ESP", esp.KeyID()))
	if _, err := b.Key("ESP", esp.KeyID(), usage, at.Add(-time.Second)); err != nil {
		t.Errorf("before its revocation: %v", err)
	}
	if _, err := b.Key("ESP", esp.KeyID(), usage, at); !errors.Is(err, ErrKeyRevoked) {
		t.Errorf("after its revocation: got %v, want ErrKeyRevoked", err)
	}
}

func TestKeysOutsideTheirValidity(t *testing.T) {
	m, c := four(t), &clock{at: dawn}
	k := m["ESP"].entry.GetKeys()[0]
	k.NotBefore, k.NotAfter = timestamppb.New(dawn), timestamppb.New(dawn.Add(time.Hour))
	b := open(t, t.TempDir(), c)
	if _, err := b.Install(m.found(t, 3, dawn), InstallOptions{TrustFirstUse: true}); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Time]error{
		dawn.Add(-1): ErrKeyNotValid, dawn: nil, dawn.Add(time.Hour): nil, dawn.Add(time.Hour + 1): ErrKeyNotValid,
	} {
		_, err := b.Key("ESP", signing.KeyID(k.GetAlgorithm(), k.GetKey()), rosterv1.KeyUsage_KEY_USAGE_MESSAGE, at)
		if !errors.Is(err, want) {
			t.Errorf("at %s: got %v, want %v", at, err, want)
		}
	}
}

func TestExpiredRosterTrustsNobodyUntilTheNext(t *testing.T) {
	m, b, c := installed(t)
	v1 := b.Current()
	end := dawn.Add(DefaultLife)
	// Signed in time, short-lived, and delivered late: a link of the chain, nothing more.
	short, err := Next(v1, dawn.Add(time.Hour), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c.set(end.Add(-time.Second))
	if _, err := b.Roots("ESP"); err != nil {
		t.Errorf("a second before its expiry: %v", err)
	}
	c.set(end)
	if _, err := b.Roots("ESP"); !errors.Is(err, ErrExpired) {
		t.Errorf("at its expiry: got %v, want ErrExpired", err)
	}
	if _, err := b.Member("BEL"); !errors.Is(err, ErrExpired) {
		t.Errorf("the own entry at its expiry: got %v, want ErrExpired", err)
	}
	if _, err := b.Install(m.signed(t, short, "BEL", "ESP", "BGR"), InstallOptions{}); err != nil {
		t.Fatalf("an expired link: %v", err)
	}
	if _, err := b.Roots("ESP"); !errors.Is(err, ErrExpired) {
		t.Errorf("under the expired link: got %v, want ErrExpired", err)
	}
	follow(t, m, b, end)
	if _, err := b.Roots("ESP"); err != nil {
		t.Errorf("renewed: %v", err)
	}
	same(t, b, c)
}

func TestInstallTheSameTheOlderAndTheTooNew(t *testing.T) {
	m, b, c := installed(t)
	s1 := b.History(0)[0]
	s2 := follow(t, m, b, dawn.Add(time.Hour))
	r3 := next(t, b.Current(), dawn.Add(2*time.Hour))
	v3, err := VerifyNext(b.Current(), m.signed(t, r3, "BEL", "ESP", "BGR"), dawn.Add(2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s4 := m.signed(t, next(t, v3, dawn.Add(3*time.Hour)), "BEL", "ESP", "BGR")
	changes, stop := b.Changes()
	defer stop()

	more := proto.CloneOf(s2) // the same bytes with one more signature are the same roster
	more.Signatures = append(more.Signatures, m["LBN"].sign(t, s2.GetPayload()))
	for _, s := range []*signedv1.Signed{s2, more} {
		if v, err := b.Install(s, InstallOptions{}); err != nil || v.Version() != 2 {
			t.Errorf("the installed one again: %v", err)
		}
	}
	if _, err := b.Install(s1, InstallOptions{}); !errors.Is(err, ErrRollback) {
		t.Errorf("an older one: got %v, want ErrRollback", err)
	}
	if _, err := b.Install(s1, InstallOptions{TrustFirstUse: true, Fingerprint: Fingerprint(s1.GetPayload())}); !errors.Is(err, ErrRollback) {
		t.Errorf("an older one with its fingerprint: got %v, want ErrRollback", err)
	}
	if _, err := b.Install(s4, InstallOptions{}); !errors.Is(err, ErrGap) {
		t.Errorf("one too new: got %v, want ErrGap", err)
	}
	s3 := m.signed(t, r3, "BEL", "ESP")
	if _, err := b.Install(s3, InstallOptions{}); !errors.Is(err, ErrThreshold) {
		t.Errorf("one signature fewer: got %v, want ErrThreshold", err)
	}
	future := m.signed(t, next(t, b.Current(), dawn.Add(clockSkew+time.Second)), "BEL", "ESP", "BGR")
	if _, err := b.Install(future, InstallOptions{}); !errors.Is(err, ErrMalformed) {
		t.Errorf("from the future: got %v, want ErrMalformed", err)
	}
	select {
	case <-changes:
		t.Error("a change is signalled though nothing changed")
	default:
	}
	if b.Current().Version() != 2 || len(b.History(0)) != 2 || len(b.History(1)) != 1 || len(b.History(2)) != 0 {
		t.Errorf("version %d, history %d", b.Current().Version(), len(b.History(0)))
	}
	if forks, err := b.Forks(); err != nil || len(forks) != 0 {
		t.Errorf("forks: %v %v", forks, err)
	}
	same(t, b, c)
}

func TestForksAreKeptAsEvidence(t *testing.T) {
	m, b, c := installed(t)
	v1 := b.Current()
	s2 := follow(t, m, b, dawn.Add(time.Hour))
	rival := next(t, v1, dawn.Add(time.Hour), Remove("LBN"), Threshold(2))
	draft := m.signed(t, rival, "BEL", "ESP") // dropped before it had its signatures
	if _, err := b.Install(draft, InstallOptions{}); !errors.Is(err, ErrRollback) || errors.Is(err, ErrFork) {
		t.Errorf("a dropped draft: got %v, want ErrRollback alone", err)
	}
	if forks, _ := b.Forks(); len(forks) != 0 {
		t.Errorf("evidence of a dropped draft: %v", forks)
	}
	s := m.signed(t, rival, "BEL", "ESP", "BGR")
	for range 2 { // offered again, it fills no disk
		if _, err := b.Install(s, InstallOptions{}); !errors.Is(err, ErrFork) {
			t.Fatalf("a rival of version 2: got %v, want ErrFork", err)
		}
	}
	follow(t, m, b, dawn.Add(2*time.Hour))
	if _, err := b.Install(s, InstallOptions{}); !errors.Is(err, ErrFork) {
		t.Errorf("a rival of a version before: got %v, want ErrFork", err)
	}
	forks, err := b.Forks()
	if err != nil || len(forks) != 1 {
		t.Fatalf("evidence: %v %v", forks, err)
	}
	text, err := os.ReadFile(forks[0])
	if err != nil {
		t.Fatal(err)
	}
	both, err := DecodeRosters(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*signedv1.Signed{s2, s}, both, protocmp.Transform()); diff != "" {
		t.Errorf("evidence (-want +got):\n%s", diff)
	}
	// An auditor proves it from the file alone, with version 1.
	for _, one := range both {
		if _, err := VerifyNext(v1, one, dawn.Add(time.Hour)); err != nil {
			t.Errorf("one side of the evidence does not hold: %v", err)
		}
	}
	same(t, b, c)
}

func TestRivalsOfTheFirstRoster(t *testing.T) {
	m, b, _ := installed(t)
	other := four(t) // strangers who found a federation of the same name
	if _, err := b.Install(other.found(t, 3, dawn), InstallOptions{}); !errors.Is(err, ErrRollback) || errors.Is(err, ErrFork) {
		t.Errorf("strangers: got %v, want ErrRollback alone", err)
	}
	if _, err := b.Install(m.found(t, 3, dawn.Add(time.Minute)), InstallOptions{}); !errors.Is(err, ErrFork) {
		t.Errorf("the same founders: got %v, want ErrFork", err)
	}
	if forks, err := b.Forks(); err != nil || len(forks) != 1 {
		t.Errorf("evidence: %v %v", forks, err)
	}
}

func TestSuccessorOfAnotherVersionIsAFork(t *testing.T) {
	m, b, _ := installed(t)
	v1 := b.Current()
	follow(t, m, b, dawn.Add(time.Hour))
	rival, err := VerifyNext(v1, m.signed(t, next(t, v1, dawn.Add(time.Hour), Threshold(4)), "BEL", "ESP", "BGR", "LBN"), dawn.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s3 := m.signed(t, next(t, rival, dawn.Add(time.Hour)), "BEL", "ESP", "BGR", "LBN")
	if _, err := b.Install(s3, InstallOptions{}); !errors.Is(err, ErrFork) {
		t.Errorf("got %v, want ErrFork", err)
	}
	if forks, err := b.Forks(); err != nil || len(forks) != 1 {
		t.Errorf("evidence: %v %v", forks, err)
	}
	if b.Current().Version() != 2 {
		t.Error("it was installed")
	}
}

func TestALateComerPinsALaterVersion(t *testing.T) {
	m, b, c := installed(t)
	m["FRA"] = newCapital(t, "FRA")
	s2 := follow(t, m, b, dawn.Add(time.Hour), Admit(m["FRA"].join(t)))
	paris, err := OpenBook(filepath.Join(t.TempDir(), "fra"), fed, "FRA", c.now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := paris.Install(s2, InstallOptions{Fingerprint: b.Current().Fingerprint()}); err != nil {
		t.Fatal(err)
	}
	s3 := follow(t, m, b, dawn.Add(time.Hour))
	if _, err := paris.Install(s3, InstallOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := paris.Install(b.History(0)[0], InstallOptions{}); !errors.Is(err, ErrRollback) {
		t.Errorf("the version before the pin: got %v, want ErrRollback", err)
	}
	if again, err := OpenBook(paris.dir.path, fed, "FRA", c.now); err != nil || again.Current().Version() != 3 {
		t.Errorf("opened again: %v", err)
	}
}

func TestDistrustNeedsNoVote(t *testing.T) {
	m, b, c := installed(t)
	changes, stop := b.Changes()
	defer stop()
	signalled := func() bool {
		select {
		case <-changes:
			return true
		default:
			return false
		}
	}
	for name, bad := range map[string]func() error{
		"without a reason":   func() error { return b.Distrust("ESP", "  ") },
		"in two lines":       func() error { return b.Distrust("ESP", "a\nb") },
		"with a long reason": func() error { return b.Distrust("ESP", strings.Repeat("x", maxReason+1)) },
		"of oneself":         func() error { return b.Distrust("BEL", "trial") },
	} {
		if err := bad(); err == nil || signalled() {
			t.Errorf("distrust %s is accepted", name)
		}
	}
	if err := b.Distrust("EPS", "slip of the pen"); !errors.Is(err, ErrNotMember) {
		t.Errorf("of a stranger: got %v, want ErrNotMember", err)
	}
	if err := b.Distrust("ESP", "CA compromised"); err != nil || !signalled() {
		t.Fatalf("distrust: %v", err)
	}
	id := signing.NewSigner(fed, "ESP", m["ESP"].message).KeyID()
	if _, err := b.Roots("ESP"); !errors.Is(err, ErrDistrusted) {
		t.Errorf("roots: got %v, want ErrDistrusted", err)
	}
	if _, err := b.Key("ESP", id, rosterv1.KeyUsage_KEY_USAGE_MESSAGE, dawn); !errors.Is(err, ErrDistrusted) {
		t.Errorf("key: got %v, want ErrDistrusted", err)
	}
	if _, err := b.Roots("BGR"); err != nil {
		t.Errorf("BGR: %v", err)
	}
	c.set(dawn.Add(time.Hour))
	if err := b.Distrust("ESP", "confirmed by Madrid"); err != nil {
		t.Fatal(err)
	}
	if reason, since, ok := b.Distrusted("ESP"); !ok || reason != "confirmed by Madrid" || !since.Equal(dawn) {
		t.Errorf("distrusted: %q %s %v", reason, since, ok)
	}
	// A vote of the others does not take it back, nor does a restart.
	follow(t, m, b, c.now())
	if _, err := open(t, b.dir.path, c).Roots("ESP"); !errors.Is(err, ErrDistrusted) {
		t.Errorf("after a new roster and a restart: got %v, want ErrDistrusted", err)
	}
	same(t, b, c)
	signalled()
	if err := b.Trust("ESP"); err != nil || !signalled() {
		t.Fatalf("trust: %v", err)
	}
	if err := b.Trust("ESP"); err != nil || signalled() {
		t.Errorf("trust again: %v", err)
	}
	if _, err := b.Roots("ESP"); err != nil {
		t.Errorf("trusted again: %v", err)
	}
	if _, _, ok := b.Distrusted("ESP"); ok {
		t.Error("still distrusted")
	}
	same(t, b, c)
}

func TestOperatorsCommandBesideARunningNode(t *testing.T) {
	m, node, c := installed(t)
	changes, stop := node.Changes()
	command := open(t, node.dir.path, c)
	s2 := follow(t, m, command, dawn.Add(time.Hour))
	if err := command.Distrust("LBN", "trial"); err != nil {
		t.Fatal(err)
	}
	// The node's own next change does not undo what the command did.
	if err := node.Distrust("BGR", "trial"); err != nil {
		t.Fatal(err)
	}
	<-changes
	if node.Current().Version() != 2 || len(node.Distrusts()) != 2 {
		t.Errorf("node: version %d, distrusts %v", node.Current().Version(), node.Distrusts())
	}
	if err := command.Reload(); err != nil || len(command.Distrusts()) != 2 {
		t.Errorf("command: distrusts %v, %v", command.Distrusts(), err)
	}
	if _, err := command.Install(s2, InstallOptions{}); err != nil {
		t.Error(err)
	}
	stop()
	if err := node.Trust("BGR"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changes:
		t.Error("signalled after the end")
	default:
	}
	same(t, node, c)
}

// TestReadersAndWriters is for the race detector.
func TestReadersAndWriters(t *testing.T) {
	m, b, c := installed(t)
	id := signing.NewSigner(fed, "ESP", m["ESP"].message).KeyID()
	var chain []*signedv1.Signed
	v := b.Current()
	for range 4 {
		s := m.signed(t, next(t, v, dawn), "BEL", "ESP", "BGR")
		var err error
		if v, err = VerifyNext(v, s, dawn); err != nil {
			t.Fatal(err)
		}
		chain = append(chain, s)
	}
	done := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			var last uint64
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := b.Roots("BGR"); err != nil {
					t.Errorf("roots: %v", err)
				}
				if _, err := b.Key("ESP", id, rosterv1.KeyUsage_KEY_USAGE_MESSAGE, dawn); err != nil && !errors.Is(err, ErrDistrusted) {
					t.Errorf("key: %v", err)
				}
				if n := b.Current().Version(); n < last {
					t.Errorf("version went back from %d to %d", last, n)
				} else {
					last = n
				}
			}
		})
	}
	for range 2 {
		writers.Go(func() {
			for _, s := range chain {
				if _, err := b.Install(s, InstallOptions{}); err != nil && !errors.Is(err, ErrRollback) {
					t.Errorf("install: %v", err)
				}
			}
		})
	}
	writers.Go(func() {
		for range 3 {
			if err := errors.Join(b.Distrust("ESP", "trial"), b.Trust("ESP")); err != nil {
				t.Error(err)
			}
		}
	})
	writers.Wait()
	close(done)
	readers.Wait()
	if b.Current().Version() != 5 {
		t.Errorf("version %d, want 5", b.Current().Version())
	}
	same(t, b, c)
}

func BenchmarkRoots(b *testing.B) {
	_, book, _ := installed(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := book.Roots("ESP"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKey(b *testing.B) {
	m, book, _ := installed(b)
	id := signing.NewSigner(fed, "ESP", m["ESP"].message).KeyID()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := book.Key("ESP", id, rosterv1.KeyUsage_KEY_USAGE_MESSAGE, dawn); err != nil {
			b.Fatal(err)
		}
	}
}
