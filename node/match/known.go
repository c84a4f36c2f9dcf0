package match

import "github.com/entente-mesh/entente/node/match/names"

// known is what is known of a traveller beside the name: of the birth date nothing, a part or the
// day, and nationality and sex or not. Each has thresholds of its own, so that all of one class alert
// equally often: what agrees adds to strangers' scores as well.
type known uint8

const (
	birthPart known = names.Besides << iota // beside names.BesideNationality and names.BesideSex
	birthDay
	allKnown   = 3 * names.Besides
	everything = birthDay | names.BesideNationality | names.BesideSex // all that a document tells
)

func knownOf(q *names.Query) known {
	var k known
	switch {
	case q.BirthKnown && q.Birth.From == q.Birth.To:
		k = birthDay
	case q.BirthKnown:
		k = birthPart
	}
	if q.Nationality != "" {
		k |= names.BesideNationality
	}
	if q.Sex != 0 {
		k |= names.BesideSex
	}
	return k
}

// class is the class whose alerts count.
func (k known) class() Class {
	if k < birthPart {
		return ByName
	}
	return ByBirthDate
}

// known is how a class is shown: a name that somebody types, and a passport.
func (c Class) known() known {
	if c == ByBirthDate {
		return everything
	}
	return 0
}
