package node

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/entente-mesh/entente/federation/ask"
	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/server"
	"github.com/entente-mesh/entente/node/api"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/limits"
	"github.com/entente-mesh/entente/node/metrics"
	"github.com/entente-mesh/entente/node/screening"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// newMetrics makes what counts. It asks the parts, which come later, only when somebody looks.
func (n *Node) newMetrics(context.Context) error {
	n.metrics = metrics.New(metrics.Build{Version: n.opts.Version, Bureau: n.cfg.Bureau, Replica: n.cfg.Replica}, metrics.Sources{
		Alarms: func() map[adminv1.AlarmKind]int { return n.alarms.Count() },
		Books: func() metrics.Books {
			s := n.tree.Status()
			return metrics.Books{Leaves: s.Leaves, Integrated: s.Integrated, Lag: s.Lag}
		},
		Quotas:      func() []*adminv1.QuotaState { return n.limits.List(adminv1.QuotaScope_QUOTA_SCOPE_UNSPECIFIED, "") },
		Pools:       n.pools,
		Certificate: func() time.Time { return n.leaf.X509().NotAfter },
		Roster: func() (uint64, time.Time) {
			v := n.book.Current()
			if v == nil {
				return 0, time.Time{}
			}
			return v.Version(), v.ExpiresAt()
		},
		Peers: func() map[adminv1.PeerState]int {
			count := map[adminv1.PeerState]int{}
			for _, p := range n.pool.Peers() {
				count[p.GetState()]++
			}
			return count
		},
		Acts:  func() int { return n.desk.Waiting() },
		Point: func() *adminv1.OperatingPoint { return n.point.Show() },
	})
	return nil
}

func (n *Node) countTurnedAway(scope adminv1.QuotaScope, name string, reason fault.Reason) {
	n.metrics.TurnedAway(scope, name, string(reason))
}

func (n *Node) pools() []metrics.Pool {
	var all []metrics.Pool
	for _, l := range n.limits.Loads() {
		all = append(all, metrics.Pool{Name: l.Pool, Capacity: l.Capacity, Busy: l.Busy, Waiting: l.Waiting})
	}
	return all
}

// serveMetrics serves the metrics, if the configuration says where.
func (n *Node) serveMetrics(ctx context.Context) (err error) {
	if n.cfg.MetricsListen == "" {
		return nil
	}
	if n.metricsListener, err = metrics.Listen(n.cfg.MetricsListen); err != nil {
		return err
	}
	if !metrics.Loopback(n.metricsListener) {
		n.log.WarnContext(ctx, "metrics are served beyond this machine, in plain HTTP, to whoever asks", slog.String("metrics_listen", n.cfg.MetricsListen))
	}
	n.run(func() {
		if err := n.metrics.Serve(ctx, n.metricsListener, n.log); err != nil && ctx.Err() == nil {
			n.log.ErrorContext(ctx, "metrics are not served any more", slog.Any("error", err))
		}
	})
	return nil
}

// timedBooks tell how long a commit takes, and let others work meanwhile. It implements gate.Books.
type timedBooks struct {
	gate.Books
	n *Node
}

// Record implements gate.Books.
func (t timedBooks) Record(ctx context.Context, passages ...journal.Passage) error {
	defer t.timed(time.Now())
	defer limits.AsideForBooks(ctx)()
	return t.n.watched(t.Books.Record(ctx, passages...))
}

// RecordAnswered implements gate.Books.
func (t timedBooks) RecordAnswered(ctx context.Context, m journal.Memory, passages ...journal.Passage) error {
	defer t.timed(time.Now())
	defer limits.AsideForBooks(ctx)()
	return t.n.watched(t.Books.RecordAnswered(ctx, m, passages...))
}

// watched ends the node when its books are broken: nothing can pass any more, and only a start reads
// what is on the disk.
func (n *Node) watched(err error) error {
	if errors.Is(err, journal.ErrBroken) {
		n.ended.Do(func() { n.failed <- err })
	}
	return err
}

func (t timedBooks) timed(began time.Time) { t.n.metrics.Committed(time.Since(began)) }

// countedAnswers count what other bureaus ask. It implements server.Answerer. What is counted is
// what the asker is told: of what is withheld, nothing.
type countedAnswers struct {
	*gate.Answering
	n *Node
}

// Answer implements server.Answerer.
func (c countedAnswers) Answer(ctx context.Context, asked server.Asked) (server.Reply, error) {
	began := time.Now()
	reply, err := c.Answering.Answer(ctx, asked)
	if err != nil {
		return reply, err
	}
	commit := reply.Commit
	reply.Commit = func(ctx context.Context, answer *signedv1.Signed, forgetAfter time.Time) error {
		if err := commit(ctx, answer, forgetAfter); err != nil {
			return err
		}
		c.n.metrics.Asked(metrics.In, asked.From.Bureau, overall(reply.Answer), time.Since(began))
		return nil
	}
	return reply, nil
}

// overall is an answer's one status: a hit, else a refusal, else none.
func overall(a *queryv1.Answer) queryv1.Status {
	status := queryv1.Status_STATUS_NO_HIT
	for _, r := range a.GetResults() {
		switch r.GetStatus() {
		case queryv1.Status_STATUS_HIT:
			return queryv1.Status_STATUS_HIT
		case queryv1.Status_STATUS_REFUSED:
			status = queryv1.Status_STATUS_REFUSED
		}
	}
	return status
}

// countedAsks count what other bureaus are asked. It implements screening.Asker.
type countedAsks struct {
	screening.Asker
	n *Node
}

// Ask implements screening.Asker.
func (c countedAsks) Ask(ctx context.Context, q ask.Question) []ask.Result {
	back := limits.Aside(ctx) // while it waits for others, another check is worked on
	results := c.Asker.Ask(ctx, q)
	back()
	for _, r := range results {
		c.n.metrics.Asked(metrics.Out, r.Bureau, r.Status, r.Elapsed)
	}
	return results
}

// countedChecks count what the own people check. It implements api.Checker.
type countedChecks struct {
	api.Checker
	n *Node
}

// Check implements api.Checker.
func (c countedChecks) Check(ctx context.Context, client identity.Identity, req *screeningv1.CheckRequest) (*screeningv1.CheckResponse, error) {
	began := time.Now()
	resp, err := c.Checker.Check(ctx, client, req)
	if err == nil {
		c.n.metrics.Checked(resp.GetVerdict(), time.Since(began))
	}
	return resp, err
}
