package records

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/formats/recordjson"
	"github.com/entente-mesh/entente/node/formats/sltd"
	"github.com/entente-mesh/entente/node/formats/unlist"
	"github.com/entente-mesh/entente/node/match"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// row is one row of a file: a line, or an entry of a list, with what is wrong with it.
type row struct {
	line     int
	records  []*recordv1.Record // the subject first
	problems []Unfit
	badID    string // the id of a row that was refused, where it was read as far
}

func (r row) id() string {
	if len(r.records) == 0 {
		return r.badID
	}
	return r.records[0].GetRecordId()
}

// format reads a file and hands over its rows.
type format func(src io.Reader, each func(row) error, counts counter) error

func formatOf(h *recordv1.ImportHeader, ids *opaqueIDs) (format, error) {
	switch {
	case h.GetFormat() == "un-xml" && h.GetCollection() == Persons:
		return ids.readUNList, nil
	case h.GetFormat() == "entente-json":
		return readRecordJSON, nil
	case h.GetFormat() == "csv" && h.GetCollection() == Documents:
		return ids.readSLTD, nil
	default:
		return nil, fault.New(codes.InvalidArgument, fault.FormatMismatch, "format", fmt.Sprintf(
			"the format %s does not hold %s: un-xml and entente-json hold persons, csv and entente-json hold documents",
			h.GetFormat(), h.GetCollection()))
	}
}

func (o *opaqueIDs) readUNList(src io.Reader, each func(row) error, counts counter) error {
	var stop error
	header, err := unlist.Read(src, func(e unlist.Entry) error {
		r := row{line: e.Line, records: e.Records, badID: e.ID}
		for _, p := range e.Problems {
			if p.Refused {
				r.problems = append(r.problems, Unfit{Field: p.Field, Reason: p.Reason})
			} else {
				counts["notes"]++ // taken over in words, or cut: nothing was refused
			}
		}
		for _, rec := range e.Records {
			counts.key(rec.GetDocument())
			o.ofUN(rec)
		}
		stop = each(r)
		return stop
	})
	for name, n := range header.Counts() {
		counts[name] = n
	}
	return notOfFormat(err, stop, "a consolidated list of the United Nations Security Council (XML)")
}

func readRecordJSON(src io.Reader, each func(row) error, counts counter) error {
	var stop error
	err := recordjson.Read(src, func(line int, rec *recordv1.Record, bad *recordjson.RowError) error {
		r := row{line: line}
		if bad != nil {
			r.badID, r.problems = bad.RecordID, []Unfit{{Field: bad.Field, Reason: bad.Reason}}
		} else {
			r.records = []*recordv1.Record{rec}
			counts.record(rec)
		}
		stop = each(r)
		return stop
	})
	return notOfFormat(err, stop, "records in proto JSON, one a line")
}

func (o *opaqueIDs) readSLTD(src io.Reader, each func(row) error, counts counter) error {
	var stop error
	err := sltd.Read(src, func(line int, rec *recordv1.Record, bad *sltd.RowError) error {
		r := row{line: line}
		if bad != nil {
			r.problems = []Unfit{{Field: bad.Field, Reason: bad.Reason}}
		} else {
			o.ofSLTD(rec)
			r.records = []*recordv1.Record{rec}
			counts.record(rec)
		}
		stop = each(r)
		return stop
	})
	return notOfFormat(err, stop, "a list of stolen and lost travel documents (CSV)")
}

// notOfFormat tells an error of the caller's own (stop) from a file that cannot be read.
func notOfFormat(err, stop error, what string) error {
	if err == nil || stop != nil && errors.Is(err, stop) {
		return err
	}
	return fault.New(codes.InvalidArgument, fault.NotThisFormat, "file",
		"the file is not "+what+": "+strings.TrimSuffix(err.Error(), "."))
}

// counter counts what a file holds, for the report.
type counter map[string]uint64

func (c counter) record(rec *recordv1.Record) {
	if p := rec.GetPerson(); p != nil {
		if p.GetKind() == recordv1.PersonKind_PERSON_KIND_ENTITY {
			c["entities"]++
		} else {
			c["individuals"]++
		}
	}
	if d := rec.GetDocument(); d != nil {
		c["documents"]++
		if d.GetIssuer() == "" {
			c["documents_without_issuer"]++
		}
		c.key(d)
	}
}

// key counts a document that cannot be found by its number.
func (c counter) key(d *recordv1.Document) {
	if d != nil && d.GetRangeEnd() == "" && len(match.DocumentKeys(d.GetNumber())) == 0 {
		c["documents_without_key"]++
	}
}

func (c counter) list() []*recordv1.ImportCount {
	names := make([]string, 0, len(c))
	for name := range c {
		names = append(names, name)
	}
	slices.Sort(names)
	counts := make([]*recordv1.ImportCount, 0, len(names))
	for _, name := range names {
		counts = append(counts, &recordv1.ImportCount{Name: name, Count: c[name]})
	}
	return counts
}
