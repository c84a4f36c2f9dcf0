package match

import "strings"

// soundPairs are spellings of one sound in romanised names, longest first. They serve Arabic,
// Persian, Turkic and Slavic names alike, so they are coarse.
var soundPairs = strings.NewReplacer(
	"SHCH", "S", "TSCH", "J", "DJ", "J", "DZH", "J", "SCH", "S", "SH", "S", "CH", "J", "ZH", "J",
	"KH", "H", "GH", "K", "PH", "F", "TH", "T", "DH", "D", "TS", "S", "TZ", "S", "CK", "K",
	"OU", "U", "OO", "U", "EE", "I", "IE", "I", "EI", "I", "EY", "I", "AI", "I", "AY", "I", "IY", "I",
	"AA", "A", "UO", "U", "AU", "U", "AW", "U", "OW", "U",
	"Q", "K", "C", "K", "G", "K", "X", "KS", "W", "V", "Y", "I", "Z", "S", "O", "U", "E", "I",
)

// soundOf folds a word in A to Z by sound: doubled letters are one and a last H is silent.
func soundOf(text string) string {
	s := soundPairs.Replace(text)
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if len(b) == 0 || b[len(b)-1] != s[i] {
			b = append(b, s[i])
		}
	}
	if len(b) > 2 && b[len(b)-1] == 'H' {
		b = b[:len(b)-1]
	}
	return string(b)
}

// skeletonOf keeps the consonants of a sound in classes. V goes with the vowels, because the Arabic
// و is written V, W, U, O and OU.
func skeletonOf(sound string) string {
	b := make([]byte, 0, len(sound))
	for i := range len(sound) {
		c := sound[i]
		switch c {
		case 'A', 'E', 'I', 'O', 'U', 'V', 'Y', 'W':
			continue
		case 'P':
			c = 'B'
		}
		if len(b) == 0 || b[len(b)-1] != c {
			b = append(b, c)
		}
	}
	return string(b)
}

// How alike two words are. A sound alone is never the same name (MARIO is not MARIA), and a
// skeleton still less (HASSAN is not HUSSEIN).
const (
	likeSame     = 1.0
	likeSound    = 0.95
	likeJoined   = 0.98 // ABD ALLAH for ABDALLAH: times the likeness of the joined words
	likePrefix   = 0.9  // the rest was cut by the document's field
	likeCutShort = 0.8  // the same, and but one or two letters were left
	likeSkeleton = 0.72
	likeInitial  = 0.7
	likeLeast    = 0.7 // below, two words are two names
)

// likeness compares two words.
func likeness(a, b Token, cutAllowed bool) float64 {
	best := 0.0
	for i := range a.Forms {
		for j := range b.Forms {
			if l := likeForms(&a.Forms[i], &b.Forms[j], cutAllowed); l > best {
				best = l
			}
		}
	}
	return best
}

func likeForms(a, b *Form, cutAllowed bool) float64 {
	if a.Text == b.Text {
		if a.bare || b.bare {
			return likeSound
		}
		return likeSame
	}
	// A's end was cut. One or two letters are too few to tell, but a full field leaves no more.
	if cutAllowed && len(a.Text) < 3 && strings.HasPrefix(b.Text, a.Text) {
		return likeCutShort
	}
	if len(a.Text) == 1 || len(b.Text) == 1 {
		if a.Text[0] == b.Text[0] {
			return likeInitial
		}
		return 0
	}
	best := 0.0
	if a.Sound == b.Sound && len(a.Sound) > 1 {
		best = likeSound
	}
	if cutAllowed && len(a.Text) >= 3 && strings.HasPrefix(b.Text, a.Text) {
		best = max(best, likePrefix)
	}
	if best < likeSkeleton && len(a.Skeleton) >= 3 && a.Skeleton == b.Skeleton {
		best = likeSkeleton
	}
	best = max(best, likeEdits(a.Text, b.Text, a.letters, b.letters))
	if best < likeSound {
		best = max(best, likeSound*likeEdits(a.Sound, b.Sound, a.sounds, b.sounds))
	}
	if best < likeLeast {
		return 0
	}
	return best
}

// likeEdits is 1 less the share of letters that a typist would have to change: 0 where that share
// is too high to be one word, which the sets of letters mostly tell without counting.
func likeEdits(a, b string, setA, setB uint32) float64 {
	longest := max(len(a), len(b))
	allowed := int(float64(longest) * (1 - likeLeast))
	if longest == 4 || longest == 3 {
		allowed = longest - 3 // one letter of four; none of three: ALI is not ALA
	}
	if allowed == 0 || len(a)-len(b) > allowed || len(b)-len(a) > allowed {
		return 0
	}
	if onlyIn(setA, setB) > allowed || onlyIn(setB, setA) > allowed {
		return 0
	}
	d := editDistance(a, b)
	if d > allowed {
		return 0
	}
	return 1 - float64(d)/float64(longest)
}

func onlyIn(a, b uint32) int {
	n := 0
	for rest := a &^ b; rest != 0; rest &= rest - 1 {
		n++
	}
	return n
}

// editDistance is Damerau-Levenshtein in its restricted form (optimal string alignment): insert,
// delete, replace, and swap of two neighbours. Words have at most maxTokenText letters, three times
// that when joined, so its rows are on the stack.
func editDistance(a, b string) int {
	var rows [3][3*maxTokenText + 1]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := 0; j <= len(b); j++ {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d := min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			row[j] = d
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
