package roster

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

const minRSABits = 2048 // BSI TR-02102-1 asks for more; a root below this is no root

var (
	// hostPattern is a DNS name (RFC 1123 section 2.1), or one label in a closed network.
	hostPattern = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$`)
	algorithms  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
)

// newView checks a roster's content, everything but its signatures and its place in the chain.
func newView(s *signedv1.Signed, f identity.Federation) (*View, error) {
	if want := PayloadType(f); s.GetPayloadType() != want {
		return nil, fmt.Errorf("%w: payload type is %.80q, expected %q: it is of another kind or federation", ErrMalformed, s.GetPayloadType(), want)
	}
	if err := protovalidate.Validate(s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	r, err := parse(s.GetPayload())
	if err != nil {
		return nil, err
	}
	return viewOf(r, proto.CloneOf(s), f)
}

// parse reads a roster's bytes and checks its shape.
func parse(payload []byte) (*rosterv1.Roster, error) {
	var r rosterv1.Roster
	if err := proto.Unmarshal(payload, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := protovalidate.Validate(&r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return &r, nil
}

func viewOf(r *rosterv1.Roster, s *signedv1.Signed, f identity.Federation) (*View, error) {
	bad := func(format string, args ...any) (*View, error) {
		return nil, fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
	if r.GetFederation() != string(f) {
		return bad("it is of the federation %q, expected %q", r.GetFederation(), f)
	}
	// Half of the bureaus or fewer could sign one next version while the others sign another,
	// and both would be valid. Above half, any two versions have a signer in common.
	if n := len(r.GetBureaus()); uint64(r.GetThreshold()) > uint64(n) || 2*uint64(r.GetThreshold()) <= uint64(n) {
		return bad("threshold %d of %d bureaus: give more than half and at most all, %d is usual", r.GetThreshold(), n, DefaultThreshold(n))
	}
	if (r.GetVersion() == 1) != (len(r.GetPreviousDigest()) == 0) || r.GetVersion() > 1 && len(r.GetPreviousDigest()) != sha256.Size {
		return bad("previous_digest of %d bytes in version %d: it is empty in the first, 32 bytes in every other", len(r.GetPreviousDigest()), r.GetVersion())
	}
	if err := errors.Join(r.GetIssuedAt().CheckValid(), r.GetExpiresAt().CheckValid()); err != nil {
		return bad("issued_at or expires_at: %w", err)
	}
	v := &View{
		roster: r, signed: s, federation: f,
		issuedAt: r.GetIssuedAt().AsTime(), expiresAt: r.GetExpiresAt().AsTime(),
		members: make(map[identity.Bureau]Member, len(r.GetBureaus())),
		keys:    make(map[string]listedKey),
		hints:   make(map[string]listedKey),
	}
	if s != nil {
		v.digest = string(signing.PayloadDigest(s))
	}
	if life := v.expiresAt.Sub(v.issuedAt); life <= 0 || life > MaxLife {
		return bad("expires_at is %s after issued_at, give up to %s", life, MaxLife)
	}
	seen := uniques{}
	last := identity.Bureau("")
	for _, entry := range r.GetBureaus() {
		m, err := checkBureau(entry, f)
		if err != nil {
			return bad("%w", err)
		}
		if m.Bureau <= last {
			return bad("bureau %s after %s: each stands once, sorted by id", m.Bureau, last)
		}
		last = m.Bureau
		if err := seen.add(m); err != nil {
			return bad("%w", err)
		}
		v.bureaus = append(v.bureaus, m.Bureau)
		v.members[m.Bureau] = m
		for _, k := range m.Keys {
			v.list(m.Bureau, k)
		}
	}
	v.past = v.past.with(v.keys) // of a chain that begins here; verifyLink puts it behind another
	return v, nil
}

// list puts a key under its id, and under its bureau and hint. Two keys of a bureau with one hint
// make that hint useless and leave the ids: whoever makes such a pair harms themselves alone.
func (v *View) list(b identity.Bureau, k *rosterv1.Key) {
	lk := listedKey{
		PublicKey: signing.PublicKey{Bureau: b, Usage: k.GetUsage(), Algorithm: k.GetAlgorithm(), Key: k.GetKey()},
		notBefore: moment(k.GetNotBefore()), notAfter: moment(k.GetNotAfter()), revokedAt: moment(k.GetRevokedAt()),
	}
	id := lk.ID()
	v.keys[id] = lk
	hint := string(b) + signing.KeyHint(id)
	if _, taken := v.hints[hint]; taken {
		v.hints[hint] = listedKey{} // of no bureau and no usage: found by nobody
		return
	}
	v.hints[hint] = lk
}

func moment(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// uniques remembers whose each root and key is: a root or a key of two bureaus would let one
// speak for the other, and let one holder be counted as two.
type uniques map[string]identity.Bureau

func (u uniques) add(m Member) error {
	mine := make(map[string]bool, len(m.Roots)) // a root may be renewed under its own key
	for _, root := range m.Roots {
		spki := "spki " + string(root.RawSubjectPublicKeyInfo)
		if other, ok := u[spki]; ok && !mine[spki] {
			return fmt.Errorf("ca_roots of %s: a root has the same key as one of %s: no two bureaus share a root", m.Bureau, other)
		}
		mine[spki] = true
		u[spki] = m.Bureau
	}
	for _, k := range m.Keys {
		if other, ok := u["key "+string(k.GetKey())]; ok {
			return fmt.Errorf("keys of %s: a public key is listed already, under %s: each stands once, for one bureau and one usage", m.Bureau, other)
		}
		u["key "+string(k.GetKey())] = m.Bureau
	}
	return nil
}

// checkBureau checks one entry by itself.
func checkBureau(entry *rosterv1.Bureau, f identity.Federation) (Member, error) {
	b, err := identity.ParseBureau(entry.GetBureau())
	if err != nil {
		return Member{}, err
	}
	if err := CheckAddress(entry.GetAddress()); err != nil {
		return Member{}, fmt.Errorf("%s: %w", b, err)
	}
	m := Member{Bureau: b, Address: entry.GetAddress(), Pool: x509.NewCertPool(), Keys: entry.GetKeys(), Fingerprint: BureauFingerprint(entry)}
	if len(entry.GetCaRoots()) == 0 {
		return Member{}, fmt.Errorf("%s: ca_roots is empty: give at least one root", b)
	}
	for i, der := range entry.GetCaRoots() {
		root, err := checkRoot(der, b, f)
		if err != nil {
			return Member{}, fmt.Errorf("%s: ca_roots[%d]: %w", b, i, err)
		}
		for _, other := range m.Roots {
			if root.Equal(other) {
				return Member{}, fmt.Errorf("%s: ca_roots[%d] is listed twice", b, i)
			}
		}
		m.Roots = append(m.Roots, root)
		m.Pool.AddCert(root)
	}
	usable := map[rosterv1.KeyUsage]bool{}
	for i, k := range entry.GetKeys() {
		if err := checkKey(k); err != nil {
			return Member{}, fmt.Errorf("%s: keys[%d]: %w", b, i, err)
		}
		usable[k.GetUsage()] = usable[k.GetUsage()] || k.GetAlgorithm() == signing.AlgorithmEd25519
	}
	if !usable[rosterv1.KeyUsage_KEY_USAGE_MESSAGE] || !usable[rosterv1.KeyUsage_KEY_USAGE_GOVERNANCE] {
		return Member{}, fmt.Errorf("%s: keys: give at least one message key and one governance key, each of %s", b, signing.AlgorithmEd25519)
	}
	return m, nil
}

// checkKey checks a key by itself. An algorithm that is not known here is let stand, and signs
// nothing here: so a bureau may list a post-quantum key before every peer understands it.
func checkKey(k *rosterv1.Key) error {
	switch k.GetUsage() {
	case rosterv1.KeyUsage_KEY_USAGE_MESSAGE, rosterv1.KeyUsage_KEY_USAGE_LOG, rosterv1.KeyUsage_KEY_USAGE_GOVERNANCE:
	default:
		return fmt.Errorf("usage %s: give message, log or governance", k.GetUsage())
	}
	if !algorithms.MatchString(k.GetAlgorithm()) {
		return fmt.Errorf("algorithm %q: give it in lower case, for example %s", k.GetAlgorithm(), signing.AlgorithmEd25519)
	}
	if k.GetAlgorithm() == signing.AlgorithmEd25519 && len(k.GetKey()) != ed25519.PublicKeySize {
		return fmt.Errorf("key of %d bytes, %s has %d", len(k.GetKey()), signing.AlgorithmEd25519, ed25519.PublicKeySize)
	}
	for name, t := range map[string]*timestamppb.Timestamp{"not_before": k.GetNotBefore(), "not_after": k.GetNotAfter(), "revoked_at": k.GetRevokedAt()} {
		if t != nil && t.CheckValid() != nil {
			return fmt.Errorf("%s is not a time", name)
		}
	}
	if k.GetNotBefore() != nil && k.GetNotAfter() != nil && !k.GetNotAfter().AsTime().After(k.GetNotBefore().AsTime()) {
		return errors.New("not_after is not after not_before")
	}
	return nil
}

// checkRoot checks that a certificate can be the root of a bureau's own authority and of nothing
// else: a self-signed CA whose name constraints permit its own trust domain alone. The lock is
// the second one; the first is that a chain is verified against its own country's roots only.
func checkRoot(der []byte, b identity.Bureau, f identity.Federation) (*x509.Certificate, error) {
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("not a certificate: %w", err)
	}
	switch {
	case !root.BasicConstraintsValid || !root.IsCA:
		return nil, errors.New("not a CA certificate")
	case root.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, errors.New("key usage does not allow to sign certificates")
	case !bytes.Equal(root.RawIssuer, root.RawSubject):
		return nil, errors.New("not self-signed: issuer and subject differ")
	case len(root.UnhandledCriticalExtensions) != 0:
		return nil, fmt.Errorf("critical extension %s is not understood", root.UnhandledCriticalExtensions[0])
	}
	if err := strongEnough(root.PublicKey); err != nil {
		return nil, err
	}
	if err := root.CheckSignatureFrom(root); err != nil {
		return nil, fmt.Errorf("not self-signed: %w", err)
	}
	td := identity.TrustDomain(b, f)
	if len(root.PermittedURIDomains) == 0 {
		return nil, fmt.Errorf("no URI name constraint: the root must permit %s and nothing else", td)
	}
	for _, d := range root.PermittedURIDomains {
		if d != td {
			return nil, fmt.Errorf("URI name constraint permits %q: the root must permit %s and nothing else", d, td)
		}
	}
	// RFC 5280 section 4.2.1.10: the extension is critical, so that software which does not
	// know it refuses the root rather than ignoring its bounds.
	if !root.PermittedDNSDomainsCritical {
		return nil, errors.New("the name constraints extension is not marked critical (RFC 5280 section 4.2.1.10)")
	}
	return root, nil
}

func strongEnough(public any) error {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 256 {
			return fmt.Errorf("key on %s: use P-256 or larger", k.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSABits {
			return fmt.Errorf("RSA key of %d bits: use %d or more", k.N.BitLen(), minRSABits)
		}
	default:
		return fmt.Errorf("key of type %T: use ECDSA, Ed25519 or RSA", public)
	}
	return nil
}

// CheckAddress checks that an address is "host:port", with a host name or IP address and a port
// that can be dialled.
func CheckAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address %q: give host:port", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("address %q: give a port of 1 to 65535", address)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.IsUnspecified() || ip.IsMulticast() {
			return fmt.Errorf("address %q: nobody can dial it, give the address that peers reach", address)
		}
		return nil
	}
	if len(host) > 253 || !hostPattern.MatchString(host) {
		return fmt.Errorf("address %q: %q is neither a host name nor an IP address", address, host)
	}
	return nil
}
