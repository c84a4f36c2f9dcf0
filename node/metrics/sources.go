package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// Books is how far the log is.
type Books struct {
	Leaves     uint64        // in the journal
	Integrated uint64        // in the tree
	Lag        time.Duration // how long the oldest leaf waits that is not in the tree
}

// Pool is how busy a pool of workers is.
type Pool struct {
	Name                    string
	Capacity, Busy, Waiting int
}

// Sources say how things stand. They are asked each time the metrics are read, at once from several
// goroutines, and must answer quickly. Any may be nil.
type Sources struct {
	// Alarms are the open ones of each kind. A kind that is missing is 0.
	Alarms func() map[adminv1.AlarmKind]int
	Books  func() Books
	// Quotas are those of everybody. The defaults, which have no name, are left out.
	Quotas func() []*adminv1.QuotaState
	Pools  func() []Pool
	// Certificate is the end of the node's own certificate, Roster the version and the end of the
	// installed roster; version 0: none.
	Certificate func() time.Time
	Roster      func() (version uint64, notAfter time.Time)
	// Peers are how many peers are in each state. A state that is missing is 0.
	Peers func() map[adminv1.PeerState]int
	// Acts is how many acts wait for a second person.
	Acts func() int
	// Point is where an officer is told of a person.
	Point func() *adminv1.OperatingPoint
}

// now collects what the sources say.
type now struct{ sources Sources }

// gauge is one gauge's description.
func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("entente_"+name, help, labels, nil)
}

// Describe says nothing: which series there are depends on what the sources say. Prometheus calls
// this an unchecked collector.
func (n *now) Describe(chan<- *prometheus.Desc) {}

// Collect asks the sources. One that panics costs its own metrics and not the others.
func (n *now) Collect(out chan<- prometheus.Metric) {
	for _, source := range []func(set){n.alarms, n.books, n.quotas, n.pools, n.ends, n.peers, n.acts, n.point} {
		func() {
			defer func() {
				if recover() != nil {
					out <- prometheus.NewInvalidMetric(gauge("source_failed", "A source of the metrics failed."), errSource)
				}
			}()
			source(func(d *prometheus.Desc, value float64, labels ...string) {
				out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
			})
		}()
	}
}

// set gives out one value.
type set func(d *prometheus.Desc, value float64, labels ...string)

func (n *now) alarms(set set) {
	if n.sources.Alarms == nil {
		return
	}
	open := n.sources.Alarms()
	d := gauge("alarms", "Alarms that nobody has cleared, by kind.", "kind")
	for k := range adminv1.AlarmKind_name {
		if kind := adminv1.AlarmKind(k); k != 0 {
			set(d, float64(open[kind]), word(kind.String(), "ALARM_KIND_"))
		}
	}
}

func (n *now) books(set set) {
	if n.sources.Books == nil {
		return
	}
	b := n.sources.Books()
	set(gauge("log_leaves", "Leaves in the journal."), float64(b.Leaves))
	set(gauge("log_integrated", "Leaves in the tree."), float64(b.Integrated))
	set(gauge("log_lag_seconds", "How long the oldest leaf waits that is not in the tree."), b.Lag.Seconds())
}

func (n *now) quotas(set set) {
	if n.sources.Quotas == nil {
		return
	}
	tokens := gauge("quota_tokens", "Questions that may now be asked at once.", "scope", "name")
	subjects := gauge("quota_subjects", "Distinct documents and persons in the last 24 hours, as a share of the quota.", "scope", "name")
	positives := gauge("quota_positives", "Positive answers in the last 24 hours, as a share of the quota.", "scope", "name")
	throttled := gauge("quota_throttled", "1: held back for a pattern of enumeration.", "scope", "name")
	for _, q := range n.sources.Quotas() {
		if q.GetQuota().GetName() == "" {
			continue
		}
		labels := []string{word(q.GetQuota().GetScope().String(), "QUOTA_SCOPE_"), clean(q.GetQuota().GetName())}
		set(tokens, q.GetTokens(), labels...)
		set(subjects, share(q.GetSubjects(), q.GetQuota().GetSubjectsPerDay()), labels...)
		set(positives, share(q.GetPositives(), q.GetQuota().GetPositivesPerDay()), labels...)
		held := 0.0
		if q.GetThrottledUntil() != nil {
			held = 1
		}
		set(throttled, held, labels...)
	}
}

func share(used, of uint64) float64 {
	if of == 0 {
		return 0
	}
	return float64(used) / float64(of)
}

func (n *now) pools(set set) {
	if n.sources.Pools == nil {
		return
	}
	capacity := gauge("workers", "Workers that may now be busy.", "pool")
	busy := gauge("workers_busy", "Workers that are busy.", "pool")
	waiting := gauge("calls_waiting", "Calls that wait for a worker.", "pool")
	for _, p := range n.sources.Pools() {
		set(capacity, float64(p.Capacity), clean(p.Name))
		set(busy, float64(p.Busy), clean(p.Name))
		set(waiting, float64(p.Waiting), clean(p.Name))
	}
}

func (n *now) ends(set set) {
	if n.sources.Certificate != nil {
		if end := n.sources.Certificate(); !end.IsZero() {
			set(gauge("certificate_not_after_seconds", "When the node's own certificate ends, in seconds since 1970."), float64(end.Unix()))
		}
	}
	if n.sources.Roster != nil {
		version, end := n.sources.Roster()
		set(gauge("roster_version", "Version of the installed roster; 0: none."), float64(version))
		if version > 0 {
			set(gauge("roster_not_after_seconds", "When the installed roster ends, in seconds since 1970."), float64(end.Unix()))
		}
	}
}

func (n *now) peers(set set) {
	if n.sources.Peers == nil {
		return
	}
	states := n.sources.Peers()
	d := gauge("peers", "Bureaus of the roster, by the state of the connection to them.", "state")
	for k := range adminv1.PeerState_name {
		state := adminv1.PeerState(k)
		label := word(state.String(), "PEER_STATE_")
		if k == 0 {
			label = "untried"
		}
		set(d, float64(states[state]), label)
	}
}

func (n *now) acts(set set) {
	if n.sources.Acts != nil {
		set(gauge("acts_waiting", "Acts that wait for a second person."), float64(n.sources.Acts()))
	}
}

func (n *now) point(set set) {
	if n.sources.Point == nil {
		return
	}
	p := n.sources.Point()
	d := gauge("point_alerts_per_thousand", "Innocent travellers in a thousand of whom an officer is told, as it was set, by what is known of them.", "class")
	for _, c := range p.GetClasses() {
		set(d, c.GetAlertsPerThousand(), word(c.GetEvidenceClass().String(), "EVIDENCE_CLASS_"))
	}
	set(gauge("point_together_names", "How many names the thresholds take to be searched together."), float64(p.GetTogether()))
}
