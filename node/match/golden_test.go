package match

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// goldenCase is one line of testdata/golden.tsv.
type goldenCase struct {
	number, kind, expected, reason string
	query                          *queryv1.PersonQuery
	record                         *recordv1.Record
}

func readGolden(t *testing.T) []goldenCase {
	t.Helper()
	b, err := os.ReadFile("testdata/golden.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var all []goldenCase
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		c := strings.Split(line, "\t")
		if len(c) != 13 {
			t.Fatalf("%q has %d columns, want 13", line, len(c))
		}
		g := goldenCase{number: c[0], kind: c[1], expected: c[11], reason: c[12]}
		g.query = &queryv1.PersonQuery{Primary: c[2], Secondary: c[3], BirthDate: c[4], Nationality: c[5], Sex: goldenSex(c[6])}
		// A field that is full and ends in a letter was cut (Doc 9303-3, 4.6).
		zone := len(c[2]) + len(c[3]) + 2
		g.query.Truncated = zone >= 39 || zone == 30 // it fills a passport's field, or a card's
		p := &recordv1.Person{Sex: goldenSex(c[10])}
		for n := range strings.SplitSeq(c[7], ";") {
			p.Names = append(p.Names, name(strings.TrimSpace(n)))
		}
		for d := range strings.SplitSeq(c[8], ";") {
			if d = strings.TrimSpace(d); d != "" {
				p.Births = append(p.Births, goldenBirth(t, d))
			}
		}
		if c[9] != "" {
			p.Nationalities = []*recordv1.Nationality{{Code: c[9]}}
		}
		g.record = &recordv1.Record{RecordId: "golden", Body: &recordv1.Record_Person{Person: p}}
		all = append(all, g)
	}
	return all
}

func goldenSex(s string) recordv1.Sex {
	switch s {
	case "F":
		return recordv1.Sex_SEX_FEMALE
	case "M":
		return recordv1.Sex_SEX_MALE
	case "X":
		return recordv1.Sex_SEX_OTHER
	}
	return recordv1.Sex_SEX_UNSPECIFIED
}

func goldenBirth(t *testing.T, d string) *recordv1.Birth {
	t.Helper()
	precision := recordv1.DatePrecision_DATE_PRECISION_UNSPECIFIED
	if rest, ok := strings.CutPrefix(d, "~"); ok {
		d, precision = rest, recordv1.DatePrecision_DATE_PRECISION_APPROXIMATE
	}
	from, to, ranged := strings.Cut(d, "..")
	if !ranged {
		to = from
	}
	first, ok := askedSpan(from)
	last, ok2 := askedSpan(to)
	if !ok || !ok2 {
		t.Fatalf("the birth date %q is none", d)
	}
	iso := func(day int32) string { return time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly) }
	return &recordv1.Birth{Precision: precision, From: iso(first.From), To: iso(last.To)}
}

func TestGoldenCases(t *testing.T) {
	cases := readGolden(t)
	if len(cases) < 200 {
		t.Fatalf("%d cases, want 200", len(cases))
	}
	for _, g := range cases {
		p := NewPersons(Options{})
		p.Put("golden", g.record)
		hits := p.Search(g.query, 1)
		ranked := p.Rank(g.query, 1)
		got := "different"
		switch {
		case len(hits) > 0:
			got = "same"
		case len(ranked) > 0:
			got = "possible"
		}
		met := got == g.expected
		switch g.expected {
		case "possible":
			met = got != "different"
		case "different":
			met = got != "same"
		}
		if !met {
			score := ""
			if len(ranked) > 0 {
				score = fmt.Sprintf("%.1f of %.1f", ranked[0].LogOdds, p.Threshold(g.query))
			}
			told := ""
			if len(hits) > 0 {
				told = hits[0].Explanation
			}
			t.Errorf("case %s (%s) %q %q beside %v: %s (%s), want %s: %s [%s]", g.number, g.kind, g.query.GetPrimary(), g.query.GetSecondary(),
				g.record.GetPerson().GetNames()[0].GetParts()[0].GetText(), got, score, g.expected, g.reason, told)
		}
	}
}
