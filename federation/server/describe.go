package server

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

const (
	// offerLife is how long an offer holds, and renewBefore how long before its end the next is
	// sent: long enough for a slow line, and for a clock that was measured wrong.
	offerLife   = 10 * time.Minute
	renewBefore = 2 * time.Minute
)

// Describe sends what is offered to the caller: at once, when it changes, and before it expires.
func (q *query) Describe(_ *queryv1.DescribeRequest, stream grpc.ServerStreamingServer[queryv1.DescribeResponse]) error {
	ctx := stream.Context()
	cfg := &q.server.cfg
	from, ok := Caller(ctx)
	if !ok {
		return errors.New("a stream without a caller")
	}
	// Before the first offer is made: a change between the two would be missed.
	changes, unsubscribe := cfg.Offerer.Changes()
	defer unsubscribe()
	var last *queryv1.Offer
	renewal := time.NewTimer(0)
	defer renewal.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-q.server.stopping:
			return fault.New(codes.Unavailable, fault.NodeStopping, "", "the node is being stopped: connect again in a moment")
		case _, open := <-changes:
			if !open {
				changes = nil // renewals go on
				continue
			}
			if sameOffer(last, cfg.Offerer.Offer(from.Bureau)) {
				continue
			}
		case <-renewal.C:
		}
		sent, err := q.sendOffer(ctx, from, stream)
		if err != nil {
			return err
		}
		last = sent
		renewal.Reset(offerLife - renewBefore)
	}
}

// sendOffer signs and sends what is offered now, if the caller is still who it was: a stream may
// last for weeks.
func (q *query) sendOffer(ctx context.Context, from identity.Identity, stream grpc.ServerStreamingServer[queryv1.DescribeResponse]) (*queryv1.Offer, error) {
	cfg := &q.server.cfg
	if still, err := cfg.Identity(ctx); err != nil || still.Bureau != from.Bureau || still.Kind != identity.KindNode {
		return nil, fault.New(codes.Unauthenticated, fault.IdentityUnverified, "", "the certificate of this connection is not accepted here any more: connect again with one that is valid")
	}
	now := cfg.Now()
	offered := cfg.Offerer.Offer(from.Bureau)
	offer := &queryv1.Offer{
		Bureau:        string(cfg.Self),
		Audience:      string(from.Bureau),
		Collections:   offered.GetCollections(),
		IssuedAt:      timestamppb.New(now),
		NotAfter:      timestamppb.New(now.Add(offerLife)),
		RosterVersion: offered.GetRosterVersion(),
	}
	signed, err := cfg.Signer.Offer(offer)
	if err != nil {
		return nil, ownFailure("sign the offer", err)
	}
	if err := stream.Send(&queryv1.DescribeResponse{Offer: signed, SentAt: timestamppb.New(cfg.Now())}); err != nil {
		return nil, err
	}
	return offer, nil
}

// sameOffer reports whether two offers offer the same.
func sameOffer(a, b *queryv1.Offer) bool {
	return a != nil && a.GetRosterVersion() == b.GetRosterVersion() &&
		slices.EqualFunc(a.GetCollections(), b.GetCollections(), func(x, y *queryv1.CollectionOffer) bool { return proto.Equal(x, y) })
}
