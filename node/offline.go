package node

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/dualcontrol"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/records"
	"github.com/entente-mesh/entente/node/store"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Running tells whether a node runs on the folder: whether its store is in use.
func Running(dir string) (bool, error) { return store.InUse(layout{dir}.store()) }

// Offline is a node that does not run, open for an import by whoever has its folder and its node
// key. What is done is in the books all the same.
type Offline struct {
	cfg      Config
	rest     *rest
	importer *records.Importer
	now      func() time.Time
}

// OpenOffline opens a node that does not run. store.ErrLocked says that it does. Close must be
// called.
func OpenOffline(ctx context.Context, cfg Config, now func() time.Time) (*Offline, error) {
	fitter, err := records.NewFitter(cfg.Bureau)
	if err != nil {
		return nil, err
	}
	r, err := openRest(ctx, cfg, outside{now: now})
	if err != nil {
		return nil, err
	}
	im := &records.Importer{Store: r.store, Fitter: fitter, IDKey: r.secrets.ids}
	return &Offline{cfg: cfg, rest: r, importer: im, now: now}, nil
}

// Close closes it.
func (o *Offline) Close() error { return o.rest.close() }

// Import imports a file as records.Importer does. Where that needs two persons, by the configuration
// or by the one of the node's last start, it is refused: only a node that runs can have it approved.
// What is imported and withdrawn offline counts as one person's.
func (o *Offline) Import(ctx context.Context, h *recordv1.ImportHeader, src io.ReadSeeker, progress func(*recordv1.ImportProgress)) (*recordv1.ImportReport, error) {
	return o.importer.ImportIf(ctx, h, src, progress, func(ctx context.Context, plan records.Plan) error { return o.allow(ctx, h, plan) })
}

// allow refuses what needs two persons, and counts and books the rest before it is done.
func (o *Offline) allow(ctx context.Context, h *recordv1.ImportHeader, plan records.Plan) error {
	rule := configuredTwoPersons(o.cfg)
	if last, found, err := pinnedTwoPersons(ctx, o.rest.store); err != nil {
		return err
	} else if found {
		rule = rule.stricter(last)
	}
	tally, err := dualcontrol.OpenTally(ctx, o.rest.store, o.now)
	if err != nil {
		return err
	}
	type part struct {
		operation string
		rows      uint64
	}
	parts := []part{{policy.OperationImportRecords, plan.Rows}, {policy.OperationDeleteRecord, plan.Withdrawn}}
	parts = slices.DeleteFunc(parts, func(p part) bool { return p.rows == 0 })
	for _, p := range parts {
		before := tally.Rows(offlineAccount, p.operation)
		if slices.Contains(rule.Operations, p.operation) && (p.rows >= uint64(rule.MassRows) || before >= uint64(rule.MassRows)-p.rows) {
			return fmt.Errorf("%d rows, after %d within 24 hours, need two persons (two_persons: %s): start the node, and import through it", p.rows, before, p.operation)
		}
	}
	var booked []journal.Passage
	for _, p := range parts {
		if slices.Contains(rule.Operations, p.operation) {
			if err := tally.Add(ctx, offlineAccount, p.operation, p.rows); err != nil {
				return err
			}
		}
		booked = append(booked, journal.Passage{Entry: &auditv1.Entry{
			MessageId: uuid.NewString(), Kind: auditv1.EntryKind_ENTRY_KIND_OPERATION, Direction: auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL,
			Bureau: string(o.cfg.Bureau), At: timestamppb.New(o.now()), Client: offlineClient, Decision: auditv1.Decision_DECISION_ALLOW,
			Operation: p.operation, Object: h.GetCollection() + " of " + h.GetSource(), Count: p.rows,
		}})
	}
	if len(booked) == 0 {
		return nil
	}
	return o.rest.journal.Record(ctx, booked...)
}

// offlineAccount is under what the rows are counted of whoever has the node's folder. No agency is
// called so.
const offlineAccount = "offline"

// offlineClient stands in the books for whoever has the node's folder and its key: no certificate
// says who it is.
const offlineClient = "offline: whoever has the folder and the node key"
