// Package metrics counts what a node does, for a Prometheus that comes and reads it: asks, checks,
// who was turned away, the books, alarms, certificates.
//
// It is not the books: what it counts is gone when the node stops, and nothing is decided by it.
// No label holds personal data: bureaus, agencies and words of the treaty alone, so that whoever
// may read the metrics learns how much is asked, and never about whom.
//
// One flow: the node answers an ask of ESP and calls Asked(In, "ESP", STATUS_NO_HIT, 2ms). When
// Prometheus reads /metrics, the counters are written out, and the sources are asked how things
// stand now: how many alarms are open, how far the log is, how many tokens ESP has left.
package metrics

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// Direction is which way an ask went.
type Direction string

// The directions.
const (
	In  Direction = "in"
	Out Direction = "out"
)

// Build says which program runs, and whose node it is.
type Build struct {
	Version string
	Bureau  identity.Bureau
	Replica string
}

// Metrics are a node's. They are safe for concurrent use.
type Metrics struct {
	registry   *prometheus.Registry
	asks       *prometheus.CounterVec
	askTime    *prometheus.HistogramVec
	checks     *prometheus.CounterVec
	checkTime  prometheus.Histogram
	turnedAway *prometheus.CounterVec
	commitTime prometheus.Histogram
}

// times are the bounds of durations, in seconds: from a commit on a good disk to what an officer
// does not wait for.
func times() []float64 {
	return []float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5}
}

// New returns metrics in a registry of their own. Any source may be nil: what it would say is not
// among the metrics then.
func New(build Build, sources Sources) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		asks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "entente_asks_total", Help: "Asks between bureaus: in from the bureau or out to it, and what became of them.",
		}, []string{"direction", "bureau", "status"}),
		askTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "entente_ask_seconds", Help: "How long asks took, from the door to the answer.", Buckets: times(),
		}, []string{"direction"}),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "entente_checks_total", Help: "Checks of the own agencies, by verdict.",
		}, []string{"verdict"}),
		checkTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "entente_check_seconds", Help: "How long checks of the own agencies took.", Buckets: times(),
		}),
		turnedAway: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "entente_turned_away_total", Help: "Calls turned away by a limit.",
		}, []string{"scope", "name", "reason"}),
		commitTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "entente_journal_commit_seconds", Help: "How long group commits of the journal took, with their fsync.", Buckets: times(),
		}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "entente_build_info", Help: "Always 1. The labels say which program runs, and whose node it is.",
		ConstLabels: prometheus.Labels{"version": clean(build.Version), "go": runtime.Version(), "bureau": clean(string(build.Bureau)), "replica": clean(build.Replica)},
	})
	info.Set(1)
	m.registry.MustRegister( // fails for a name that stands twice above: a test registers all
		m.asks, m.askTime, m.checks, m.checkTime, m.turnedAway, m.commitTime, info,
		&now{sources: sources},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	// A counter that begins to exist when it is 1 has no rate: those whose labels are known are there
	// from the start.
	for n := range screeningv1.Verdict_name {
		if n != 0 {
			m.checks.WithLabelValues(word(screeningv1.Verdict(n).String(), "VERDICT_"))
		}
	}
	return m
}

// Asked counts an ask that was answered or given up: the bureau is the other one.
func (m *Metrics) Asked(d Direction, bureau identity.Bureau, s queryv1.Status, elapsed time.Duration) {
	m.asks.WithLabelValues(string(d), bureauLabel(bureau), word(s.String(), "STATUS_")).Inc()
	m.askTime.WithLabelValues(string(d)).Observe(elapsed.Seconds())
}

// Checked counts a check of an own agency.
func (m *Metrics) Checked(v screeningv1.Verdict, elapsed time.Duration) {
	m.checks.WithLabelValues(word(v.String(), "VERDICT_")).Inc()
	m.checkTime.Observe(elapsed.Seconds())
}

// TurnedAway counts a call that a limit turned away. The reason is one of the catalogue of errors.
func (m *Metrics) TurnedAway(scope adminv1.QuotaScope, name, reason string) {
	m.turnedAway.WithLabelValues(word(scope.String(), "QUOTA_SCOPE_"), clean(name), clean(reason)).Inc()
}

// Committed counts a group commit of the journal.
func (m *Metrics) Committed(elapsed time.Duration) { m.commitTime.Observe(elapsed.Seconds()) }

// word is an enumeration's value as a label: "no_hit".
func word(value, prefix string) string { return strings.ToLower(strings.TrimPrefix(value, prefix)) }

var bureauForm = regexp.MustCompile(`^[A-Z]{3}$`)

// bureauLabel keeps what is no bureau out of the labels: there is one series for each.
func bureauLabel(b identity.Bureau) string {
	if !bureauForm.MatchString(string(b)) {
		return "other"
	}
	return string(b)
}

// clean makes a label value of a text: Prometheus refuses what is no UTF-8.
func clean(s string) string {
	const longest = 128
	s = strings.ToValidUTF8(s, "?")
	if len(s) > longest {
		s = fmt.Sprintf("%s...", strings.ToValidUTF8(s[:longest], ""))
	}
	return s
}
