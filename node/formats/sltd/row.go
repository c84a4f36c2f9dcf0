package sltd

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/entente-mesh/entente/node/formats/country"
	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// The bounds of a row's fields, in characters (record/v1/document.proto; a number of a travel
// document is a range's end, too).
const (
	maxNumber    = 64
	maxPlace     = 256
	maxReference = 128
	maxRemarks   = 4096
)

// row turns one line into a record.
func (c *columns) row(line int, text []byte, long bool) (*recordv1.Record, *RowError) {
	fail := func(field, format string, args ...any) (*recordv1.Record, *RowError) {
		return nil, &RowError{Line: line, Field: field, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case long:
		return fail("row", "the line has more than %d bytes: shorten it", maxLine)
	case !utf8.Valid(text) || bytes.ContainsRune(text, 0):
		return fail("row", "the line is not UTF-8: save the file as CSV in UTF-8")
	}
	cells, bad := c.split(text)
	if bad != nil {
		return fail(bad.Field, "%s", bad.Reason)
	}
	if len(cells) != len(c.names) {
		return fail("row", "%d fields, the first row has %d columns: give every field, an empty one too", len(cells), len(c.names))
	}
	p := parsing{line: line, cells: map[string]string{}}
	for i, name := range c.names {
		p.cells[name] = cells[i]
	}
	rec := p.record()
	if p.bad != nil {
		return nil, p.bad
	}
	return rec, nil
}

// parsing is one row while it becomes a record. The first thing that is wrong with it stays.
type parsing struct {
	line  int
	cells map[string]string
	bad   *RowError
}

func (p *parsing) fail(field, format string, args ...any) {
	if p.bad == nil {
		p.bad = &RowError{Line: p.line, Field: field, Reason: fmt.Sprintf(format, args...)}
	}
}

func (p *parsing) record() *recordv1.Record {
	number, key := p.number("number")
	end, endKey := p.number("number_to")
	if key == "" {
		p.fail("number", "empty: give the document's number")
	}
	issuer := p.state("issuing_country")
	if issuer == "" {
		p.fail("issuing_country", "empty: give the code of the state that issued the document, for example BEL")
	}
	d := &recordv1.Document{
		Number: number, RangeEnd: end, Issuer: issuer,
		Type: p.documentType(), Status: p.status(),
		ReportingCountry: p.state("reporting_country"),
		IssueDate:        p.date("issue_date"),
		ExpiryDate:       p.date("expiry_date"),
		Remarks:          p.text("remarks", maxRemarks),
	}
	theft := &recordv1.Theft{On: p.date("theft_date"), Country: p.state("theft_country"), Place: p.text("theft_place", maxPlace)}
	if theft.GetOn() != "" || theft.GetCountry() != "" || theft.GetPlace() != "" {
		d.Theft = theft
	}
	reference := p.text("national_reference", maxReference)
	if d.GetIssueDate() != "" && d.GetExpiryDate() != "" && d.GetExpiryDate() < d.GetIssueDate() {
		p.fail("expiry_date", "before the date of issue: check both")
	}
	if end != "" {
		p.checkRange(d.GetStatus(), key, endKey)
		key += "-" + endKey
	}
	return &recordv1.Record{
		RecordId:    "doc:" + issuer + ":" + typeName(d.GetType()) + ":" + key,
		Stewardship: &recordv1.Stewardship{NationalRef: reference},
		Body:        &recordv1.Record_Document{Document: d},
	}
}

// text is a field in words.
func (p *parsing) text(field string, limit int) string {
	s := p.cells[field]
	if n := utf8.RuneCountInString(s); n > limit {
		p.fail(field, "%d characters: give at most %d", n, limit)
	}
	return s
}

// number is a document number as written, and the same in capitals without signs. Nothing is
// taken for anything else here: that O and 0 look alike is the matcher's business.
func (p *parsing) number(field string) (number, key string) {
	number = p.text(field, maxNumber)
	var out strings.Builder
	for _, r := range strings.ToUpper(number) {
		switch {
		case 'A' <= r && r <= 'Z' || '0' <= r && r <= '9':
			out.WriteRune(r)
		case strings.ContainsRune(" -./<", r):
		default:
			p.fail(field, "holds a sign that no number in a machine readable zone has: give letters A to Z and digits, parted by nothing but blanks, dashes, dots or strokes")
			return number, ""
		}
	}
	if key = out.String(); number != "" && key == "" {
		p.fail(field, "holds neither a letter nor a digit: give the document's number")
	}
	return number, key
}

// checkRange checks that a range counts: the same letters first, then as many digits in both
// ends.
func (p *parsing) checkRange(status recordv1.DocumentStatus, from, to string) {
	const field = "number_to"
	if status != recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN_BLANK {
		p.fail(field, "a range is for stolen blanks alone: give one row for each document, or the status stolen blank")
	}
	if len(from) != len(to) {
		p.fail(field, "%d characters, but the first number has %d: give both with their leading zeros", len(to), len(from))
		return
	}
	common := 0
	for common < len(from) && from[common] == to[common] {
		common++
	}
	for i := common; i < len(from); i++ {
		if from[i] < '0' || from[i] > '9' || to[i] < '0' || to[i] > '9' {
			p.fail(field, "the two numbers differ in letters: a range counts in digits, give one row for each series")
			return
		}
	}
	if to < from {
		p.fail(field, "smaller than the first number: exchange the two")
	}
}

// state is a state, by code or by name.
func (p *parsing) state(field string) string {
	s := p.cells[field]
	if s == "" {
		return ""
	}
	if code, ok := country.Parse(s); ok {
		return code
	}
	// The one issuer of a machine readable zone with fewer than three letters.
	if b, ok := identity.BureauOfIssuer(strings.ToUpper(s)); ok {
		return string(b)
	}
	p.fail(field, "not a country that is known: give its code of ISO 3166-1 in capitals, for example BEL, or a code of Doc 9303-3")
	return ""
}

// date is a day. Other forms are not guessed at: 03/04/2014 is two days.
func (p *parsing) date(field string) string {
	s := p.cells[field]
	if s == "" {
		return ""
	}
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		p.fail(field, "not a day of the form YYYY-MM-DD (ISO 8601): write it so, for example 2014-10-03, or leave the field empty")
		return ""
	}
	return s
}

// types are the words for types of documents. The first of each type is the one in ids.
var types = []struct {
	kind  recordv1.DocumentType
	words []string
}{
	{recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT, []string{"passport", "p"}},
	{recordv1.DocumentType_DOCUMENT_TYPE_IDENTITY_CARD, []string{"identity card", "id card", "id", "national identity card"}},
	{recordv1.DocumentType_DOCUMENT_TYPE_VISA, []string{"visa", "v"}},
	{recordv1.DocumentType_DOCUMENT_TYPE_LAISSEZ_PASSER, []string{"laissez passer", "emergency travel document"}},
	{recordv1.DocumentType_DOCUMENT_TYPE_REFUGEE_TRAVEL_DOCUMENT, []string{"refugee travel document"}},
	{recordv1.DocumentType_DOCUMENT_TYPE_RESIDENCE_PERMIT, []string{"residence permit"}},
	{recordv1.DocumentType_DOCUMENT_TYPE_CREW_DOCUMENT, []string{"crew document", "seafarer document"}},
	{recordv1.DocumentType_DOCUMENT_TYPE_OTHER, []string{"other"}},
}

func typeName(t recordv1.DocumentType) string {
	for _, row := range types {
		if row.kind == t {
			return strings.ReplaceAll(row.words[0], " ", "-")
		}
	}
	return ""
}

func (p *parsing) documentType() recordv1.DocumentType {
	words := strings.TrimPrefix(fold(p.cells["type"], " "), "document type ")
	var names []string
	for _, row := range types {
		names = append(names, row.words[0])
		for _, w := range row.words {
			if w == words {
				return row.kind
			}
		}
	}
	p.fail("type", "not a type that is known: give one of %s", strings.Join(names, ", "))
	return recordv1.DocumentType_DOCUMENT_TYPE_UNSPECIFIED
}

// statuses are the words for what is reported of a document.
var statuses = []struct {
	status recordv1.DocumentStatus
	words  []string
}{
	{recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN_BLANK, []string{"stolen blank", "blank stolen"}},
	{recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN, []string{"stolen", "stolen from bearer"}},
	{recordv1.DocumentStatus_DOCUMENT_STATUS_LOST, []string{"lost", "lost by bearer"}},
	{recordv1.DocumentStatus_DOCUMENT_STATUS_REVOKED, []string{"revoked"}},
	{recordv1.DocumentStatus_DOCUMENT_STATUS_INVALID, []string{"invalid", "invalidated"}},
	{recordv1.DocumentStatus_DOCUMENT_STATUS_COUNTERFEIT_SEEN, []string{"counterfeit seen", "counterfeit"}},
}

func (p *parsing) status() recordv1.DocumentStatus {
	words := strings.TrimPrefix(fold(p.cells["status"], " "), "document status ")
	var names []string
	for _, row := range statuses {
		names = append(names, row.words[0])
		for _, w := range row.words {
			if w == words {
				return row.status
			}
		}
	}
	if words == "associated" {
		p.fail("status", "a document of a person of interest belongs to that person's record: import both as entente-json")
	}
	p.fail("status", "not a status that is known: give one of %s", strings.Join(names, ", "))
	return recordv1.DocumentStatus_DOCUMENT_STATUS_UNSPECIFIED
}
