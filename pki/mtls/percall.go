package mtls

import (
	"context"
	"crypto/x509"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/pki/identity"
)

type callerKey struct{}

type caller struct {
	id   identity.Identity
	leaf *x509.Certificate
}

// FromContext returns who makes a call. It is known only behind this package's interceptors,
// which have verified it for this call; without them nobody is known.
func FromContext(ctx context.Context) (identity.Identity, bool) {
	c, ok := ctx.Value(callerKey{}).(caller)
	return c.id, ok
}

// PeerCertificate returns the leaf of who makes a call, as FromContext does the identity.
func PeerCertificate(ctx context.Context) (*x509.Certificate, bool) {
	c, ok := ctx.Value(callerKey{}).(caller)
	return c.leaf, ok && c.leaf != nil
}

// NewContext returns a context in which a caller is known. The interceptors use it; a test of
// what lies behind them can, too.
func NewContext(ctx context.Context, id identity.Identity, leaf *x509.Certificate) context.Context {
	return context.WithValue(ctx, callerKey{}, caller{id: id, leaf: leaf})
}

// PeerOf returns the identity at the other end of a connection, from the peer that gRPC's Peer
// call option fills at a client: who has answered.
func PeerOf(p *peer.Peer) (identity.Identity, bool) {
	if p == nil {
		return identity.Identity{}, false
	}
	info, ok := p.AuthInfo.(AuthInfo)
	return info.Identity, ok && info.session != nil
}

// UnaryServerInterceptor asks for every call whether its caller would still be admitted, and
// makes it known to FromContext. It is the first in the chain: what is behind it may rely on a
// caller.
func UnaryServerInterceptor() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		s, err := admit(ctx)
		if err != nil {
			return nil, refused(err)
		}
		return handler(NewContext(ctx, s.id(), s.leaf()), req)
	}
}

// StreamServerInterceptor is the same for streams, which may last for days: it asks again for
// every message, in both directions.
func StreamServerInterceptor() grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		s, err := admit(stream.Context())
		if err != nil {
			return refused(err)
		}
		return handler(srv, &checkedStream{
			ServerStream: stream,
			session:      s,
			ctx:          NewContext(stream.Context(), s.id(), s.leaf()),
		})
	}
}

// admit finds the connection below a call and asks whether it still stands.
func admit(ctx context.Context) (*session, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, &Error{Reason: ReasonNotVerified, Err: errors.New("a call without a peer")}
	}
	return sessionOf(p.AuthInfo)
}

func sessionOf(a credentials.AuthInfo) (*session, error) {
	info, ok := a.(AuthInfo)
	if !ok || info.session == nil {
		return nil, &Error{Reason: ReasonNotVerified, Err: errors.New("a connection that this package has not verified")}
	}
	if err := info.session.check(); err != nil {
		return nil, err
	}
	return info.session, nil
}

type checkedStream struct {
	grpc.ServerStream
	session *session
	ctx     context.Context //nolint:containedctx // gRPC hands a stream's context out by a method
}

func (s *checkedStream) Context() context.Context { return s.ctx }

func (s *checkedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	// After the wait: what was true when it began may not be true now.
	if err := s.session.check(); err != nil {
		return refused(err)
	}
	return nil
}

func (s *checkedStream) SendMsg(m any) error {
	if err := s.session.check(); err != nil {
		return refused(err)
	}
	return s.ServerStream.SendMsg(m)
}

// perCall looks at a client's connection before a call is sent over it. It adds no metadata: it
// is a per-call credential because those are shown the connection that was chosen, and can
// stop the call before a byte of it leaves.
type perCall struct{}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (perCall) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	info, _ := credentials.RequestInfoFromContext(ctx)
	if _, err := sessionOf(info.AuthInfo); err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error()) // to the own side: it may know all
	}
	return nil, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (perCall) RequireTransportSecurity() bool { return true }
