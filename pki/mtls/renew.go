package mtls

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/entente-mesh/entente/pki/identity"
)

// How a Renewer waits.
const (
	// renewLook bounds one wait. A timer does not see a clock that was set or a machine that
	// slept; looking at the clock once a minute does.
	renewLook = time.Minute
	// renewRetryFirst and renewRetryMost bound the pause after a failure, which doubles.
	renewRetryFirst = time.Second
	renewRetryMost  = renewLook
)

// Renewer keeps a leaf young: it asks for a new one before two thirds of the old one's life, at
// once if there is none or it has expired, and again and again if that fails.
type Renewer struct {
	// Leaf is what is renewed.
	Leaf *Leaf
	// Identity is whose it is.
	Identity identity.Identity
	// Issue turns a certificate signing request into a chain, leaf first: the node's own
	// authority, or a call to it.
	Issue func(ctx context.Context, csrDER []byte) ([]*x509.Certificate, error)
	// Dir is where the new leaf is written before it is used. Empty: nowhere.
	Dir string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger is told of renewals and failures; nil means nobody.
	Logger *slog.Logger
}

// Run renews until the context ends, and returns its error.
func (r *Renewer) Run(ctx context.Context) error {
	log := r.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	retry := time.Duration(0)
	for {
		wait := r.wait()
		if wait <= 0 {
			switch err := r.Renew(ctx); {
			case err == nil:
				retry = 0
				log.InfoContext(ctx, "certificate renewed", "not_after", r.Leaf.X509().NotAfter)
				continue
			case ctx.Err() != nil:
				return ctx.Err()
			default:
				retry = min(max(2*retry, renewRetryFirst), renewRetryMost)
				wait = retry
				level := slog.LevelWarn
				if !r.usable() { // nobody can be reached without one
					level = slog.LevelError
				}
				log.Log(ctx, level, "certificate not renewed", "error", err, "retry_in", wait)
			}
		}
		timer := time.NewTimer(min(wait, renewLook))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// Renew asks for one new certificate now, with a new key, saves it and puts it to use.
func (r *Renewer) Renew(ctx context.Context) error {
	key, csr, err := NewRequest(r.Identity)
	if err != nil {
		return err
	}
	chain, err := r.Issue(ctx, csr)
	if err != nil {
		return fmt.Errorf("new certificate: %w", err)
	}
	pair, err := Bind(chain, key)
	if err != nil {
		return fmt.Errorf("new certificate: %w", err)
	}
	id, err := identity.FromCertificate(chain[0], r.Identity.Federation)
	if err != nil {
		return fmt.Errorf("new certificate: %w", err)
	}
	if id.String() != r.Identity.String() {
		return errors.New("new certificate: it is for another identity than was asked for")
	}
	// One that has expired, or is about to, would be asked for again at once, without end.
	if now := r.now(); !now.Before(RenewDue(chain[0])) || now.Before(chain[0].NotBefore) {
		return fmt.Errorf("new certificate: valid from %s to %s, which does not suit this machine's clock (%s): set the clock",
			chain[0].NotBefore.UTC().Format(time.RFC3339), chain[0].NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	if r.Dir != "" {
		if err := SaveLeaf(r.Dir, chain, key); err != nil {
			return fmt.Errorf("save the new certificate: %w", err)
		}
	}
	r.Leaf.Set(pair)
	return nil
}

func (r *Renewer) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}

// wait is how long the current leaf need not be renewed.
func (r *Renewer) wait() time.Duration {
	if !r.usable() {
		return 0
	}
	return RenewDue(r.Leaf.X509()).Sub(r.now())
}

// usable tells whether there is a leaf that a peer would accept by the own clock.
func (r *Renewer) usable() bool {
	c := r.Leaf.X509()
	return c != nil && !r.now().Before(c.NotBefore) && !r.now().After(c.NotAfter)
}
