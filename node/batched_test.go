package node_test

import (
	"context"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"github.com/entente-mesh/entente/pki/evidence"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// TestAnswersThatShareASignatureProveThemselves has BGR ask so much at once that BEL puts answers
// under one signature: each of them is proven by itself, years later, from its bundle alone.
func TestAnswersThatShareASignatureProveThemselves(t *testing.T) {
	m := belgium(t, "BEL", "BGR")
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	bel.Generous("BGR")
	m.WaitConnected()
	conn := bgr.DialMesh(bel)
	ctx, found := context.WithCancel(t.Context())
	defer found()
	shared := make(chan string, 64)
	var askers sync.WaitGroup
	for range 64 {
		askers.Go(func() {
			for ctx.Err() == nil {
				a := askYorick(bgr, "BEL")
				signed, err := bgr.Signer().Ask(a)
				if err != nil {
					t.Error(err)
					return
				}
				response, err := queryv1.NewQueryServiceClient(conn).Ask(t.Context(), &queryv1.AskRequest{Ask: signed}, grpc.WaitForReady(true))
				if err == nil && inABatch(response.GetAnswer()) {
					found()
					shared <- a.GetAskId()
					return
				}
			}
		})
	}
	askers.Wait()
	close(shared)
	proven := 0
	for id := range shared {
		bundle, _ := bel.Prove(id, false)
		if !inABatch(bundle.GetAnswer()) {
			t.Fatalf("the bundle of %s holds another answer than was given", id)
		}
		if r := evidence.VerifyBundle(bundle, trusted(m)); !r.OK() || r.Asker != "BGR" || r.AnsweredAt.IsZero() {
			t.Errorf("an answer that shares its signature is not proven: %+v", r.Steps)
		}
		// What belongs to another answer of the batch proves nothing here.
		proof := bundle.GetAnswer().GetSignatures()[0].GetBatchProof()
		proof[2] ^= 1
		if r := evidence.VerifyBundle(bundle, trusted(m)); r.OK() {
			t.Errorf("a proof of another place in the batch passes: %+v", r.Steps)
		}
		proven++
	}
	if proven == 0 {
		t.Error("no two answers were signed together")
	}
}

func inABatch(s *signedv1.Signed) bool {
	return len(s.GetSignatures()) == 1 && len(s.GetSignatures()[0].GetBatchProof()) > 0
}
