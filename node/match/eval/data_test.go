package eval

import (
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDatesAsListsWriteThem(t *testing.T) {
	for in, want := range map[string]string{
		"10 Dec 1948": "1948-12-10", "3 Sep 1938": "1938-09-03", "03 September 1938": "1938-09-03", "Dec 1948": "1948-12",
		"1948": "1948", "1948-12": "1948-12", "1948-12-10": "1948-12-10", "": "", "  ": "", "1948-12-00": "1948-12", "1948-00-00": "1948",
		"10-DEC-1948": "1948-12-10", "December 10, 1948": "1948-12-10", "10.12.1948": "1948-12-10", "sept 1948": "1948-09",
		"circa 1948": "~1948", "Approximately 10 Dec 1948": "~1948-12-10", "1948 to 1950": "1948/1950", "1948-1950": "1948/1950",
		"between 3 Mar 1948 and Dec 1950": "1948-03-03/1950-12",
	} {
		if got, ok := parseDate(in); got != want || !ok {
			t.Errorf("%q is %q, %v, want %q", in, got, ok, want)
		}
	}
	for _, in := range []string{"a b c", "31 Feb 1948", "0 Dec 1948", "10/12/1948", "1950 to 1948", "circa", "Foo 1948", "19480", "0000", "n/a"} {
		if got, ok := parseDate(in); ok {
			t.Errorf("%q is the date %q", in, got)
		}
	}
}

func FuzzDate(f *testing.F) {
	for _, s := range []string{"10 Dec 1948", "circa 1948", "1948 to 1950", "1948-00-00", "between 1 Jan 1948 and 1950", "~"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		date, ok := parseDate(s)
		if !ok || date == "" {
			return
		}
		if b := birthOf(date); b == nil || b.GetFrom() == "" || b.GetTo() < b.GetFrom() {
			t.Errorf("%q is %q, of which a record says %v", s, date, b)
		}
	})
}

func all(t *testing.T, text string, unread Unread) []Person {
	t.Helper()
	var persons []Person
	for p, err := range ReadPersons(strings.NewReader(text), unread) {
		if err != nil {
			t.Fatal(err)
		}
		persons = append(persons, *p)
	}
	return persons
}

func TestPersonsAsTheyAreRead(t *testing.T) {
	unread := Unread{}
	got := all(t, "\ufeff"+`{"id":"a","src":"x","primary":"Oran Vesk","names":["VESK, Oran","Oran Vesk"],"dob":"10 Dec 1948","nat":"Greece"}`+"\r\n\r\n"+
		`{"id":"b","primary":"Mina Tol","dob":"in spring","nat":"Ruritania"}`+"\n"+
		`{"id":"c","primary":"Ada Pern","names":["Ada P. Pern"," "],"dob":null,"sex":"female"}`, unread)
	want := []Person{
		{ID: "a", Primary: "Oran Vesk", Names: []string{"VESK, Oran", "Oran Vesk"}, Birth: "1948-12-10", Nationality: "GRC", Line: 1},
		{ID: "b", Primary: "Mina Tol", Names: []string{"Mina Tol"}, Line: 3},
		{ID: "c", Primary: "Ada Pern", Names: []string{"Ada Pern", "Ada P. Pern"}, Sex: "F", Line: 4},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if told := unread.String(); !strings.Contains(told, "dob: 1 cannot be read and count as unknown, the first in line 3") ||
		!strings.Contains(told, "nat: 1 cannot be read") || strings.Contains(told, "Ruritania") || strings.Contains(told, "spring") {
		t.Errorf("what could not be read: %s", told)
	}
}

func TestQueriesMayLackWhatIsNotKnown(t *testing.T) {
	got, err := ReadQueries(strings.NewReader(`{"set":"x","q":"TOL MINA","id":"b","note":{"a":1}}`+"\n"+`{"q":"ARN LO"}`), nil)
	want := []Query{{Set: "x", Text: "TOL MINA", ID: "b", Line: 1}, {Text: "ARN LO", Line: 2}}
	if err != nil || cmp.Diff(want, got) != "" {
		t.Error(err, cmp.Diff(want, got))
	}
}

func TestNegativesInAnyOrderOfColumns(t *testing.T) {
	got, err := ReadNegatives(strings.NewReader("\ufeffnationality,last_name,first_name,middle_name,gender,date_of_birth,note\r\n"+
		"Spain,\"Gárcez, de\",Ana,Luz,female,3 Mar 1970,\"one, two\"\r\n,Öst,Nils,,male,,\r\n,,Budi,,other,,\r\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []Query{
		{Set: "neg", Text: "GARCEZ DE ANA LUZ", Primary: "GARCEZ DE", Secondary: "ANA LUZ", Birth: "1970-03-03", Nationality: "ESP", Sex: "F", Line: 2},
		{Set: "neg", Text: "OEST NILS", Primary: "OEST", Secondary: "NILS", Sex: "M", Line: 3},
		{Set: "neg", Text: "BUDI", Primary: "BUDI", Line: 4},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestMistakesAreNamed: the line, the field, the remedy, and no name of anybody.
func TestMistakesAreNamed(t *testing.T) {
	persons := func(r io.Reader) error {
		for _, err := range ReadPersons(r, nil) {
			if err != nil {
				return err
			}
		}
		return nil
	}
	queries := func(r io.Reader) error { _, err := ReadQueries(r, nil); return err }
	negatives := func(r io.Reader) error { _, err := ReadNegatives(r, nil); return err }
	pairs := func(r io.Reader) error { _, err := ReadPairs(r); return err }
	good := `{"id":"a","primary":"Oran Vesk"}` + "\n"
	for _, c := range []struct {
		name string
		read func(io.Reader) error
		text string
		want []string
	}{
		{"no object", persons, good + `{"id":"b"`, []string{"line 2", "write one a line"}},
		{"a list", persons, good + `["Oran"]`, []string{"line 2", "write one a line"}},
		{"no id", persons, good + `{"primary":"Oran"}`, []string{"line 2", "id", "give every person"}},
		{"an id twice", persons, good + "\n" + good, []string{"line 3", `id "a"`, "give every person"}},
		{"no name", persons, good + `{"id":"b","names":[]}`, []string{"line 2", "names", "give one name"}},
		{"names as a text", persons, `{"id":"b","names":"Oran"}`, []string{"line 1", "names", `write a list of texts`}},
		{"a date as a number", persons, `{"id":"b","primary":"Oran","dob":1948}`, []string{"line 1", "dob", "write a text in quotes"}},
		{"a line without end", persons, good + strings.Repeat("x", mostLine+1), []string{"line 2", "longer than"}},
		{"no q", queries, `{"set":"x","id":"a"}`, []string{"line 1", "q", "write the name"}},
		{"no set", queries, `{"q":"Oran","id":"a"}`, []string{"line 1", "set", "name the set"}},
		{"no column", negatives, "full_name,last_name\nOran Vesk,Vesk\n", []string{"line 1", "first_name", "add it"}},
		{"no head", negatives, "", []string{"line 1", "first_name", "head line"}},
		{"a short line", negatives, "first_name,last_name\nOran\n", []string{"line 2", "last_name", "write as many"}},
		{"no name in the zone", negatives, "first_name,last_name\n-,*\n", []string{"line 2", "last_name", "write one"}},
		{"a quote within a cell", negatives, "first_name,last_name\nOr\"an,Vesk\n", []string{"line 2", "column", "double the quotes"}},
		{"neither true nor false", pairs, "name1,name2,is_match\nOran,Oram,perhaps\n", []string{"line 2", "is_match", "true or false"}},
	} {
		err := c.read(strings.NewReader(c.text))
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Oran") {
				t.Errorf("%s: %v, want %q and no name", c.name, err, want)
			}
		}
	}
}

func TestPairs(t *testing.T) {
	got, err := ReadPairs(strings.NewReader("group,is_match,name2,name1\nx,TRUE,b,a\nx,no,\"d, e\",c\n"))
	if d := cmp.Diff([]Pair{{"a", "b", true}, {"c", "d, e", false}}, got); err != nil || d != "" {
		t.Error(err, d)
	}
}

func FuzzPersons(f *testing.F) {
	f.Add([]byte(`{"id":"a","primary":"Oran Vesk","names":["VESK, Oran"],"dob":"10 Dec 1948","nat":"Greece"}` + "\n{}"))
	f.Add([]byte("\ufeff{\"id\":1}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for p, err := range ReadPersons(strings.NewReader(string(b)), Unread{}) {
			if err != nil {
				if !strings.HasPrefix(err.Error(), "line ") {
					t.Errorf("%v does not say where", err)
				}
				return
			}
			if p.ID == "" || len(p.Names) == 0 || p.Record().GetPerson() == nil {
				t.Errorf("a person without id or name: %+v", p)
			}
		}
	})
}

func FuzzQueries(f *testing.F) {
	f.Add([]byte(`{"set":"x","q":"TOL MINA","id":"b","dob":"1948","nat":"Spain"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		queries, err := ReadQueries(strings.NewReader(string(b)), Unread{})
		if err != nil && !strings.HasPrefix(err.Error(), "line ") {
			t.Errorf("%v does not say where", err)
		}
		for _, q := range queries {
			q.Ask(All)
		}
	})
}

func FuzzTables(f *testing.F) {
	f.Add([]byte("first_name,last_name,gender\nAna,\"Gárcez, de\",female\n"))
	f.Add([]byte("\ufeffname1,name2,is_match\r\na,b,true\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, negatives := ReadNegatives(strings.NewReader(string(b)), Unread{})
		_, pairs := ReadPairs(strings.NewReader(string(b)))
		for _, err := range []error{negatives, pairs} {
			if err != nil && !strings.HasPrefix(err.Error(), "line ") {
				t.Errorf("%v does not say where", err)
			}
		}
	})
}
