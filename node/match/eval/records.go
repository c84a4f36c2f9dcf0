package eval

import (
	"fmt"
	"strings"
	"time"

	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Record is a person of a list as the store would hold them.
func (p *Person) Record() *recordv1.Record {
	body := &recordv1.Person{}
	for _, n := range p.Names {
		body.Names = append(body.Names, &recordv1.Name{Parts: []*recordv1.NamePart{{Kind: recordv1.NamePartKind_NAME_PART_KIND_FULL, Text: n}}})
	}
	if b := birthOf(p.Birth); b != nil {
		body.Births = append(body.Births, b)
	}
	if p.Nationality != "" {
		body.Nationalities = append(body.Nationalities, &recordv1.Nationality{Code: p.Nationality})
	}
	body.Sex = sexOf(p.Sex)
	return &recordv1.Record{RecordId: p.ID, Body: &recordv1.Record_Person{Person: body}}
}

// birthOf turns what parseDate returns into a statement of a record.
func birthOf(date string) *recordv1.Birth {
	if date == "" {
		return nil
	}
	if about, ok := strings.CutPrefix(date, "~"); ok {
		b := birthOf(about)
		b.Precision = recordv1.DatePrecision_DATE_PRECISION_APPROXIMATE
		return b
	}
	if from, to, ok := strings.Cut(date, "/"); ok {
		return &recordv1.Birth{Precision: recordv1.DatePrecision_DATE_PRECISION_RANGE, From: birthOf(from).GetFrom(), To: birthOf(to).GetTo()}
	}
	precision, form, months, days := recordv1.DatePrecision_DATE_PRECISION_DAY, time.DateOnly, 0, 0
	switch len(date) {
	case len("2006"):
		precision, form, months, days = recordv1.DatePrecision_DATE_PRECISION_YEAR, "2006", 12, -1
	case len("2006-01"):
		precision, form, months, days = recordv1.DatePrecision_DATE_PRECISION_MONTH, "2006-01", 1, -1
	}
	d, err := time.Parse(form, date)
	if err != nil {
		return nil
	}
	return &recordv1.Birth{Precision: precision, From: d.Format(time.DateOnly), To: d.AddDate(0, months, days).Format(time.DateOnly)}
}

func sexOf(letter string) recordv1.Sex {
	switch letter {
	case "F":
		return recordv1.Sex_SEX_FEMALE
	case "M":
		return recordv1.Sex_SEX_MALE
	}
	return recordv1.Sex_SEX_UNSPECIFIED
}

// Evidence is what of a query is asked beside the name.
type Evidence int

// What may be known of a traveller.
const (
	NameOnly Evidence = iota
	NameAndBirth
	All
)

// ParseEvidence reads the word of the command line.
func ParseEvidence(s string) (Evidence, error) {
	switch strings.ToLower(s) {
	case "name":
		return NameOnly, nil
	case "name+dob":
		return NameAndBirth, nil
	case "all":
		return All, nil
	}
	return 0, fmt.Errorf("evidence %q: say name, name+dob or all", s)
}

// Ask is a query as an officer's system puts it. A birth date that is approximate or a range is not
// one that a document says: it is not asked.
func (q *Query) Ask(e Evidence) *queryv1.PersonQuery {
	p := &queryv1.PersonQuery{Name: q.Text, Truncated: q.Truncated}
	if q.Primary != "" {
		p.Name, p.Primary, p.Secondary = "", q.Primary, q.Secondary
	}
	if e >= NameAndBirth && !strings.ContainsAny(q.Birth, "~/") {
		p.BirthDate = q.Birth
	}
	if e >= All {
		p.Nationality = q.Nationality
		p.Sex = sexOf(q.Sex)
	}
	return p
}
