package ask_test

import (
	"testing"

	"github.com/entente-mesh/entente/federation/ask"
	"github.com/entente-mesh/entente/federation/peers"
	"github.com/entente-mesh/entente/federation/server/meshtest"
)

// BenchmarkAsk is one signed question and its signed answer, over gRPC in memory: what the two
// bureaus' rooms of the mesh cost without disks, records and TLS.
func BenchmarkAsk(b *testing.B) {
	mesh := meshtest.New()
	esp := mesh.Join(b, "ESP")
	defer esp.Stop(b)
	pool, err := peers.New(peers.Config{Self: "BEL", DialOptions: mesh.DialOptions("BEL"), Offers: mesh.Verifier(), Dial: mesh.Net.Dial})
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	pool.Sync([]peers.Member{{Bureau: "ESP", Address: meshtest.Address("ESP")}})
	bel, err := ask.New(ask.Config{Self: "BEL", Peers: pool, Signer: mesh.Signer("BEL"), Verifier: mesh.Verifier()})
	if err != nil {
		b.Fatal(err)
	}
	s := &stage{books: &books{}}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if r := bel.Ask(b.Context(), s.question(target("ESP")))[0]; r.Status != statusNoHit {
				b.Errorf("%v: %s", r.Status, r.Reason)
				return
			}
		}
	})
}
