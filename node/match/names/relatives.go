package names

import (
	"math/bits"

	"github.com/entente-mesh/entente/node/match/people"
)

// relatives is what speaks for two of one family: forms of the surname that are a man's and a
// woman's, as the persons are; or fathers of two names.
func (a *asked) relatives(s *segment, name uint32, words []uint32, r resolved) float32 {
	sum := float32(0)
	if sex := s.facts[s.nameOwner[name]].sex; sex != 0 && a.sex != 0 && sex != a.sex {
		for i := range r.options {
			if o := &r.options[i]; r.bestSet[0]&(1<<i) != 0 && bits.OnesCount32(o.asked) == 1 && bits.OnesCount32(o.listed) == 1 {
				_, mine := people.Stem(a.words[bits.TrailingZeros32(o.asked)].latin)
				_, theirs := people.Stem(s.words[words[bits.TrailingZeros32(o.listed)]].latin)
				if byte(mine) == a.sex && byte(theirs) == sex {
					sum = tuned.otherSex
				}
			}
		}
	}
	if r.leftAsked == 0 || r.leftListed == 0 {
		return sum
	}
	for i, w := range a.words {
		if r.usedAsked&(1<<i) != 0 {
			continue
		}
		if _, _, ok := people.Patronymic(w.latin); !ok {
			continue
		}
		for j, n := range words {
			if _, _, ok := people.Patronymic(s.words[n].latin); ok && r.usedListed&(1<<j) == 0 {
				return sum + tuned.otherFather
			}
		}
	}
	return sum
}

// otherSurname says that a man's given names agree and his surname does not, which the document tells
// apart: few men change it. A woman's may have changed with her marriage. What the list has instead
// must be more than the father's name.
func (a *asked) otherSurname(s *segment, words []uint32, r *resolved) bool {
	if a.sex != 'M' || a.surname == 0 || r.usedAsked == 0 || r.usedAsked&a.surname != 0 || r.leftListed == 0 {
		return false
	}
	for j, w := range words {
		if r.usedListed&(1<<j) != 0 || minor(s.roles[w]) {
			continue
		}
		if _, _, ok := people.Patronymic(s.words[w].latin); !ok {
			return true
		}
	}
	return false
}
