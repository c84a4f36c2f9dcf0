package dualcontrol_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/dualcontrol"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

const (
	brings = policy.OperationImportRecords
	takes  = policy.OperationDeleteRecord
)

func mass(operation string, rows uint64, request string) dualcontrol.Mass {
	return dualcontrol.Mass{Operation: operation, Rows: rows, Request: []byte(request), Summary: "some records"}
}

func (h *house) masses(c client, masses ...dualcontrol.Mass) ([]dualcontrol.Grant, error) {
	h.t.Helper()
	return h.Masses(c.calls(h.t.Context()), c.id, masses...)
}

// alone wants that a person may do it alone, or may not.
func (h *house) alone(may bool, c client, masses ...dualcontrol.Mass) {
	h.t.Helper()
	_, err := h.masses(c, masses...)
	if reason, _ := fault.ReasonOf(err); may != (err == nil) || !may && reason != fault.SecondPersonNeeded {
		h.t.Errorf("%v by %s alone: %v, want it to pass: %t", masses, c.id.Name, err, may)
	}
}

func TestAMassIsOneFromItsBoundOn(t *testing.T) {
	for rows, may := range map[uint64]bool{0: true, 999: true, 1000: false, 1 << 40: false, math.MaxUint64: false} {
		belgium(t, brings, takes).alone(may, card(t, who(identity.RoleOperator, "olga"), nil), mass(brings, rows, "x"))
	}
	h := belgium(t, erase) // not on the list
	h.alone(true, h.anna, mass(brings, 1<<40, "x"), mass(takes, 1<<40, "x"))
}

// TestASplitMassIsAMass: one by one, over a restart, under another role's card; and a day later it is
// another day.
func TestASplitMassIsAMass(t *testing.T) {
	operations := []string{brings, takes}
	h := belgium(t, operations...)
	for range 499 {
		h.alone(true, h.anna, mass(brings, 2, "two rows"))
	}
	h.open(operations)
	h.alone(true, h.anna, mass(brings, 1, "one row"))
	h.alone(false, h.anna, mass(brings, 1, "one more"))
	h.alone(false, card(t, who(identity.RoleOperator, "anna"), nil), mass(brings, 1, "one more"))
	h.alone(true, h.bert, mass(brings, 999, "his own"))
	h.alone(true, h.anna, mass(takes, 999, "what she takes is another matter"))
	h.alone(false, h.anna, mass(takes, math.MaxUint64, "all"))

	// With a second person it passes, and takes nothing from what remains of the day.
	_, err := h.masses(h.anna, mass(brings, 1, "one more"))
	id := fault.Value(err, fault.ActIDKey)
	list, lerr := h.List(h.bert.calls(t.Context()))
	if lerr != nil || !strings.Contains(list[0].GetSummary(), "some records; after 999 by the same person within 24 hours") {
		t.Errorf("the second person sees %v, %v", list, lerr)
	}
	h.approves(h.bert, id)
	if g, err := h.masses(h.anna, mass(brings, 1, "one more")); err != nil || len(g) != 1 || g[0].Second != h.bert.id.String() || g[0].ActID != id {
		t.Errorf("approved: %v, %v", g, err)
	}
	h.alone(false, h.anna, mass(brings, 1, "one more"))

	// A clock that is set back forgives nothing, and one that was ahead does not hold for ever.
	h.now = h.now.Add(-72 * time.Hour)
	h.alone(false, h.anna, mass(brings, 1, "yesterday"))
	h.now = h.now.Add(72*time.Hour + 23*time.Hour)
	h.open(operations)
	h.alone(false, h.anna, mass(brings, 1, "within the day"))
	h.now = h.now.Add(2 * time.Hour)
	h.open(operations)
	h.alone(true, h.anna, mass(brings, 999, "the next day"))
	h.alone(false, h.anna, mass(brings, 1, "the next day"))
}

// TestWhatIsNotDurableDoesNotPass: a row that cannot be counted is not brought.
func TestWhatIsNotDurableDoesNotPass(t *testing.T) {
	h := belgium(t, brings)
	h.state.broken = errors.New("disk full")
	if _, err := h.masses(h.anna, mass(brings, 1, "x")); !errors.Is(err, h.state.broken) {
		t.Errorf("not counted: %v", err)
	}
	h.state.broken = nil
	if err := h.state.PutState(t.Context(), dualcontrol.MassRoom, brings+" bureau/anna", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if _, err := dualcontrol.OpenTally(t.Context(), h.state, time.Now); err == nil {
		t.Error("a count that cannot be read is forgiven")
	}
}

// TestTwoActsPassTogether: an import that brings and takes a mass uses no approval up before it has
// both.
func TestTwoActsPassTogether(t *testing.T) {
	h := belgium(t, brings, takes)
	both := []dualcontrol.Mass{mass(brings, 1000, "file"), mass(takes, 1000, "file")}
	grants, err := h.masses(h.anna, both...)
	if len(grants) != 2 || grants[0].ActID == grants[1].ActID || !strings.Contains(err.Error(), grants[0].ActID) || !strings.Contains(err.Error(), grants[1].ActID) {
		t.Fatalf("%v, %v", grants, err)
	}
	h.is("both wait", err, codes.FailedPrecondition, fault.SecondPersonNeeded)
	h.approves(h.bert, grants[0].ActID)
	for range 2 { // however often it is tried
		if g, err := h.masses(h.anna, both...); fault.Value(err, fault.ActIDKey) != grants[1].ActID || g[0].Second == "" || g[1].Second != "" {
			t.Fatalf("one of two approved: %v, %v", g, err)
		}
	}
	h.approves(h.bert, grants[1].ActID)
	if g, err := h.masses(h.anna, both...); err != nil || g[0].Second != h.bert.id.String() || g[1].Second != h.bert.id.String() {
		t.Fatalf("both approved: %v, %v", g, err)
	}
	h.alone(false, h.anna, both...)

	// A part that needs nobody is not counted while the other waits.
	h = belgium(t, brings, takes)
	for range 3 {
		h.alone(false, h.anna, mass(brings, 600, "a"), mass(takes, 1000, "a"))
	}
	h.alone(true, h.anna, mass(brings, 999, "b"))
}

// TestAnApprovalIsBookedFirst: what cannot be booked does not stand.
func TestAnApprovalIsBookedFirst(t *testing.T) {
	h := belgium(t)
	id := h.waits(h.anna, erase, "record 1")
	broken := errors.New("books")
	if _, err := h.Approve(h.bert.calls(t.Context()), h.bert.id, id, func(a *adminv1.Act) error {
		if a.GetActId() != id || a.GetApprovedBy() != h.bert.id.String() {
			t.Errorf("booked: %v", a)
		}
		return broken
	}); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	h.waits(h.anna, erase, "record 1") // still
	if err := h.Refuse(t.Context(), h.bert.id, id, func() error { return broken }); !errors.Is(err, broken) || h.Waiting() != 1 {
		t.Errorf("refused unbooked: %v", err)
	}
	h.approves(h.bert, id)
	h.passes(h.anna, erase, "record 1", h.bert)
}

// TestASummaryCannotCommandAScreen: its words are the first person's.
func TestASummaryCannotCommandAScreen(t *testing.T) {
	h := belgium(t)
	if _, err := h.Need(h.anna.calls(t.Context()), h.anna.id, erase, []byte("x"), "erase a\x1b[2K\rbuy\u202e b\nwanted by bert\u2028\u0085\u009b31m"); err == nil {
		t.Fatal("passed")
	}
	list, err := h.List(h.bert.calls(t.Context()))
	if err != nil || len(list) != 1 || list[0].GetSummary() != "erase a\ufffd[2K\ufffdbuy\ufffd b\ufffdwanted by bert\ufffd\ufffd\ufffd31m" {
		t.Errorf("%q, %v", list, err)
	}
	for _, text := range []string{"court order 4/2026", "نامه\u200cها", "मा\u200dन", "حكم \u06dd 7", "Beschluß №7 – “x”", ""} {
		if got := dualcontrol.Legible(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}
