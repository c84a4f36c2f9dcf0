package witness

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

const (
	// maxInbox is how many checkpoints of one bureau wait to be looked at. Of a flood, a random
	// choice is: its sender cannot choose what is not seen.
	maxInbox = 32
	// recall is how long the same bytes are not looked at again. They are after that, since what
	// was fine a minute ago may be a step back now, and what no key had signed may have one.
	recall = time.Minute
)

// way is how a checkpoint came here.
type way int

const (
	carried way = iota // by a signed message of its bureau
	fetched            // as its bureau's answer to GetCheckpoint
	told               // by somebody else
)

// sighting is a checkpoint as it came, before anything of it is believed.
type sighting struct {
	note     []byte
	carrier  *signedv1.Signed // nil unless carried
	at       time.Time        // the carrier's own time
	received time.Time        // by the own clock; of one that was fetched, when it was asked for
	way      way
	teller   identity.Bureau // of one that was told, if it is known
}

// watched is one other bureau. mu is held for moments; turn is held over input and output, by
// whoever looks at the bureau's logs.
type watched struct {
	bureau identity.Bureau
	wake   chan struct{}

	mu         sync.Mutex // guards what follows
	inbox      []sighting
	recent     [8]recent // the last bytes that were seen
	oldest     int       // in recent
	heard      time.Time // when a message of it was last seen
	shown      time.Time // when it last showed a checkpoint, whatever it was worth
	wanted     bool      // its checkpoint is to be fetched
	known      bool      // a log of it is known
	empty      int       // messages in a row without a checkpoint, although a log is known
	emptySince time.Time
	stats      Stats
	snapshot   []Known
	tells      [][]byte // what others are told of it

	turn    sync.Mutex // guards what follows
	logs    map[string]*log
	odd     oddities
	next    time.Time // nothing is asked of it before
	fetched bool      // the last question was for its checkpoint
}

// recent is a checkpoint's bytes, and until when they need not be looked at again.
type recent struct {
	note  []byte
	until time.Time
}

func newWatched(of identity.Bureau) *watched {
	return &watched{bureau: of, wake: make(chan struct{}, 1), logs: make(map[string]*log)}
}

// saw is the hot path: a comparison with what came before, and for what is new a place in the
// inbox.
func (b *watched) saw(s sighting, tries int, patience time.Duration) {
	b.mu.Lock()
	if s.way == carried {
		b.heard = s.received
	}
	if len(s.note) == 0 {
		if !b.known {
			b.mu.Unlock()
			return
		}
		if b.empty++; b.empty == 1 {
			b.emptySince = s.received
		}
		if b.empty < tries || s.received.Sub(b.emptySince) < patience {
			b.mu.Unlock()
			return
		}
		b.empty = 0 // said once, and counted anew
		b.emptySince = time.Time{}
	} else {
		if s.way == carried {
			b.shown, b.empty = s.received, 0
		}
		for i := range b.recent {
			if r := &b.recent[i]; bytes.Equal(r.note, s.note) && s.received.Before(r.until) && s.way == carried {
				b.mu.Unlock()
				return
			}
		}
		// The caller's message is not kept alive for the few bytes of it, and of what is too long
		// to be a checkpoint no more than shows it.
		s.note = bytes.Clone(s.note[:min(len(s.note), evidence.MaxCheckpoint+1)])
		if s.way == carried { // what is told must not hide what is carried
			b.recent[b.oldest] = recent{note: s.note, until: s.received.Add(recall)}
			b.oldest = (b.oldest + 1) % len(b.recent)
		}
		b.stats.Seen++
	}
	if len(b.inbox) < maxInbox {
		b.inbox = append(b.inbox, s)
	} else {
		b.inbox[rand.IntN(maxInbox)] = s
		b.stats.Dropped++
	}
	b.mu.Unlock()
	b.rouse()
}

func (b *watched) rouse() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// drain takes the inbox.
func (b *watched) drain() []sighting {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.inbox
	b.inbox = nil
	return all
}
