package policy

import (
	"slices"
	"sync"

	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

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
	for _, p := range f.Client.Purposes {
		if p < 0 || p >= 64 {
			return checkKey{}, false
		}
		k.purposes |= 1 << p
	}
	return k, true
}

// mostChecks is how many decisions on checks are remembered: the clients of a large country, each
// with a few purposes, twice over.
const mostChecks = 8192

// checkMemory remembers decisions on checks: an officer at a counter makes the same check in the
// eyes of policy a thousand times a day. It is a part of its set, and goes with it when the
// policies are reloaded.
type checkMemory struct {
	mu   sync.RWMutex
	kept map[checkKey]Decision
}

func (m *checkMemory) find(k checkKey) (Decision, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	d, ok := m.kept[k]
	return d, ok
}

func (m *checkMemory) keep(k checkKey, d Decision) Decision {
	// Whoever appends to a list makes one of his own.
	d.Rules, d.Obligations.Redact = slices.Clip(d.Rules), slices.Clip(d.Obligations.Redact)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil || len(m.kept) >= mostChecks {
		m.kept = map[checkKey]Decision{}
	}
	m.kept[k] = d
	return d
}
