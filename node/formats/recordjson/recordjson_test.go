package recordjson

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"buf.build/go/protovalidate"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

type row struct {
	line int
	rec  *recordv1.Record
	bad  *RowError
}

func readAll(t testing.TB, r io.Reader) []row {
	t.Helper()
	var rows []row
	if err := Read(r, func(line int, rec *recordv1.Record, bad *RowError) error {
		check(t, line, rec, bad)
		rows = append(rows, row{line, rec, bad})
		return nil
	}); err != nil {
		t.Fatalf("Read: %v", err)
	}
	return rows
}

// check holds what is true of every line: a valid record, or an error that fits a report.
func check(t testing.TB, line int, rec *recordv1.Record, bad *RowError) {
	t.Helper()
	if (rec == nil) == (bad == nil) {
		t.Fatalf("line %d: record %v and error %v", line, rec, bad)
	}
	if bad != nil {
		if bad.Line != line || bad.Field == "" || len(bad.Field) > maxField || bad.Reason == "" || len(bad.Reason) > maxReason || len(bad.RecordID) > 128 {
			t.Errorf("line %d: error %+v", line, bad)
		}
		return
	}
	if err := protovalidate.Validate(rec); err != nil {
		t.Errorf("line %d: %v", line, err)
	}
}

func TestRecordsOfAFile(t *testing.T) {
	f, err := os.Open(filepath.Join("testdata", "records.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows := readAll(t, f)
	if len(rows) != 3 {
		t.Fatalf("%d rows, want 3", len(rows))
	}
	want := []*recordv1.Record{
		{
			RecordId: "es:900001",
			Stewardship: &recordv1.Stewardship{
				NationalRef: "ES-2014-900001",
				Audience:    &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_LISTED, Allow: []string{"BGR"}},
			},
			Body: &recordv1.Record_Person{Person: &recordv1.Person{
				Names: []*recordv1.Name{{Type: recordv1.NameType_NAME_TYPE_PRIMARY, Parts: []*recordv1.NamePart{
					{Kind: recordv1.NamePartKind_NAME_PART_KIND_PRIMARY, Text: "Cordero Invento"},
					{Kind: recordv1.NamePartKind_NAME_PART_KIND_SECONDARY, Text: "Íñigo"},
				}}},
				Births: []*recordv1.Birth{{Precision: recordv1.DatePrecision_DATE_PRECISION_DAY, From: "1999-05-06", To: "1999-05-06", Country: "ESP"}},
				Role:   recordv1.PersonRole_PERSON_ROLE_MISSING,
				Action: recordv1.Action_ACTION_PROTECT,
			}},
		},
		{
			RecordId: "doc:BEL:passport:EH900001",
			Body: &recordv1.Record_Document{Document: &recordv1.Document{
				Number: "EH900001", Issuer: "BEL", Type: recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT, Status: recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN,
			}},
		},
	}
	for i, w := range want {
		if diff := cmp.Diff(w, rows[i].rec, protocmp.Transform()); diff != "" {
			t.Errorf("line %d, %v (-want +got):\n%s", rows[i].line, rows[i].bad, diff)
		}
	}
	if rows[1].line != 3 || rows[2].bad == nil || rows[2].bad.Field != "document.status" || rows[2].bad.RecordID != "doc:BEL:passport:EH900002" {
		t.Errorf("line %d and %+v, want line 3, and an error for document.status", rows[1].line, rows[2].bad)
	}
}

func TestErrorsNameLineAndField(t *testing.T) {
	const good = `{"recordId":"doc:BEL:passport:A1","document":{"number":"A1","issuer":"BEL","status":"DOCUMENT_STATUS_LOST"}}`
	deep := strings.Repeat(`{"person":`, 200) + strings.Repeat("}", 200)
	for _, c := range []struct{ name, line, field, says string }{
		{"no JSON", "A900001,BEL", "record", "proto JSON"},
		{"half a record", good[:len(good)-1], "record", "proto JSON"},
		{"two records", good + good, "record", "proto JSON"},
		{"a list", "[" + good + "]", "record", "proto JSON"},
		{"a field that is not there", strings.Replace(good, `"document"`, `"audiense":{},"document"`, 1), "audiense", "no such field"},
		{"a field that is not there, deeper", strings.Replace(good, `"number"`, `"holder":"A900001","number"`, 1), "holder", "no such field"},
		{"a status that is not there", strings.Replace(good, "DOCUMENT_STATUS_LOST", "GONE", 1), "status", "another kind"},
		{"a time that is none", strings.Replace(good, `"number"`, `"recoveredAt":"yesterday","number"`, 1), "record", "does not fit"},
		{"a field twice", strings.Replace(good, `"number"`, `"number":"A2","number"`, 1), "record", "stands twice"},
		{"a number for a text", strings.Replace(good, `"A1"`, "1", 1), "number", "another kind"},
		{"no body", `{"recordId":"doc:1"}`, "body", "exactly one field is required"},
		{"two bodies", strings.Replace(good, `"document"`, `"person":{},"document"`, 1), "record", "both a person and a document"},
		{"no status", `{"recordId":"doc:1","document":{"number":"A1"}}`, "document.status", "not"},
		{"an issuer that is none", strings.Replace(good, "BEL\",\"status", "Belgium\",\"status", 1), "document.issuer", "pattern"},
		{"an id that is none", strings.Replace(good, "doc:BEL:passport:A1", "-", 1), "record_id", "pattern"},
		{"deep nesting", deep, "person", "no such field"},
		{"deep lists", strings.Repeat("[", 100_000), "record", "proto JSON"},
		{"no UTF-8", good[:len(good)-2] + "\xff\"}}", "record", "UTF-8"},
		{"a long line", `{"recordId":"` + strings.Repeat("x", maxLine) + `"}`, "record", "1048576 bytes"},
	} {
		rows := readAll(t, strings.NewReader(good+"\n"+c.line+"\n"+good))
		if len(rows) != 3 || rows[0].rec == nil || rows[1].bad == nil || rows[2].rec == nil {
			t.Errorf("%s: %d rows, want a bad one between two good ones", c.name, len(rows))
			continue
		}
		bad := rows[1].bad
		if bad.Line != 2 || bad.Field != c.field || !strings.Contains(bad.Reason, c.says) {
			t.Errorf("%s: %v, want line 2, field %s and %q", c.name, bad, c.field, c.says)
		}
		if strings.Contains(bad.Reason, "A900001") {
			t.Errorf("%s: the reason repeats what the line holds: %s", c.name, bad.Reason)
		}
	}
}

func TestTheLongestLine(t *testing.T) {
	const head, tail = `{"recordId":"es:1","person":{"names":[{"parts":[{"text":"X"}]}],"images":[{"content":"`, `"}]}}`
	line := head + strings.Repeat("A", (maxLine-len(head)-len(tail))/4*4) + tail
	line += strings.Repeat(" ", maxLine-len(line))
	for _, end := range []string{"", "\n", "\r\n"} {
		if rows := readAll(t, strings.NewReader(line+end)); len(rows) != 1 || rows[0].rec == nil {
			t.Errorf("a line of %d bytes and %q is not read: %v", len(line), end, rows[0].bad)
		}
	}
	if rows := readAll(t, strings.NewReader(line+" ")); len(rows) != 1 || rows[0].bad == nil {
		t.Errorf("a line of %d bytes is read", len(line)+1)
	}
}

func TestMarksAndEmptyLines(t *testing.T) {
	const good = `{"recordId":"doc:BEL:passport:A1","document":{"number":"A1","issuer":"BEL","status":"DOCUMENT_STATUS_LOST"}}`
	rows := readAll(t, strings.NewReader("\ufeff"+good+"\r\n\r\n  \n"+good))
	if len(rows) != 2 || rows[0].rec == nil || rows[1].line != 4 {
		t.Errorf("rows %v", rows)
	}
	if rows := readAll(t, strings.NewReader("")); len(rows) != 0 {
		t.Errorf("an empty file has rows %v", rows)
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	want := &recordv1.Record{RecordId: "un:900001", Stewardship: &recordv1.Stewardship{OwnerBureau: "BEL", Exercise: true},
		Body: &recordv1.Record_Person{Person: &recordv1.Person{Names: []*recordv1.Name{{Parts: []*recordv1.NamePart{{Text: "أبو طارق", Script: "Arab"}}}}}}}
	text, err := protojson.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	rows := readAll(t, strings.NewReader(string(text)))
	if diff := cmp.Diff(want, rows[0].rec, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestTheCallbackAndTheFileStopTheReading(t *testing.T) {
	stop, n := errors.New("stop"), 0
	if err := Read(strings.NewReader("1\n2\n"), func(int, *recordv1.Record, *RowError) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("error %v after %d lines, want the callback's after one", err, n)
	}
	broken := errors.New("broken")
	err := Read(io.MultiReader(strings.NewReader("{}\n"), failing{broken}), func(int, *recordv1.Record, *RowError) error { return nil })
	if !errors.Is(err, broken) || !strings.Contains(fmt.Sprint(err), "line 2") {
		t.Errorf("error %v, want that of the file, in line 2", err)
	}
}

func FuzzRead(f *testing.F) {
	content, err := os.ReadFile(filepath.Join("testdata", "records.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Add([]byte("{\"recordId\":\"a\"}\n[[[["))
	f.Fuzz(func(t *testing.T, content []byte) {
		_ = Read(strings.NewReader(string(content)), func(line int, rec *recordv1.Record, bad *RowError) error {
			check(t, line, rec, bad)
			return nil
		})
	})
}
