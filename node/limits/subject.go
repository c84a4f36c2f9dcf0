package limits

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/node/match/script"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// Mark is a keyed hash. Without the key it says nothing of what it is a mark of, and marks of two
// keys have nothing in common.
type Mark uint64

// Kind is what a question is about.
type Kind int

// The kinds.
const (
	Document Kind = iota + 1
	Person
)

// Subject is what a question is about, as marks.
type Subject struct {
	Kind Kind
	// Exact is the same for the same question, in whatever spelling that finds the same.
	Exact Mark
	// Near are the neighbourhoods that the question lies in: questions that are a step from each
	// other share one.
	Near []Mark
}

// Marker makes marks. It is safe for concurrent use.
type Marker struct{ key [32]byte }

// NewMarker returns a marker with a key of its own, which is derived from the secret and must be
// the same after a restart.
func NewMarker(secret []byte) *Marker {
	m := &Marker{}
	h := sha256.New()
	h.Write([]byte("entente limits mark v1\x00"))
	h.Write(secret)
	h.Sum(m.key[:0])
	return m
}

func (m *Marker) mark(parts ...string) Mark {
	b := append(make([]byte, 0, 192), m.key[:]...)
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	sum := sha256.Sum256(b)
	return Mark(binary.BigEndian.Uint64(sum[:]))
}

// Question returns the subjects of a question. Either half may be nil.
func (m *Marker) Question(document *queryv1.DocumentQuery, person *queryv1.PersonQuery) []Subject {
	var subjects []Subject
	if document != nil {
		subjects = m.Documents(document.GetIssuer(), match.DocumentKeys(document.GetNumber()))
	}
	if person != nil {
		subjects = append(subjects, m.Person(person))
	}
	return subjects
}

// neighbours is how many of a number's last characters may differ between neighbours: states
// issue in series, and who goes through one goes through its last digits.
const neighbours = 3

// Documents returns a subject for each key under which a document is looked up (match.DocumentKeys):
// a text with several numbers asks about several documents.
func (m *Marker) Documents(issuer string, keys []string) []Subject {
	subjects := make([]Subject, 0, len(keys))
	for _, key := range keys {
		subjects = append(subjects, Subject{
			Kind:  Document,
			Exact: m.mark("document", issuer, key),
			Near:  []Mark{m.mark("series", issuer, key[:max(0, len(key)-neighbours)])},
		})
	}
	return subjects
}

// Person returns the subject of a question about a person. Who climbs a hill changes one thing at
// a time and looks at what the answer says, so that each neighbourhood is the question without
// one thing: without the name, and without the birth date.
func (m *Marker) Person(q *queryv1.PersonQuery) Subject {
	words := wordsOf(q)
	outlines := make([]string, 0, len(words))
	for _, w := range words {
		outlines = append(outlines, outline(w))
	}
	slices.Sort(outlines)
	birth := q.GetBirthDate()
	exact := []string{"person", strings.Join(words, " "), birth, q.GetNationality(), q.GetSex().String()}
	if q.GetBirthCountry() != "" { // without it the marks are those of the releases that did not ask it
		exact = append(exact, q.GetBirthCountry())
	}
	s := Subject{
		Kind:  Person,
		Exact: m.mark(exact...),
		Near:  []Mark{m.mark("name", strings.Join(outlines, " "), q.GetNationality())},
	}
	switch {
	case birth == "":
		// Nothing holds the place but the words that stay when one is changed.
		slices.SortStableFunc(outlines, func(a, b string) int { return len(b) - len(a) })
		for _, o := range outlines[:min(2, len(outlines))] {
			s.Near = append(s.Near, m.mark("word", o, q.GetNationality()))
		}
	case len(birth) < len("2006-01-02") || strings.HasSuffix(birth, "-01-01"):
		// 1 January stands for "not known" in many registers: thousands share it. A letter of the
		// name keeps them apart.
		first := ""
		if len(outlines) > 0 && outlines[0] != "" {
			first = outlines[0][:1]
		}
		s.Near = append(s.Near, m.mark("birth", birth, first))
	default:
		s.Near = append(s.Near, m.mark("birth", birth))
	}
	return s
}

// wordsOf returns the words of the name in one order, so that the order tells nothing, and in the
// letters of the zone, so that the script does not.
func wordsOf(q *queryv1.PersonQuery) []string {
	text := q.GetName() + " " + q.GetPrimary() + " " + q.GetSecondary()
	words := script.Zone(text)
	if len(words) == 0 {
		words = strings.Fields(strings.ToUpper(script.Fold(text))) // a script that no table covers
	}
	slices.Sort(words)
	return words
}

// outline is what stays of a word when its vowels are misheard and its letters doubled.
func outline(word string) string {
	b := make([]byte, 0, len(word))
	for i := range len(word) {
		switch c := word[i]; c {
		case 'A', 'E', 'I', 'O', 'U', 'Y', 'H', 'W':
		default:
			if len(b) == 0 || b[len(b)-1] != c {
				b = append(b, c)
			}
		}
	}
	if len(b) == 0 {
		return word
	}
	return string(b)
}
