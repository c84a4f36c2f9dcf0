// Package eval measures a matcher of persons on labelled data: who is found, at how many false
// alerts, how fast. It reads data from what it is handed and prints nothing: cmd/entente does.
//
// It knows a matcher by what it returns, never by how it works: whatever implements Engine is
// measured, and Matcher is this project's.
//
// One flow: ReadPersons and ReadQueries take the files apart, Names.Measure puts the persons into an
// index and asks it each query and each innocent (Ask), and Results says for each set how many were
// found above the score that a given share of the innocents exceed.
package eval

import (
	"cmp"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/entente-mesh/entente/node/formats/country"
	"github.com/entente-mesh/entente/node/match/script"
)

// Person is one person of a list.
type Person struct {
	ID          string   `json:"id"`
	Primary     string   `json:"primary"`
	Names       []string `json:"names"`
	Birth       string   `json:"dob"` // as parseDate returns it
	Nationality string   `json:"nat"`
	Sex         string   `json:"sex"` // "F", "M" or empty
	Line        int      `json:"-"`   // of the file
}

// Query is one traveller. An empty ID is an innocent.
type Query struct {
	Set         string `json:"set"`
	Text        string `json:"q"`
	ID          string `json:"id"`
	Birth       string `json:"dob"` // as parseDate returns it
	Nationality string `json:"nat"`
	Sex         string `json:"sex"` // "F", "M" or empty
	Line        int    `json:"-"`   // of the file
	// Group is where the name comes from, for fairness.
	Group string `json:"-"`
	// Primary and Secondary are the name in parts, where it is known in parts.
	Primary   string `json:"-"`
	Secondary string `json:"-"`
	Truncated bool   `json:"-"`
}

// Pair is two names and whether they are one person's.
type Pair struct {
	A, B string
	Same bool
}

// Unread counts what a file says in a way that cannot be read and that is therefore taken for
// unknown: by field, and in which line first. Nothing of it is a value.
type Unread map[string]*UnreadField

// UnreadField is how often one field could not be read, and what helps.
type UnreadField struct {
	Count, First int
	Remedy       string
}

func (u Unread) note(line int, field, remedy string) {
	if u == nil {
		return
	}
	if u[field] == nil {
		u[field] = &UnreadField{First: line, Remedy: remedy}
	}
	u[field].Count++
}

// String is one sentence a field; empty where everything could be read.
func (u Unread) String() string {
	var all []string
	for field, f := range u {
		all = append(all, fmt.Sprintf("%s: %d cannot be read and count as unknown, the first in line %d: %s", field, f.Count, f.First, f.Remedy))
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

// birth, nationality and sex bring what a file says to one form.
func (u Unread) birth(line int, field, text string) string {
	date, ok := parseDate(text)
	if !ok {
		u.note(line, field, "write 10 Dec 1948, Dec 1948, 1948 or 1948-12-10")
	}
	return date
}

func (u Unread) nationality(line int, field, text string) string {
	code, ok := country.Parse(text)
	if !ok && strings.TrimSpace(text) != "" {
		u.note(line, field, "write the state's name in English, or its code of ISO 3166-1")
	}
	return code
}

func (u Unread) sex(line int, field, text string) string {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "f", "female":
		return "F"
	case "m", "male":
		return "M"
	case "", "x", "other", "unknown", "<":
		return ""
	}
	u.note(line, field, "write F or M, or leave it empty")
	return ""
}

// ReadPersons yields the persons of a list, one JSON object a line, as it reads them: the list may
// be larger than memory. It ends with the first error. What of a person cannot be read is noted.
func ReadPersons(r io.Reader, unread Unread) iter.Seq2[*Person, error] {
	return func(yield func(*Person, error) bool) {
		seen := make(map[string]struct{})
		for p, err := range lines[Person](r) {
			if err == nil {
				err = p.complete(unread, seen)
			}
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

func (p *Person) at(line int) { p.Line = line }

func (p *Person) complete(unread Unread, seen map[string]struct{}) error {
	if p.ID == "" {
		return fieldError(p.Line, "id", "is empty: give every person an id of their own")
	}
	if _, ok := seen[p.ID]; ok {
		return fieldError(p.Line, "id", fmt.Sprintf("%q is another person's in a line before: give every person an id of their own, and all their names in one line", p.ID))
	}
	seen[p.ID] = struct{}{}
	if p.Primary != "" && !slices.Contains(p.Names, p.Primary) {
		p.Names = slices.Insert(p.Names, 0, p.Primary)
	}
	p.Names = slices.DeleteFunc(p.Names, func(n string) bool { return strings.TrimSpace(n) == "" })
	if len(p.Names) == 0 {
		return fieldError(p.Line, "names", "are empty, and so is primary: give one name at least")
	}
	p.Birth = unread.birth(p.Line, "dob", p.Birth)
	p.Nationality = unread.nationality(p.Line, "nat", p.Nationality)
	p.Sex = unread.sex(p.Line, "sex", p.Sex)
	return nil
}

// ReadQueries reads travellers, one JSON object a line.
func ReadQueries(r io.Reader, unread Unread) ([]Query, error) {
	var all []Query
	for q, err := range lines[Query](r) {
		switch {
		case err != nil:
			return nil, err
		case strings.TrimSpace(q.Text) == "":
			return nil, fieldError(q.Line, "q", "is empty: write the name that is asked for")
		case q.ID != "" && q.Set == "":
			return nil, fieldError(q.Line, "set", "is empty: name the set that the query belongs to")
		}
		q.Birth = unread.birth(q.Line, "dob", q.Birth)
		q.Nationality = unread.nationality(q.Line, "nat", q.Nationality)
		q.Sex = unread.sex(q.Line, "sex", q.Sex)
		all = append(all, *q)
	}
	return all, nil
}

func (q *Query) at(line int) { q.Line = line }

// zoneRoom is how many characters a name has in the zone of a passport (Doc 9303-4, 4.2.2).
const zoneRoom = 39

// ReadNegatives reads innocents from a table with a head line, each by the name that the zone of
// their passport would carry. Whose surname and given names are empty goes by the full name.
func ReadNegatives(r io.Reader, unread Unread) ([]Query, error) {
	var all []Query
	for row, err := range table(r, []string{"first_name", "last_name"},
		[]string{"full_name", "middle_name", "gender", "date_of_birth", "nationality"}) {
		if err != nil {
			return nil, err
		}
		surname, given := row.of["last_name"], strings.TrimSpace(row.of["first_name"]+" "+row.of["middle_name"])
		if surname == "" {
			surname, given = cmp.Or(given, row.of["full_name"]), ""
		}
		q := ZoneQuery(surname, given)
		if q.Text == "" {
			return nil, fieldError(row.line, "last_name", "holds no name that a passport's zone can carry, nor do first_name and full_name: write one, or take the line out")
		}
		q.Line = row.line
		q.Birth = unread.birth(row.line, "date_of_birth", row.of["date_of_birth"])
		q.Nationality = unread.nationality(row.line, "nationality", row.of["nationality"])
		q.Sex = unread.sex(row.line, "gender", row.of["gender"])
		all = append(all, q)
	}
	return all, nil
}

// ZoneQuery is an innocent by the name that the zone of their passport carries.
func ZoneQuery(surname, given string) Query {
	primary, secondary, truncated := script.FromMRZ(script.MRZ(surname, given, zoneRoom))
	q := Query{Set: "neg", Truncated: truncated}
	q.Primary, q.Secondary = strings.ToUpper(strings.Join(primary, " ")), strings.ToUpper(strings.Join(secondary, " "))
	if q.Primary == "" {
		q.Primary, q.Secondary = q.Secondary, ""
	}
	q.Text = strings.TrimSpace(q.Primary + " " + q.Secondary)
	return q
}

// ReadPairs reads pairs of names from a table with a head line.
func ReadPairs(r io.Reader) ([]Pair, error) {
	var all []Pair
	for row, err := range table(r, []string{"name1", "name2", "is_match"}, nil) {
		if err != nil {
			return nil, err
		}
		p := Pair{A: row.of["name1"], B: row.of["name2"]}
		switch strings.ToLower(strings.TrimSpace(row.of["is_match"])) {
		case "true", "1", "yes", "t":
			p.Same = true
		case "false", "0", "no", "f":
		default:
			return nil, fieldError(row.line, "is_match", fmt.Sprintf("is %q: write true or false", row.of["is_match"]))
		}
		all = append(all, p)
	}
	return all, nil
}
