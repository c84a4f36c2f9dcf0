package policy

import (
	"slices"
	"sync"
	"time"

	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// memory remembers what was decided: an officer at a counter makes the same check in the eyes of
// policy a thousand times a day, and asks the same bureaus. It is a part of its set, and goes with
// it when the policies are reloaded. Decisions on records are never remembered: how long one takes
// would tell whether there is a record.
type memory[K comparable, V any] struct {
	mu   sync.RWMutex
	kept map[K]V
}

// mostKept is how many decisions of a kind are remembered: the clients of a large country, each
// with a few purposes, twice over.
const mostKept = 8192

func (m *memory[K, V]) find(k K) (V, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, ok := m.kept[k]
	return v, ok
}

func (m *memory[K, V]) keep(k K, v V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil || len(m.kept) >= mostKept {
		m.kept = map[K]V{}
	}
	m.kept[k] = v
}

// clipped is a decision to keep: whoever appends to a list of it makes one of his own.
func clipped(d Decision) Decision {
	d.Rules, d.Obligations.Redact = slices.Clip(d.Rules), slices.Clip(d.Obligations.Redact)
	return d
}

// checkKey is all that a decision on a check depends on, but for the policies themselves. No
// policy on a check sees the time, nor anything of who is checked.
type checkKey struct {
	kind       identity.Kind
	federation identity.Federation
	bureau     identity.Bureau
	agency     string
	role       identity.Role
	name       string
	purposes   uint64 // a bit for each
	purpose    recordv1.Purpose
	hasCase    bool
}

// keyOfCheck returns the key of a check; ok is false if a purpose has no bit.
func keyOfCheck(f *CheckFacts) (k checkKey, ok bool) {
	k = checkKey{
		kind: f.Client.Kind, federation: f.Client.Federation, bureau: f.Client.Bureau, agency: f.Client.Agency, role: f.Client.Role, name: f.Client.Name,
		purpose: f.Purpose, hasCase: f.HasCase,
	}
	k.purposes, ok = bits(f.Client.Purposes)
	return k, ok
}

// bits are purposes as a bit each; ok is false if one has none.
func bits(purposes []recordv1.Purpose) (all uint64, ok bool) {
	for _, p := range purposes {
		if p < 0 || p >= 64 {
			return 0, false
		}
		all |= 1 << p
	}
	return all, true
}

// questionKey is all that a decision on a question depends on, to another bureau or from one, but
// for the policies themselves. What no policy looks at is left out.
type questionKey struct {
	action, collection        string
	self, other               identity.Bureau
	federation                identity.Federation
	agency, role, client      string
	purposes                  uint64
	purpose                   recordv1.Purpose
	issuingState, nationality string
	hasCase                   bool
	span                      int
}

// maxKeptText bounds each text that a stranger chooses and the memory keeps.
const maxKeptText = 64

// keyOfAsk returns the key of a question to another bureau; ok is false where the decision is not
// to be remembered.
func (s *Set) keyOfAsk(f *AskFacts) (k questionKey, ok bool) {
	sight := s.index[actionAsk].sightOf()
	k = questionKey{
		action: actionAsk, collection: f.Collection, self: f.Self, other: f.To, federation: f.Client.Federation,
		agency: f.Client.Agency, role: string(f.Client.Role), purpose: f.Purpose, span: s.span(f.Now),
	}
	if sight.clients {
		k.client = f.Client.Name
	}
	k.purposes, ok = bits(f.Client.Purposes)
	return k, k.about(sight, f.IssuingState, f.Nationality) && ok
}

// keyOfAnswer is the same of a question from another bureau.
func (s *Set) keyOfAnswer(f *AnswerFacts) (k questionKey, ok bool) {
	k = questionKey{
		action: actionAnswer, collection: f.Collection, self: f.Self, other: f.From, federation: f.Federation,
		agency: f.Agency, role: f.Role, purpose: f.Purpose, hasCase: f.HasCase, span: s.span(f.Now),
	}
	return k, k.about(s.index[actionAnswer].sightOf(), f.IssuingState, f.Nationality)
}

// about adds what a question says of whom and what it asks about.
func (k *questionKey) about(sight sight, issuingState, nationality string) bool {
	if sight.issuingState {
		k.issuingState = issuingState
	}
	if sight.nationality {
		k.nationality = nationality
	}
	return !sight.clock && len(k.issuingState) <= maxKeptText && len(k.nationality) <= maxKeptText
}

// span is the number of the span of time in which a moment lies. Where policies compare the time
// with moments that they name, and do nothing else with it, they decide alike all through a span:
// before the first of these moments, at it, between it and the next, and so on.
func (s *Set) span(now time.Time) int {
	i, at := slices.BinarySearch(s.changes, now.UnixMilli())
	if at {
		return 2*i + 1
	}
	return 2 * i
}
