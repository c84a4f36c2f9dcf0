// Package nodetest puts whole nodes together for scenes between bureaus: real folders made by
// node.Init, a roster signed by every founder, real nodes over real TLS on loopback, each behind
// a tap that counts what crosses to it. It is for tests and measurements, not for the product: it
// reads keys where they lie and forges what a test wants forged.
//
// One flow: a test calls Found with BEL and BGR, has BEL import a list and both write a permit,
// waits until BGR has heard what BEL offers, has BGR check a traveller, and looks at the answer
// and at how many asks passed BEL's tap.
package nodetest

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/roster"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Federation is the federation of every mesh.
const Federation identity.Federation = "test.entente"

// Patience bounds every wait, for a machine that is very busy.
const Patience = 30 * time.Second

// TB is what the package needs of testing.TB, so that a program that measures can stand in.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
	TempDir() string
	Cleanup(func())
	Context() context.Context
}

// Setup says how a mesh differs from the usual one.
type Setup struct {
	// Gossip switches gossip on. It is off so that a tap counts nothing but what a test does.
	Gossip bool
	// Direct leaves the taps out: peers dial each other's listeners, and nothing is counted.
	Direct bool
	// Threshold is how many bureaus must sign later rosters. Zero: the default.
	Threshold uint32
	// Config changes a node's configuration before it is started. Optional.
	Config func(identity.Bureau, *node.Config)
	// Asleep leaves the nodes unstarted: the test starts them.
	Asleep bool
	// Papers are bureaus that stand in the roster and have no node.
	Papers []identity.Bureau
}

// Mesh is a federation of whole nodes.
type Mesh struct {
	t       TB
	setup   Setup
	dir     string
	bureaus []*Bureau
	papers  []*Paper
	// Roster is the newest roster that the mesh's own bureaus have been given.
	Roster *signedv1.Signed
}

// Found makes the bureaus' nodes, forms their federation, and starts them.
func Found(t TB, bureaus ...identity.Bureau) *Mesh {
	t.Helper()
	return FoundWith(t, Setup{}, bureaus...)
}

// FoundWith is Found for a mesh that differs from the usual one.
func FoundWith(t TB, setup Setup, bureaus ...identity.Bureau) *Mesh {
	t.Helper()
	m := &Mesh{t: t, setup: setup, dir: t.TempDir()}
	// Registered after TempDir, so that it runs before the folder is removed.
	t.Cleanup(m.stop)
	for _, id := range bureaus {
		m.bureaus = append(m.bureaus, m.newBureau(id))
	}
	m.each((*Bureau).init)
	for i, id := range setup.Papers {
		p, err := newPaper(t, id, i)
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		m.papers = append(m.papers, p)
	}
	m.form()
	if !setup.Asleep {
		m.each((*Bureau).Start)
	}
	return m
}

// each does something for every bureau, at the same time. A failure in a goroutine must not
// end the test from there, so what may fail notes it in Bureau.failed.
func (m *Mesh) each(do func(*Bureau)) {
	m.t.Helper()
	var wg sync.WaitGroup
	for _, b := range m.bureaus {
		wg.Go(func() { do(b) })
	}
	wg.Wait()
	for _, b := range m.bureaus {
		if b.failed != nil {
			m.t.Fatalf("%s: %v", b.ID, b.failed)
		}
	}
}

// Bureau returns a bureau of the mesh.
func (m *Mesh) Bureau(id identity.Bureau) *Bureau {
	m.t.Helper()
	for _, b := range m.bureaus {
		if b.ID == id {
			return b
		}
	}
	m.t.Fatalf("%s is not in this mesh", id)
	return nil
}

// Bureaus returns all of them, in the order in which they were named.
func (m *Mesh) Bureaus() []*Bureau { return slices.Clone(m.bureaus) }

// Newcomer makes a node that has no roster yet. It may have the name of a bureau of the mesh. It
// is not started.
func (m *Mesh) Newcomer(id identity.Bureau) *Bureau {
	m.t.Helper()
	b := m.newBureau(id)
	b.Dir = filepath.Join(m.dir, "new-"+strings.ToLower(string(id)))
	m.t.Cleanup(b.close)
	b.init()
	if b.failed != nil {
		m.t.Fatalf("newcomer %s: %v", id, b.failed)
	}
	return b
}

// Stranger makes a node that is in none of the mesh's rosters, or has the name of a bureau that
// is, with a certificate authority of its own. It has installed a roster that stands beside the
// mesh's: with itself and the bureaus named, whose signatures are stolen for it. It is not
// started.
func (m *Mesh) Stranger(id identity.Bureau, beside ...*Bureau) *Bureau {
	m.t.Helper()
	b := m.Newcomer(id)
	b.InstallOffline(m.found(0, append([]*Bureau{b}, beside...)))
	return b
}

// form founds the federation: version 1, signed by everybody, installed everywhere.
func (m *Mesh) form() {
	m.t.Helper()
	m.Roster = m.found(m.setup.Threshold, m.bureaus, m.papers...)
	for _, b := range m.bureaus {
		b.InstallOffline(m.Roster)
	}
}

// found makes a first roster of bureaus, signed by all of them.
func (m *Mesh) found(threshold uint32, founders []*Bureau, papers ...*Paper) *signedv1.Signed {
	m.t.Helper()
	var joins []*signedv1.Signed
	for _, b := range founders {
		joins = append(joins, b.Join())
	}
	for _, p := range papers {
		joins = append(joins, p.join)
	}
	draft, err := roster.Found(Federation, threshold, joins, founders[0].Clock.Now(), 0)
	if err != nil {
		m.t.Fatalf("found the federation: %v", err)
	}
	payload, err := roster.MarshalDraft(draft)
	if err != nil {
		m.t.Fatalf("found the federation: %v", err)
	}
	signed := m.Sign(payload, founders...)
	for _, p := range papers {
		sig, err := p.governor.Roster(payload)
		if err != nil {
			m.t.Fatalf("%s signs a roster: %v", p.ID, err)
		}
		signed.Signatures = append(signed.Signatures, sig)
	}
	return signed
}

// View is the newest roster as it is read.
func (m *Mesh) View() *roster.View {
	m.t.Helper()
	return m.bureaus[0].Book().Current()
}

// Next drafts the roster after the one that a view shows.
func (m *Mesh) Next(after *roster.View, changes ...roster.Change) []byte {
	m.t.Helper()
	draft, err := roster.Next(after, m.bureaus[0].Clock.Now(), 0, changes...)
	if err != nil {
		m.t.Fatalf("next roster: %v", err)
	}
	payload, err := roster.MarshalDraft(draft)
	if err != nil {
		m.t.Fatalf("next roster: %v", err)
	}
	return payload
}

// Sign has bureaus sign a draft, and puts their signatures beside it without a look at whether
// they suffice.
func (m *Mesh) Sign(payload []byte, by ...*Bureau) *signedv1.Signed {
	m.t.Helper()
	signed := &signedv1.Signed{PayloadType: roster.PayloadType(Federation), Payload: payload}
	for _, b := range by {
		sig, err := b.governor.Roster(payload)
		if err != nil {
			m.t.Fatalf("%s signs a roster: %v", b.ID, err)
		}
		signed.Signatures = append(signed.Signatures, sig)
	}
	return signed
}

// stop ends everything, peers first as they are seen from outside: all at once.
func (m *Mesh) stop() {
	var wg sync.WaitGroup
	for _, b := range m.bureaus {
		wg.Go(b.close)
	}
	wg.Wait()
}

// Eventually waits until something holds.
func (m *Mesh) Eventually(what string, holds func() bool) {
	m.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(Patience)
	defer end.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-end.C:
			m.t.Fatalf("after %s it does not hold: %s", Patience, what)
		}
	}
}

// Permit has a bureau write a permit that works both ways, and put it in force.
func (m *Mesh) Permit(from, to identity.Bureau, collection string, purposes ...Purpose) {
	m.t.Helper()
	m.Bureau(from).Permit(PermitOptions{Bureau: string(to), Collection: collection, Purposes: purposes})
}

// PermitBoth has two bureaus write a permit for each other, and waits until both have heard.
func (m *Mesh) PermitBoth(a, b identity.Bureau, collection string, purposes ...Purpose) {
	m.t.Helper()
	m.Permit(a, b, collection, purposes...)
	m.Permit(b, a, collection, purposes...)
	m.WaitOffers(a, b, collection)
	m.WaitOffers(b, a, collection)
}

// WaitOffers waits until the asker has heard that the answerer offers a collection to it: whole,
// and not only for what the answerer itself issued.
func (m *Mesh) WaitOffers(asker, answerer identity.Bureau, collection string) {
	m.t.Helper()
	m.Eventually(string(asker)+" hears that "+string(answerer)+" offers "+collection, func() bool {
		return slices.ContainsFunc(m.Bureau(asker).Offers(answerer), func(o *Offer) bool {
			return o.GetCollection() == collection && !o.GetOwnIssuedOnly()
		})
	})
}

// WaitConnected waits until every running bureau is connected with every other one.
func (m *Mesh) WaitConnected() {
	m.t.Helper()
	for _, b := range m.bureaus {
		if b.Node == nil {
			continue
		}
		m.Eventually(string(b.ID)+" is connected with everybody", func() bool {
			running := 0
			for _, other := range m.bureaus {
				if other != b && other.Node != nil && b.Connected(other.ID) {
					running++
				}
			}
			return running == m.running()-1
		})
	}
}

func (m *Mesh) running() int {
	n := 0
	for _, b := range m.bureaus {
		if b.Node != nil {
			n++
		}
	}
	return n
}

// Traffic is what all taps have counted.
func (m *Mesh) Traffic() Traffic {
	var sum Traffic
	for _, b := range m.bureaus {
		if b.Tap != nil {
			sum = sum.plus(b.Tap.Traffic())
		}
	}
	return sum
}
