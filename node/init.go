package node

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/entente-mesh/entente/node/policies"
	"github.com/entente-mesh/entente/pki/authority"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	"github.com/entente-mesh/entente/pki/roster"
	"github.com/entente-mesh/entente/pki/signing"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// InitOptions are what a new node is made of.
type InitOptions struct {
	Dir        string
	Bureau     identity.Bureau
	Federation identity.Federation
	Replica    string // default "1"
	// MeshListen and LocalListen default to free loopback ports, Advertise to MeshListen.
	MeshListen, LocalListen, Advertise string
	// Passphrase encrypts the root and governance keys. Empty: one is made, and left beside them.
	Passphrase []byte
	// OfficerAgency and OfficerPurposes are those of the first officer. Default border-police,
	// for border control and police checks.
	OfficerAgency   string
	OfficerPurposes []recordv1.Purpose
	Now             func() time.Time
}

// InitResult says what was made.
type InitResult struct {
	Config Config
	// Governance is the folder of the keys that belong off the machine.
	Governance string
	// PassphraseFile is where the passphrase lies that was made; empty if one was given.
	PassphraseFile string
	// Fingerprint is the bureau's, to be compared by another channel when the roster is formed.
	Fingerprint string
}

// bureauAgency is the agency of the bureau's own staff.
const bureauAgency = "bureau"

// Init makes a new node in a folder: its certificate authority, its keys by use, its own
// certificate, the identities of a first operator, officer and PKI administrator, configuration,
// policies and an empty store. It refuses a folder that holds anything. The node is made beside its place and
// moved there whole, so that a crash or a failure leaves no half of one.
func Init(ctx context.Context, o InitOptions) (res *InitResult, err error) {
	cfg, err := o.config()
	if err != nil {
		return nil, err
	}
	place, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := vacant(place); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return nil, err
	}
	made, err := os.MkdirTemp(filepath.Dir(place), "."+filepath.Base(place)+".new-*")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(made))
		}
	}()
	fingerprint, generated, err := fill(ctx, layout{made}, cfg, o)
	if err != nil {
		return nil, err
	}
	// Takes the place of an empty folder, and of nothing else: Remove leaves what is not empty.
	if err := os.Remove(place); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: the folder is not empty: name a new one, nothing is overwritten: %w", o.Dir, err)
	}
	if err := os.Rename(made, place); err != nil {
		return nil, fmt.Errorf("%s: the folder is not empty: name a new one, nothing is overwritten: %w", o.Dir, err)
	}
	res = &InitResult{Config: cfg, Governance: layout{o.Dir}.governance(), Fingerprint: fingerprint}
	if generated {
		res.PassphraseFile = PassphraseFile(res.Governance)
	}
	return res, nil
}

// vacant refuses a place where there is anything.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("%s: the folder is not empty: name a new one, nothing is overwritten", dir)
	default:
		return nil
	}
}

// fill makes a node in an empty folder. It returns the bureau's fingerprint, and whether a
// passphrase had to be made.
func fill(ctx context.Context, l layout, cfg Config, o InitOptions) (fingerprint string, generated bool, err error) {
	for _, dir := range []string{l.at("keys"), l.governance(), l.roster(), filepath.Dir(l.store()), l.spool()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", false, err
		}
	}
	passphrase := o.Passphrase
	if len(passphrase) == 0 {
		passphrase, generated = newPassphrase(), true
		if err := os.WriteFile(PassphraseFile(l.governance()), append(slices.Clone(passphrase), '\n'), 0o600); err != nil {
			return "", false, err
		}
	}
	if err := makeKeys(l, passphrase); err != nil {
		return "", false, err
	}
	err = authority.Create(ctx, authority.CreateOptions{
		Dir: l.authority(), OfflineDir: l.governance(), Bureau: o.Bureau, Federation: o.Federation, Passphrase: passphrase, Now: o.Now,
	})
	if err != nil {
		return "", false, err
	}
	if err := signing.NewLogState(l.logState()); err != nil {
		return "", false, err
	}
	if err := makeNodeKey(l, cfg); err != nil {
		return "", false, err
	}
	if err := issueFirst(ctx, l, cfg, o); err != nil {
		return "", false, err
	}
	if err := policies.WriteDefaults(l.policies(), o.Bureau, o.Federation); err != nil {
		return "", false, err
	}
	if err := os.WriteFile(l.at(ConfigFile), cfg.text(), 0o600); err != nil {
		return "", false, err
	}
	there := cfg
	there.Dir = l.dir
	member, err := describe(there, passphrase, l.governance())
	if err != nil {
		return "", false, err
	}
	return roster.BureauFingerprint(member), generated, nil
}

func (o *InitOptions) config() (Config, error) {
	cfg := DefaultConfig()
	cfg.Dir, cfg.Bureau, cfg.Federation = o.Dir, o.Bureau, o.Federation
	if o.Replica != "" {
		cfg.Replica = o.Replica
	}
	for _, listen := range []struct {
		to    *string
		given string
	}{{&cfg.MeshListen, o.MeshListen}, {&cfg.LocalListen, o.LocalListen}} {
		*listen.to = listen.given
		if listen.given == "" {
			address, err := freeLoopback()
			if err != nil {
				return cfg, fmt.Errorf("no free loopback port: %w", err)
			}
			*listen.to = address
		}
	}
	cfg.Advertise = o.Advertise
	if cfg.Advertise == "" {
		cfg.Advertise = cfg.MeshListen
	}
	if o.OfficerAgency == "" {
		o.OfficerAgency = "border-police"
	}
	if len(o.OfficerPurposes) == 0 {
		o.OfficerPurposes = []recordv1.Purpose{recordv1.Purpose_PURPOSE_BORDER_CONTROL, recordv1.Purpose_PURPOSE_POLICE_CHECK}
	}
	if err := cfg.Validate(); err != nil {
		return cfg, err
	}
	if err := roster.CheckAddress(cfg.Advertise); err != nil {
		return cfg, fmt.Errorf("advertise: %w", err)
	}
	return cfg, nil
}

// The ports from which free ones are chosen: below those that systems give to outgoing
// connections (from 32768 on Linux, from 49152 elsewhere), so that nobody takes one between init
// and run.
const (
	lowestPort  = 20000
	highestPort = 32000
	portTries   = 200
)

// freeLoopback returns a loopback address with a port that is free now.
func freeLoopback() (string, error) {
	var last error
	for range portTries {
		address := fmt.Sprintf("127.0.0.1:%d", lowestPort+mathrand.IntN(highestPort-lowestPort))
		l, err := net.Listen("tcp", address)
		if err != nil {
			last = err
			continue
		}
		return address, l.Close()
	}
	return "", last
}

// newPassphrase makes a passphrase of 160 random bits, in groups that can be read aloud.
func newPassphrase() []byte {
	b := make([]byte, 20)
	rand.Read(b) // never fails (crypto/rand, since Go 1.24)
	text := base32.StdEncoding.EncodeToString(b)
	var groups []string
	for ; len(text) > 4; text = text[4:] {
		groups = append(groups, text[:4])
	}
	return []byte(strings.Join(append(groups, text), "-"))
}

func makeKeys(l layout, passphrase []byte) error {
	for _, path := range []string{l.messageKey(), l.logKey()} {
		key, err := signing.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		if err := signing.WriteKey(path, key); err != nil {
			return err
		}
	}
	key, err := signing.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	return signing.WriteEncryptedKey(GovernanceKey(l.governance()), key, passphrase)
}

// issueFirst issues the node's certificate and those of the first operator, officer and PKI
// administrator.
func issueFirst(ctx context.Context, l layout, cfg Config, o InitOptions) (err error) {
	ca, err := authority.Open(ctx, authority.Options{Dir: l.authority(), Bureau: cfg.Bureau, Federation: cfg.Federation, Now: o.Now})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ca.Close()) }()
	issue := func(id identity.Identity, dir string, sign func(csr []byte) ([]*x509.Certificate, error)) error {
		key, csr, err := mtls.NewRequest(id)
		if err != nil {
			return err
		}
		chain, err := sign(csr)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		return mtls.SaveLeaf(dir, chain, key)
	}
	self := identity.Node(cfg.Federation, cfg.Bureau, cfg.Replica)
	err = issue(self, l.channel(), func(csr []byte) ([]*x509.Certificate, error) {
		return ca.IssueNode(ctx, cfg.Replica, csr)
	})
	if err != nil {
		return fmt.Errorf("node certificate: %w", err)
	}
	for _, client := range []struct {
		name string
		id   identity.Identity
	}{
		{OperatorClient, identity.Client(cfg.Federation, cfg.Bureau, bureauAgency, identity.RoleOperator, "operator-1", nil)},
		{OfficerClient, identity.Client(cfg.Federation, cfg.Bureau, o.OfficerAgency, identity.RoleOfficer, "officer-1", o.OfficerPurposes)},
		// Everybody else, auditors and records officers too, is enrolled by the first administrator.
		{PKIAdminClient, identity.Client(cfg.Federation, cfg.Bureau, bureauAgency, identity.RolePKIAdmin, "pki-admin-1", nil)},
	} {
		err := issue(client.id, l.client(client.name), func(csr []byte) ([]*x509.Certificate, error) {
			chain, err := ca.IssueClient(ctx, client.id, csr)
			return WithRoot(chain, ca.Root()), err
		})
		if err != nil {
			return fmt.Errorf("certificate of the %s: %w", client.name, err)
		}
	}
	return nil
}

// WithRoot appends the root to a client's chain, so that the one file also says whom the client
// trusts: the nodes of its own bureau.
func WithRoot(chain []*x509.Certificate, root *x509.Certificate) []*x509.Certificate {
	for _, c := range chain {
		if c.Equal(root) {
			return chain
		}
	}
	return append(chain, root)
}

// describe is how the bureau would stand in a roster. The governance key is needed for its
// public half, which lies nowhere else.
func describe(cfg Config, passphrase []byte, governance string) (*rosterv1.Bureau, error) {
	l := layout{cfg.Dir}
	root, err := ReadRoot(cfg.Dir)
	if err != nil {
		return nil, err
	}
	message, err := publicKey(l.messageKey(), l.messagePublic())
	if err != nil {
		return nil, err
	}
	log, err := publicKey(l.logKey(), l.logPublic())
	if err != nil {
		return nil, err
	}
	gov, err := signing.ReadEncryptedKey(GovernanceKey(governance), passphrase)
	if err != nil {
		return nil, err
	}
	key := func(usage rosterv1.KeyUsage, public ed25519.PublicKey) *rosterv1.Key {
		return &rosterv1.Key{Usage: usage, Algorithm: signing.AlgorithmEd25519, Key: public}
	}
	return &rosterv1.Bureau{
		Bureau:  string(cfg.Bureau),
		Address: cfg.Advertise,
		CaRoots: [][]byte{root.Raw},
		Keys: []*rosterv1.Key{
			key(rosterv1.KeyUsage_KEY_USAGE_MESSAGE, message),
			key(rosterv1.KeyUsage_KEY_USAGE_LOG, log),
			key(rosterv1.KeyUsage_KEY_USAGE_GOVERNANCE, gov.Public().(ed25519.PublicKey)),
		},
	}, nil
}

// publicKey is the public half of a key that the node holds, or that it has given to its signer.
func publicKey(private, public string) (ed25519.PublicKey, error) {
	key, err := signing.ReadKey(private)
	if errors.Is(err, os.ErrNotExist) {
		return signing.ReadPublicKey(public)
	}
	if err != nil {
		return nil, err
	}
	return key.Public().(ed25519.PublicKey), nil
}

// JoinRequest makes the node's wish to be in the roster, signed by its governance key, and
// returns it with the bureau's fingerprint.
func JoinRequest(cfg Config, governance string, passphrase []byte, now time.Time) (*signedv1.Signed, string, error) {
	member, err := describe(cfg, passphrase, governance)
	if err != nil {
		return nil, "", err
	}
	g, err := Governor(cfg, governance, passphrase)
	if err != nil {
		return nil, "", err
	}
	join, err := roster.NewJoinRequest(cfg.Federation, member, now, g)
	return join, roster.BureauFingerprint(member), err
}

// Governor opens the governance key.
func Governor(cfg Config, governance string, passphrase []byte) (*signing.Governor, error) {
	key, err := signing.ReadEncryptedKey(GovernanceKey(governance), passphrase)
	if err != nil {
		return nil, err
	}
	return signing.NewGovernor(cfg.Federation, cfg.Bureau, key), nil
}
