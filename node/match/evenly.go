package match

import (
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// evenNames is how many recorded names an even search compares with what was asked, those of the
// persons found and of decoys together. A list gives a person some aliases, and few more than thirty.
// Persons who have more together are compared all the same, and take as long as that takes.
const evenNames = 64

// SearchEvenly is Search that does the same work for nobody found as for a few: it scores as many
// decoys as are missing to least hits, and returns them apart; and it scores one more, which it drops,
// with as many names as those found and the decoys lack to a fixed number. How long it takes then says
// nothing of whether one person is held who may not be told of, nor by how many names. A decoy bears
// the name and the birth date that were asked and is else the record given; its id is that record's.
func (p *Persons) SearchEvenly(q *queryv1.PersonQuery, limit, least int, decoy *recordv1.Record) (found, decoys []Candidate) {
	asked := newAsked(q)
	hits := p.search(asked, limit)
	if len(asked.names) == 0 {
		return hits, nil
	}
	missing := max(0, least-len(hits))
	names := missing
	for _, c := range hits {
		names += len(c.Record.GetPerson().GetNames())
	}
	one := decoySubject(asked, decoy, 1)
	for range missing {
		c, _ := p.scorer.Score(asked, one) // what it says of a decoy is of no account
		c.RecordID, c.Record = decoy.GetRecordId(), decoy
		decoys = append(decoys, c)
	}
	p.scorer.Score(asked, decoySubject(asked, decoy, max(1, evenNames-names)))
	return hits, decoys
}

// decoySubject is somebody of the name and birth date that were asked, by so many names.
func decoySubject(asked *Asked, decoy *recordv1.Record, names int) *Subject {
	s := &Subject{Record: decoy, names: make([]*preparedName, names), types: make([]recordv1.NameType, names)}
	alias := asked.names[0]
	if names > 1 {
		// An alias is like the name and not the same, and dearer to compare for that.
		alias = prepare(newName(alias.Text + "a"))
	}
	for i := range names {
		s.names[i], s.types[i] = alias, recordv1.NameType_NAME_TYPE_PRIMARY
	}
	s.names[0] = asked.names[0]
	if asked.hasBirth {
		s.births = []span{asked.birth}
	}
	return s
}
