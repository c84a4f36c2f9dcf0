package node_test

import (
	"context"
	"encoding/binary"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/node/nodetest"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// The kinds of memberlist's messages that lie here, and the mark of a labelled packet.
const (
	gossipSuspect = 3
	gossipAlive   = 4
	gossipDead    = 5
	gossipLabel   = 244
)

// gossipPacket is one packet of memberlist's with one message, whose fields are written in the
// order of its struct (msgpack: an array of unsigned numbers, texts and bytes).
func gossipPacket(kind byte, fields ...any) []byte {
	b := append([]byte{gossipLabel, byte(len(nodetest.Federation))}, nodetest.Federation...)
	b = append(b, kind, 0x90|byte(len(fields)))
	for _, f := range fields {
		switch v := f.(type) {
		case int:
			b = binary.BigEndian.AppendUint32(append(b, 0xce), uint32(v))
		case string:
			b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(len(v)))
			b = append(b, v...)
		}
	}
	return b
}

// TestGossipIsAHint has ESP, a member whose certificate is good, lie about BEL to BGR: that it is
// dead, that it is suspect, that it has moved. BGR's questions go where they went before.
func TestGossipIsAHint(t *testing.T) {
	m := nodetest.FoundWith(t, nodetest.Setup{Gossip: true}, "BEL", "BGR", "ESP")
	bel, bgr, esp := m.Bureau("BEL"), m.Bureau("BGR"), m.Bureau("ESP")
	m.WaitConnected()
	bel.Create(nodetest.Person("bel:1", "Vandersmissen", "Yorick", "1990-07-21"))
	m.PermitBoth("BEL", "BGR", nodetest.Persons, nodetest.Border)
	m.Eventually("gossip has found BEL alive", func() bool { return bgr.Peer("BEL").GetGossip() == "alive" })
	address := bgr.Peer("BEL").GetAddress()

	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	stream, err := gossipv1.NewGossipServiceClient(esp.DialMesh(bgr)).Gossip(ctx)
	if err != nil {
		t.Fatal(err)
	}
	hints := map[string]int{}
	for incarnation := 1_000; incarnation < 1_020; incarnation++ {
		for _, packet := range [][]byte{
			gossipPacket(gossipDead, incarnation, "BEL/1", "ESP/1"),
			gossipPacket(gossipSuspect, incarnation, "BEL/1", "ESP/1"),
			gossipPacket(gossipAlive, incarnation, "BEL/1", "\x7f\x00\x00\x01", 4444, "", "\x01\x05\x02\x02\x05\x02"),
			gossipPacket(gossipAlive, incarnation, "FRA/1", "\x7f\x00\x00\x01", 4444, "", "\x01\x05\x02\x02\x05\x02"),
		} {
			req := &gossipv1.GossipRequest{Kind: gossipv1.GossipKind_GOSSIP_KIND_PACKETS, Data: packet}
			if err := stream.Send(req); err != nil {
				t.Fatalf("the lie was not even heard: %v", err)
			}
		}
		resp := bgr.Check(nodetest.CheckPerson("Vandersmissen", "Yorick", "1990-07-21"))
		if resp.GetVerdict() != screeningv1.Verdict_VERDICT_HIT || nodetest.Status(resp, "BEL").GetStatus() != queryv1.Status_STATUS_HIT {
			t.Fatalf("BEL was not asked: %v %v", resp.GetVerdict(), resp.GetBureaus())
		}
		p := bgr.Peer("BEL")
		if !bgr.Connected("BEL") || p.GetAddress() != address {
			t.Fatalf("BEL is %v at %s, want connected at %s", p.GetState(), p.GetAddress(), address)
		}
		hints[p.GetGossip()]++
	}
	t.Logf("meanwhile the hints about BEL were %v", hints)
	if bgr.Peer("FRA") != nil {
		t.Error("gossip has made a member")
	}
	m.Eventually("BEL has refuted it", func() bool { return bgr.Peer("BEL").GetGossip() == "alive" })
	// In another's name it is not spoken: what comes over ESP's connection is ESP's.
	if err := stream.Send(&gossipv1.GossipRequest{Data: gossipPacket(0, 1, "BGR/1", "", 0, "BEL/1")}); err != nil {
		t.Fatal(err)
	}
	m.Eventually("BGR has noted a ping in BEL's name", func() bool { return bgr.Log.Count("gossip", "claimed") > 0 })
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); status.Code(err) == codes.Internal {
		t.Errorf("the stream ended with %v", err)
	}
}
