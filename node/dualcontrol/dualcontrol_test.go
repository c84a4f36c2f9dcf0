package dualcontrol_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/dualcontrol"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/mtls"
)

const (
	fed    identity.Federation = "demo.entente"
	bel    identity.Bureau     = "BEL"
	erase                      = policy.OperationEraseRecord
	unmask                     = policy.OperationUnmaskOfficer
)

// state is the durable state: what is in it has been written.
type state struct {
	mu     sync.Mutex
	rows   map[string][]byte
	broken error
}

func (s *state) PutState(_ context.Context, room, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.rows[room+"/"+key] = bytes.Clone(value)
	}
	return s.broken
}

func (s *state) DeleteState(_ context.Context, room, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		delete(s.rows, room+"/"+key)
	}
	return s.broken
}

func (s *state) ListState(_ context.Context, room string) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][]byte{}
	for key, value := range s.rows {
		if rest, ok := strings.CutPrefix(key, room+"/"); ok {
			all[rest] = bytes.Clone(value)
		}
	}
	return all, nil
}

// client is one of the own people, with a card.
type client struct {
	id   identity.Identity
	leaf *x509.Certificate
}

// card makes a certificate for an identity, with a key of its own or the one given.
func card(t *testing.T, id identity.Identity, key *ecdsa.PrivateKey) client {
	t.Helper()
	if key == nil {
		key = newKey(t)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), URIs: []*url.URL{id.URI()}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return client{id, leaf}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func who(role identity.Role, name string) identity.Identity {
	return identity.Client(fed, bel, "bureau", role, name, nil)
}

// house is a bureau with two records officers, an auditor and its desk.
type house struct {
	t                   *testing.T
	state               *state
	now                 time.Time
	revoked             []string
	log                 bytes.Buffer
	anna, bert, auditor client
	*dualcontrol.Desk
}

func belgium(t *testing.T, operations ...string) *house {
	t.Helper()
	h := &house{
		t: t, state: &state{rows: map[string][]byte{}}, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC),
		anna: card(t, who(identity.RoleRecordsOfficer, "anna"), nil), bert: card(t, who(identity.RoleRecordsOfficer, "bert"), nil),
		auditor: card(t, who(identity.RoleAuditor, "cleo"), nil),
	}
	if operations == nil {
		operations = dualcontrol.Defaults()
	}
	h.open(operations)
	return h
}

// open opens the desk, or opens it again from what is durable.
func (h *house) open(operations []string) {
	h.t.Helper()
	desk, err := dualcontrol.Open(h.t.Context(), dualcontrol.Config{
		Federation: fed, State: h.state, Operations: operations, Now: func() time.Time { return h.now },
		Logger: slog.New(slog.NewTextHandler(&h.log, nil)),
		May: func(_ context.Context, who identity.Identity, operation string) bool {
			role := map[string]identity.Role{
				erase: identity.RoleRecordsOfficer, brings: identity.RoleRecordsOfficer, takes: identity.RoleRecordsOfficer, unmask: identity.RoleAuditor,
			}[operation]
			return (who.Role == role || who.Role == identity.RoleSystem) && !slices.Contains(h.revoked, who.Name)
		},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.Desk = desk
}

func (c client) calls(ctx context.Context) context.Context { return mtls.NewContext(ctx, c.id, c.leaf) }

// want wants an act, and returns the grant's second person, or the id of the act that waits.
func (h *house) want(c client, operation, request string) (second, waits string, err error) {
	g, err := h.Need(c.calls(h.t.Context()), c.id, operation, []byte(request), "erase a record")
	if err != nil {
		return "", fault.Value(err, fault.ActIDKey), err
	}
	return g.Second, "", nil
}

// waits wants an act that must wait.
func (h *house) waits(c client, operation, request string) string {
	h.t.Helper()
	second, id, err := h.want(c, operation, request)
	if reason, _ := fault.ReasonOf(err); reason != fault.SecondPersonNeeded || status.Code(err) != codes.FailedPrecondition || id == "" ||
		!strings.Contains(err.Error(), "entente act approve --id "+id) {
		h.t.Fatalf("%s of %q by %s passed with %q: %v", operation, request, c.id.Name, second, err)
	}
	return id
}

// passes wants an act that must pass with a second person.
func (h *house) passes(c client, operation, request string, second client) {
	h.t.Helper()
	if got, _, err := h.want(c, operation, request); err != nil || got != second.id.String() {
		h.t.Fatalf("%s of %q by %s: second %q, %v", operation, request, c.id.Name, got, err)
	}
}

func (h *house) approve(c client, id string) error {
	_, err := h.Approve(c.calls(h.t.Context()), c.id, id, nil)
	return err
}

func (h *house) approves(c client, id string) {
	h.t.Helper()
	if err := h.approve(c, id); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) is(what string, err error, code codes.Code, reason fault.Reason) {
	h.t.Helper()
	if got, _ := fault.ReasonOf(err); got != reason || status.Code(err) != code {
		h.t.Errorf("%s: %v, want %s %s", what, err, code, reason)
	}
}

func TestTwoOfficersEraseARecordOnce(t *testing.T) {
	h := belgium(t)
	id := h.waits(h.anna, erase, "record 1")
	if again := h.waits(h.anna, erase, "record 1"); again != id {
		t.Errorf("wanted again, it is another act: %s", again)
	}
	list, err := h.List(h.bert.calls(t.Context()))
	if err != nil || len(list) != 1 || list[0].GetActId() != id || list[0].GetOperation() != erase || list[0].GetWantedBy() != h.anna.id.String() ||
		list[0].GetSummary() != "erase a record" || list[0].GetApprovedBy() != "" || list[0].GetExpiresAt().AsTime() != h.now.Add(15*time.Minute) || h.Waiting() != 1 {
		t.Errorf("waits: %v, %v", list, err)
	}
	got, err := h.Approve(h.bert.calls(t.Context()), h.bert.id, id, nil)
	if err != nil || got.GetApprovedBy() != h.bert.id.String() || h.Waiting() != 0 {
		t.Fatalf("%v, %v", got, err)
	}
	h.passes(h.anna, erase, "record 1", h.bert)
	if next := h.waits(h.anna, erase, "record 1"); next == id { // replayed
		t.Error("a used act waits again")
	}
	h.is("approving what is done", h.approve(h.bert, id), codes.NotFound, fault.ActNotFound)
}

// TestAnApprovalIsForOneThing: for this client, this operation and this request.
func TestAnApprovalIsForOneThing(t *testing.T) {
	h := belgium(t)
	h.approves(h.bert, h.waits(h.anna, erase, "record 1"))
	h.waits(h.anna, erase, "record 2")
	h.waits(h.bert, erase, "record 1")
	h.waits(h.anna, unmask, "record 1")
	h.passes(h.anna, erase, "record 1", h.bert)
}

// TestOnePersonIsOne, however many certificates it holds.
func TestOnePersonIsOne(t *testing.T) {
	h := belgium(t)
	key := newKey(t)
	anna := card(t, h.anna.id, key)
	id := h.waits(anna, erase, "record 1")
	for name, c := range map[string]client{
		"the same certificate":                  anna,
		"a renewed certificate, with a new key": h.anna,
		"the same number in another role":       card(t, who(identity.RoleAuditor, "anna"), nil),
		"another name on the same card":         card(t, who(identity.RoleRecordsOfficer, "dora"), key),
	} {
		h.is(name, h.approve(c, id), codes.PermissionDenied, fault.SamePerson)
	}
	// The key may become the same after the approval, and is looked at once more.
	h.approves(h.bert, id)
	bertsKey := client{h.anna.id, card(t, h.anna.id, nil).leaf}
	bertsKey.leaf.RawSubjectPublicKeyInfo = h.bert.leaf.RawSubjectPublicKeyInfo
	h.waits(bertsKey, erase, "record 1")
	h.passes(anna, erase, "record 1", h.bert)
}

func TestWhoApprovesMayDoItToo(t *testing.T) {
	h := belgium(t)
	id := h.waits(h.anna, erase, "record 1")
	h.is("an auditor", h.approve(h.auditor, id), codes.PermissionDenied, fault.RoleNotPermitted)
	h.is("a system", h.approve(card(t, who(identity.RoleSystem, "robot"), nil), id), codes.PermissionDenied, fault.RoleNotPermitted)
	h.revoked = []string{"bert"}
	h.is("who was revoked", h.approve(h.bert, id), codes.PermissionDenied, fault.RoleNotPermitted)
	h.revoked = nil
	h.approves(h.bert, id)
	// What was approved by somebody who was revoked since does not pass.
	h.revoked = []string{"bert"}
	h.waits(h.anna, erase, "record 1")
	h.revoked = nil
	h.passes(h.anna, erase, "record 1", h.bert)
}

// TestWhatAnActIsForIsToldToWhoMayApproveIt: the reason of an unmasking may name a person's case.
func TestWhatAnActIsForIsToldToWhoMayApproveIt(t *testing.T) {
	h := belgium(t)
	const why = "unmask o-x: complaint of A. Peeters"
	if _, err := h.Need(h.auditor.calls(t.Context()), h.auditor.id, unmask, []byte("o-x"), why); err == nil {
		t.Fatal("one auditor sufficed")
	}
	h.waits(h.anna, erase, "record 1")
	dora, erik := card(t, who(identity.RoleAuditor, "dora"), nil), card(t, who(identity.RoleAuditor, "erik"), nil)
	h.revoked = []string{"erik"}
	for name, c := range map[string]struct {
		ctx             context.Context
		unmasks, erases bool
	}{
		"who wants it":                  {h.auditor.calls(t.Context()), true, false},
		"another auditor":               {dora.calls(t.Context()), true, false},
		"an auditor who was revoked":    {erik.calls(t.Context()), false, false},
		"a records officer":             {h.bert.calls(t.Context()), false, true},
		"who wants the other":           {h.anna.calls(t.Context()), false, true},
		"an operator":                   {card(t, who(identity.RoleOperator, "olga"), nil).calls(t.Context()), false, false},
		"a system, which approves none": {card(t, who(identity.RoleSystem, "robot"), nil).calls(t.Context()), false, false},
		"nobody":                        {t.Context(), false, false},
	} {
		list, err := h.List(c.ctx)
		if err != nil || len(list) != 2 {
			t.Fatalf("%s: %v, %v", name, list, err)
		}
		for _, a := range list {
			want := dualcontrol.Withheld
			switch {
			case a.GetOperation() == unmask && c.unmasks:
				want = why
			case a.GetOperation() == erase && c.erases:
				want = "erase a record"
			}
			if a.GetSummary() != want || a.GetActId() == "" || a.GetWantedBy() == "" {
				t.Errorf("%s reads %v", name, a)
			}
		}
	}
	// Once the act is approved it is the same.
	list, err := h.List(dora.calls(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if a.GetOperation() == unmask {
			h.approves(dora, a.GetActId())
		}
	}
	if list, err = h.List(h.bert.calls(t.Context())); err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	for _, a := range list {
		if strings.Contains(a.GetSummary(), "Peeters") {
			t.Errorf("after the approval a records officer reads %v", a)
		}
	}
}

func TestWhoCallsIsKnownByTheirCertificate(t *testing.T) {
	h := belgium(t)
	id := h.waits(h.anna, erase, "record 1")
	for name, ctx := range map[string]context.Context{
		"no certificate":             t.Context(),
		"somebody else's":            h.anna.calls(t.Context()),
		"a certificate without name": mtls.NewContext(t.Context(), h.bert.id, &x509.Certificate{}),
	} {
		if _, err := h.Approve(ctx, h.bert.id, id, nil); err == nil {
			t.Errorf("%s: approved", name)
		}
		if _, err := h.Need(ctx, h.bert.id, erase, []byte("x"), ""); err == nil || fault.Value(err, fault.ActIDKey) != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, digest := range [][]byte{nil, {}, make([]byte, 65)} {
		if _, err := h.Need(h.anna.calls(t.Context()), h.anna.id, erase, digest, ""); err == nil || fault.Value(err, fault.ActIDKey) != "" {
			t.Errorf("a digest of %d bytes: %v", len(digest), err)
		}
	}
}

func TestTimeRunsOut(t *testing.T) {
	h := belgium(t)
	late := h.waits(h.anna, erase, "record 1")
	h.now = h.now.Add(15 * time.Minute)
	h.is("approved too late", h.approve(h.bert, late), codes.NotFound, fault.ActNotFound)

	id := h.waits(h.anna, erase, "record 1")
	h.now = h.now.Add(15*time.Minute - time.Second)
	h.approves(h.bert, id)
	h.now = h.now.Add(15*time.Minute - time.Second) // from the approval on
	h.approves(h.bert, id)                          // again: that does not make it longer
	h.now = h.now.Add(time.Second)
	if next := h.waits(h.anna, erase, "record 1"); next == id {
		t.Error("an approval that has run out waits again")
	}
	// Set back, a clock does not make an approval live longer.
	id = h.waits(h.anna, erase, "record 2")
	h.approves(h.bert, id)
	h.now = h.now.Add(-time.Hour)
	if next := h.waits(h.anna, erase, "record 2"); next == id {
		t.Error("an approval of the future waits")
	}
	h.now = h.now.Add(24 * time.Hour)
	if list, err := h.List(t.Context()); err != nil || len(list) != 0 || len(h.state.rows) != 0 || h.Waiting() != 0 {
		t.Errorf("a day later %v wait, %d are kept: %v", list, len(h.state.rows), err)
	}
}

func TestARestartForgetsNeitherApprovalNorUse(t *testing.T) {
	h := belgium(t)
	id := h.waits(h.anna, erase, "record 1")
	h.open(dualcontrol.Defaults())
	h.approves(h.bert, id)
	h.open(dualcontrol.Defaults())
	h.passes(h.anna, erase, "record 1", h.bert)
	h.open(dualcontrol.Defaults())
	h.waits(h.anna, erase, "record 1")

	// What has run out while the node was down, and what cannot be read, is gone.
	h.state.rows["acts/00000000-0000-4000-8000-000000000000"] = []byte(`{"version":1}`)
	h.now = h.now.Add(time.Hour)
	h.open(dualcontrol.Defaults())
	if list, err := h.List(t.Context()); err != nil || len(list) != 0 || len(h.state.rows) != 0 || !strings.Contains(h.log.String(), "cannot be read") {
		t.Errorf("%v, %v, %d rows; %s", list, err, len(h.state.rows), &h.log)
	}
}

// TestTheUseIsDurableBeforeTheAct: if it cannot be written down, the act does not pass.
func TestTheUseIsDurableBeforeTheAct(t *testing.T) {
	h := belgium(t)
	id := h.waits(h.anna, erase, "record 1")
	full := errors.New("disk full")
	h.state.broken = full
	if err := h.approve(h.bert, id); !errors.Is(err, full) {
		t.Errorf("approved: %v", err)
	}
	if _, waits, err := h.want(h.anna, erase, "record 2"); !errors.Is(err, full) || waits != "" {
		t.Errorf("noted: %v", err)
	}
	h.state.broken = nil
	if h.Waiting() != 1 {
		t.Errorf("%d wait", h.Waiting())
	}
	h.approves(h.bert, id)
	h.state.broken = full
	if second, _, err := h.want(h.anna, erase, "record 1"); !errors.Is(err, full) {
		t.Errorf("passed with %q: %v", second, err)
	}
	h.state.broken = nil
	h.passes(h.anna, erase, "record 1", h.bert)
}

func TestOneApprovalLetsOneOfManyPass(t *testing.T) {
	h := belgium(t)
	h.approves(h.bert, h.waits(h.anna, erase, "record 1"))
	var wg sync.WaitGroup
	outcomes := make(chan string, 50)
	for range cap(outcomes) {
		wg.Go(func() {
			second, _, err := h.want(h.anna, erase, "record 1")
			if reason, _ := fault.ReasonOf(err); err != nil && reason != fault.SecondPersonNeeded {
				t.Error(err)
			}
			outcomes <- second
		})
	}
	wg.Wait()
	close(outcomes)
	passed := 0
	for second := range outcomes {
		if second != "" {
			passed++
		}
	}
	if passed != 1 || h.Waiting() != 1 {
		t.Errorf("%d passed by one approval, %d wait", passed, h.Waiting())
	}
}

func TestRefusing(t *testing.T) {
	h := belgium(t)
	refuse := func(c client, id string) error { return h.Refuse(t.Context(), c.id, id, nil) }
	id := h.waits(h.anna, erase, "record 1")
	h.is("an auditor refuses", refuse(h.auditor, id), codes.PermissionDenied, fault.RoleNotPermitted)
	h.approves(h.bert, id)
	if err := refuse(h.bert, id); err != nil { // thought better of it
		t.Fatal(err)
	}
	h.is("refused twice", refuse(h.bert, id), codes.NotFound, fault.ActNotFound)
	id = h.waits(h.anna, erase, "record 1")
	if err := refuse(h.anna, id); err != nil { // taken back
		t.Fatal(err)
	}
	h.is("what was taken back", h.approve(h.bert, id), codes.NotFound, fault.ActNotFound)
}

func TestNobodyFillsTheDesk(t *testing.T) {
	h := belgium(t)
	for i := range 20 {
		h.waits(h.anna, erase, fmt.Sprint("record ", i))
	}
	_, _, err := h.want(h.anna, erase, "one more")
	h.is("the 21st of one client", err, codes.ResourceExhausted, fault.TooManyActs)
	h.waits(h.bert, erase, "record 1")
	for i := range 49 {
		c := card(t, who(identity.RoleRecordsOfficer, fmt.Sprint("officer-", i)), nil)
		for j := range 20 {
			if _, _, err = h.want(c, erase, fmt.Sprint(i, j)); i*20+j+22 <= 1000 {
				continue
			}
			h.is("the 1001st", err, codes.ResourceExhausted, fault.TooManyActs)
			return
		}
	}
	t.Error("there is no bound")
}

func TestTheListIsTheBureaus(t *testing.T) {
	for operation, needs := range map[string]bool{erase: true, unmask: true, policy.OperationReloadPolicy: false, policy.OperationReadStatus: false} {
		h := belgium(t)
		g, err := h.Need(h.anna.calls(t.Context()), h.anna.id, operation, []byte("x"), "")
		if needs == (err == nil) || err == nil && *g != (dualcontrol.Grant{}) {
			t.Errorf("%s: %v, %v, want a second person %t", operation, g, err, needs)
		}
	}
	none := belgium(t, []string{}...)
	if g, err := none.Need(none.anna.calls(t.Context()), none.anna.id, erase, []byte("x"), ""); err != nil || *g != (dualcontrol.Grant{}) {
		t.Errorf("an empty list asks for two persons: %v, %v", g, err)
	}
	h := belgium(t)
	if err := dualcontrol.CheckList([]string{erase, "make-coffee"}); err == nil || !strings.Contains(err.Error(), `two_persons: "make-coffee"`) || !strings.Contains(err.Error(), unmask) {
		t.Errorf("make-coffee: %v", err)
	}
	if err := dualcontrol.CheckList(dualcontrol.Operations()); err != nil {
		t.Error(err)
	}
	if _, err := dualcontrol.Open(t.Context(), dualcontrol.Config{State: h.state, Operations: []string{"make-coffee"}}); err == nil {
		t.Error("opened with an operation that nobody knows")
	}
	for _, o := range dualcontrol.Operations() {
		if !slices.Contains(policy.Operations(), o) {
			t.Errorf("%s is no operation of the policy's", o)
		}
	}
}

func TestARequestStandsForItsDigest(t *testing.T) {
	h := belgium(t)
	desk := dualcontrol.Requests{Desk: h.Desk}
	need := func(request string) (string, error) {
		return desk.Need(h.anna.calls(t.Context()), h.anna.id, erase, []byte(request), "erase a record")
	}
	long := strings.Repeat("record ", 1000)
	_, err := need(long)
	h.approves(h.bert, fault.Value(err, fault.ActIDKey))
	_, err = need(long + "!")
	h.is("another request", err, codes.FailedPrecondition, fault.SecondPersonNeeded)
	if second, err := need(long); err != nil || second != h.bert.id.String() {
		t.Errorf("second %q, %v", second, err)
	}
	if second, err := desk.Need(t.Context(), h.anna.id, policy.OperationReadStatus, nil, ""); err != nil || second != "" {
		t.Errorf("what one person may do: %q, %v", second, err)
	}
}

func TestSummariesAreBounded(t *testing.T) {
	h := belgium(t)
	_, err := h.Need(h.anna.calls(t.Context()), h.anna.id, erase, []byte("x"), strings.Repeat("é", 400)+"\xff")
	h.is("wanted", err, codes.FailedPrecondition, fault.SecondPersonNeeded)
	list, err := h.List(h.bert.calls(t.Context()))
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if s := list[0].GetSummary(); len(s) != 512 || !utf8.ValidString(s) {
		t.Errorf("a summary of %d bytes", len(s))
	}
}
