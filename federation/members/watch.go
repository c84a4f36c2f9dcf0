package members

import (
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	stdlog "log"

	"github.com/entente-mesh/entente/pki/identity"
)

// Cause is why something was refused.
type Cause string

// The causes.
const (
	CauseNotMember     Cause = "not-a-member"   // the bureau is not in the roster
	CauseClaimedSender Cause = "claimed-sender" // a packet claims another sender than its connection's
	CauseTooLarge      Cause = "too-large"      // a frame above the bound
	CauseMalformed     Cause = "malformed"      // what cannot be read, or is not spoken here
	CauseAddress       Cause = "address"        // a member at another address than the roster's
	CauseSignature     Cause = "signature"      // a statement that its bureau has not signed
	CauseName          Cause = "name"           // a statement under another name
	CauseSequence      Cause = "sequence"       // an older statement, or two under one number
	CauseTime          Cause = "time"           // a statement too old, or dated in the future
	CauseVersion       Cause = "version"        // a protocol version that would end all comparisons
	CauseReplicas      Cause = "replicas"       // more replicas than a bureau may have
)

// Stats counts since the start.
type Stats struct {
	// Refused is how much was refused, by cause.
	Refused map[Cause]uint64
	// Deaths is how many dead messages each peer has sent, its own and those it passed on.
	Deaths map[identity.Bureau]uint64
}

const (
	// logEvery is how often one thing is logged: who floods a node must not flood its log.
	logEvery = time.Minute
	// deathsAlways and deathsEach are how many dead messages a minute of one peer are nothing
	// special: some, and as many for each member as the passing on of a real outage brings.
	deathsAlways = 16
	deathsEach   = 2
)

// watch counts what was refused and who speaks of deaths, and logs it at a bounded rate.
type watch struct {
	log  *slog.Logger
	now  func() time.Time
	size func() int // of the roster

	mu      sync.Mutex // guards what follows
	refused map[Cause]uint64
	logged  map[refusal]time.Time // bounded: causes times bureaus of the roster, and nobody
	deaths  map[identity.Bureau]*deathCount
}

type refusal struct {
	cause  Cause
	bureau identity.Bureau
}

type deathCount struct {
	total  uint64
	since  time.Time // when the minute began
	recent int
	warned bool // in this minute
}

func newWatch(log *slog.Logger, now func() time.Time, size func() int) *watch {
	return &watch{
		log: log, now: now, size: size,
		refused: make(map[Cause]uint64),
		logged:  make(map[refusal]time.Time),
		deaths:  make(map[identity.Bureau]*deathCount),
	}
}

// refuse counts a refusal. bureau is a bureau of the roster whose matter it is, or empty.
func (w *watch) refuse(cause Cause, bureau identity.Bureau, err error) {
	w.mu.Lock()
	w.refused[cause]++
	key, now := refusal{cause, bureau}, w.now()
	last, seen := w.logged[key]
	quiet := seen && now.Sub(last) < logEvery && !now.Before(last)
	if !quiet {
		w.logged[key] = now
	}
	w.mu.Unlock()
	if !quiet {
		w.log.Warn("gossip refused", "cause", string(cause), "bureau", string(bureau), "error", clean(err.Error()))
	}
}

// died counts dead messages that came from a peer. One that sends many is logged: an honest peer
// speaks of as many deaths as there are, and no message of the protocol proves one.
func (w *watch) died(from identity.Bureau, n int) {
	if n == 0 {
		return
	}
	ordinary := deathsAlways + deathsEach*w.size()
	w.mu.Lock()
	count := w.deaths[from]
	if count == nil {
		count = &deathCount{since: w.now()}
		w.deaths[from] = count
	}
	if now := w.now(); now.Sub(count.since) >= time.Minute || now.Before(count.since) {
		count.since, count.recent, count.warned = now, 0, false
	}
	count.total += uint64(n)
	count.recent += n
	warn := count.recent > ordinary && !count.warned
	if warn {
		count.warned = true
	}
	recent := count.recent
	w.mu.Unlock()
	if warn {
		w.log.Warn("gossip: a bureau declares many members dead; hints that concern them are not to be relied on",
			"bureau", string(from), "messages", recent, "ordinary", ordinary)
	}
}

func (w *watch) stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := Stats{Refused: maps.Clone(w.refused), Deaths: make(map[identity.Bureau]uint64)}
	for b, count := range w.deaths {
		s.Deaths[b] = count.total
	}
	return s
}

// maxLogged bounds a line of the library's, which may quote what a peer sent.
const maxLogged = 300

// clean makes text that may quote a stranger fit for a log.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), maxLogged)]
}

// libraryLogger gives memberlist a logger. What it calls an error or a warning is, with peers
// that come and go, the ordinary course of gossip, and what a peer can cause at any rate: it is
// shown to who looks for it. What matters is logged by watch.
func libraryLogger(log *slog.Logger) *stdlog.Logger {
	return stdlog.New(libraryLog{log}, "", 0)
}

type libraryLog struct{ log *slog.Logger }

// Write logs one line of the library's.
func (l libraryLog) Write(line []byte) (int, error) {
	_, text, found := strings.Cut(string(line), "memberlist: ")
	if !found {
		text = string(line)
	}
	l.log.Debug("gossip", "library", clean(strings.TrimRight(text, "\n")))
	return len(line), nil
}
