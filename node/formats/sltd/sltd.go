// Package sltd reads lists of stolen and lost travel documents: CSV with the fields of the
// database of the same name, one document or one range of stolen blanks a row.
//
// It is a parser: it stores nothing, makes no keys (node/match does), and does not ask whether
// the own state issued the documents (the importer does). It holds no names, and has no column
// for one.
//
// The first row names the columns, in any order and case: number, issuing_country, type and
// status must be there; number_to, reporting_country, theft_date, theft_country, theft_place,
// issue_date, expiry_date, national_reference and remarks may be. Comma, semicolon or tab
// separate, whichever the first row has; the file is UTF-8, with or without a mark at its
// beginning.
//
// One flow: the importer hands it a file, Read calls back for every row with a record or with
// what is wrong and how to mend it. A bad row costs itself alone. Only a file whose columns
// cannot be told is an error.
//
// The id of a record is "doc:<issuer>:<type>:<number>", the number in capitals without signs,
// and for a range both ends joined by a dash. The same document in the next file is the same
// record, whatever else is said of it. Such an id tells the number: the importer makes an opaque one
// of it before it is kept.
package sltd

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// RowError is what is wrong with a row, and what to do.
type RowError struct {
	// Line is the row's line in the file, from 1.
	Line int
	// Field is the column.
	Field string
	// Reason says what is wrong and what to write, without the content of the row.
	Reason string
}

// Error implements error.
func (e *RowError) Error() string {
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Field, e.Reason)
}

// maxLine bounds a row, in bytes. The longest that fits a record has about 10 kB.
const maxLine = 64 << 10

// ErrColumns is wrapped by the errors of a file whose columns cannot be told.
var ErrColumns = errors.New("the columns cannot be told")

// Read reads a list and calls back for each row, with either a record or an error. An error of
// the callback stops it and is returned as it is.
func Read(r io.Reader, each func(line int, rec *recordv1.Record, err *RowError) error) error {
	in := bufio.NewReaderSize(r, maxLine)
	var c *columns
	for line := 1; ; line++ {
		text, long, err := readLine(in)
		if errors.Is(err, io.EOF) {
			if c == nil {
				return fmt.Errorf("%w: the file is empty; %s", ErrColumns, wanted)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		if line == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		if len(bytes.TrimSpace(text)) == 0 && !long {
			continue
		}
		if c == nil {
			if c, err = newColumns(text); err != nil {
				return fmt.Errorf("line %d: %w", line, err)
			}
			continue
		}
		rec, bad := c.row(line, text, long)
		if err := each(line, rec, bad); err != nil {
			return err
		}
	}
}

// readLine reads one line without its end. Of a line that is too long it keeps nothing, and says
// so. A quoted field cannot go on in the next line here: with that, one forgotten quotation mark
// would swallow the rest of the file.
func readLine(in *bufio.Reader) (line []byte, long bool, err error) {
	line, err = in.ReadSlice('\n')
	for errors.Is(err, bufio.ErrBufferFull) {
		long = true
		_, err = in.ReadSlice('\n')
	}
	if long {
		line = nil
	}
	if errors.Is(err, io.EOF) && (len(line) > 0 || long) {
		err = nil // the last line has no end; the next call says EOF
	}
	return bytes.TrimRight(line, "\r\n"), long, err
}

// column is one column that a list may have.
type column struct {
	name string
	// also are the names that other systems give it.
	also     []string
	required bool
}

var known = []column{
	{name: "number", also: []string{"document_number", "number_from", "din"}, required: true},
	{name: "number_to", also: []string{"range_end", "number_end"}},
	{name: "issuing_country", also: []string{"issuer", "country_of_issue", "issuing_state"}, required: true},
	{name: "type", also: []string{"document_type", "type_of_document"}, required: true},
	{name: "status", also: []string{"type_of_fraud", "document_status"}, required: true},
	{name: "reporting_country", also: []string{"theft_reporting_country"}},
	{name: "theft_date", also: []string{"date_of_theft", "stolen_on"}},
	{name: "theft_country", also: []string{"country_of_theft"}},
	{name: "theft_place", also: []string{"place_of_theft"}},
	{name: "issue_date", also: []string{"date_of_issue"}},
	{name: "expiry_date", also: []string{"date_of_expiry"}},
	{name: "national_reference", also: []string{"national_reference_number", "national_ref"}},
	{name: "remarks", also: []string{"additional_info", "note"}},
}

// wanted says what the first row must be.
var wanted = func() string {
	var required, optional []string
	for _, c := range known {
		if c.required {
			required = append(required, c.name)
		} else {
			optional = append(optional, c.name)
		}
	}
	return fmt.Sprintf("the first row must name the columns: %s, and of these as many as there are: %s", strings.Join(required, ", "), strings.Join(optional, ", "))
}()

// columns are the columns of one file.
type columns struct {
	separator rune
	names     []string
}

// newColumns reads the first row.
func newColumns(text []byte) (*columns, error) {
	if !utf8.Valid(text) || bytes.ContainsRune(text, 0) {
		return nil, fmt.Errorf("%w: the file is not UTF-8; save it as CSV in UTF-8", ErrColumns)
	}
	c := &columns{separator: ','}
	for _, s := range []rune{';', '\t'} {
		if bytes.Count(text, []byte(string(s))) > bytes.Count(text, []byte(string(c.separator))) {
			c.separator = s
		}
	}
	cells, err := c.split(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s; %s", ErrColumns, err.Reason, wanted)
	}
	for i, cell := range cells {
		at := slices.IndexFunc(known, func(k column) bool {
			name := fold(cell, "_")
			return name == k.name || slices.Contains(k.also, name)
		})
		if at < 0 {
			// Dropping a column in silence could drop what the owner means to say.
			return nil, fmt.Errorf("%w: column %d has a name that is not known; remove the column or rename it: %s", ErrColumns, i+1, wanted)
		}
		if slices.Contains(c.names, known[at].name) {
			return nil, fmt.Errorf("%w: the column %s is there twice; remove one", ErrColumns, known[at].name)
		}
		c.names = append(c.names, known[at].name)
	}
	for _, k := range known {
		if k.required && !slices.Contains(c.names, k.name) {
			return nil, fmt.Errorf("%w: the column %s is missing; %s", ErrColumns, k.name, wanted)
		}
	}
	return c, nil
}

// fold brings a word to lower case, its letters and digits alone, parted by a separator.
func fold(s, separator string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}), separator)
}

// split divides one line into its cells.
func (c *columns) split(text []byte) ([]string, *RowError) {
	var cells []string
	if bytes.IndexByte(text, '"') < 0 { // most rows of most lists
		cells = strings.Split(string(text), string(c.separator))
	} else {
		r := csv.NewReader(bytes.NewReader(text))
		r.Comma, r.FieldsPerRecord, r.TrimLeadingSpace = c.separator, -1, c.separator != '\t'
		var err error
		if cells, err = r.Read(); err != nil {
			return nil, &RowError{Field: "row", Reason: "the quotation marks do not match: write one before and one after the field, and two for each within it, all in one line"}
		}
	}
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells, nil
}
