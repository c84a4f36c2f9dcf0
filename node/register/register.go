// Package register keeps who the own people are: the clients of this bureau, by whom and for what
// each was enrolled, and which of them are so no more.
//
// It issues no certificate (pki/authority does), decides nothing about what a client may do
// (policy does) and admits nobody by itself: a chain that does not verify never comes here. What
// it adds to a valid certificate is the identity behind it. A revocation ends the identity, and
// with it every certificate that it has, also those that it has renewed into; a certificate's
// purposes hold only as far as the register gives them too.
//
// Whom the authority has certified before the register was kept, init's first clients among them,
// it takes over from the authority's own list when it is opened; a valid certificate of a client
// that it has no row for (a restored or older register) makes the row at first sight.
//
// One flow: a PKI administrator revokes an officer whose card was stolen. Revoke is durable when it
// returns; from then on Revoked, which pki/mtls asks at every handshake and every call, refuses
// every certificate of that officer, Renewed refuses the new one that may just be on its way, and
// the caller closes the connections that are open.
package register

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/identity"
	pkiv1 "github.com/entente-mesh/entente/proto/gen/entente/pki/v1"
)

// Room is the room of the durable state in which the register lies.
const Room = "clients"

// State is the durable state. A write is durable when it returns, and sealed by whoever keeps it.
type State interface {
	PutState(ctx context.Context, room, key string, value []byte) error
	ListState(ctx context.Context, room string) (map[string][]byte, error)
}

// Issued lists the leaves of clients that the bureau's authority has issued and that are in their
// time.
type Issued interface {
	Issued() ([]*x509.Certificate, error)
}

// maxClients bounds the register: what one answer of ListClients holds.
const maxClients = 100_000

// writeLimit bounds the write at a client's first sight, which waits in a handshake.
const writeLimit = 5 * time.Second

// Config is what a register is made of.
type Config struct {
	Federation identity.Federation
	Bureau     identity.Bureau
	State      State
	// Key is derived from the node's master: 32 bytes. It makes the officers' pseudonyms and the
	// names of the rows, so that the state's keys name nobody.
	Key []byte
	// Issued is whom the authority has certified. Optional.
	Issued Issued
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger is told of what goes wrong; nil means nobody.
	Logger *slog.Logger
}

// Register is the register of the own clients. It is safe for concurrent use.
type Register struct {
	cfg          Config
	pseudonymKey []byte
	rowKey       []byte

	changing sync.Mutex // held over a change, with its write; taken before mu
	mu       sync.RWMutex
	rows     map[string]row // by SPIFFE ID; guarded by mu, and changed only under changing
}

// Open reads the register, and takes over whom the authority has certified. A row that cannot be
// read is an error: it may be that of somebody who was revoked.
func Open(ctx context.Context, cfg Config) (*Register, error) {
	if len(cfg.Key) != sha256.Size {
		return nil, fmt.Errorf("register of clients: the key has %d bytes, it must have %d", len(cfg.Key), sha256.Size)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Register{
		cfg:          cfg,
		pseudonymKey: derive(cfg.Key, "entente register pseudonyms v1"),
		rowKey:       derive(cfg.Key, "entente register rows v1"),
		rows:         map[string]row{},
	}
	kept, err := cfg.State.ListState(ctx, Room)
	if err != nil {
		return nil, fmt.Errorf("register of clients: %w", err)
	}
	for key, value := range kept {
		c, err := decodeRow(value)
		if err != nil {
			return nil, fmt.Errorf("register of clients: row %s: %w: restore the state from its backup; who was revoked must stay so", key, err)
		}
		id, err := c.identity(cfg.Federation, cfg.Bureau)
		if err != nil {
			return nil, fmt.Errorf("register of clients: row %s: %w", key, err)
		}
		if key != r.key(id.String()) {
			return nil, fmt.Errorf("register of clients: row %s lies under another client's name: restore the state from its backup", key)
		}
		r.rows[id.String()] = c
	}
	return r, r.takeOver(ctx)
}

// takeOver adds the clients that the authority has certified and that have no row.
func (r *Register) takeOver(ctx context.Context) error {
	if r.cfg.Issued == nil {
		return nil
	}
	leaves, err := r.cfg.Issued.Issued()
	if err != nil {
		return fmt.Errorf("register of clients: %w", err)
	}
	found := map[string]row{}
	for _, leaf := range leaves {
		id, err := identity.FromCertificate(leaf, r.cfg.Federation)
		if err != nil || id.Kind != identity.KindClient || id.Bureau != r.cfg.Bureau {
			continue // the listener does not admit it either
		}
		if _, known := r.rows[id.String()]; known {
			continue
		}
		c, again := found[id.String()]
		if !again {
			c = newRow(id, leaf.NotBefore)
		}
		if leaf.NotBefore.Before(c.EnrolledAt) {
			c.EnrolledAt = leaf.NotBefore.UTC()
		}
		c.Purposes = union(c.Purposes, id.Purposes)
		found[id.String()] = c
	}
	for name, c := range found {
		if err := r.put(ctx, name, c); err != nil {
			return err
		}
	}
	return nil
}

// put writes a row and then puts it into force. The caller holds changing, or is alone.
func (r *Register) put(ctx context.Context, name string, c row) error {
	value, err := c.encode()
	if err != nil {
		return fmt.Errorf("register of clients: %w", err)
	}
	if err := r.cfg.State.PutState(ctx, Room, r.key(name), value); err != nil {
		return fmt.Errorf("register of clients: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows[name] = c
	return nil
}

func (r *Register) row(name string) (row, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	c, ok := r.rows[name]
	return c, ok
}

// Enrolled enters a client that a PKI administrator has enrolled, with its first certificate. It
// is durable when it returns: only then may the certificate be handed over. A client that was
// revoked may be entered again: then no certificate from before is good any more. The fault is
// CLIENT_EXISTS if it is enrolled and not revoked, REGISTER_FULL if there is no room.
func (r *Register) Enrolled(ctx context.Context, id, by identity.Identity, leaf *x509.Certificate) error {
	if err := r.owns(leaf, id); err != nil {
		return err
	}
	r.changing.Lock()
	defer r.changing.Unlock()
	name := id.String()
	before, known := r.row(name)
	if err := r.vacant(before, known); err != nil {
		return err
	}
	c := newRow(id, r.cfg.Now())
	c.EnrolledBy = by.String()
	if known {
		c.Only = []certificate{certificateOf(leaf)}
	}
	return r.put(ctx, name, c)
}

// Vacant refuses a client that could not be enrolled now, by the faults of Enrolled. It is asked
// before a certificate is made.
func (r *Register) Vacant(id identity.Identity) error {
	before, known := r.row(id.String())
	return r.vacant(before, known)
}

func (r *Register) vacant(before row, known bool) error {
	switch {
	case known && before.RevokedAt.IsZero():
		return fault.New(codes.AlreadyExists, fault.ClientExists, "name",
			"this client is enrolled already: choose another name, or revoke it first (entente revoke)")
	case known:
		return nil
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.rows) >= maxClients {
		return fault.New(codes.ResourceExhausted, fault.RegisterFull, "",
			fmt.Sprintf("the register holds %d clients and takes no more: let an agency's system serve its officers with one certificate", maxClients))
	}
	return nil
}

// Renewed enters the certificate that a client's old one was renewed into. It is asked after the
// new one was made and before it is handed over, so that a revocation in between holds: then it
// returns CLIENT_REVOKED.
func (r *Register) Renewed(ctx context.Context, id identity.Identity, old, renewed *x509.Certificate) error {
	if err := errors.Join(r.owns(old, id), r.owns(renewed, id)); err != nil {
		return err
	}
	r.changing.Lock()
	defer r.changing.Unlock()
	name := id.String()
	c, known := r.row(name)
	if known && !c.good(old) {
		return revoked()
	}
	if !known || c.Only == nil {
		return nil // every certificate of the authority is good for it, as long as it is not revoked
	}
	now := r.cfg.Now()
	c.Only = slices.DeleteFunc(slices.Clone(c.Only), func(x certificate) bool { return now.After(x.NotAfter) })
	c.Only = append(c.Only, certificateOf(renewed))
	return r.put(ctx, name, c)
}

// Known refuses a client that is not in the register, with CLIENT_NOT_FOUND.
func (r *Register) Known(id identity.Identity) error {
	if _, known := r.row(id.String()); known {
		return nil
	}
	return fault.New(codes.NotFound, fault.ClientNotFound, "name",
		"no client of this agency, role and name is enrolled: look it up (entente clients)")
}

// Revoke ends a client, durably: every certificate that it has, and every one that it has renewed
// into. Revoking a second time changes nothing. The fault is CLIENT_NOT_FOUND if it is not in the
// register. The caller closes the connections that are open.
func (r *Register) Revoke(ctx context.Context, id, by identity.Identity, reason string) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	if err := r.Known(id); err != nil {
		return err
	}
	name := id.String()
	c, _ := r.row(name)
	if !c.RevokedAt.IsZero() {
		return nil
	}
	c.RevokedAt, c.RevokedBy, c.Reason = r.cfg.Now().UTC(), by.String(), reason
	return r.put(ctx, name, c)
}

// Clients returns the register, sorted by agency, role and name.
func (r *Register) Clients() []*pkiv1.Client {
	r.mu.RLock()
	all := make([]row, 0, len(r.rows))
	for _, c := range r.rows {
		all = append(all, c)
	}
	r.mu.RUnlock()
	slices.SortFunc(all, func(a, b row) int {
		return strings.Compare(a.Agency+"/"+a.Role+"/"+a.Name, b.Agency+"/"+b.Role+"/"+b.Name)
	})
	out := make([]*pkiv1.Client, 0, len(all))
	for _, c := range all {
		out = append(out, c.message())
	}
	return out
}

// Admit refuses an identity that was revoked, with CLIENT_REVOKED, whatever certificate it comes
// with. It says nothing of those that are not in the register: whether their certificate is good is
// asked of Revoked.
func (r *Register) Admit(id identity.Identity) error {
	if c, known := r.row(id.String()); known && !c.RevokedAt.IsZero() {
		return revoked()
	}
	return nil
}

func revoked() error {
	return fault.New(codes.Unauthenticated, fault.ClientRevoked, "",
		"this client was revoked: have your PKI administrator enrol it again if it is to work here")
}

// Narrow returns a client with those of its certificate's purposes that the register gives it too.
// One that is not in the register keeps its certificate's; one that was revoked has none.
func (r *Register) Narrow(id identity.Identity) identity.Identity {
	c, known := r.row(id.String())
	if !known {
		return id
	}
	if !c.RevokedAt.IsZero() {
		id.Purposes = nil
		return id
	}
	id.Purposes = intersection(id.Purposes, c.Purposes)
	return id
}

// Revoked tells whether a client's leaf, whose chain has been verified, is good no more because of
// whom it names. It has the form that mtls.Options asks for. A client without a row gets one here,
// for the purposes of its certificate: that is the first sight.
func (r *Register) Revoked(leaf *x509.Certificate) bool {
	if leaf == nil || len(leaf.URIs) != 1 {
		return true
	}
	if c, known := r.row(leaf.URIs[0].String()); known {
		return !c.good(leaf)
	}
	return r.firstSight(leaf)
}

// firstSight enters the client of a valid certificate. If that cannot be written the client is
// heard all the same, and entered when it comes again: that it is not in the list is the list's
// fault, not the client's.
func (r *Register) firstSight(leaf *x509.Certificate) (isRevoked bool) {
	id, err := identity.FromCertificate(leaf, r.cfg.Federation)
	if err != nil || id.Kind != identity.KindClient || id.Bureau != r.cfg.Bureau {
		return true
	}
	r.changing.Lock()
	defer r.changing.Unlock()
	name := id.String()
	if c, known := r.row(name); known { // somebody was quicker, perhaps to revoke it
		return !c.good(leaf)
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeLimit)
	defer cancel()
	err = r.vacant(row{}, false)
	if err == nil {
		err = r.put(ctx, name, newRow(id, leaf.NotBefore))
	}
	if err != nil {
		r.cfg.Logger.ErrorContext(ctx, "a client with a valid certificate could not be entered in the register", slog.Any("error", err))
	}
	return false
}

// owns refuses a certificate that is not a client's: a mistake of the caller.
func (r *Register) owns(leaf *x509.Certificate, id identity.Identity) error {
	if id.Kind != identity.KindClient || id.Bureau != r.cfg.Bureau || id.Federation != r.cfg.Federation {
		return fmt.Errorf("register of clients: %s is no client of %s", id, r.cfg.Bureau)
	}
	if leaf == nil || len(leaf.URIs) != 1 || leaf.URIs[0].String() != id.String() {
		return errors.New("register of clients: the certificate is not the client's")
	}
	return nil
}

// key is the name of a client's row: keyed, so that the state's keys do not list who works here.
func (r *Register) key(name string) string {
	m := hmac.New(sha256.New, r.rowKey)
	m.Write([]byte(name))
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// derive makes a key for one use of the key that was handed in.
func derive(key []byte, label string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(label))
	return m.Sum(nil)
}
