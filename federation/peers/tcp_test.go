package peers_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/entente-mesh/entente/federation/peers"
	"github.com/entente-mesh/entente/federation/server"
	"github.com/entente-mesh/entente/federation/server/meshtest"
	"github.com/entente-mesh/entente/pki/identity"
)

// TestOverTCP is the one scene on a real network and in real time: the pool's own dialler, IPv4
// and IPv6, as far as the machine has them.
func TestOverTCP(t *testing.T) {
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		listener, err := net.Listen("tcp", host)
		if err != nil {
			t.Logf("%s: %v", host, err)
			continue
		}
		mesh := meshtest.New()
		esp, err := server.New(server.Config{
			Self: "ESP", Creds: meshtest.Credentials{Self: identity.Node(meshtest.Federation, "ESP", "1")},
			Identity: meshtest.Identity, Verifier: mesh.Verifier(), Signer: mesh.Signer("ESP"),
			Answerer: &meshtest.Bureau{}, Offerer: meshtest.NewOffers(), Memory: &meshtest.Memory{}, Rosters: &meshtest.Rosters{},
		})
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- esp.Serve(listener) }()
		bel, err := peers.New(peers.Config{Self: "BEL", DialOptions: mesh.DialOptions("BEL"), Offers: mesh.Verifier()})
		if err != nil {
			t.Fatal(err)
		}
		bel.Sync([]peers.Member{{Bureau: "ESP", Address: listener.Addr().String()}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := bel.Do(ctx, "ESP", get); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		bel.Close()
		esp.Stop(ctx)
		cancel()
		if err := <-served; err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}
