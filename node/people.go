package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/api"
	"github.com/entente-mesh/entente/node/dualcontrol"
	"github.com/entente-mesh/entente/node/policies"
	"github.com/entente-mesh/entente/node/register"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/roster"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// openPeople opens the register of the own clients, and the desk where acts of two persons wait.
func (n *Node) openPeople(ctx context.Context) (err error) {
	n.register, err = register.Open(ctx, register.Config{
		Federation: n.cfg.Federation, Bureau: n.cfg.Bureau, State: n.rest.store, Key: n.rest.secrets.people, Issued: n.authority,
		Now: n.now, Logger: n.log,
	})
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	n.desk, err = dualcontrol.Open(ctx, dualcontrol.Config{
		Federation: n.cfg.Federation, State: n.rest.store, Operations: n.cfg.TwoPersons, MassRows: uint64(n.cfg.MassRows),
		May: n.may, Now: n.now, Logger: n.log,
	})
	if err != nil {
		return fmt.Errorf("two_persons: %w", err)
	}
	return n.watchTwoPersons(ctx)
}

// may tells whether a client may do an operation now.
func (n *Node) may(_ context.Context, who identity.Identity, operation string) bool {
	if n.register.Admit(who) != nil {
		return false
	}
	d := n.policy.Set().Administer(policy.AdministerFacts{Client: who, Operation: operation})
	return d.Allow && d.Err == nil && !d.Obligations.Hold
}

// openPolicy puts the policies into force: those of the folder, or, where policies need two
// persons, those that two persons have put into force.
func (n *Node) openPolicy(ctx context.Context) error {
	pin := policies.NewPin(n.rest.store)
	folder, err := policies.Snapshot(os.DirFS(n.layout.policies()))
	if err != nil {
		return fmt.Errorf("policies: %w", err)
	}
	pinned, version, err := pin.Load(ctx)
	switch {
	case errors.Is(err, policies.ErrNoPin): // the first start
		_, err = pin.Save(ctx, folder)
	case err == nil:
		folder, err = n.inForce(ctx, pin, pinned, version, folder)
	}
	if err != nil {
		return fmt.Errorf("policies: %w", err)
	}
	set, err := policy.Load(folder)
	if err != nil {
		return fmt.Errorf("policies: %w", err)
	}
	n.policy = policy.NewLive(set)
	return nil
}

// inForce is the folder to run: the one that was pinned, or the one that was put in its place while
// the node was off.
func (n *Node) inForce(ctx context.Context, pin *policies.Pin, pinned fs.FS, version string, folder fs.FS) (fs.FS, error) {
	differs, err := pin.Differs(ctx, folder)
	if err != nil || !differs {
		return folder, err
	}
	const changed = "the policy folder was changed while the node was off; "
	if slices.Contains(n.cfg.TwoPersons, policy.OperationReloadPolicy) {
		n.raise(ctx, adminv1.AlarmKind_ALARM_KIND_POLICY_CHANGED, "",
			changed+fmt.Sprintf("version %.12s stays in force, as it was put in force last: reload with a second person, or put it back", version), "")
		return pinned, nil
	}
	if version, err = pin.Save(ctx, folder); err != nil {
		return nil, err
	}
	n.raise(ctx, adminv1.AlarmKind_ALARM_KIND_POLICY_CHANGED, "",
		changed+fmt.Sprintf("version %.12s is in force now: see that it is what you want", version), "")
	return folder, nil
}

// candidate is a policy folder that was read and is whole. What is put into force is what was read.
type candidate struct {
	n      *Node
	folder fs.FS
	set    *policy.Set
}

// Read implements api.PolicyReloader.
func (n *Node) Read() (api.PolicyCandidate, error) {
	folder, err := policies.Snapshot(os.DirFS(n.layout.policies()))
	if err != nil {
		return nil, err
	}
	set, err := policy.Load(folder)
	if err != nil {
		return nil, err
	}
	return candidate{n, folder, set}, nil
}

// Version implements api.PolicyCandidate.
func (c candidate) Version() string { return c.set.Version() }

// Apply implements api.PolicyCandidate.
func (c candidate) Apply(ctx context.Context) (int, error) {
	if _, err := policies.NewPin(c.n.rest.store).Save(ctx, c.folder); err != nil {
		return 0, err
	}
	if err := c.n.policy.Reload(c.folder); err != nil {
		return 0, err
	}
	c.n.log.InfoContext(ctx, "policies reloaded", slog.String("version", c.Version()), slog.Int("policies", c.set.Len()))
	return c.set.Len(), nil
}

// watchedRosters raises an alarm for every bureau that is distrusted. It implements api.Rosters.
type watchedRosters struct {
	*roster.Book
	n *Node
}

// Trust implements api.Rosters.
func (w watchedRosters) Trust(b identity.Bureau) error {
	if err := w.Book.Trust(b); err != nil {
		return err
	}
	for _, a := range w.n.alarms.Open() {
		if a.GetKind() == adminv1.AlarmKind_ALARM_KIND_DISTRUST && a.GetSubject() == string(b) {
			return w.n.alarms.Clear(context.Background(), a.GetAlarmId(), "it is trusted again")
		}
	}
	return nil
}

// Distrust implements api.Rosters.
func (w watchedRosters) Distrust(b identity.Bureau, reason string) error {
	if err := w.Book.Distrust(b, reason); err != nil {
		return err
	}
	w.n.raise(context.Background(), adminv1.AlarmKind_ALARM_KIND_DISTRUST, string(b),
		"is distrusted: it is neither asked nor answered until somebody trusts it again", "")
	return nil
}

// seconds asks for the second person of an act, and books that there was none: what was refused
// must not stand in the books as if it had been done. It implements api.SecondPerson.
type seconds struct{ n *Node }

// Need implements api.SecondPerson.
func (s seconds) Need(ctx context.Context, client identity.Identity, operation string, request []byte, summary string) (string, error) {
	second, err := dualcontrol.Requests{Desk: s.n.desk}.Need(ctx, client, operation, request, summary)
	if err == nil {
		return second, nil
	}
	return "", s.missing(ctx, client, operation, fault.Value(err, fault.ActIDKey), err)
}

// Masses implements api.Masses.
func (s seconds) Masses(ctx context.Context, client identity.Identity, masses ...dualcontrol.Mass) ([]dualcontrol.Grant, error) {
	grants, err := s.n.desk.Masses(ctx, client, masses...)
	if err == nil {
		return grants, nil
	}
	refused := err
	for i, g := range grants {
		if g.ActID != "" && g.Second == "" {
			err = s.missing(ctx, client, masses[i].Act(), g.ActID, err)
		}
	}
	if len(grants) == 0 { // not for want of a second person
		err = s.missing(ctx, client, masses[0].Act(), "", refused)
	}
	return nil, err
}

// missing books that an act was refused for err, and returns that.
func (s seconds) missing(ctx context.Context, client identity.Identity, operation, actID string, err error) error {
	act := api.Act{Operation: operation}
	act.Failed, _ = fault.ReasonOf(fault.From(err))
	if actID != "" {
		act.Object = "act " + actID
	}
	return errors.Join(err, scribe{s.n.gate}.Did(ctx, client, act))
}
