package node

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"time"

	"github.com/entente-mesh/entente/pki/mtls"
	"github.com/entente-mesh/entente/pki/roster"
	"github.com/entente-mesh/entente/pki/signing"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
)

// believable refuses to serve with keys that nobody would believe: a certificate that does not
// lead to the own root, or a message or log key that the roster does not name. A flipped bit in a
// key's file gives another key as good as the first, and what is signed by it, nobody takes.
func (n *Node) believable() error {
	chain := n.leaf.Get().Certificate
	leaf, between, at := n.leaf.X509(), x509.NewCertPool(), n.now()
	for _, raw := range chain[1:] {
		if c, err := x509.ParseCertificate(raw); err == nil {
			between.AddCert(c)
			at = later(at, c.NotBefore)
		}
	}
	// Whether the clock is right is not the question here.
	if at = later(at, leaf.NotBefore); at.After(leaf.NotAfter) {
		at = leaf.NotAfter
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: n.authority.Pool(), Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		CurrentTime: at,
	})
	if err != nil {
		return fmt.Errorf("node certificate: %s, with the chain in %s, does not lead to the own root, %s: restore what is damaged of these from a backup: %w",
			filepath.Join(n.layout.channel(), mtls.CertFile), mtls.KeyFile, n.layout.rootCert(), err)
	}
	view := n.book.Current()
	if view == nil {
		return nil
	}
	member, ok := view.Member(n.cfg.Bureau)
	if !ok {
		return nil
	}
	if !names(member, rosterv1.KeyUsage_KEY_USAGE_MESSAGE, func(k *rosterv1.Key) bool {
		return signing.KeyID(k.GetAlgorithm(), k.GetKey()) == n.signer.KeyID()
	}) {
		return fmt.Errorf("message key: %s is not a key that version %d of the roster names for %s, so that nobody would believe what is signed with it: restore it, or install the roster that names it first",
			n.layout.messageKey(), view.Version(), n.cfg.Bureau)
	}
	if !names(member, rosterv1.KeyUsage_KEY_USAGE_LOG, func(k *rosterv1.Key) bool { return bytes.Equal(k.GetKey(), n.signer.LogKey().Key) }) {
		return fmt.Errorf("log key: %s is not a key that version %d of the roster names for %s, so that nobody would believe its log: restore it, or install the roster that names it first",
			n.layout.logKey(), view.Version(), n.cfg.Bureau)
	}
	return nil
}

// names tells whether a roster names a key of a use for a member.
func names(m roster.Member, use rosterv1.KeyUsage, is func(*rosterv1.Key) bool) bool {
	of := 0
	for _, k := range m.Keys {
		if k.GetUsage() != use {
			continue
		}
		of++
		if is(k) {
			return true
		}
	}
	return of == 0 // a roster from before there were such keys
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
