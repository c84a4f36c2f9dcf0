package match

import (
	"google.golang.org/protobuf/proto"

	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

const (
	// evenNames is how many recorded names an even search compares with what was asked, those of the
	// persons found and of decoys together. A list gives a person some aliases, and few more than thirty.
	// Persons who have more together are compared all the same, and take as long as that takes.
	evenNames = 64
	// evenBytes is how many bytes of bodies an even search opens. A list says some hundred bytes of a
	// person, and of few more than two thousand.
	evenBytes = 4096
)

// Decoy is somebody whom nobody holds, for SearchEvenly.
type Decoy struct {
	body   []byte
	filler []byte // names, evenBytes of them
	name   int    // the size of one of them
}

// NewDecoy returns a decoy that is as the record given, which must be as a usual one is.
func NewDecoy(rec *recordv1.Record) *Decoy {
	d := &Decoy{body: marshalled(rec)}
	one := marshalled(&recordv1.Person{Names: []*recordv1.Name{{
		Type: recordv1.NameType_NAME_TYPE_ALIAS,
		Parts: []*recordv1.NamePart{
			{Kind: recordv1.NamePartKind_NAME_PART_KIND_PRIMARY, Text: "Nemo"},
			{Kind: recordv1.NamePartKind_NAME_PART_KIND_SECONDARY, Text: "Nullus"},
		},
	}}})
	d.name = len(one)
	for len(d.filler) < evenBytes {
		d.filler = append(d.filler, one...)
	}
	return d
}

// open opens the decoy's body.
func (d *Decoy) open() (*recordv1.Record, int) { return openBody(d.body), len(d.body) }

// fill opens as many bytes of names, whole names, and says how many those were.
func (d *Decoy) fill(bytes int) int {
	n := min(max(1, (bytes+d.name-1)/d.name)*d.name, len(d.filler))
	if proto.Unmarshal(d.filler[:n], &recordv1.Person{}) != nil {
		return 0 // NewDecoy has made it
	}
	return n
}

// SearchEvenly is Search that does the same work for nobody found as for a few: it makes as many
// decoys as are missing to least hits, and returns them apart; it opens a body for each, and so many
// bytes more as all bodies lack to a fixed number; and it compares as many names more, of somebody
// whom it drops, as all those lack to a fixed number. How long it takes then says nothing of whether
// one person is held who may not be told of, nor by how many names, nor of how much is said of them. A
// decoy bears the name and the birth date that were asked and is else the one given.
func (p *Persons) SearchEvenly(q *queryv1.PersonQuery, limit, least int, decoy *Decoy) (found, decoys []Candidate) {
	found, decoys, _ = p.searchEvenly(q, limit, least, decoy)
	return found, decoys
}

func (p *Persons) searchEvenly(q *queryv1.PersonQuery, limit, least int, decoy *Decoy) (found, decoys []Candidate, took work) {
	found, took = p.search(q, limit)
	asked := askedOf(q)
	missing := max(0, least-len(found))
	for range missing {
		r, n, ok := p.index.Decoy(asked, 1)
		if !ok {
			return found, nil, took
		}
		rec, size := decoy.open()
		r.ID = rec.GetRecordId()
		c, _ := candidateOf(q, asked, &r, rec)
		decoys = append(decoys, c)
		p.opened.Add(1)
		took.names, took.opened, took.bytes = took.names+n, took.opened+1, took.bytes+size
	}
	took.bytes += decoy.fill(evenBytes - took.bytes)
	p.opened.Add(1)
	took.opened++
	_, n, _ := p.index.Decoy(asked, max(1, evenNames-took.names))
	took.names += n
	return found, decoys, took
}
