package match

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

const (
	passport     = recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT
	identityCard = recordv1.DocumentType_DOCUMENT_TYPE_IDENTITY_CARD
	anyType      = recordv1.DocumentType_DOCUMENT_TYPE_UNSPECIFIED
)

func TestDocumentKey(t *testing.T) {
	for _, c := range []struct{ number, want string }{
		{"EB124576<<", "E8124576"},
		{"eb 124-576", "E8124576"},
		{"ЕВ124576", "E8124576"},            // Cyrillic letters of the same shape
		{"ΕΒ124576", "E8124576"},            // Greek ones
		{"ＥＢ１２４５７６", "E8124576"},            // full width
		{"EB١٢٤٥٧٦", "E8124576"},            // Arabic-Indic digits
		{"EB۱۲۴۵۷۶", "E8124576"},            // Persian ones
		{"O0I1Z2S5B8Q", "00112255880"},      // every look-alike
		{"É.123/4", "E1234"},                // marks
		{"Nº 235/A", "N235A"},               // an ordinal sign is no letter O
		{"", ""}, {"<<<", ""}, {" -- ", ""}, // nothing
		{strings.Repeat("7", MaxKeyLength), strings.Repeat("7", MaxKeyLength)},
		{strings.Repeat("7", MaxKeyLength+1), ""}, // too long to be a key
	} {
		if got := DocumentKey(c.number); got != c.want {
			t.Errorf("DocumentKey(%q) = %q, want %q", c.number, got, c.want)
		}
	}
}

func TestDocumentKeysInSentences(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string // keys that must be among them
		not  []string // keys that must not
	}{
		{"Afghan passport number OA454805, issued on 12 March 2009", []string{"0A454805"}, []string{"2009", "12", "122009"}},
		{"A-1234567 (expired 2012)", []string{"A1234567"}, []string{"2012"}},
		{"381110042 (Expired 25 Jan. 2016)", []string{"381110042"}, []string{"2016", "25"}},
		{"passport X0012345 valid until 03/11/2014", []string{"X0012345"}, []string{"03112014"}},
		{"passport X0012345 valid until 2014-11-03", []string{"X0012345"}, []string{"20141103"}},
		{"Military identification (ARMY)\nnumber 911-10-77", []string{"9111077"}, nil},
		{"Passport No.: 28642163", []string{"28642163"}, nil},
		{"travel document (“Reiseausweis”) A 0139243", []string{"A0139243"}, []string{"139243"}},
		{"passport number SE 012820", []string{"5E012820"}, nil},
		{"passport number 8208 No. 555627", []string{"8208555627", "555627"}, []string{"8208"}},
		{"number 423-31-3021 (US)", []string{"423313021"}, []string{"U5"}},
		{"R00012098, South Sudan", []string{"R00012098"}, nil},
		{"PS 472330208", []string{"P5472330208", "472330208"}, nil},
		{"TR-P 614 166", []string{"TRP614166"}, []string{"614166", "614"}},
		{"A1234567 / B7654321", []string{"A1234567", "87654321"}, nil},
		{"A1234567 and B7654321", []string{"A1234567", "87654321"}, nil},
		{"A1234567; B7654321", []string{"A1234567", "87654321"}, nil},
		{"No34409/129", []string{"34409129"}, nil},
		{"national card number 4414", []string{"4414"}, nil},
	} {
		got := DocumentKeys(c.text)
		for _, k := range c.want {
			if !slices.Contains(got, k) {
				t.Errorf("DocumentKeys(%q) = %q, without %q", c.text, got, k)
			}
		}
		for _, k := range c.not {
			if slices.Contains(got, k) {
				t.Errorf("DocumentKeys(%q) = %q, with %q, which is no number", c.text, got, k)
			}
		}
		if len(got) == 0 || len(got) > MaxKeys {
			t.Errorf("DocumentKeys(%q): %d keys", c.text, len(got))
		}
		if whole := DocumentKey(c.text); whole != "" && !slices.Contains(got, whole) {
			t.Errorf("DocumentKeys(%q) = %q, without the whole %q", c.text, got, whole)
		}
	}
	if got := DocumentKeys("Afghan passport number OA454805, issued on 12 March 2009")[0]; got != "0A454805" {
		t.Errorf("first key %q, want the number before the sentence", got)
	}
}

func TestDocumentKeysOfNothing(t *testing.T) {
	for _, text := range []string{"", " ", "<<<", "-", "unknown", "N/A", "n.a.", "Passport number", "not known",
		strings.Repeat("no number stands in this sentence ", 3)} {
		if got := DocumentKeys(text); len(got) != 0 {
			t.Errorf("DocumentKeys(%q) = %q, want none", text, got)
		}
	}
}

func TestRange(t *testing.T) {
	for _, c := range []struct {
		from, to, number string
		want             bool
	}{
		{"EB100000", "EB100999", "EB100000", true},
		{"EB100000", "EB100999", "EB100999", true},
		{"EB100000", "EB100999", "EB 100-500", true},
		{"EB100000", "EB100999", "EB1OO5OO", true},   // O for 0
		{"EB100000", "EB100999", "E8100500", true},   // B for 8: told apart by the score
		{"EB100000", "EB100999", "EB101000", false},  // past the end
		{"EB100000", "EB100999", "EB099999", false},  // before the start
		{"EB100000", "EB100999", "EA100500", false},  // another prefix
		{"EB100000", "EB100999", "EB1005000", false}, // another width
		{"EB100000", "EB100999", "EB1005", false},
		{"EB100000", "EB100999", "EB100A00", false}, // does not count in letters
		{"EB100000", "EB100999", "", false},
		{"AS000", "AB999", "A8500", false}, // two prefixes are no series
		{"AS000", "AB999", "AS000", true},  // but its ends are documents
		{"EB100", "EB10999", "EB10500", false},
		{"EB100999", "EB100000", "EB100500", false}, // the wrong way round
	} {
		if got := RangeContains(c.from, c.to, c.number); got != c.want {
			t.Errorf("RangeContains(%q, %q, %q) = %v", c.from, c.to, c.number, got)
		}
		low, high, ok := RangeKeys(c.from, c.to)
		key := DocumentKey(c.number)
		if ok && RangeContains(c.from, c.to, c.number) && (key < low || key > high || len(key) != len(low)) {
			t.Errorf("%q lies in the range and not between its keys %q and %q", c.number, low, high)
		}
	}
}

func stolen(number, issuer string, kind recordv1.DocumentType) *recordv1.Record {
	return &recordv1.Record{RecordId: "bel:1", Body: &recordv1.Record_Document{Document: &recordv1.Document{
		Number: number, Issuer: issuer, Type: kind, Status: recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN,
	}}}
}

func TestScoreDocument(t *testing.T) {
	const none = hitv1.Band_BAND_UNSPECIFIED
	const exact, strong, possible = hitv1.Band_BAND_EXACT, hitv1.Band_BAND_STRONG, hitv1.Band_BAND_POSSIBLE
	for _, c := range []struct {
		name             string
		asked, askedIss  string
		askedType        recordv1.DocumentType
		number, recorded string
		recType          recordv1.DocumentType
		want             hitv1.Band
	}{
		{"the same", "EB124576", "BEL", passport, "EB 124576", "BEL", passport, exact},
		{"with fillers", "EB124576<", "BEL", anyType, "eb-124576", "BEL", passport, exact},
		{"one state's classes of passport", "123456789", "GBN", passport, "123456789", "GBR", passport, exact},
		{"issuer not asked", "EB124576", "", passport, "EB124576", "BEL", passport, strong},
		{"issuer not recorded", "EB124576", "BEL", passport, "EB124576", "", passport, strong},
		{"issuer unspecified", "EB124576", "BEL", passport, "EB124576", "XXX", passport, strong},
		{"neither issuer", "EB124576", "", passport, "EB124576", "", passport, strong},
		{"another issuer", "EB124576", "FRA", passport, "EB124576", "BEL", passport, none},
		{"O for 0", "EO124576", "BEL", passport, "E0124576", "BEL", passport, strong},
		{"B for 8", "E8124576", "BEL", passport, "EB124576", "BEL", passport, possible},
		{"B for 8, issuer unknown", "E8124576", "", passport, "EB124576", "BEL", passport, none},
		{"three look-alikes", "88512457", "BEL", passport, "BBS12457", "BEL", passport, none},
		{"another type", "EB124576", "BEL", identityCard, "EB124576", "BEL", passport, strong},
		{"type not recorded", "EB124576", "BEL", identityCard, "EB124576", "BEL", anyType, exact},
		{"another number", "EB124577", "BEL", passport, "EB124576", "BEL", passport, none},
		{"leading zero", "0124576", "BEL", passport, "124576", "BEL", passport, none},
		{"in a sentence", "OA454805", "AFG", passport, "Afghan passport number OA454805, issued on 12 March 2009", "AFG", passport, exact},
		{"the sentence itself", "Afghan passport number OA454805", "AFG", passport, "Afghan passport number OA454805", "AFG", passport, exact},
		{"the date of the sentence", "12 March 2009", "AFG", passport, "OA454805, issued on 12 March 2009", "AFG", passport, none},
		{"without the series", "472330208", "GBR", passport, "PS 472330208", "GBR", passport, strong},
		{"another series", "PT 472330208", "GBR", passport, "PS 472330208", "GBR", passport, none},
		{"unknown is not unknown", "unknown", "BEL", passport, "unknown", "BEL", passport, none},
		{"nothing is not nothing", "<", "BEL", passport, "-", "BEL", passport, none},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := ScoreDocument(&queryv1.DocumentQuery{Number: c.asked, Issuer: c.askedIss, Type: c.askedType},
				stolen(c.number, c.recorded, c.recType))
			if ok != (c.want != none) || got.Band != c.want {
				t.Fatalf("hit %v, band %v, want %v: %s", ok, got.Band, c.want, got.Explanation)
			}
			if !ok {
				return
			}
			if got.RecordID != "bel:1" || got.Record == nil || got.Score <= 0 || got.Score > 1 || len(got.Evidence) != 3 || got.Explanation == "" {
				t.Errorf("incomplete candidate: %+v", got)
			}
			if strings.Contains(got.Explanation, c.number) {
				t.Errorf("explanation %q quotes the record", got.Explanation)
			}
			// What ScoreDocument would find, the keys must find first.
			asked, recorded := DocumentKeys(c.asked), DocumentKeys(c.number)
			if !slices.ContainsFunc(asked, func(k string) bool { return slices.Contains(recorded, k) }) {
				t.Errorf("no common key of %q and %q", asked, recorded)
			}
		})
	}
}

func TestScoreDocumentRecovered(t *testing.T) {
	rec := stolen("EB124576", "BEL", passport)
	rec.GetDocument().RecoveredAt = timestamppb.Now()
	if c, ok := ScoreDocument(&queryv1.DocumentQuery{Number: "EB124576", Issuer: "BEL"}, rec); ok {
		t.Errorf("a recovered document is a hit: %v", c)
	}
}

func TestScoreDocumentIsNoPerson(t *testing.T) {
	for _, rec := range []*recordv1.Record{nil, {}, {Body: &recordv1.Record_Person{Person: &recordv1.Person{}}}} {
		if _, ok := ScoreDocument(&queryv1.DocumentQuery{Number: "EB124576", Issuer: "BEL"}, rec); ok {
			t.Errorf("a hit on %v", rec)
		}
	}
}

func TestScoreDocumentBlanks(t *testing.T) {
	rec := stolen("EB100000", "BEL", passport)
	rec.GetDocument().RangeEnd = "EB100999"
	rec.GetDocument().Status = recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN_BLANK
	for number, want := range map[string]hitv1.Band{
		"EB100000": hitv1.Band_BAND_EXACT,
		"EB100731": hitv1.Band_BAND_EXACT,
		"EB1OO731": hitv1.Band_BAND_STRONG,
		"E8100731": hitv1.Band_BAND_POSSIBLE,
		"EB101000": hitv1.Band_BAND_UNSPECIFIED,
		"EB10073":  hitv1.Band_BAND_UNSPECIFIED,
	} {
		got, _ := ScoreDocument(&queryv1.DocumentQuery{Number: number, Issuer: "BEL", Type: passport}, rec)
		if got.Band != want {
			t.Errorf("%s: band %v, want %v", number, got.Band, want)
		}
	}
}

func TestDocumentEvidence(t *testing.T) {
	got, ok := ScoreDocument(&queryv1.DocumentQuery{Number: "E0124576", Type: passport}, stolen("EO124576", "BEL", passport))
	if !ok {
		t.Fatal("no hit")
	}
	var lines []string
	for _, e := range got.Evidence {
		lines = append(lines, fmt.Sprintf("%s %s asked=%q recorded=%q %s", featureName(e.GetFeature()), e.GetAgreement(), e.GetAsked(), e.GetRecorded(), e.GetHow()))
	}
	want := []string{
		`document number AGREEMENT_SIMILAR asked="E0124576" recorded="EO124576" folded O/0`,
		`document issuer AGREEMENT_UNKNOWN asked="" recorded="BEL" not asked`,
		`document type AGREEMENT_SAME asked="passport" recorded="passport" same`,
	}
	if d := cmp.Diff(want, lines); d != "" {
		t.Error(d)
	}
}

func FuzzDocumentKeys(f *testing.F) {
	for _, s := range []string{"EB124576<<", "Afghan passport number OA454805, issued on 12 March 2009", "8208 No. 555627",
		"PS 472330208", "A1234567 / B7654321", "Nº235", "\xff\xfe", "ＡＢ１２３", "12/03/2009", "ŉ1234ǅ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		keys := DocumentKeys(text)
		if !slices.Equal(keys, DocumentKeys(text)) {
			t.Fatalf("two answers for %q", text)
		}
		if len(keys) > MaxKeys {
			t.Fatalf("%d keys", len(keys))
		}
		for _, k := range keys {
			if k == "" || utf8.RuneCountInString(k) > MaxKeyLength || !utf8.ValidString(k) {
				t.Fatalf("key %q of %q", k, text)
			}
			if DocumentKey(k) != k {
				t.Fatalf("key %q of %q is not its own key: %q", k, text, DocumentKey(k))
			}
		}
		if k := DocumentKey(text); len(keys) > 0 && k != "" && !slices.Contains(keys, k) {
			t.Fatalf("keys %q of %q lack the whole %q", keys, text, k)
		}
		if len(keys) > 0 {
			q := &queryv1.DocumentQuery{Number: text, Issuer: "BEL"}
			if c, ok := ScoreDocument(q, stolen(text, "BEL", passport)); !ok || c.Band != hitv1.Band_BAND_EXACT {
				t.Fatalf("%q is not the same as itself", text)
			}
		}
	})
}

func FuzzRange(f *testing.F) {
	f.Add("EB100000", "EB100999", "EB1OO5OO")
	f.Fuzz(func(t *testing.T, from, to, number string) {
		low, high, ok := RangeKeys(from, to)
		if !RangeContains(from, to, number) {
			return
		}
		key := DocumentKey(number)
		if ok && (key < low || key > high || len(key) != len(low)) {
			t.Fatalf("%q in %q to %q: key %q not between %q and %q", number, from, to, key, low, high)
		}
	})
}

func BenchmarkDocumentKeys(b *testing.B) {
	for _, text := range []string{"EB124576", "Afghan passport number OA454805, issued on 12 March 2009"} {
		b.Run(fmt.Sprint(len(text)), func(b *testing.B) {
			for b.Loop() {
				DocumentKeys(text)
			}
		})
	}
}
