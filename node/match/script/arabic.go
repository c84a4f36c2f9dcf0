package script

import (
	"strings"
	"unicode/utf8"
)

// arabicTables are the letters of Arabic and its neighbours, and the names that most people bear.
type arabicTables struct {
	*abjad
	names map[string][]string // in unified letters (see unify)
}

func readArabicTables() *arabicTables {
	return &arabicTables{
		abjad: readAbjad("arabic", "پچژگکیےټځڅډړږښګڼېۍٹڈڑںہھۀەێۆڵڕۋ"),
		names: readNames("arabic_names", unify),
	}
}

// readNames reads a table of a name in its script and its usual spellings in Latin letters.
func readNames(name string, unify func(string, []byte) []byte) map[string][]string {
	names := make(map[string][]string)
	for _, row := range rows(name) {
		key := string(unify(row[0], nil))
		names[key] = append(names[key], strings.Fields(row[1])...)
	}
	return names
}

// unify writes a word with one letter for each sound of which scribes and keyboards have several:
// alif with and without hamza, the ya of Cairo, Tehran and Lahore.
func unify(word string, buf []byte) []byte {
	for _, r := range word {
		switch r {
		case 'أ', 'إ', 'آ', 'ٱ':
			r = 'ا'
		case 'ى', 'ی', 'ئ', 'ې', 'ۍ', 'ے', 'ۓ', 'ێ':
			r = 'ي'
		case 'ک', 'ڪ':
			r = 'ك'
		case 'ة', 'ہ', 'ھ', 'ە', 'ۀ', 'ۃ', 'ۂ':
			r = 'ه'
		case 'ؤ', 'ۆ', 'ۇ', 'ۋ':
			r = 'و'
		case 'ګ':
			r = 'گ'
		case 'ء':
			continue
		}
		buf = utf8.AppendRune(buf, r)
	}
	return buf
}

// nameWeights are those of the spellings of a known name, in the table's order.
var nameWeights = [...]float32{1, 0.97, 0.94, 0.91, 0.88, 0.85}

func nameWeight(i int) float32 { return nameWeights[min(i, len(nameWeights)-1)] }

const (
	article   = "ال"
	servantOf = "عبدال"
	ofFaith   = "الدين"
	ofGod     = "الله"
)

func readArabic(token string, c *collector) {
	t := tables().arabic
	var buf [2 * MaxLetters]byte
	word := unify(token, buf[:0])
	if known := t.names[string(word)]; known != nil {
		for i, text := range known {
			c.add(text, nameWeight(i), false)
		}
		t.abjad.read(token, 0.55, c)
		return
	}
	switch {
	case begins(word, servantOf, 3):
		t.readParts(servants, string(word[len(servantOf):]), nil, c)
	case begins(word, article, 2):
		t.readParts(articles, string(word[len(article):]), nil, c)
	case begins(word, "ابوال", 2):
		t.readParts(fathersOf, string(word[len("ابوال"):]), nil, c)
	case begins(word, "ابو", 3) && t.known(word[len("ابو"):]):
		t.readParts(fathers, string(word[len("ابو"):]), nil, c)
	case begins(word, "بو", 3) && t.known(word[len("بو"):]):
		t.readParts(bous, string(word[len("بو"):]), nil, c)
	case begins(word, "بن", 3) && t.known(word[len("بن"):]):
		t.readParts(sons, string(word[len("بن"):]), nil, c)
	case finishes(word, ofFaith, 2):
		t.readParts(nil, string(word[:len(word)-len(ofFaith)]), faiths, c)
	case finishes(word, ofGod, 2):
		t.readParts(nil, string(word[:len(word)-len(ofGod)]), gods, c)
	default:
		t.readTwo(word, c)
	}
	t.abjad.read(token, partWeight(c), c)
}

func (t *arabicTables) known(word []byte) bool { return t.names[string(word)] != nil }

// readTwo reads two known names that are written as one: علیرضا.
func (t *arabicTables) readTwo(word []byte, c *collector) {
	for at := range word {
		if at < 2*2 || at > len(word)-2*2 || len(word) < 6*2 || !utf8.RuneStart(word[at]) {
			continue
		}
		first, second := t.names[string(word[:at])], t.names[string(word[at:])]
		if first == nil || second == nil {
			continue
		}
		for i := range min(2, len(first)) {
			for j := range min(2, len(second)) {
				c.add(first[i]+second[j], nameWeight(i)*nameWeight(j), false)
			}
		}
		return
	}
}

// partWeight is what a reading of the whole word weighs beside those of its parts.
func partWeight(c *collector) float32 {
	if len(c.forms) > 0 {
		return 0.5
	}
	return 1
}

func begins(word []byte, prefix string, letters int) bool {
	return strings.HasPrefix(string(word), prefix) && utf8.RuneCount(word[len(prefix):]) >= letters
}

func finishes(word []byte, suffix string, letters int) bool {
	return strings.HasSuffix(string(word), suffix) && utf8.RuneCount(word[:len(word)-len(suffix)]) >= letters
}

// What is written onto a name. A "~" is the article's l, which takes the sound of a letter of the
// sun: al-Rahman is said ar-Rahman.
var (
	articles  = []alternative{{"", 1}, {"al", 0.98}, {"el", 0.9}, {"a~", 0.75}, {"e~", 0.7}}
	servants  = []alternative{{"abdul", 1}, {"abdel", 0.97}, {"abdu~", 0.93}, {"abdal", 0.9}, {"abde~", 0.9}}
	fathers   = []alternative{{"abu", 1}, {"abou", 0.9}, {"abo", 0.7}}
	fathersOf = []alternative{{"abul", 1}, {"abual", 0.97}, {"aboul", 0.95}, {"abu~", 0.8}, {"abuel", 0.8}}
	bous      = []alternative{{"bou", 1}, {"bu", 0.95}, {"abu", 0.8}}
	sons      = []alternative{{"ben", 1}, {"bin", 0.97}, {"ibn", 0.8}}
	faiths    = []alternative{{"uddin", 1}, {"aldin", 0.95}, {"eddin", 0.95}, {"uldin", 0.7}, {"eddine", 0.9}, {"adin", 0.6}}
	gods      = []alternative{{"ullah", 1}, {"allah", 0.98}, {"ollah", 0.8}, {"ulla", 0.8}}
)

// sunLetters are the Latin letters of those that take the article's l into their own sound.
const sunLetters = "dlnrstz"

// isSun reports whether a word begins with a letter of the sun.
func isSun(word string) bool {
	r, _ := utf8.DecodeRuneInString(word)
	return strings.ContainsRune("تثدذرزسشصضطظلن", r)
}

// readParts reads a name with what is written onto it, before or after.
func (t *arabicTables) readParts(before []alternative, name string, after []alternative, c *collector) {
	rest := collector{most: 4}
	if known := t.names[name]; known != nil {
		for i, text := range known {
			rest.add(text, nameWeight(i), false)
		}
	} else {
		t.abjad.read(name, 1, &rest)
	}
	var b [2 * maxLatin]byte
	room := c.most - 2 // a reading of the whole word, and its bare letters
	for i, f := range rest.forms {
		for j := range max(len(before), len(after)) {
			// The first spelling with everything, the others with less: 1 1 1 1 1, 1 1, 1.
			if f.Bare || i > 0 && j > 3-i || len(c.forms) >= room {
				continue
			}
			text := b[:0]
			weight := f.Weight
			if before != nil {
				weight *= before[j].weight
				for _, x := range []byte(before[j].text) {
					if x == '~' {
						x = f.Text[0]
						if strings.IndexByte(sunLetters, x) < 0 {
							x = 'l'
						}
					}
					text = append(text, x)
				}
			}
			text = append(text, f.Text...)
			if after != nil {
				weight *= after[j].weight
				text = append(text, after[j].text...)
			}
			c.addBytes(text, weight, false)
		}
	}
}

// arabicSkeletons adds the skeletons of a word and, if it begins with the article, of it without.
func arabicSkeletons(token string, k *keys) {
	t := tables().arabic
	var buf [2 * MaxLetters]byte
	word := string(unify(token, buf[:0]))
	half := keys{most: max(1, (k.most+1)/2)}
	if known := t.names[word]; known != nil {
		for _, text := range known {
			k.latin(text, 1)
		}
		t.sounds.sound(token, k)
		return
	}
	// The article at the start may be left out, and inside takes the sound of the next letter.
	if rest, ok := strings.CutPrefix(token, article); ok && utf8.RuneCountInString(rest) >= 2 {
		t.sounds.sound(rest, &half)
		if isSun(rest) && len(half.all) > 0 {
			half.most++
			half.add([]byte("a" + half.all[0]))
		}
	} else if at := strings.Index(word, article); at > 0 && len(word)-at > len(article)+2 {
		t.sounds.sound(word[:at]+word[at+len(article):], &half)
	}
	k.all = append(k.all, half.all...)
	t.sounds.sound(token, k)
}
