package match

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/entente-mesh/entente/node/match/script"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// individual is what these tests read of one person of the United Nations list.
type individual struct {
	ID       string `xml:"DATAID"`
	First    string `xml:"FIRST_NAME"`
	Second   string `xml:"SECOND_NAME"`
	Third    string `xml:"THIRD_NAME"`
	Fourth   string `xml:"FOURTH_NAME"`
	Original string `xml:"NAME_ORIGINAL_SCRIPT"`
	Aliases  []struct {
		Quality string `xml:"QUALITY"`
		Name    string `xml:"ALIAS_NAME"`
	} `xml:"INDIVIDUAL_ALIAS"`
	Births []struct {
		Type string `xml:"TYPE_OF_DATE"`
		Date string `xml:"DATE"`
		Year int    `xml:"YEAR"`
		From int    `xml:"FROM_YEAR"`
		To   int    `xml:"TO_YEAR"`
	} `xml:"INDIVIDUAL_DATE_OF_BIRTH"`
	Documents []struct {
		Number string `xml:"NUMBER"`
	} `xml:"INDIVIDUAL_DOCUMENT"`
}

func (i *individual) primary() string {
	return strings.Join(strings.Fields(i.First+" "+i.Second+" "+i.Third+" "+i.Fourth), " ")
}

func (i *individual) record() *recordv1.Record {
	p := &recordv1.Person{Names: []*recordv1.Name{name(i.primary())}}
	if i.Original != "" {
		p.Names = append(p.Names, name(i.Original))
	}
	for _, a := range i.Aliases {
		if strings.TrimSpace(a.Name) == "" {
			continue
		}
		n := name(a.Name)
		n.Type = recordv1.NameType_NAME_TYPE_ALIAS
		if a.Quality == "Low" {
			n.Type = recordv1.NameType_NAME_TYPE_LOW_QUALITY
		}
		p.Names = append(p.Names, n)
	}
	for _, b := range i.Births {
		precision := recordv1.DatePrecision_DATE_PRECISION_YEAR
		if b.Type == "APPROXIMATELY" {
			precision = recordv1.DatePrecision_DATE_PRECISION_APPROXIMATE
		}
		switch {
		case len(b.Date) >= len("2006-01-02"):
			birth := day(b.Date[:len("2006-01-02")])
			if precision == recordv1.DatePrecision_DATE_PRECISION_APPROXIMATE {
				birth.Precision = precision
			}
			p.Births = append(p.Births, birth)
		case b.Year > 0:
			p.Births = append(p.Births, years(precision, b.Year, b.Year))
		case b.From > 0 && b.To >= b.From:
			p.Births = append(p.Births, years(recordv1.DatePrecision_DATE_PRECISION_RANGE, b.From, b.To))
		}
	}
	return &recordv1.Record{RecordId: "un:" + i.ID, Body: &recordv1.Record_Person{Person: p}}
}

// birthDate is the first date of the record as a query says it.
func (i *individual) birthDate() string {
	for _, b := range i.Births {
		switch {
		case len(b.Date) >= len("2006-01-02"):
			return b.Date[:len("2006-01-02")]
		case b.Year > 0:
			return fmt.Sprintf("%04d", b.Year)
		case b.From > 0:
			return fmt.Sprintf("%04d", b.From)
		}
	}
	return ""
}

func readIndividuals(tb testing.TB, text []byte) []individual {
	tb.Helper()
	var list struct {
		Individuals []individual `xml:"INDIVIDUALS>INDIVIDUAL"`
	}
	if err := xml.Unmarshal(text, &list); err != nil {
		tb.Fatal(err)
	}
	return list.Individuals
}

// sharedData returns the folder of public test data: ENTENTE_DATA, or shared/data beside the
// repository.
func sharedData(tb testing.TB) string {
	tb.Helper()
	if dir := os.Getenv("ENTENTE_DATA"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			tb.Fatal("no go.mod above the test")
		}
	}
	data := filepath.Join(filepath.Dir(dir), "shared", "data")
	if _, err := os.Stat(data); err != nil {
		tb.Skip("no public test data: set ENTENTE_DATA to its folder; TestInventedList covers the same code")
	}
	return data
}

func readUNList(tb testing.TB) []individual {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(sharedData(tb), "lists", "un_consolidated.xml"))
	if err != nil {
		tb.Fatal(err)
	}
	return readIndividuals(tb, text)
}

// checkPrimaryNames searches each person of a list by the primary name, with the birth date where
// there is one, and without it: they must be among the first three.
func checkPrimaryNames(t *testing.T, list []individual) {
	t.Helper()
	p := NewPersons(Options{})
	for i := range list {
		p.Put("un:"+list[i].ID, list[i].record())
	}
	if p.Len() != len(list) {
		t.Errorf("%d of %d persons are in the index", p.Len(), len(list))
	}
	rank := func(i *individual, q *queryv1.PersonQuery) (rank, hits int) {
		found := p.Search(q, MaxHits)
		return slices.IndexFunc(found, func(c Candidate) bool { return c.RecordID == "un:"+i.ID }), len(found)
	}
	with, without, told, hits, nearest := 0, 0, 0, 0, 0
	for i := range list {
		in := &list[i]
		q := ask(in.primary(), in.birthDate())
		if q.GetBirthDate() == "" {
			// A common name alone is nobody's: the person is the nearest, and not told of for that.
			without++
			ranked := p.Rank(q, 3)
			if !slices.ContainsFunc(ranked, func(r Ranked) bool { return r.ID == "un:"+in.ID }) {
				t.Errorf("person %s, of no birth date: not among the nearest three", in.ID)
			}
		} else {
			with++
			if r, n := rank(in, q); r < 0 && len(q.GetBirthDate()) < len(time.DateOnly) &&
				slices.ContainsFunc(p.Rank(q, 3), func(r Ranked) bool { return r.ID == "un:"+in.ID }) {
				nearest++ // a year does not make a common name somebody's
				continue
			} else if r < 0 || r > 2 {
				t.Errorf("person %s: rank %d", in.ID, r)
			} else {
				hits += n
			}
			// As a passport writes it: the last word as surname.
			words := script.Zone(in.primary())
			last := len(words) - 1
			q = &queryv1.PersonQuery{Primary: words[last], Secondary: strings.Join(words[:last], " "), BirthDate: in.birthDate()}
			if r, _ := rank(in, q); r < 0 || r > 2 {
				t.Errorf("person %s, as in a passport: rank %d", in.ID, r)
			}
		}
		if r, _ := rank(in, ask(in.primary(), "")); r >= 0 {
			told++
		}
	}
	t.Logf("%d persons, %d with a birth date, %d of these not told of, %d told of by the name alone, %d hits", len(list), with, nearest, told, hits)
	if nearest*50 > with && len(list) > 100 {
		t.Errorf("%d of %d persons with a birth date are not told of", nearest, with)
	}
	if 10*told < 8*len(list) && len(list) > 100 {
		t.Errorf("%d of %d persons are told of by the name alone", told, len(list))
	}
	if hits > 2*len(list) {
		t.Errorf("%d hits for %d persons: too many for an officer to look at", hits, len(list))
	}
}

func TestUNListPrimaryNames(t *testing.T) {
	list := readUNList(t)
	checkPrimaryNames(t, list)
	with := 0
	for i := range list {
		if list[i].birthDate() != "" {
			with++
		}
	}
	if len(list) == 730 && with != 730-53 {
		t.Errorf("%d persons with a birth date, want %d", with, 730-53)
	}
}

func TestInventedList(t *testing.T) {
	list := readIndividuals(t, []byte(inventedList))
	checkPrimaryNames(t, list)
	checkDocumentNumbers(t, list)
}

// checkDocumentNumbers asks for every number exactly as it was recorded.
func checkDocumentNumbers(t *testing.T, list []individual) {
	t.Helper()
	n := 0
	for i := range list {
		for _, d := range list[i].Documents {
			if d.Number == "" {
				continue
			}
			n++
			numbers := DocumentNumbers(d.Number)
			if len(numbers) == 0 {
				t.Errorf("person %s: no key in a recorded number", list[i].ID)
				continue
			}
			rec := stolen(d.Number, "", passport)
			// A query holds 64 characters; a longer text is asked for by the number in it.
			asked := d.Number
			if utf8.RuneCountInString(asked) > MaxKeyLength {
				asked = numbers[0]
			}
			if _, ok := ScoreDocument(&queryv1.DocumentQuery{Number: asked}, rec); !ok {
				t.Errorf("person %s: a recorded number asked for as written is no hit", list[i].ID)
			}
			// What was recognised first is what a passport's zone would hold.
			if c, ok := ScoreDocument(&queryv1.DocumentQuery{Number: numbers[0] + "<"}, rec); !ok {
				t.Errorf("person %s: the recognised number is no hit: %v", list[i].ID, c.Explanation)
			}
		}
	}
	t.Logf("%d document numbers", n)
}

func TestUNListDocumentNumbers(t *testing.T) {
	checkDocumentNumbers(t, readUNList(t))
}

// inventedList has the shapes of the United Nations list: names in one to four parts, aliases of
// every quality, original scripts, all kinds of dates, numbers in sentences.
const inventedList = `<CONSOLIDATED_LIST><INDIVIDUALS>
<INDIVIDUAL><DATAID>1</DATAID><FIRST_NAME>KARIM</FIRST_NAME><SECOND_NAME>BELHADJ</SECOND_NAME><THIRD_NAME>OMAR</THIRD_NAME><FOURTH_NAME>ZEROUALI</FOURTH_NAME>
 <NAME_ORIGINAL_SCRIPT>كريم بلحاج عمر زروالي</NAME_ORIGINAL_SCRIPT>
 <INDIVIDUAL_ALIAS><QUALITY>Low</QUALITY><ALIAS_NAME>Karim</ALIAS_NAME></INDIVIDUAL_ALIAS>
 <INDIVIDUAL_DATE_OF_BIRTH><TYPE_OF_DATE>EXACT</TYPE_OF_DATE><DATE>1989-04-17</DATE></INDIVIDUAL_DATE_OF_BIRTH>
 <INDIVIDUAL_DOCUMENT><NUMBER>Utopian passport number OA454805, issued on 12 March 2009</NUMBER></INDIVIDUAL_DOCUMENT>
 <INDIVIDUAL_DOCUMENT><NUMBER>A-1234567 (expired 2012)</NUMBER></INDIVIDUAL_DOCUMENT></INDIVIDUAL>
<INDIVIDUAL><DATAID>2</DATAID><FIRST_NAME>KARIM BELHADJ</FIRST_NAME><SECOND_NAME>ZEROUALI</SECOND_NAME>
 <INDIVIDUAL_DATE_OF_BIRTH><TYPE_OF_DATE>APPROXIMATELY</TYPE_OF_DATE><YEAR>1989</YEAR></INDIVIDUAL_DATE_OF_BIRTH>
 <INDIVIDUAL_DOCUMENT><NUMBER>Utopian armed forces (UAF) military identification and discharge
number 911-10-77</NUMBER></INDIVIDUAL_DOCUMENT></INDIVIDUAL>
<INDIVIDUAL><DATAID>3</DATAID><FIRST_NAME>ABD AL-RAHMAN</FIRST_NAME><SECOND_NAME>MUHAMMAD</SECOND_NAME><THIRD_NAME>AL-HABU</THIRD_NAME>
 <INDIVIDUAL_ALIAS><QUALITY>Good</QUALITY><ALIAS_NAME>Abdurrahman Mohamed Alhabu</ALIAS_NAME></INDIVIDUAL_ALIAS>
 <INDIVIDUAL_DATE_OF_BIRTH><TYPE_OF_DATE>BETWEEN</TYPE_OF_DATE><FROM_YEAR>1961</FROM_YEAR><TO_YEAR>1965</TO_YEAR></INDIVIDUAL_DATE_OF_BIRTH>
 <INDIVIDUAL_DOCUMENT><NUMBER>96 03 464086</NUMBER></INDIVIDUAL_DOCUMENT></INDIVIDUAL>
<INDIVIDUAL><DATAID>4</DATAID><FIRST_NAME>ABDUL</FIRST_NAME><SECOND_NAME>MOHAMMED</SECOND_NAME>
 <INDIVIDUAL_ALIAS><QUALITY/><ALIAS_NAME/></INDIVIDUAL_ALIAS><INDIVIDUAL_DATE_OF_BIRTH/>
 <INDIVIDUAL_DOCUMENT><NUMBER>Utopia B/002210</NUMBER></INDIVIDUAL_DOCUMENT></INDIVIDUAL>
<INDIVIDUAL><DATAID>5</DATAID><FIRST_NAME>ZAWRAWI</FIRST_NAME>
 <INDIVIDUAL_DATE_OF_BIRTH><TYPE_OF_DATE>EXACT</TYPE_OF_DATE><YEAR>1971</YEAR></INDIVIDUAL_DATE_OF_BIRTH>
 <INDIVIDUAL_DOCUMENT><NUMBER>PS 472330208 </NUMBER></INDIVIDUAL_DOCUMENT></INDIVIDUAL>
<INDIVIDUAL><DATAID>6</DATAID><FIRST_NAME>Ри</FIRST_NAME><SECOND_NAME>Хрущёв</SECOND_NAME>
 <INDIVIDUAL_DATE_OF_BIRTH><TYPE_OF_DATE>EXACT</TYPE_OF_DATE><DATE>1950-01-01</DATE></INDIVIDUAL_DATE_OF_BIRTH>
 <INDIVIDUAL_DOCUMENT><NUMBER>passport number 8208 No. 555627</NUMBER></INDIVIDUAL_DOCUMENT></INDIVIDUAL>
</INDIVIDUALS></CONSOLIDATED_LIST>`
