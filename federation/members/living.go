package members

import (
	"strings"
	"sync"

	"github.com/hashicorp/memberlist"

	"github.com/entente-mesh/entente/pki/identity"
)

// living knows whose replicas memberlist holds for alive or suspect, and tells of a bureau that
// becomes so. It is memberlist's EventDelegate: the library calls it while it holds its own lock,
// so nothing here may wait or call back.
type living struct {
	self    identity.Bureau
	onAlive func(identity.Bureau)

	mu    sync.Mutex // guards what follows
	names map[identity.Bureau]map[string]bool
	risen map[identity.Bureau]bool // to be told
	wake  chan struct{}            // buffered 1
}

func newLiving(self identity.Bureau, onAlive func(identity.Bureau)) *living {
	return &living{self: self, onAlive: onAlive,
		names: make(map[identity.Bureau]map[string]bool),
		risen: make(map[identity.Bureau]bool),
		wake:  make(chan struct{}, 1)}
}

func bureauOfName(name string) identity.Bureau {
	bureau, _, _ := strings.Cut(name, "/")
	return identity.Bureau(bureau)
}

// NotifyJoin notes that a replica has become alive.
func (l *living) NotifyJoin(n *memberlist.Node) {
	b := bureauOfName(n.Name)
	if b == l.self {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.names[b] == nil {
		l.names[b] = make(map[string]bool)
	}
	if len(l.names[b]) == 0 {
		l.risen[b] = true
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	l.names[b][n.Name] = true
}

// NotifyLeave notes that a replica is dead or gone.
func (l *living) NotifyLeave(n *memberlist.Node) {
	b := bureauOfName(n.Name)
	l.mu.Lock()
	defer l.mu.Unlock()
	if delete(l.names[b], n.Name); len(l.names[b]) == 0 {
		delete(l.names, b)
	}
}

// NotifyUpdate does nothing: a new statement was verified when it came.
func (l *living) NotifyUpdate(*memberlist.Node) {}

// any says whether any replica of a bureau is alive.
func (l *living) any(b identity.Bureau) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.names[b]) > 0
}

// room says whether a replica may be alive beside the others of its bureau.
func (l *living) room(b identity.Bureau, name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.names[b][name] || len(l.names[b]) < maxReplicas
}

// run tells of the risen until stop is closed.
func (l *living) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-l.wake:
		}
		l.mu.Lock()
		risen := l.risen
		l.risen = make(map[identity.Bureau]bool)
		l.mu.Unlock()
		if l.onAlive == nil {
			continue
		}
		for b := range risen {
			l.onAlive(b)
		}
	}
}
