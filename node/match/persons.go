package match

import (
	"cmp"
	"slices"
	"sync"

	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Bounds on what one search may cost, whatever was asked. The rarest words are looked up first, so
// what a bound cuts off is what says the least.
const (
	maxPostings   = 60_000 // entries of the inverted index read
	maxCandidates = 400    // persons scored
	// MaxHits is the most candidates that Search returns: all that it scores. Whoever withholds some of
	// them must see the rest.
	MaxHits = maxCandidates
)

// Persons is an index of recorded persons, searched by name. It is safe for concurrent use.
//
// It holds one read-write lock over maps rather than an immutable snapshot: a change is small (a
// handful of words, prepared before the lock is taken) and a search holds the lock only while it
// collects candidates, never while it scores, so that either waits for a millisecond at the most;
// a snapshot would copy the index for each of the ten thousand records of an import.
type Persons struct {
	scorer Scorer

	mu       sync.RWMutex // owns what follows
	slots    []*slot      // by number; nil: free
	free     []uint32
	byID     map[string]uint32
	postings map[uint64][]uint32 // hash of a key to the numbers of persons, unordered
}

// slot is one indexed person. It is never changed once it is in the index.
type slot struct {
	id      string
	subject *Subject
	keys    []uint64
}

// Options are the settings of an index. The zero value is ready for use.
type Options struct {
	// Scorer decides about candidates. Optional: Additive.
	Scorer Scorer
}

// NewPersons returns an empty index.
func NewPersons(o Options) *Persons {
	if o.Scorer == nil {
		o.Scorer = Additive{}
	}
	return &Persons{scorer: o.Scorer, byID: make(map[string]uint32), postings: make(map[uint64][]uint32)}
}

// Put adds a person to the index, or replaces them. A record that cannot be matched against
// travellers (an entity, no person, no name in a known script) is taken out. The index keeps the
// record: the caller does not change it afterwards.
func (p *Persons) Put(id string, rec *recordv1.Record) {
	person := rec.GetPerson()
	if person == nil || person.GetKind() == recordv1.PersonKind_PERSON_KIND_ENTITY {
		p.Remove(id)
		return
	}
	s := &slot{id: id, subject: newSubject(rec)}
	for _, n := range s.subject.names {
		s.keys = appendIndexKeys(s.keys, n)
	}
	slices.Sort(s.keys)
	s.keys = slices.Compact(s.keys)
	if len(s.keys) == 0 {
		p.Remove(id)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(id)
	var n uint32
	if last := len(p.free) - 1; last >= 0 {
		n, p.free = p.free[last], p.free[:last]
		p.slots[n] = s
	} else {
		n = uint32(len(p.slots))
		p.slots = append(p.slots, s)
	}
	p.byID[id] = n
	for _, k := range s.keys {
		p.postings[k] = append(p.postings[k], n)
	}
}

// Remove takes a person out of the index; nothing happens if they are not in it.
func (p *Persons) Remove(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(id)
}

func (p *Persons) remove(id string) {
	n, ok := p.byID[id]
	if !ok {
		return
	}
	for _, k := range p.slots[n].keys {
		list := p.postings[k]
		at := slices.Index(list, n)
		last := len(list) - 1
		list[at] = list[last]
		if last == 0 {
			delete(p.postings, k)
		} else {
			p.postings[k] = list[:last]
		}
	}
	delete(p.byID, id)
	p.slots[n] = nil
	p.free = append(p.free, n)
}

// Len is the number of persons that can be found.
func (p *Persons) Len() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.byID)
}

// Search returns the persons that may be the one asked about, best first, at most limit of them and
// at most MaxHits. A query without a name in a known script finds nobody.
func (p *Persons) Search(q *queryv1.PersonQuery, limit int) []Candidate {
	return p.search(newAsked(q), limit)
}

func (p *Persons) search(asked *Asked, limit int) []Candidate {
	limit = min(limit, MaxHits)
	if limit <= 0 || len(asked.names) == 0 {
		return nil
	}
	var hits []Candidate
	for _, s := range p.collect(asked) {
		if c, ok := p.scorer.Score(asked, s.subject); ok {
			c.RecordID, c.Record = s.id, s.subject.Record
			hits = append(hits, c)
		}
	}
	slices.SortFunc(hits, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(b.Band, a.Band), cmp.Compare(b.Score, a.Score), cmp.Compare(a.RecordID, b.RecordID))
	})
	return hits[:min(len(hits), limit)]
}

// collect returns the persons who share keys with what was asked, those that share most and rarest
// first.
func (p *Persons) collect(asked *Asked) []*slot {
	var keys []uint64
	for _, n := range asked.names {
		keys = appendQueryKeys(keys, n, asked.Query.GetTruncated())
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)

	p.mu.RLock()
	defer p.mu.RUnlock()
	lists := make([][]uint32, 0, len(keys))
	for _, k := range keys {
		if list := p.postings[k]; len(list) > 0 {
			lists = append(lists, list)
		}
	}
	slices.SortStableFunc(lists, func(a, b []uint32) int { return cmp.Compare(len(a), len(b)) })
	weights := make(map[uint32]float64)
	read := 0
	for _, list := range lists {
		// A key that many share says little, as in the inverse document frequency.
		weight := 1 / float64(len(list)+1)
		for _, n := range list[:min(len(list), maxPostings-read)] {
			weights[n] += weight
		}
		if read += len(list); read >= maxPostings {
			break
		}
	}
	type found struct {
		slot   *slot
		weight float64
	}
	all := make([]found, 0, len(weights))
	for n, w := range weights {
		all = append(all, found{p.slots[n], w})
	}
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.slot.id, b.slot.id))
	})
	out := make([]*slot, 0, min(len(all), maxCandidates))
	for _, f := range all[:min(len(all), maxCandidates)] {
		out = append(out, f.slot)
	}
	return out
}
