// Package recordjson reads records in the form in which Entente writes them: proto JSON, one
// record a line (the import format "entente-json").
//
// It is a parser: it stores nothing and decides nothing on what a record says. It is strict: a
// field that the schema does not have is an error, since what a misspelt "audience" would mean
// is that nobody, or everybody, may be told. What the schema bounds is checked here too, so
// that the line and the field can be named.
//
// One flow: the importer hands it a file, Read calls back for each line that is not empty, with
// a record or with what is wrong with the line. A bad line costs itself alone.
package recordjson

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"unicode/utf8"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/encoding/protojson"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// RowError is what is wrong with a line, and what to do.
type RowError struct {
	// Line counts from 1.
	Line int
	// RecordID is the id of the record, if the line was read as far.
	RecordID string
	// Field is the field at fault, as a path in the record: "person.births[0].from".
	Field string
	// Reason says what is wrong, without the content of the field.
	Reason string
}

// Error implements error.
func (e *RowError) Error() string {
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Field, e.Reason)
}

// maxLine bounds a line, in bytes: the size of the largest message that a node takes.
const maxLine = 1 << 20

// The bounds of what an import's report holds (record/v1/record_service.proto).
const (
	maxField  = 64
	maxReason = 512
)

// Read reads records and calls back for each line, with either a record or an error. An error of
// the callback stops it and is returned as it is; any other error is the file's.
func Read(r io.Reader, each func(line int, rec *recordv1.Record, err *RowError) error) error {
	in := bufio.NewReaderSize(r, maxLine+len("\r\n"))
	for line := 1; ; line++ {
		text, long, err := readLine(in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		if line == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		if text = bytes.TrimSpace(text); len(text) == 0 && !long {
			continue
		}
		rec, bad := parse(line, text, long)
		if err := each(line, rec, bad); err != nil {
			return err
		}
	}
}

// readLine reads one line without its end. Of a line that is too long it keeps nothing, and says
// so.
func readLine(in *bufio.Reader) (line []byte, long bool, err error) {
	line, err = in.ReadSlice('\n')
	for errors.Is(err, bufio.ErrBufferFull) {
		long = true
		_, err = in.ReadSlice('\n')
	}
	if long = long || len(bytes.TrimRight(line, "\r\n")) > maxLine; long {
		line = nil
	}
	if errors.Is(err, io.EOF) && (len(line) > 0 || long) {
		err = nil // the last line has no end; the next call says EOF
	}
	return line, long, err
}

var (
	// unknownField finds the name of a field that the schema does not have.
	unknownField = regexp.MustCompile(`unknown field "([A-Za-z0-9_.]{1,64})"`)
	// invalidValue finds the name of a field whose value is of another kind.
	invalidValue = regexp.MustCompile(`invalid value for [a-z0-9]+ field ([A-Za-z0-9_.]{1,64})`)
	// noJSON tells that the line is no JSON, or no object.
	noJSON = regexp.MustCompile(`syntax error|unexpected (?:token|EOF)`)
)

// parse reads one line.
func parse(line int, text []byte, long bool) (*recordv1.Record, *RowError) {
	fail := func(rec *recordv1.Record, field, reason string) (*recordv1.Record, *RowError) {
		return nil, &RowError{Line: line, RecordID: cut(rec.GetRecordId(), 128), Field: cut(field, maxField), Reason: cut(reason, maxReason)}
	}
	if long {
		return fail(nil, "record", fmt.Sprintf("the line has more than %d bytes: a record may have no more, store large images elsewhere and give their digest", maxLine))
	}
	if !utf8.Valid(text) {
		return fail(nil, "record", "the line is not UTF-8: write it in UTF-8")
	}
	rec := &recordv1.Record{}
	if err := protojson.Unmarshal(text, rec); err != nil {
		// The library's words may hold the content of the line, and differ from build to build:
		// only the field's name is taken from them.
		if m := unknownField.FindStringSubmatch(err.Error()); m != nil {
			return fail(nil, m[1], "the schema has no such field: mend its name, or remove it (entente/record/v1/record_service.proto)")
		}
		if m := invalidValue.FindStringSubmatch(err.Error()); m != nil {
			return fail(nil, m[1], "the value is of another kind than the schema has for the field: compare with entente/record/v1")
		}
		if noJSON.MatchString(err.Error()) {
			return fail(nil, "record", "not a record in proto JSON: write one whole JSON object in one line, with the fields of entente.record.v1.Record")
		}
		return fail(nil, "record", "a value does not fit its field, a field stands twice, or the record is both a person and a document: compare with entente/record/v1")
	}
	err := protovalidate.Validate(rec)
	var invalid *protovalidate.ValidationError
	switch {
	case err == nil:
		return rec, nil
	case errors.As(err, &invalid) && len(invalid.Violations) > 0:
		v := invalid.Violations[0]
		field := protovalidate.FieldPathString(v.Proto.GetField())
		if field == "" {
			field = "record"
		}
		return fail(rec, field, v.Proto.GetMessage())
	default:
		return fail(rec, "record", "cannot be validated: report this")
	}
}

// cut shortens a text to a number of bytes, between two characters.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
