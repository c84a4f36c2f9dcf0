package names

// bornSet are the countries in which a list says that somebody was born: more than two say nothing.
type bornSet [2]uint16

func newBornSet(codes []string) bornSet {
	var s bornSet
	at := 0
	for _, c := range codes {
		n := codeNumber(c)
		if n == 0 || n == s[0] || n == s[1] {
			continue
		}
		if at == len(s) {
			return bornSet{}
		}
		s[at] = n
		at++
	}
	return s
}

// bornWeight is what the country of birth tells. Nearly everybody was born where they are a national:
// where that agrees already, the same country once more says little. One that differs says little as
// well: lists take it from papers that were forged, and borders have moved since.
func bornWeight(asked uint16, listed bornSet, nationality uint16, nationalitySays float32) float32 {
	switch {
	case asked == 0 || listed[0] == 0:
		return 0
	case asked != listed[0] && asked != listed[1]:
		return bornOther
	case asked == nationality && nationalitySays > 0:
		return bornAgain
	}
	return bornSame
}

// Log-odds of the country of birth.
const (
	bornSame  = 2.0
	bornAgain = 0.4
	bornOther = -0.7
)
