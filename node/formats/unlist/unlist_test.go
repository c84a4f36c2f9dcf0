package unlist

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"buf.build/go/protovalidate"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

var update = flag.Bool("update", false, "write testdata/list.golden anew")

// readAll reads a list whole, and checks of every record that it is valid and of every id that
// it is met once.
func readAll(t testing.TB, r io.Reader) (Header, []Entry) {
	t.Helper()
	var entries []Entry
	ids := map[string]bool{}
	h, err := Read(r, func(e Entry) error {
		for i, rec := range e.Records {
			if err := protovalidate.Validate(rec); err != nil {
				t.Errorf("line %d, record %d: %v", e.Line, i, err)
			}
			if ids[rec.GetRecordId()] {
				t.Errorf("line %d: id %s twice", e.Line, rec.GetRecordId())
			}
			ids[rec.GetRecordId()] = true
		}
		for _, p := range e.Problems {
			if p.Field == "" || len(p.Field) > 64 || p.Reason == "" || len(p.Reason) > 512 {
				t.Errorf("line %d: problem %+v does not fit an import's report", e.Line, p)
			}
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return h, entries
}

func openInvented(t testing.TB) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "list.xml"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestInventedListGolden(t *testing.T) {
	h, entries := readAll(t, bytes.NewReader(openInvented(t)))
	want := Header{
		Generated: time.Date(2026, 2, 27, 0, 0, 9, 554e6, time.UTC), Individuals: 5, Entities: 1, Refused: 3,
		Aliases: 6, AliasesEmpty: 1, EntityAliases: 3, EntityAliasesEmpty: 1, OriginalScriptNames: 2,
		Documents: 3, DocumentsWithoutIssuer: 1, DocumentsNotAlphanumeric: 2, DocumentsWithoutNumber: 1,
		UnknownCountries: 2,
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	path := filepath.Join("testdata", "list.golden")
	if *update {
		var out strings.Builder
		for _, e := range entries {
			for _, p := range e.Problems {
				fmt.Fprintf(&out, "# line %d %s: %s\n", e.Line, p.Field, p.Reason)
			}
			for _, rec := range e.Records {
				text, err := protojson.Marshal(rec)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&out, "%s\n", text)
			}
		}
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var wantRecords, records []*recordv1.Record
	var wantProblems, problems []string
	for line := range strings.Lines(string(golden)) {
		if rest, ok := strings.CutPrefix(line, "# "); ok {
			wantProblems = append(wantProblems, strings.TrimSpace(rest))
			continue
		}
		rec := &recordv1.Record{}
		if err := protojson.Unmarshal([]byte(line), rec); err != nil {
			t.Fatal(err)
		}
		wantRecords = append(wantRecords, rec)
	}
	for _, e := range entries {
		for _, p := range e.Problems {
			problems = append(problems, fmt.Sprintf("line %d %s: %s", e.Line, p.Field, p.Reason))
		}
		records = append(records, e.Records...)
	}
	if diff := cmp.Diff(wantRecords, records, protocmp.Transform()); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantProblems, problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestIDsStandWhenTheListChangesElsewhere(t *testing.T) {
	ids := func(content string) map[string]bool {
		all := map[string]bool{}
		_, entries := readAll(t, strings.NewReader(content))
		for _, e := range entries {
			for _, r := range e.Records {
				all[r.GetRecordId()] = true
			}
		}
		return all
	}
	list := string(openInvented(t))
	before := ids(list)
	// Another document first, another alias, another layout of a number.
	changed := strings.Replace(list, "<INDIVIDUAL_DOCUMENT>", "<INDIVIDUAL_DOCUMENT><TYPE_OF_DOCUMENT>Passport</TYPE_OF_DOCUMENT><NUMBER>NEW1</NUMBER></INDIVIDUAL_DOCUMENT><INDIVIDUAL_DOCUMENT>", 1)
	changed = strings.Replace(changed, "RL 0900001", "\n  RL  0900001 ", 1)
	changed = strings.Replace(changed, "expired on 4 Jan. 2015", "expired", 1)
	after := ids(changed)
	if len(after) != len(before)+1 {
		t.Errorf("%d ids after, %d before, want one more", len(after), len(before))
	}
	for id := range before {
		if !after[id] {
			t.Errorf("id %s is gone", id)
		}
	}
}

func TestTheSameDocumentTwiceIsOne(t *testing.T) {
	document := "<INDIVIDUAL_DOCUMENT><TYPE_OF_DOCUMENT>Passport</TYPE_OF_DOCUMENT><NUMBER>B900001</NUMBER><ISSUING_COUNTRY>Belgium</ISSUING_COUNTRY><NOTE>%s</NOTE></INDIVIDUAL_DOCUMENT>"
	h, entries := readAll(t, strings.NewReader(one("<DATAID>1</DATAID><FIRST_NAME>JAN</FIRST_NAME>"+fmt.Sprintf(document, "first")+fmt.Sprintf(document, "second"))))
	if h.Documents != 2 || len(entries[0].Records) != 2 || entries[0].Records[1].GetDocument().GetRemarks() != "first\nsecond" {
		t.Errorf("%d documents, records %v", h.Documents, entries[0].Records)
	}
}

// one is a list of one individual.
func one(content string) string {
	return "<CONSOLIDATED_LIST><INDIVIDUALS><INDIVIDUAL>" + content + "</INDIVIDUAL></INDIVIDUALS></CONSOLIDATED_LIST>"
}

func TestAliases(t *testing.T) {
	for _, c := range []struct {
		text, note string
		want       []string
		comments   []string
	}{
		{"Hassan One; Hasan One", "", []string{"Hassan One", "Hasan One"}, nil},
		{"Mohammed One; Mohammad One b) M. Jawad One; M. Javad One", "", []string{"Mohammed One", "Mohammad One", "M. Jawad One", "M. Javad One"}, nil},
		{"أبو علي (Abu Ali; Abu Aly)", "", []string{"أبو علي", "Abu Ali", "Abu Aly"}, nil},
		{"Ali Haddad (علي حداد)", "", []string{"Ali Haddad", "علي حداد"}, nil},
		{"Abu Ali (original script: Абу Али)", "", []string{"Abu Ali", "Абу Али"}, nil},
		{"Front One (FO) (الجبهة (original script); The Front; Front I)", "", []string{"Front One", "الجبهة", "The Front", "Front I"}, nil},
		{"One Movement (OM)", "", []string{"One Movement (OM)"}, nil},
		{"Lom Butayev (Butaev)", "", []string{"Lom Butayev (Butaev)"}, nil},
		{"(Sheikh) Musa One", "", []string{"(Sheikh) Musa One"}, nil},
		{"Nur Jaman (birth name)", "", []string{"Nur Jaman"}, []string{"birth name"}},
		{"Sabri One (false identity of passport number 900001)", "", []string{"Sabri One"}, []string{"false identity of passport number 900001"}},
		{"Safia One, born 1 Jan. 1953 (Oman passport no. 900001)", "", []string{"Safia One"}, []string{"born 1 Jan. 1953 (Oman passport no. 900001)"}},
		{") Abdelrahman One", "", []string{"Abdelrahman One"}, nil},
		{"Gul One (گل ),", "", []string{"Gul One", "گل"}, nil},
		{"Haddad, Ali", "", []string{"Haddad, Ali"}, nil},
		{"Abu Ali", "original script: Абу Али", []string{"Abu Ali", "Абу Али"}, nil},
		{"Abu Ali", "Previously listed as. In Arabic: أبو علي ", []string{"Abu Ali", "أبو علي"}, []string{"Previously listed as"}},
		{"Faiz One", "Hajji Faiz One; Haji Fa’iz One", []string{"Faiz One", "Hajji Faiz One", "Haji Fa’iz One"}, nil},
		{"Faiz One", "DOB: 1970; POB: Anefif", []string{"Faiz One"}, []string{"DOB: 1970; POB: Anefif"}},
		{"Agha One اغا جان", "", []string{"Agha One", "اغا جان"}, nil},
		{"أبو دعاء", "(Abu Dua; Abu Duaa’) prominently known by this nom de guerre", []string{"أبو دعاء", "Abu Dua", "Abu Duaa’"}, []string{"(Abu Dua; Abu Duaa’) prominently known by this nom de guerre"}},
		{"One Co.", "in Arabic script: شركة", []string{"One Co.", "شركة"}, nil},
		{"(", "", nil, nil},
	} {
		got, comments := splitAlias(tidy(c.text))
		more, rest := splitNote(tidy(c.note))
		got = append(got, more...)
		if rest != "" {
			comments = append(comments, rest)
		}
		if len(got) == 0 {
			got = nil
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q: names (-want +got):\n%s", c.text, diff)
		}
		if diff := cmp.Diff(c.comments, comments); diff != "" {
			t.Errorf("%q: comments (-want +got):\n%s", c.text, diff)
		}
	}
}

func TestDocumentTypes(t *testing.T) {
	for _, c := range []struct {
		first, second, number string
		want                  recordv1.DocumentType
	}{
		{"Passport", "", "X1", recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT},
		{"Numéro de passeport ", "", "X1", recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT},
		{"Número de pasaporte", "", "X1", recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT},
		{"National Identification Number", "", "X1", recordv1.DocumentType_DOCUMENT_TYPE_IDENTITY_CARD},
		{"National Identification\n   Number", "", "X1", recordv1.DocumentType_DOCUMENT_TYPE_IDENTITY_CARD},
		{"National Identification Number", "national passport", "X1", recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT},
		{"National Identification Number", "Afghan national identification card (tazkira) number", "X1", recordv1.DocumentType_DOCUMENT_TYPE_IDENTITY_CARD},
		{"National Identification Number", "Driver's Permit", "X1", recordv1.DocumentType_DOCUMENT_TYPE_OTHER},
		{"National Identification Number", "Birth certificate", "X1", recordv1.DocumentType_DOCUMENT_TYPE_OTHER},
		{"National Identification Number", "Certificate of Iraqi Nationality", "X1", recordv1.DocumentType_DOCUMENT_TYPE_OTHER},
		{"National Identification Number", "Residential card number 665", "X1", recordv1.DocumentType_DOCUMENT_TYPE_RESIDENCE_PERMIT},
		{"Passport", "number: ", "X1", recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT},
		{"Passport", "", "Laissez-passer no. N°9/X", recordv1.DocumentType_DOCUMENT_TYPE_LAISSEZ_PASSER},
		{"National Identification Number", "", "Counterfeit driving licence number 9", recordv1.DocumentType_DOCUMENT_TYPE_OTHER},
		{"Something", "", "X1", recordv1.DocumentType_DOCUMENT_TYPE_OTHER},
		{"", "", "X1", recordv1.DocumentType_DOCUMENT_TYPE_UNSPECIFIED},
	} {
		if got := documentType(c.first, c.second, c.number); got != c.want {
			t.Errorf("%q, %q, %q: %v, want %v", c.first, c.second, c.number, got, c.want)
		}
	}
}

func TestScripts(t *testing.T) {
	for text, want := range map[string]string{
		"Abu Ali": "Latn", "Hay’at ʿAli": "Latn", "أبو علي": "Arab", "Елена Димова": "Cyrl", "金铁三": "Hani", "김": "Hang",
		"Ali علي": "", "123": "", "": "",
	} {
		if got := script(text); got != want {
			t.Errorf("script(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestTooMuchIsCutAndSaid(t *testing.T) {
	long := strings.Repeat("ن", 20_000)
	var content strings.Builder
	content.WriteString("<DATAID>1</DATAID><FIRST_NAME>" + long + "</FIRST_NAME><COMMENTS1>" + long + "</COMMENTS1><REFERENCE_NUMBER>" + long[:2000] + "</REFERENCE_NUMBER><GENDER>" + long + "</GENDER>")
	for i := range 300 {
		fmt.Fprintf(&content, "<INDIVIDUAL_ALIAS><QUALITY>Good</QUALITY><ALIAS_NAME>Alias %d</ALIAS_NAME><DATE_OF_BIRTH>%d</DATE_OF_BIRTH></INDIVIDUAL_ALIAS>", i, 1600+i)
		fmt.Fprintf(&content, "<INDIVIDUAL_ADDRESS><CITY>City %d</CITY></INDIVIDUAL_ADDRESS><TITLE><VALUE>Title %d</VALUE></TITLE>", i, i)
	}
	content.WriteString("<INDIVIDUAL_DOCUMENT><NUMBER>" + long + "</NUMBER><NOTE>" + long + "</NOTE></INDIVIDUAL_DOCUMENT>")
	_, entries := readAll(t, strings.NewReader(one(content.String())))
	fields := map[string]bool{}
	for _, p := range entries[0].Problems {
		fields[p.Field] = true
		if p.Refused {
			t.Errorf("refused: %v", p)
		}
	}
	for _, want := range []string{"ALIAS_NAME", "COMMENTS1", "NUMBER", "NOTE", "DATE_OF_BIRTH", "ADDRESS", "DESIGNATION"} {
		if !fields[want] {
			t.Errorf("nothing was said of %s: %v", want, entries[0].Problems)
		}
	}
}

// endless is a reader of one character for ever.
type endless struct{ n int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'A'
	}
	e.n += int64(len(p))
	return len(p), nil
}

func TestBadFilesEndWithAnError(t *testing.T) {
	start := "<CONSOLIDATED_LIST><INDIVIDUALS>"
	tail := &endless{}
	for _, c := range []struct {
		name string
		in   io.Reader
		want error  // if known
		says string // otherwise
	}{
		{"empty", strings.NewReader(""), ErrNotTheList, ""},
		{"another list", strings.NewReader("<sdnList></sdnList>"), ErrNotTheList, ""},
		{"no XML", strings.NewReader("number,type\n1,2\n"), ErrNotTheList, ""},
		{"two roots", strings.NewReader("<CONSOLIDATED_LIST></CONSOLIDATED_LIST><CONSOLIDATED_LIST></CONSOLIDATED_LIST>"), ErrNotTheList, ""},
		{"truncated", strings.NewReader(start + "<INDIVIDUAL><DATAID>1</DATAID>"), nil, "not the whole list"},
		{"truncated between entries", strings.NewReader(start), nil, "not the whole list"},
		{"not well-formed", strings.NewReader(one("<DATAID>1</DATA>")), nil, "line 1: the file cannot be read on"},
		{"entities that expand", strings.NewReader("<!DOCTYPE l [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]>" + one("<DATAID>&b;</DATAID>")), ErrNotTheList, ""},
		{"an entity of its own", strings.NewReader(one("<DATAID>&bomb;</DATAID>")), nil, "cannot be read on"},
		{"a file from elsewhere", strings.NewReader("<!DOCTYPE l SYSTEM \"file:///etc/passwd\">" + one("")), ErrNotTheList, ""},
		{"an endless text", io.MultiReader(strings.NewReader(start+"<INDIVIDUAL><FIRST_NAME>"), tail), errTooLarge, ""},
		{"an endless tag", io.MultiReader(strings.NewReader(start+"<"), tail), errTooLarge, ""},
		{"an endless depth", strings.NewReader(start + "<INDIVIDUAL>" + strings.Repeat("<A>", 600_000)), errTooLarge, ""},
		{"another encoding", strings.NewReader("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>" + one("")), nil, "encoding"},
		{"no UTF-8", strings.NewReader(one("<DATAID>1</DATAID><FIRST_NAME>\xff\xfe</FIRST_NAME>")), nil, "UTF-8"},
	} {
		_, err := Read(c.in, func(Entry) error { return nil })
		if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want %v %q", c.name, err, c.want, c.says)
		}
	}
	if tail.n > 16<<20 {
		t.Errorf("%d bytes of endless files were read", tail.n)
	}
}

func TestTheCallbackStopsTheReading(t *testing.T) {
	stop := errors.New("stop")
	n := 0
	_, err := Read(bytes.NewReader(openInvented(t)), func(Entry) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		t.Errorf("error %v after %d entries, want the callback's after one", err, n)
	}
}

// openList opens the real list, which lies beside the repository with the other public inputs.
func openList(t testing.TB) *os.File {
	t.Helper()
	dir := os.Getenv("ENTENTE_DATA")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil || root == filepath.Dir(root) {
				break
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared", "data")
	}
	f, err := os.Open(filepath.Join(dir, "lists", "un_consolidated.xml"))
	if err != nil {
		t.Skipf("the public inputs are not here (set ENTENTE_DATA): %v; the invented list covers the same code", err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestTheWholeList(t *testing.T) {
	h, entries := readAll(t, openList(t))
	want := Header{
		Generated: time.Date(2026, 2, 27, 0, 0, 9, 554e6, time.UTC), Individuals: 730, Entities: 273,
		Aliases: 2308, AliasesEmpty: 169, EntityAliases: 735, EntityAliasesEmpty: 122,
		OriginalScriptNames: 336, EntityOriginalScriptNames: 42,
		Documents: 454, DocumentsWithoutIssuer: 159, DocumentsNotAlphanumeric: 106, DocumentsWithoutNumber: 14,
		UnknownCountries: 1, // "former Soviet Union"
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	counts := h.Counts()
	for name, n := range map[string]uint64{"individuals": 730, "entities": 273, "aliases": 2308, "original_script_names": 336, "documents": 454, "documents_without_issuer": 159, "documents_not_alphanumeric": 106} {
		if counts[name] != n {
			t.Errorf("counted %d %s, want %d", counts[name], name, n)
		}
	}
	var persons, documents, dated, inScript int
	for _, e := range entries {
		for _, p := range e.Problems {
			if p.Field != "NATIONALITY" {
				t.Errorf("line %d: %s: %s", e.Line, p.Field, p.Reason)
			}
		}
		if len(e.Records) == 0 || e.Line == 0 {
			t.Errorf("line %d: refused", e.Line)
			continue
		}
		p := e.Records[0].GetPerson()
		persons++
		if p.GetNames()[0].GetType() != recordv1.NameType_NAME_TYPE_PRIMARY {
			t.Errorf("line %d: the first name is not the primary one", e.Line)
		}
		for _, b := range p.GetBirths() {
			if b.GetFrom() != "" {
				dated++
				break
			}
		}
		for _, n := range p.GetNames() {
			if s := n.GetParts()[0].GetScript(); s == "Arab" || s == "Cyrl" {
				inScript++
				break
			}
		}
		for _, rec := range e.Records[1:] {
			d := rec.GetDocument()
			documents++
			if d.GetStatus() != recordv1.DocumentStatus_DOCUMENT_STATUS_ASSOCIATED || d.GetPersonRef() != e.ID || d.GetNumberKey() != "" || len(d.GetMoreKeys()) > 0 {
				t.Errorf("line %d: document %v", e.Line, d)
			}
			if d.GetType() == recordv1.DocumentType_DOCUMENT_TYPE_UNSPECIFIED {
				t.Errorf("line %d: a document of no type", e.Line)
			}
		}
	}
	if persons != 1003 || documents != 454 {
		t.Errorf("%d persons and %d documents, want 1003 and 454", persons, documents)
	}
	// 53 individuals have neither date nor year; the notes of some of those name a month.
	if dated < 677 || inScript < 336 {
		t.Errorf("%d persons with a birth date, %d with a name in Arabic or Cyrillic, want at least 677 and 336", dated, inScript)
	}
}

// FuzzRead: whatever the file holds, every record that comes out of it is valid.
func FuzzRead(f *testing.F) {
	f.Add(openInvented(f))
	f.Add([]byte(one("<DATAID>1</DATAID><FIRST_NAME>A</FIRST_NAME>")))
	f.Add([]byte("<CONSOLIDATED_LIST>"))
	f.Fuzz(func(t *testing.T, content []byte) {
		_, _ = Read(bytes.NewReader(content), func(e Entry) error {
			for _, rec := range e.Records {
				if err := protovalidate.Validate(rec); err != nil {
					t.Errorf("record: %v", err)
				}
			}
			return nil
		})
	})
}

// FuzzAlias works on the text that is cut into pieces.
func FuzzAlias(f *testing.F) {
	f.Add("أبو علي (Abu Ali; Abu Aly)", "In Arabic: أبو علي")
	f.Add(") b) ((;", "original script: ")
	f.Fuzz(func(t *testing.T, text, note string) {
		names, _ := splitAlias(tidy(strings.ToValidUTF8(text, "")))
		more, _ := splitNote(tidy(strings.ToValidUTF8(note, "")))
		for _, n := range append(names, more...) {
			if strings.TrimSpace(n) == "" {
				t.Errorf("an empty name of %q and %q", text, note)
			}
		}
	})
}
