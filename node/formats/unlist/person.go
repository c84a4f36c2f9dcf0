package unlist

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/entente-mesh/entente/node/formats/country"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// The bounds of the messages, in characters and items (record/v1/person.proto).
const (
	maxNames     = 256
	maxName      = 512
	maxBirths    = 32
	maxPlace     = 512
	maxNations   = 16
	maxTitles    = 64
	maxTitle     = 1024
	maxAddresses = 128
	maxAddress   = 1024
	maxRemarks   = 16384
	maxRef       = 128
)

// source is how records say where they come from.
const source = "United Nations Security Council Consolidated List"

// reading is one entry while it becomes records.
type reading struct {
	header  *Header
	entry   Entry
	entity  bool
	remarks []string
}

func (r *reading) note(field, format string, args ...any) {
	r.entry.Problems = append(r.entry.Problems, Problem{Field: field, Reason: fmt.Sprintf(format, args...)})
}

func (r *reading) refuse(field, format string, args ...any) {
	r.entry.Problems = append(r.entry.Problems, Problem{Field: field, Reason: fmt.Sprintf(format, args...), Refused: true})
}

func (r *reading) refused() bool {
	return slices.ContainsFunc(r.entry.Problems, func(p Problem) bool { return p.Refused })
}

func (r *reading) remark(format string, args ...any) {
	r.remarks = append(r.remarks, fmt.Sprintf(format, args...))
}

// tidy takes the layout of the file out of a text: line breaks and indentation.
func tidy(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if strings.EqualFold(s, "na") { // the schema's default for an element that is not filled in
		return ""
	}
	return s
}

// cut shortens a text to a bound, and says so.
func (r *reading) cut(field, s string, limit int) string {
	runes := []rune(s)
	if len(runes) <= limit {
		return s
	}
	r.note(field, "%d characters, cut to %d", len(runes), limit)
	return strings.TrimSpace(string(runes[:limit]))
}

// few shortens a list to a bound, and says so.
func few[T any](r *reading, field string, items []T, limit int) []T {
	if len(items) <= limit {
		return items
	}
	r.note(field, "%d of them, the first %d were taken", len(items), limit)
	return items[:limit]
}

// country looks up the name of a country; what it is about goes into the remarks if the name is
// not recognised.
func (r *reading) country(field, name string) string {
	if name = tidy(name); name == "" {
		return ""
	}
	code, ok := country.Alpha3(name)
	if !ok {
		r.header.UnknownCountries++
		r.note(field, "the name of the country is not recognised: kept in words")
	}
	return code
}

var dataIDPattern = regexp.MustCompile(`^[0-9]{1,18}$`)

// subject turns an entry into its records.
func (r *reading) subject(s *subject) {
	if r.entity {
		r.header.Entities++
	} else {
		r.header.Individuals++
	}
	id := tidy(s.DataID)
	if !dataIDPattern.MatchString(id) {
		r.refuse("DATAID", "give the number of 1 to 18 digits by which the list knows the entry")
		r.count(s)
		return
	}
	r.entry.ID = "un:" + id
	r.count(s)
	p := &recordv1.Person{
		Names:         r.names(s),
		Sex:           r.sex(s.Gender),
		Nationalities: r.nationalities(s.Nationalities.Values),
		Births:        r.births(s),
		Titles:        r.titles(s),
		Addresses:     r.addresses(append(s.Addresses, s.EntityAddresses...)),
		Kind:          recordv1.PersonKind_PERSON_KIND_NATURAL,
		// A listing is a measure of the Council, no finding of a court and no suspicion of a
		// national police.
		Role: recordv1.PersonRole_PERSON_ROLE_OF_INTEREST,
	}
	if r.entity {
		p.Kind, p.Role = recordv1.PersonKind_PERSON_KIND_ENTITY, recordv1.PersonRole_PERSON_ROLE_UNSPECIFIED
	}
	p.Action, p.ActionText = action(tidy(s.ListType), r.entity)
	documents := r.documents(s)
	if c := tidy(s.Comments); c != "" {
		r.remarks = append([]string{c}, r.remarks...)
	}
	p.Remarks = r.cut("COMMENTS1", strings.Join(r.remarks, "\n"), maxRemarks)
	if len(p.Names) == 0 {
		r.refuse("FIRST_NAME", "the entry has no name: give one")
	}
	r.entry.Records = append(r.entry.Records, &recordv1.Record{
		RecordId: r.entry.ID, Stewardship: r.stewardship(s), Body: &recordv1.Record_Person{Person: p},
	})
	for _, d := range documents {
		r.entry.Records = append(r.entry.Records, &recordv1.Record{
			RecordId: d.id, Stewardship: r.stewardship(s), Body: &recordv1.Record_Document{Document: d.document},
		})
	}
}

// count counts what the entry holds, as the list holds it.
func (r *reading) count(s *subject) {
	h := r.header
	empty := func(aliases []alias) (n int) {
		for _, a := range aliases {
			if tidy(a.Name) == "" {
				n++
			}
		}
		return n
	}
	h.Aliases += len(s.Aliases)
	h.AliasesEmpty += empty(s.Aliases)
	h.EntityAliases += len(s.EntityAliases)
	h.EntityAliasesEmpty += empty(s.EntityAliases)
	if tidy(s.OriginalScriptName) != "" {
		if r.entity {
			h.EntityOriginalScriptNames++
		} else {
			h.OriginalScriptNames++
		}
	}
}

// stewardship says where a record comes from. The day of the file is not in it: a newer file
// with the same entry must give the same record.
func (r *reading) stewardship(s *subject) *recordv1.Stewardship {
	reference := r.cutQuietly(tidy(s.Reference), maxRef)
	var notes []string
	if t := tidy(s.ListType); t != "" {
		notes = append(notes, "List: "+r.cutQuietly(t, maxRef)+".")
	}
	if d, ok := day(s.ListedOn); ok {
		notes = append(notes, "Listed on "+d+".")
	}
	var updated []string
	for _, v := range s.LastUpdated.Values {
		if d, ok := day(v); ok {
			updated = append(updated, d)
		}
	}
	if len(updated) > 0 {
		notes = append(notes, "Last changed on "+slices.Max(updated)+".")
	}
	return &recordv1.Stewardship{
		NationalRef: reference,
		LegalBasis:  legalBasis(tidy(s.ListType)),
		Provenance:  []*recordv1.Provenance{{Source: source, Reference: reference, Note: strings.Join(notes, " ")}},
	}
}

// cutQuietly is cut for what every record of the entry repeats.
func (*reading) cutQuietly(s string, limit int) string {
	if runes := []rune(s); len(runes) > limit {
		return string(runes[:limit])
	}
	return s
}

// day reads "YYYY-MM-DD", which the list sometimes follows with a time zone.
func day(s string) (string, bool) {
	s = tidy(s)
	if len(s) > len(time.DateOnly) {
		s = s[:len(time.DateOnly)]
	}
	_, err := time.Parse(time.DateOnly, s)
	return s, err == nil
}

func (r *reading) sex(gender string) recordv1.Sex {
	switch g := strings.ToLower(tidy(gender)); g {
	case "male":
		return recordv1.Sex_SEX_MALE
	case "female":
		return recordv1.Sex_SEX_FEMALE
	case "":
	default:
		r.note("GENDER", "neither Male nor Female: kept in words")
		r.remark("Gender as listed: %s", r.cut("GENDER", g, maxRef))
	}
	return recordv1.Sex_SEX_UNSPECIFIED
}

func (r *reading) nationalities(names []string) []*recordv1.Nationality {
	var all []*recordv1.Nationality
	for _, name := range names {
		if name = tidy(name); name == "" {
			continue
		}
		code := r.country("NATIONALITY", name)
		if code == "" {
			r.remark("Nationality as listed: %s", name)
			continue
		}
		if !slices.ContainsFunc(all, func(n *recordv1.Nationality) bool { return n.GetCode() == code }) {
			all = append(all, &recordv1.Nationality{Code: code})
		}
	}
	return few(r, "NATIONALITY", all, maxNations)
}

// titles are titles first, then the offices held.
func (r *reading) titles(s *subject) []string {
	var all []string
	for _, v := range append(slices.Clone(s.Titles.Values), s.Designations.Values...) {
		if v = tidy(v); v != "" {
			all = append(all, r.cut("DESIGNATION", v, maxTitle))
		}
	}
	return few(r, "DESIGNATION", all, maxTitles)
}

func (r *reading) addresses(list []address) []string {
	var all []string
	for _, a := range list {
		if text := a.text(true); text != "" {
			all = append(all, r.cut("ADDRESS", text, maxAddress))
		}
	}
	return few(r, "ADDRESS", all, maxAddresses)
}

// text writes an address in one line, in the order in which it is read aloud.
func (a address) text(withCountry bool) string {
	fields := []string{a.Street, a.City, a.State, a.Zip}
	if withCountry {
		fields = append(fields, a.Country)
	}
	var parts []string
	for _, f := range fields {
		if f = strings.Trim(tidy(f), ","); f != "" {
			parts = append(parts, f)
		}
	}
	text := strings.Join(parts, ", ")
	if note := tidy(a.Note); note != "" {
		if text != "" {
			text += " "
		}
		text += "(" + strings.Trim(note, "()") + ")"
	}
	return text
}
