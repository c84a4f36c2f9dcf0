package server

import (
	"context"

	"github.com/entente-mesh/entente/pki/identity"
)

// callerKey is the context's key of the slot below.
type callerKey struct{}

// slot holds the caller of one call. The chain makes it before the caller is known, so that
// errors can be logged with the caller once he is. It is written once, before the handler runs,
// by the goroutine that runs it.
type slot struct {
	id    identity.Identity
	known bool
}

func withCaller(ctx context.Context) context.Context {
	return context.WithValue(ctx, callerKey{}, &slot{})
}

func setCaller(ctx context.Context, id identity.Identity) {
	if s, ok := ctx.Value(callerKey{}).(*slot); ok {
		s.id, s.known = id, true
	}
}

// Caller returns the node that makes a call, as it was verified for this call. Handlers that
// Extra registers use it too. It returns false outside of the chain.
func Caller(ctx context.Context) (identity.Identity, bool) {
	s, ok := ctx.Value(callerKey{}).(*slot)
	if !ok || !s.known {
		return identity.Identity{}, false
	}
	return s.id, true
}
