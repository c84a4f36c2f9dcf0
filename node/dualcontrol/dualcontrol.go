// Package dualcontrol holds back what one person alone may not do: who wants such an act must find
// a second one who approves it.
//
// It is a mechanism with a list of operations; which of them stand in it is the bureau's to say. It
// does not decide who may do an act (policy does, for both persons), it carries nothing out, and it
// writes no books: its caller books who did it, and the second person that the grant names.
//
// An approval is for one operation, with exactly one request, by exactly one client, once. It is
// used up, durably, before the act is done: a crash in between costs the approval and never doubles
// the act.
//
// One flow: a records officer erases a record. Need finds no approval, notes the act and returns
// SECOND_PERSON_NEEDED with its id. A colleague looks at it (List) and approves it (Approve). The
// records officer sends the same request again; Need finds the approval, uses it up and returns
// the grant; the record is erased, and both names stand in the books.
package dualcontrol

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// Room is the room of the durable state in which the acts lie.
const Room = "acts"

const (
	// approveWithin is how long an act waits for its second person: who wants it is still there to
	// be asked what it is for.
	approveWithin = 15 * time.Minute
	// useWithin is how long an approval holds: the second person still knows what was approved.
	useWithin = 15 * time.Minute
	// maxActs bounds what waits: what one answer of ListActs holds.
	maxActs = 1000
	// maxActsEach keeps one client from filling the desk for all others.
	maxActsEach = 20
	// maxSummary is in bytes (admin/v1, Act.summary).
	maxSummary = 512
)

// DefaultMassRows is from how many rows on an import, or a withdrawal, is a mass one: a day's work
// of a clerk is below it, a changed list is above.
const DefaultMassRows = 1000

// Operations returns the operations that may be put on the list. import-records and delete-record
// need two persons only for many rows at once.
func Operations() []string {
	return []string{
		policy.OperationEraseRecord, policy.OperationUnmaskOfficer, policy.OperationReloadPolicy,
		policy.OperationImportRecords, policy.OperationDeleteRecord, policy.OperationEnrolClient,
		policy.OperationSetPoint,
	}
}

// Defaults returns the operations that are on the list where a bureau does not say otherwise: what
// cannot be taken back.
func Defaults() []string {
	return []string{policy.OperationEraseRecord, policy.OperationUnmaskOfficer}
}

// CheckList refuses a list with an operation that is not known. An empty list is allowed, and means
// that one person may do everything that policy permits.
func CheckList(operations []string) error {
	for _, o := range operations {
		if !slices.Contains(Operations(), o) {
			return fmt.Errorf("two_persons: %q is not an operation that two persons can be asked for: give some of %s", o, strings.Join(Operations(), ", "))
		}
	}
	return nil
}

// State is the durable state. A write is durable when it returns, and sealed by whoever keeps it.
type State interface {
	PutState(ctx context.Context, room, key string, value []byte) error
	ListState(ctx context.Context, room string) (map[string][]byte, error)
	DeleteState(ctx context.Context, room, key string) error
}

// Config is what a desk is made of.
type Config struct {
	Federation identity.Federation
	State      State
	// Operations is the list, by policy's names.
	Operations []string
	// MassRows is from how many rows on, within 24 hours, what one person brings or takes is a mass.
	// 0: DefaultMassRows.
	MassRows uint64
	// May tells whether a client may do an operation now: by policy, and because it is not revoked.
	// It is asked of the second person when the act is approved, and again when it is done.
	May func(ctx context.Context, who identity.Identity, operation string) bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger is told of acts that could not be read; nil means nobody.
	Logger *slog.Logger
}

// Desk is where acts wait for their second person. It is safe for concurrent use.
type Desk struct {
	cfg Config

	mu    sync.Mutex     // held over a change with its write: acts are rare
	acts  map[string]act // by id
	tally *Tally
}

// Grant is a permission to do an act once, now.
type Grant struct {
	// ActID is the act's id, and Second the SPIFFE ID of who approved it. Both are empty where one
	// person suffices.
	ActID, Second string
}

// Open returns the desk with the acts that waited when the node stopped. An act that cannot be read
// is dropped: it must be wanted again.
func Open(ctx context.Context, cfg Config) (*Desk, error) {
	if err := CheckList(cfg.Operations); err != nil {
		return nil, err
	}
	if cfg.MassRows == 0 {
		cfg.MassRows = DefaultMassRows
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Desk{cfg: cfg, acts: map[string]act{}}
	kept, err := cfg.State.ListState(ctx, Room)
	if err != nil {
		return nil, fmt.Errorf("acts of two persons: %w", err)
	}
	for id, value := range kept {
		a, err := decodeAct(id, value)
		if err != nil {
			cfg.Logger.WarnContext(ctx, "an act that waited for a second person cannot be read and is dropped", slog.String("act_id", id), slog.Any("error", err))
			if err := cfg.State.DeleteState(ctx, Room, id); err != nil {
				return nil, fmt.Errorf("acts of two persons: %w", err)
			}
			continue
		}
		d.acts[id] = a
	}
	if d.tally, err = OpenTally(ctx, cfg.State, cfg.Now); err != nil {
		return nil, err
	}
	return d, d.sweep(ctx)
}

// Need returns the grant to do an operation once, if another person has approved exactly this
// request of this client; the approval is used up then, so it is asked last, when nothing but the
// act itself is left. Otherwise it notes the act and returns SECOND_PERSON_NEEDED, whose metadata
// act_id names it. For an operation that is not on the list it returns an empty grant at once. What
// brings or takes records asks Masses instead.
//
// The call's certificate is taken from the context, where pki/mtls has put it. digest is over
// everything that the act depends on, 1 to 64 bytes. summary says in words what it is, without
// personal data: it is what the second person decides by.
func (d *Desk) Need(ctx context.Context, client identity.Identity, operation string, digest []byte, summary string) (*Grant, error) {
	if !slices.Contains(d.cfg.Operations, operation) {
		return &Grant{}, nil
	}
	if len(digest) == 0 || len(digest) > sha256.BlockSize {
		return nil, fmt.Errorf("act of two persons: a digest of %d bytes: without one, any request would do", len(digest))
	}
	me, err := caller(ctx, client)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.sweep(ctx); err != nil {
		return nil, err
	}
	want := act{Operation: operation, Digest: hex.EncodeToString(digest), Wanted: me}
	approved, id, err := d.look(ctx, me, want, summary)
	if err != nil {
		return nil, err
	}
	if !approved {
		return nil, secondNeeded(id)
	}
	second := d.acts[id].Approved.SPIFFEID
	if err := d.drop(ctx, id); err != nil {
		return nil, err
	}
	return &Grant{ActID: id, Second: second}, nil
}

// look returns the act that is approved for a person, or else the one that waits, which it notes if
// there is none. It uses nothing up.
func (d *Desk) look(ctx context.Context, me person, want act, summary string) (approved bool, id string, err error) {
	waiting := ""
	for _, id := range d.ids(want.same) { // the same order at every call: the oldest first
		a := d.acts[id]
		if a.approvedFor(me) && d.may(ctx, *a.Approved, want.Operation) {
			return true, id, nil
		}
		if a.Approved == nil {
			waiting = cmp.Or(waiting, id)
		}
	}
	if waiting == "" {
		waiting, err = d.note(ctx, want, summary)
	}
	return false, waiting, err
}

// secondNeeded says which acts wait. The first of them is in the metadata too.
func secondNeeded(ids ...string) error {
	return fault.With(fault.New(codes.FailedPrecondition, fault.SecondPersonNeeded, "",
		"a second person must approve this: entente act approve --id "+strings.Join(ids, ", and entente act approve --id ")+"; then do the same again"), fault.ActIDKey, ids[0])
}

// Requests is a desk for callers that have the request itself and want the second person alone.
type Requests struct{ Desk *Desk }

// Need is Desk.Need over the SHA-256 of a request's bytes. It returns the second person's SPIFFE
// ID, empty where one person suffices.
func (r Requests) Need(ctx context.Context, client identity.Identity, operation string, request []byte, summary string) (second string, err error) {
	digest := sha256.Sum256(request)
	g, err := r.Desk.Need(ctx, client, operation, digest[:], summary)
	if err != nil {
		return "", err
	}
	return g.Second, nil
}

// note enters a new act.
func (d *Desk) note(ctx context.Context, a act, summary string) (string, error) {
	own := 0
	for _, other := range d.acts {
		if other.Wanted.SPIFFEID == a.Wanted.SPIFFEID {
			own++
		}
	}
	if own >= maxActsEach || len(d.acts) >= maxActs {
		return "", fault.New(codes.ResourceExhausted, fault.TooManyActs, "",
			"too many acts wait for a second person: have them approved or refused (entente act list), or let them expire")
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return "", fmt.Errorf("act of two persons: %w", err)
	}
	now := d.cfg.Now().UTC()
	a.Version, a.ID, a.Summary, a.WantedAt, a.ExpiresAt = actVersion, id.String(), bounded(summary), now, now.Add(approveWithin)
	return a.ID, d.put(ctx, a)
}

// Approve lets an act pass, once, within a quarter of an hour, and returns it. The approver is
// another person than who wants it (SAME_PERSON), and may do the act too (ROLE_NOT_PERMITTED).
// ACT_NOT_FOUND if no such act waits. Approving it again changes nothing.
//
// book writes into the books that it is approved: before the approval stands, and if it fails the
// approval does not. It may be nil.
func (d *Desk) Approve(ctx context.Context, approver identity.Identity, id string, book func(*adminv1.Act) error) (*adminv1.Act, error) {
	me, err := caller(ctx, approver)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	a, err := d.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if approver.Role == identity.RoleSystem {
		return nil, fault.New(codes.PermissionDenied, fault.RoleNotPermitted, "",
			"a system is no person: have somebody approve it who can look into it")
	}
	if a.Wanted.samePerson(me) {
		return nil, fault.New(codes.PermissionDenied, fault.SamePerson, "act_id",
			"whoever wants an act cannot be its second person: have somebody else approve it, with a certificate and a key of their own")
	}
	if !d.cfg.May(ctx, approver, a.Operation) {
		return nil, fault.New(codes.PermissionDenied, fault.RoleNotPermitted, "",
			"your role "+string(approver.Role)+" does not permit "+a.Operation+", so you cannot approve it: somebody must who may do it too")
	}
	fresh := a.Approved == nil
	if fresh {
		now := d.cfg.Now().UTC()
		a.Approved, a.ApprovedAt, a.ExpiresAt = &me, now, now.Add(useWithin)
	}
	if book != nil {
		if err := book(a.message()); err != nil {
			return nil, err
		}
	}
	if fresh {
		if err := d.put(ctx, a); err != nil {
			return nil, err
		}
	}
	return a.message(), nil
}

// Refuse ends an act that waits, also one that is approved and not done yet. Who wants it may take
// it back; anybody else must be permitted the act. book is as with Approve.
func (d *Desk) Refuse(ctx context.Context, who identity.Identity, id string, book func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, err := d.find(ctx, id)
	if err != nil {
		return err
	}
	if a.Wanted.SPIFFEID != who.String() && !d.cfg.May(ctx, who, a.Operation) {
		return fault.New(codes.PermissionDenied, fault.RoleNotPermitted, "",
			"your role "+string(who.Role)+" does not permit "+a.Operation+", so you cannot refuse it")
	}
	if book != nil {
		if err := book(); err != nil {
			return err
		}
	}
	return d.drop(ctx, id)
}

// List returns the acts that wait for a second person, or to be done now that they are approved,
// oldest first. What an act is for may name somebody's case: its words are for who wants it and for
// who may approve it. Whoever else calls, or calls without a certificate, sees that there is one.
func (d *Desk) List(ctx context.Context) ([]*adminv1.Act, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.sweep(ctx); err != nil {
		return nil, err
	}
	all := make([]*adminv1.Act, 0, len(d.acts))
	reader, known := mtls.FromContext(ctx)
	may := map[string]bool{} // policy is asked once for each operation
	for _, id := range d.ids(func(act) bool { return true }) {
		a := d.acts[id]
		if _, asked := may[a.Operation]; !asked {
			may[a.Operation] = known && d.mayApprove(ctx, reader, a.Operation)
		}
		m := a.message()
		if !may[a.Operation] && !(known && a.Wanted.SPIFFEID == reader.String()) {
			m.Summary = Withheld
		}
		all = append(all, m)
	}
	return all, nil
}

// Withheld stands in a list where the words of an act stand, for who may not approve it.
const Withheld = "(what it is for is shown to those who may approve it)"

// mayApprove tells whether somebody may be the second person of an operation, if it is not their own
// act. A system is no person.
func (d *Desk) mayApprove(ctx context.Context, who identity.Identity, operation string) bool {
	return who.Role != identity.RoleSystem && d.cfg.May(ctx, who, operation)
}

// Waiting is how many acts wait for a second person now.
func (d *Desk) Waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, n := d.cfg.Now(), 0
	for _, a := range d.acts {
		if a.Approved == nil && !a.over(now) {
			n++
		}
	}
	return n
}

func (d *Desk) find(ctx context.Context, id string) (act, error) {
	if err := d.sweep(ctx); err != nil {
		return act{}, err
	}
	a, ok := d.acts[id]
	if !ok {
		return act{}, fault.New(codes.NotFound, fault.ActNotFound, "act_id",
			"no such act waits: it was done, was refused, or its time ran out (entente act list)")
	}
	return a, nil
}

// may asks whether the second person may still do the act: since the approval somebody may have
// been revoked, or the policy changed.
func (d *Desk) may(ctx context.Context, p person, operation string) bool {
	id, err := identity.Parse(p.SPIFFEID, d.cfg.Federation)
	return err == nil && d.cfg.May(ctx, id, operation)
}

// sweep forgets what has run out.
func (d *Desk) sweep(ctx context.Context) error {
	now := d.cfg.Now()
	for id, a := range d.acts {
		if a.over(now) {
			if err := d.drop(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Desk) put(ctx context.Context, a act) error {
	value, err := a.encode()
	if err != nil {
		return fmt.Errorf("act of two persons: %w", err)
	}
	if err := d.cfg.State.PutState(ctx, Room, a.ID, value); err != nil {
		return fmt.Errorf("act of two persons: %w", err)
	}
	d.acts[a.ID] = a
	return nil
}

// drop forgets an act. It is gone for good, in memory too, only when that is durable; and until it
// is, nobody is told that it was.
func (d *Desk) drop(ctx context.Context, id string) error {
	if err := d.cfg.State.DeleteState(ctx, Room, id); err != nil {
		return fmt.Errorf("act of two persons: %w", err)
	}
	delete(d.acts, id)
	return nil
}

// ids are the acts that are meant, by age.
func (d *Desk) ids(meant func(act) bool) []string {
	var ids []string
	for id, a := range d.acts {
		if meant(a) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(d.acts[a].WantedAt.Compare(d.acts[b].WantedAt), strings.Compare(a, b))
	})
	return ids
}
