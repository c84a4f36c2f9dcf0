package mrz

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// at is the parser as of a day in 2026, so that centuries do not move under the tests.
func at() Parser {
	return Parser{Now: func() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC) }}
}

func parse(t *testing.T, s string) (*Document, []Problem) {
	t.Helper()
	d, problems, err := at().Parse(s)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return d, problems
}

func has(problems []Problem, code Code, field Field) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return p.Code == code && p.Field == field })
}

const utopia = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10"

func TestEveryFormat(t *testing.T) {
	eriksson := Document{
		Issuer: "UTO", Number: "D23145890", Nationality: "UTO", BirthDate: "1974-08-12",
		Sex: recordv1.Sex_SEX_FEMALE, Expiry: "2012-04-15", Primary: "ERIKSSON", Secondary: "ANNA MARIA",
	}
	with := func(change func(*Document)) Document { d := eriksson; change(&d); return d }
	for _, c := range []struct {
		name, zone string
		want       Document
		kind       recordv1.DocumentType
	}{
		{"Doc 9303-4 appendix A", utopia,
			with(func(d *Document) { d.Format, d.Type, d.Number, d.Optional = TD3, "P", "L898902C3", "ZE184226B" }),
			recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT},
		{"Doc 9303-5 appendix A", "I<UTOD231458907<<<<<<<<<<<<<<<\r\n7408122F1204159UTO<<<<<<<<<<<6\r\nERIKSSON<<ANNA<MARIA<<<<<<<<<<",
			with(func(d *Document) { d.Format, d.Type = TD1, "I" }), recordv1.DocumentType_DOCUMENT_TYPE_IDENTITY_CARD},
		{"Doc 9303-6 appendix A", "I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\nD231458907UTO7408122F1204159<<<<<<<6",
			with(func(d *Document) { d.Format, d.Type = TD2, "I" }), recordv1.DocumentType_DOCUMENT_TYPE_IDENTITY_CARD},
		{"Doc 9303-7 appendix A", "V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL8988901C4XXX4009078F96121096ZE184226B<<<<<<",
			with(func(d *Document) {
				d.Format, d.Type, d.Number, d.Nationality = MRVA, "V", "L8988901C", "XXX"
				d.BirthDate, d.Expiry, d.Optional = "1940-09-07", "1996-12-10", "6ZE184226B"
			}), recordv1.DocumentType_DOCUMENT_TYPE_VISA},
		{"Doc 9303-7 appendix B", "V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\nL8988901C4XXX4009078F9612109<<<<<<<<",
			with(func(d *Document) {
				d.Format, d.Type, d.Number, d.Nationality = MRVB, "V", "L8988901C", "XXX"
				d.BirthDate, d.Expiry = "1940-09-07", "1996-12-10"
			}), recordv1.DocumentType_DOCUMENT_TYPE_VISA},
		{"Doc 9303-11 appendix D: a long number in TD1", "I<UTOD23145890<7349<<<<<<<<<<<\n3407127M9507122UTO<<<<<<<<<<<2\nSTEVENSON<<PETER<JOHN<<<<<<<<<",
			Document{Format: TD1, Type: "I", Issuer: "UTO", Number: "D23145890734", Nationality: "UTO", BirthDate: "1934-07-12",
				Sex: recordv1.Sex_SEX_MALE, Expiry: "1995-07-12", Primary: "STEVENSON", Secondary: "PETER JOHN"},
			recordv1.DocumentType_DOCUMENT_TYPE_IDENTITY_CARD},
		{"Doc 9303-11 appendix D: a long number in TD2", "I<UTOSTEVENSON<<PETER<JOHN<<<<<<<<<<\nD23145890<UTO3407127M95071227349<<<8",
			Document{Format: TD2, Type: "I", Issuer: "UTO", Number: "D23145890734", Nationality: "UTO", BirthDate: "1934-07-12",
				Sex: recordv1.Sex_SEX_MALE, Expiry: "1995-07-12", Primary: "STEVENSON", Secondary: "PETER JOHN"},
			recordv1.DocumentType_DOCUMENT_TYPE_IDENTITY_CARD},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, problems := parse(t, c.zone)
			if diff := cmp.Diff(&c.want, d); diff != "" {
				t.Errorf("document (-want +got):\n%s", diff)
			}
			if len(problems) != 0 {
				t.Errorf("problems %v, want none", problems)
			}
			if got := d.DocumentType(); got != c.kind {
				t.Errorf("document type %v, want %v", got, c.kind)
			}
			again, err := Encode(d)
			if want := strings.ReplaceAll(c.zone, "\r\n", "\n"); err != nil || again != want {
				t.Errorf("Encode = %q, %v, want %q", again, err, want)
			}
		})
	}
}

func TestLinesComeInManyShapes(t *testing.T) {
	want, _ := parse(t, utopia)
	for name, zone := range map[string]string{
		"carriage returns":         strings.ReplaceAll(utopia, "\n", "\r"),
		"both":                     strings.ReplaceAll(utopia, "\n", "\r\n"),
		"a blank":                  strings.ReplaceAll(utopia, "\n", " "),
		"nothing":                  strings.ReplaceAll(utopia, "\n", ""),
		"framed by a swipe reader": "\x02" + utopia + "\n\x03",
		"blanks within the line":   strings.ReplaceAll(utopia, "UTO", " UTO ") + "  \n\n",
	} {
		d, problems := parse(t, zone)
		if diff := cmp.Diff(want, d); diff != "" || len(problems) > 0 {
			t.Errorf("%s: problems %v (-want +got):\n%s", name, problems, diff)
		}
	}
}

func TestWhatIsNoZoneSaysWhatWasExpected(t *testing.T) {
	for _, c := range []struct{ name, in, says string }{
		{"nothing", " \n ", "empty"},
		{"a character short", utopia[:len(utopia)-1], "line 2 has 43 characters, expected 44 (TD3)"},
		{"a character long", utopia + "0", "line 2 has 45 characters, expected 44 (TD3)"},
		{"one line of three", "I<UTOD231458907<<<<<<<<<<<<<<<", "30 characters in one line"},
		{"three lines of two formats", "I<UTOD231458907<<<<<<<<<<<<<<<\n" + utopia, "line 2 has 44 characters, expected 30 (TD1)"},
		{"four lines", "A\nB\nC\nD", "4 lines"},
		{"other lengths", "P<UTO\nL898902C3", "5 and 9 characters"},
		{"no letter first", "<<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10", "begins with neither"},
		{"prose", strings.Repeat("é", 88), "88 characters are not"},
		{"far too much", strings.Repeat("<", 2000), "2000 bytes"},
	} {
		_, _, err := at().Parse(c.in)
		if !errors.Is(err, ErrNotMRZ) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: error %v, want ErrNotMRZ that says %q", c.name, err, c.says)
		}
	}
}

// change replaces the character at a place of a line, both counted from 1.
func change(zone string, line, place int, to byte) string {
	lines := strings.Split(zone, "\n")
	l := []byte(lines[line-1])
	l[place-1] = to
	lines[line-1] = string(l)
	return strings.Join(lines, "\n")
}

func TestEveryProblemIsNamed(t *testing.T) {
	card := "I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<"
	for _, c := range []struct {
		name, zone string
		want       []Problem // without texts
	}{
		{"number", change(utopia, 2, 1, 'K'), []Problem{{Code: CodeCheckDigit, Field: FieldNumber}, {Code: CodeCheckDigit, Field: FieldComposite}}},
		{"its check digit", change(utopia, 2, 10, '7'), []Problem{{Code: CodeCheckDigit, Field: FieldNumber}, {Code: CodeCheckDigit, Field: FieldComposite}}},
		{"its check digit is a filler", change(utopia, 2, 10, '<'), []Problem{{Code: CodeCheckDigit, Field: FieldNumber}, {Code: CodeCheckDigit, Field: FieldComposite}}},
		{"birth date", change(utopia, 2, 20, '3'), []Problem{{Code: CodeCheckDigit, Field: FieldBirthDate}, {Code: CodeCheckDigit, Field: FieldComposite}}},
		{"expiry date", change(utopia, 2, 28, '0'), []Problem{{Code: CodeCheckDigit, Field: FieldExpiry}, {Code: CodeCheckDigit, Field: FieldComposite}}},
		{"optional data", change(utopia, 2, 43, '2'), []Problem{{Code: CodeCheckDigit, Field: FieldOptional}, {Code: CodeCheckDigit, Field: FieldComposite}}},
		{"composite", change(utopia, 2, 44, '9'), []Problem{{Code: CodeCheckDigit, Field: FieldComposite}}},
		{"issuer", change(utopia, 1, 5, 'X'), []Problem{{Code: CodeUnknownIssuer, Field: FieldIssuer}}},
		{"nationality", change(utopia, 2, 13, 'X'), []Problem{{Code: CodeUnknownNationality, Field: FieldNationality}}},
		{"no issuer", strings.Replace(utopia, "P<UTO", "P<<<<", 1), []Problem{{Code: CodeMissing, Field: FieldIssuer}}},
		{"sex", change(utopia, 2, 21, 'K'), []Problem{{Code: CodeInvalidSex, Field: FieldSex}}},
		{"document code of a passport", change(utopia, 1, 1, 'K'), []Problem{{Code: CodeUnknownType, Field: FieldType}}},
		{"document code of a card", change(card, 1, 1, 'K'), []Problem{{Code: CodeUnknownType, Field: FieldType}}},
		{"small letters", strings.ToLower(utopia), []Problem{{Code: CodeLowerCase, Field: FieldZone}, {Code: CodeLowerCase, Field: FieldZone}}},
		{"a character that no zone has", strings.Replace(utopia, "<<<<<<<<<\n", "<<*?<<<<<\n", 1), []Problem{{Code: CodeInvalidCharacter, Field: FieldZone}}},
		{"O for 0 in a birth date", strings.Replace(utopia, "740812", "74O812", 1), []Problem{{Code: CodeConfusion, Field: FieldBirthDate}}},
		{"O for 0 in the composite", change(utopia, 2, 44, 'O'), []Problem{{Code: CodeConfusion, Field: FieldComposite}}},
		{"a letter that is no digit", strings.Replace(utopia, "740812", "74M812", 1), []Problem{
			{Code: CodeUnexpectedCharacter, Field: FieldBirthDate}, {Code: CodeCheckDigit, Field: FieldBirthDate},
			{Code: CodeInvalidDate, Field: FieldBirthDate}, {Code: CodeCheckDigit, Field: FieldComposite}}},
		{"0 for O in a name", strings.Replace(utopia, "ERIKSSON", "ERIKSS0N", 1), []Problem{{Code: CodeConfusion, Field: FieldName}}},
		{"0 for O in an issuer", strings.Replace(utopia, "P<UTO", "P<UT0", 1), []Problem{{Code: CodeConfusion, Field: FieldIssuer}}},
		{"no surname", strings.Replace(utopia, "ERIKSSON", "<<<<<<<<", 1), []Problem{{Code: CodeNameFormat, Field: FieldName}, {Code: CodeMissing, Field: FieldName}}},
		{"three groups", strings.Replace(utopia, "ANNA<MARIA<", "ANNA<<MARIA", 1), []Problem{{Code: CodeNameFormat, Field: FieldName}}},
		{"a long number without an end", "I<UTOD23145890<734012345678901\n3407127M9507122UTO<<<<<<<<<<<4\nSTEVENSON<<PETER<JOHN<<<<<<<<<", []Problem{
			{Code: CodeUnexpectedCharacter, Field: FieldNumber}, {Code: CodeCheckDigit, Field: FieldNumber}, {Code: CodeCheckDigit, Field: FieldComposite}}},
		{"a filler for the check digit, and no rest", "I<UTOD23145890<<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<", []Problem{
			{Code: CodeCheckDigit, Field: FieldNumber}, {Code: CodeCheckDigit, Field: FieldComposite}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, problems := parse(t, c.zone)
			var got []Problem
			for _, p := range problems {
				if p.Text == "" {
					t.Errorf("problem %s of %s has no text", p.Code, p.Field)
				}
				for _, secret := range []string{"ERIKSSON", "L898902C3", "D23145890", "740812", d.Number} {
					if secret != "" && strings.Contains(p.Text, secret) {
						t.Errorf("the text of %s repeats what the field holds: %q", p.Code, p.Text)
					}
				}
				got = append(got, Problem{Code: p.Code, Field: p.Field})
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s\n%v", diff, problems)
			}
		})
	}
}

func TestRepairedFieldsAreReturnedRepaired(t *testing.T) {
	want, _ := parse(t, utopia)
	for _, zone := range []string{
		strings.Replace(utopia, "F1204159", "F12O4IS9", 1),
		strings.Replace(utopia, "7408122", "74O8IZ2", 1),
		strings.Replace(utopia, "ERIKSSON", "ER1K5S0N", 1),
		strings.ToLower(utopia),
	} {
		d, _ := parse(t, zone)
		if diff := cmp.Diff(want, d); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// dated is the specimen passport with another birth and expiry date, and right check digits.
func dated(birth, expiry string) string {
	line := "L898902C36UTO" + birth + string(CheckDigit(birth)) + "F" + expiry + string(CheckDigit(expiry)) + "ZE184226B<<<<<1"
	return "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\n" + line + string(CheckDigit(line[:10]+line[13:20]+line[21:43]))
}

func TestDates(t *testing.T) {
	for _, c := range []struct {
		birth, want string
		code        Code
	}{
		{"740812", "1974-08-12", ""},
		{"7408<<", "1974-08", ""},
		{"74<<<<", "1974", ""},
		{"<<<<<<", "", ""},
		{"<<0812", "", CodeInvalidDate},
		{"74<<12", "1974", CodeInvalidDate},
		{"740800", "1974-08", CodeInvalidDate},
		{"740000", "1974", CodeInvalidDate},
		{"741301", "", CodeInvalidDate},
		{"740231", "", CodeInvalidDate},
		{"7<0812", "", CodeInvalidDate},
		{"000229", "2000-02-29", ""},
		{"261122", "2026-11-22", ""}, // born today
		{"261123", "1926-11-23", ""}, // tomorrow is a hundred years ago
		{"2611<<", "2026-11", ""},
		{"2612<<", "1926-12", ""},
		{"26<<<<", "2026", ""},
		{"27<<<<", "1927", ""},
	} {
		d, problems := parse(t, dated(c.birth, "310101"))
		if d.BirthDate != c.want {
			t.Errorf("birth date %s read as %q, want %q", c.birth, d.BirthDate, c.want)
		}
		if c.code == "" && len(problems) > 0 || c.code != "" && !has(problems, c.code, FieldBirthDate) {
			t.Errorf("birth date %s: problems %v, want %q", c.birth, problems, c.code)
		}
	}
	for expiry, want := range map[string]string{
		"310101": "2031-01-01", "750101": "2075-01-01", "760101": "1976-01-01", "961210": "1996-12-10", "<<<<<<": "", "3101<<": "2031-01",
	} {
		if d, problems := parse(t, dated("740812", expiry)); d.Expiry != want || len(problems) > 0 {
			t.Errorf("expiry %s read as %q with problems %v, want %q", expiry, d.Expiry, problems, want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		field, primary, secondary string
		truncated                 bool
	}{
		{"VAN<DER<MUELLEN<<JO<<<<<<<<<<<<<<<<<<<<", "VAN DER MUELLEN", "JO", false},
		{"ARKFREITH<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<", "ARKFREITH", "", false},
		{"NILAVADHANANANDA<<CHAYAPA<DEJTHAMRONG<K", "NILAVADHANANANDA", "CHAYAPA DEJTHAMRONG K", true},
		{"BENNELONG<WOOLOOM<WARRAND<WARNAM<<DINGO", "BENNELONG WOOLOOM WARRAND WARNAM", "DINGO", true},
		{"PAPANDROPOULOUSPAPANDROPOULOUSPAPANDROP", "PAPANDROPOULOUSPAPANDROPOULOUSPAPANDROP", "", true},
	} {
		d, problems := parse(t, strings.Replace(utopia, "ERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", c.field, 1))
		if d.Primary != c.primary || d.Secondary != c.secondary || d.Truncated != c.truncated || len(problems) > 0 {
			t.Errorf("%s: %q, %q, truncated %v, problems %v", c.field, d.Primary, d.Secondary, d.Truncated, problems)
		}
	}
}

func TestSpecialIssuers(t *testing.T) {
	for _, code := range []string{"D<<", "GBD", "GBN", "GBO", "GBP", "GBS", "UNO", "UNA", "UNK", "XPO", "XOM", "XXA", "XXB", "XXC", "XXX", "RKS", "EUE"} {
		zone := strings.ReplaceAll(utopia, "UTO", code)
		if d, problems := parse(t, zone); len(problems) > 0 || d.Issuer != strings.TrimRight(code, "<") || d.Nationality != d.Issuer {
			t.Errorf("%s: issuer %q, nationality %q, problems %v", code, d.Issuer, d.Nationality, problems)
		}
	}
}

func TestEmptyOptionalDataMayHaveAFillerForItsCheckDigit(t *testing.T) {
	for _, digit := range []string{"0", "<"} {
		body := "L898902C36UTO7408122F1204159<<<<<<<<<<<<<<" + digit
		zone := "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\n" + body + string(CheckDigit(body[:10]+body[13:20]+body[21:43]))
		if _, problems := parse(t, zone); len(problems) > 0 {
			t.Errorf("check digit %s: %v", digit, problems)
		}
	}
	zone := change(utopia, 2, 43, '<')
	if _, problems := parse(t, zone); !has(problems, CodeCheckDigit, FieldOptional) {
		t.Errorf("a filler after optional data that is not empty: %v", problems)
	}
}

// sharedData is a file of the folder beside the repository with public inputs.
func sharedData(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("ENTENTE_DATA")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			if root == filepath.Dir(root) {
				t.Skip("no go.mod above the test: set ENTENTE_DATA to the folder of public inputs")
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared", "data")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the public inputs are not here (set ENTENTE_DATA): %v; the specimens of Doc 9303 above cover the same code", err)
	}
	return path
}

func TestSpecimens(t *testing.T) {
	content, err := os.ReadFile(sharedData(t, "mrz_specimens.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(string(content)), "\n")
	columns := strings.Split(rows[0], "\t")
	if len(rows) < 9 {
		t.Fatalf("%d specimens, want at least 8", len(rows)-1)
	}
	for _, row := range rows[1:] {
		cells := map[string]string{}
		for i, cell := range strings.Split(row, "\t") {
			cells[columns[i]] = strings.TrimSpace(cell)
		}
		t.Run(cells["source"], func(t *testing.T) {
			d, problems := parse(t, strings.TrimSpace(cells["line1"]+"\n"+cells["line2"]+"\n"+cells["line3"]))
			if string(d.Format) != cells["format"] {
				t.Errorf("format %s, want %s", d.Format, cells["format"])
			}
			for column, field := range map[string]Field{
				"valid_doc_no": FieldNumber, "valid_dob": FieldBirthDate, "valid_expiry": FieldExpiry,
				"valid_optional": FieldOptional, "valid_composite": FieldComposite,
			} {
				wrong := has(problems, CodeCheckDigit, field)
				switch cells[column] {
				case "True", "-": // a dash: the format has no such check digit
					if wrong {
						t.Errorf("%s: a check digit problem, want none", column)
					}
				case "False":
					if !wrong {
						t.Errorf("%s: no check digit problem, want one", column)
					}
				default:
					t.Errorf("column %s has %q", column, cells[column])
				}
			}
		})
	}
}
