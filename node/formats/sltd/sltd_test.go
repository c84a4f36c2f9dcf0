package sltd

import (
	"errors"
	"flag"
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

var update = flag.Bool("update", false, "write testdata/list.golden anew")

// row is what was called back for one row.
type row struct {
	line int
	rec  *recordv1.Record
	bad  *RowError
}

func readAll(t testing.TB, r io.Reader) []row {
	t.Helper()
	var rows []row
	err := Read(r, func(line int, rec *recordv1.Record, bad *RowError) error {
		check(t, line, rec, bad)
		rows = append(rows, row{line, rec, bad})
		return nil
	})
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return rows
}

// check holds what is true of every row: a valid record, or an error that fits a report.
func check(t testing.TB, line int, rec *recordv1.Record, bad *RowError) {
	t.Helper()
	if (rec == nil) == (bad == nil) {
		t.Fatalf("line %d: record %v and error %v", line, rec, bad)
	}
	if bad != nil {
		if bad.Line != line || bad.Field == "" || len(bad.Field) > 64 || bad.Reason == "" || len(bad.Reason) > 512 {
			t.Errorf("line %d: error %+v", line, bad)
		}
		return
	}
	if err := protovalidate.Validate(rec); err != nil {
		t.Errorf("line %d: %v", line, err)
	}
}

func TestListGolden(t *testing.T) {
	f, err := os.Open(filepath.Join("testdata", "list.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows := readAll(t, f)
	path := filepath.Join("testdata", "list.golden")
	if *update {
		var out strings.Builder
		for _, r := range rows {
			if r.bad != nil {
				fmt.Fprintf(&out, "# %v\n", r.bad)
				continue
			}
			text, err := protojson.Marshal(r.rec)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%s\n", text)
		}
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for line := range strings.Lines(string(golden)) {
		if i >= len(rows) {
			t.Fatalf("%d rows, want more", len(rows))
		}
		r := rows[i]
		i++
		if want, ok := strings.CutPrefix(strings.TrimSpace(line), "# "); ok {
			if got := fmt.Sprint(r.bad); got != want {
				t.Errorf("error %q, want %q", got, want)
			}
			continue
		}
		want := &recordv1.Record{}
		if err := protojson.Unmarshal([]byte(line), want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, r.rec, protocmp.Transform()); diff != "" {
			t.Errorf("line %d, error %v (-want +got):\n%s", r.line, r.bad, diff)
		}
	}
	if i != len(rows) {
		t.Errorf("%d rows, want %d", len(rows), i)
	}
}

func TestErrorsNameLineFieldAndRemedy(t *testing.T) {
	const header = "number,number_to,issuing_country,type,status,theft_date,issue_date,expiry_date,national_reference\n"
	for _, c := range []struct{ row, field, says string }{
		{"A900001,,BEL,passport,stolen,3.10.2014,,,", "theft_date", "YYYY-MM-DD"},
		{"A900001,,BEL,passport,stolen,2014-13-01,,,", "theft_date", "YYYY-MM-DD"},
		{"A900001,,Belgium and France,passport,stolen,,,,", "issuing_country", "ISO 3166-1"},
		{"A900001,,,passport,stolen,,,,", "issuing_country", "empty"},
		{",,BEL,passport,stolen,,,,", "number", "empty"},
		{"---,,BEL,passport,stolen,,,,", "number", "neither a letter nor a digit"},
		{"A9#1,,BEL,passport,stolen,,,,", "number", "letters A to Z and digits"},
		{strings.Repeat("9", 65) + ",,BEL,passport,stolen,,,,", "number", "at most 64"},
		{"A900001,,BEL,coach,stolen,,,,", "type", "give one of passport, identity card"},
		{"A900001,,BEL,,stolen,,,,", "type", "give one of"},
		{"A900001,,BEL,passport,gone,,,,", "status", "give one of stolen blank, stolen"},
		{"A900001,,BEL,passport,associated,,,,", "status", "entente-json"},
		{"A900001,A900009,BEL,passport,lost,,,,", "number_to", "stolen blanks alone"},
		{"A900009,A900001,BEL,passport,stolen blank,,,,", "number_to", "exchange the two"},
		{"A900001,A90009,BEL,passport,stolen blank,,,,", "number_to", "leading zeros"},
		{"A900001,B900009,BEL,passport,stolen blank,,,,", "number_to", "differ in letters"},
		{"A900001,,BEL,passport,stolen,,2020-01-02,2020-01-01,", "expiry_date", "before the date of issue"},
		{"A900001,,BEL,passport,stolen,,,," + strings.Repeat("x", 129), "national_reference", "at most 128"},
		{"A900001,BEL,passport,stolen", "row", "4 fields, the first row has 9 columns"},
		{"\"A900001,,BEL,passport,stolen,,,,", "row", "quotation marks"},
		{"A900001,,BEL,passport,stolen,,,,\xff", "row", "UTF-8"},
		{"A900001,,BEL,passport,stolen,,,," + strings.Repeat("x", maxLine), "row", "bytes: shorten it"},
	} {
		rows := readAll(t, strings.NewReader(header+c.row+"\nA900002,,BEL,passport,stolen,,,,\n"))
		if len(rows) != 2 || rows[0].bad == nil || rows[1].rec == nil {
			t.Errorf("%.60q: %d rows, want a bad one and a good one", c.row, len(rows))
			continue
		}
		bad := rows[0].bad
		if bad.Line != 2 || bad.Field != c.field || !strings.Contains(bad.Reason, c.says) {
			t.Errorf("%.60q: %v, want line 2, field %s, and %q", c.row, bad, c.field, c.says)
		}
		if strings.Contains(bad.Reason, "A900001") {
			t.Errorf("the reason repeats the number: %s", bad.Reason)
		}
	}
}

func TestColumnsInManyShapes(t *testing.T) {
	want := readAll(t, strings.NewReader("number,issuing_country,type,status\nA900001,BEL,passport,stolen\n"))
	for name, content := range map[string]string{
		"another order":        "STATUS,Type,Issuing Country,Number\nstolen,passport,BEL,A900001",
		"semicolons":           "number;issuing_country;type;status\r\nA900001;BEL;passport;stolen\r\n",
		"tabs":                 "number\tissuing_country\ttype\tstatus\nA900001\tBEL\tpassport\tstolen\n",
		"a mark and blanks":    "\ufeffnumber , issuing_country, type ,status\n A900001, BEL , passport,stolen\n",
		"quotation marks":      "\"number\",\"issuing_country\",\"type\",\"status\"\n\"A900001\",\"BEL\",\"passport\",\"stolen\"\n",
		"the words of others":  "DIN,Issuer,Document type,Type of fraud\nA900001,Belgium,Passport,Stolen from bearer\n",
		"empty lines in front": "\n\nnumber,issuing_country,type,status\n\nA900001,BEL,passport,stolen\n",
	} {
		got := readAll(t, strings.NewReader(content))
		if len(got) != 1 {
			t.Errorf("%s: %d rows", name, len(got))
			continue
		}
		if diff := cmp.Diff(want[0].rec, got[0].rec, protocmp.Transform()); diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, got[0].bad, diff)
		}
	}
}

func TestColumnsThatCannotBeTold(t *testing.T) {
	for _, c := range []struct{ name, in, says string }{
		{"nothing", "", "empty"},
		{"no header", "A900001,BEL,passport,stolen\n", "column 1 has a name that is not known"},
		{"a column of names", "number,issuing_country,type,status,holder\n", "column 5"},
		{"a column twice", "number,issuing_country,type,status,issuer\n", "issuing_country is there twice"},
		{"a column missing", "number,type,status\n", "issuing_country is missing"},
		{"another encoding", "\xff\xfen\x00u\x00m\x00\n", "UTF-8"},
		{"quotation marks", "\"number,issuing_country\n", "quotation marks"},
	} {
		err := Read(strings.NewReader(c.in), func(int, *recordv1.Record, *RowError) error { return nil })
		if !errors.Is(err, ErrColumns) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: error %v, want ErrColumns that says %q", c.name, err, c.says)
		}
	}
}

func TestIDsAreStable(t *testing.T) {
	const header = "number,number_to,issuing_country,type,status\n"
	for row, want := range map[string]string{
		"A900001,,BEL,passport,stolen":                  "doc:BEL:passport:A900001",
		"a 900-001,,Belgium,P,lost":                     "doc:BEL:passport:A900001",
		"A900100,A900199,BE,identity card,blank stolen": "doc:BEL:identity-card:A900100-A900199",
		"O900001,,D,id,revoked":                         "doc:DEU:identity-card:O900001",
	} {
		if rows := readAll(t, strings.NewReader(header+row)); rows[0].rec.GetRecordId() != want {
			t.Errorf("%s: id %q (%v), want %q", row, rows[0].rec.GetRecordId(), rows[0].bad, want)
		}
	}
}

func TestTheCallbackAndTheFileStopTheReading(t *testing.T) {
	const list = "number,issuing_country,type,status\nA1,BEL,passport,stolen\nA2,BEL,passport,stolen\n"
	stop, n := errors.New("stop"), 0
	err := Read(strings.NewReader(list), func(int, *recordv1.Record, *RowError) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		t.Errorf("error %v after %d rows, want the callback's after one", err, n)
	}
	broken := errors.New("broken")
	err = Read(io.MultiReader(strings.NewReader(list), failing{broken}), func(int, *recordv1.Record, *RowError) error { return nil })
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want that of the file: a part must not look like the whole", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func BenchmarkRead(b *testing.B) {
	var list strings.Builder
	list.WriteString("number,issuing_country,type,status,theft_date,theft_country,national_reference\n")
	for i := range 10_000 {
		fmt.Fprintf(&list, "EH%06d,BEL,passport,stolen,2014-10-03,LBN,BE-%d\n", i, i)
	}
	for b.Loop() {
		rows := 0
		if err := Read(strings.NewReader(list.String()), func(int, *recordv1.Record, *RowError) error { rows++; return nil }); err != nil || rows != 10_000 {
			b.Fatal(rows, err)
		}
	}
	b.ReportMetric(float64(b.N)*10_000/b.Elapsed().Seconds(), "rows/s")
}

func FuzzRead(f *testing.F) {
	content, err := os.ReadFile(filepath.Join("testdata", "list.csv"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(content))
	f.Add("number,issuing_country,type,status\nA1,BEL,passport,stolen\n\"")
	f.Fuzz(func(t *testing.T, list string) {
		_ = Read(strings.NewReader(list), func(line int, rec *recordv1.Record, bad *RowError) error {
			check(t, line, rec, bad)
			return nil
		})
	})
}
