package mrz

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

func TestNamesAreBroughtToTheZone(t *testing.T) {
	for _, c := range []struct{ primary, secondary, want string }{
		{"Müller-Lüdenscheidt", "Jörg", "MUELLER<LUEDENSCHEIDT<<JOERG<<<<<<<<<<<"},
		{"D'Artagnan", "Anne, Jr.", "DARTAGNAN<<ANNE<JR<<<<<<<<<<<<<<<<<<<<<"},
		{"Łukasiewicz", "Żaneta", "LUKASIEWICZ<<ZANETA<<<<<<<<<<<<<<<<<<<<"},
		{"Щербаков", "Юрий", "SHCHERBAKOV<<IURII<<<<<<<<<<<<<<<<<<<<<"},
		{"Straße", "", "STRASSE<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<<"},
		{"Nguyễn", "Văn", "NGUYEN<<VAN<<<<<<<<<<<<<<<<<<<<<<<<<<<<"},
	} {
		zone, err := EncodeTD3(Document{Type: "P", Issuer: "UTO", Number: "X1", Nationality: "UTO", Primary: c.primary, Secondary: c.secondary})
		if err != nil {
			t.Fatal(err)
		}
		if got := zone[5:44]; got != c.want {
			t.Errorf("%s, %s: %s, want %s", c.primary, c.secondary, got, c.want)
		}
	}
}

func TestLongNamesAreTruncated(t *testing.T) {
	for _, c := range []struct {
		primary, secondary []string
		width              int
		want               string
	}{
		// Doc 9303-4 section 4.2.3, example of a secondary identifier that is truncated.
		{[]string{"NILAVADHANANANDA"}, []string{"CHAYAPA", "DEJTHAMRONG", "KRASUANG"}, 39, "NILAVADHANANANDA<<CHAYAPA<DEJTHAMRONG<K"},
		{[]string{"BENNELONG", "WOOLOOMOOLOO", "WARRANDYTE", "WARNAMBOOL"}, []string{"DINGO", "POTOROO"}, 39, "BENNELONG<WOOLOOMOOLOO<WARRANDYT<W<<D<P"},
		{[]string{"BENNELONG", "WOOLOOMOOLOO", "WARRANDYTE", "WARNAMBOOL"}, []string{"DINGO", "POTOROO"}, 31, "BENNELONG<WOOLOOMOOLOO<W<W<<D<P"},
		{[]string{"PAPANDROPOULOUSPAPANDROPOULOUSPAPANDROPOULOUS"}, nil, 39, "PAPANDROPOULOUSPAPANDROPOULOUSPAPANDROP"},
		{[]string{"PAPANDROPOULOUSPAPANDROPOULOUSPAPANDROPOULOUS"}, []string{"JONATHON"}, 39, "PAPANDROPOULOUSPAPANDROPOULOUSPAPAND<<J"},
		{strings.Split(strings.Repeat("A", 30), ""), []string{"B", "C"}, 39, strings.Repeat("A<", 17) + "A<<B"},
		{[]string{"FITS"}, []string{"EXACTLY"}, 13, "FITS<<EXACTLY"},
	} {
		got := fit(c.primary, c.secondary, c.width)
		if got != c.want || len(got) > c.width {
			t.Errorf("fit(%v, %v, %d) = %q (%d), want %q", c.primary, c.secondary, c.width, got, len(got), c.want)
		}
	}
}

func TestWhatCannotBeEncodedSaysWhy(t *testing.T) {
	good := Document{Format: TD3, Type: "P", Issuer: "UTO", Number: "L898902C3", Nationality: "UTO", BirthDate: "1974-08-12", Primary: "ERIKSSON"}
	if _, err := Encode(&good); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*Document)
		says   string
	}{
		{"format", func(d *Document) { d.Format = "TD4" }, "give TD1"},
		{"type", func(d *Document) { d.Type = "V" }, "document code: a document of format TD3"},
		{"no type", func(d *Document) { d.Type = "" }, "document code: give one"},
		{"visa as passport", func(d *Document) { d.Format = MRVA }, "begins with one of V"},
		{"issuer", func(d *Document) { d.Issuer = "utopia" }, "issuing state: 6 characters"},
		{"no issuer", func(d *Document) { d.Issuer = "" }, "issuing state: give one"},
		{"long number", func(d *Document) { d.Number = "L898902C3X" }, "document number: 10 characters"},
		{"long number in TD2", func(d *Document) { d.Format, d.Type, d.Number = TD2, "I", strings.Repeat("9", 15) }, "at most 14"},
		{"long number in TD1", func(d *Document) { d.Format, d.Type, d.Number = TD1, "I", strings.Repeat("9", 23) }, "at most 22"},
		{"long number with a filler", func(d *Document) { d.Format, d.Type, d.Number = TD1, "I", "1234<678901" }, "cannot hold fillers"},
		{"no number", func(d *Document) { d.Number = "<" }, "document number: give one"},
		{"small letters", func(d *Document) { d.Number = "l898902c3" }, "document number: character 1"},
		{"date", func(d *Document) { d.BirthDate = "12.08.1974" }, "birth date: give YYYY-MM-DD"},
		{"day", func(d *Document) { d.Expiry = "2031-02-30" }, "expiry date: give YYYY-MM-DD"},
		{"no name", func(d *Document) { d.Primary = " " }, "name: give the primary"},
		{"script", func(d *Document) { d.Primary = "محمد" }, "name: primary identifier"},
		{"second optional data", func(d *Document) { d.Optional2 = "A" }, "only TD1"},
	} {
		d := good
		c.change(&d)
		if _, err := Encode(&d); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want one that says %q", c.name, err, c.says)
		}
	}
}

// documents draws documents that a zone can hold without loss.
func documents(t *rapid.T) Document {
	text := func(label, pattern string) string { return rapid.StringMatching(pattern).Draw(t, label) }
	f := rapid.SampledFrom([]Format{TD1, TD2, TD3, MRVA, MRVB}).Draw(t, "format")
	codes := []string{"BEL", "ESP", "BGR", "LBN", "D", "GBN", "XXA", "UTO", "UNO", "XPO"}
	d := Document{
		Format:      f,
		Issuer:      rapid.SampledFrom(codes).Draw(t, "issuer"),
		Nationality: rapid.SampledFrom(codes).Draw(t, "nationality"),
		Number:      text("number", `[A-Z0-9]{1,9}`),
		Sex:         rapid.SampledFrom([]recordv1.Sex{recordv1.Sex_SEX_MALE, recordv1.Sex_SEX_FEMALE, recordv1.Sex_SEX_OTHER}).Draw(t, "sex"),
		BirthDate:   text("birth", `|19[3-9][0-9](-(0[1-9]|1[0-2])(-(0[1-9]|1[0-9]|2[0-8]))?)?`),
		Expiry:      text("expiry", `|20[0-6][0-9](-(0[1-9]|1[0-2])(-(0[1-9]|1[0-9]|2[0-8]))?)?`),
		Primary:     text("primary", `[A-Z]{1,8}( [A-Z]{1,4})?`),
		Secondary:   text("secondary", `|[A-Z]{1,6}( [A-Z]{1,4})?`),
	}
	switch f {
	case TD1:
		d.Type = text("type", `[AIC][A-Z]?`)
		d.Optional, d.Optional2 = text("optional", `|[A-Z0-9]{1,4}`), text("optional2", `|[A-Z0-9]{1,11}`)
		if rapid.Bool().Draw(t, "long") {
			d.Number += strings.Repeat("7", 9-len(d.Number)) + text("rest", `[A-Z0-9]{1,8}`)
		}
	case TD2:
		d.Type, d.Optional = text("type", `[AIC][A-Z]?`), text("optional", `|[A-Z0-9]{1,2}`)
		if rapid.Bool().Draw(t, "long") {
			d.Number += strings.Repeat("7", 9-len(d.Number)) + text("rest", `[A-Z0-9]{1,3}`)
		}
	case TD3:
		d.Type, d.Optional = text("type", `P[A-Z]?`), text("optional", `|[A-Z0-9]{1,14}`)
	default:
		d.Type, d.Optional = text("type", `V[A-Z]?`), text("optional", `|[A-Z0-9]{1,8}`)
	}
	return d
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := documents(t)
		zone, err := Encode(&want)
		if err != nil {
			t.Fatalf("Encode: %v", err)
		}
		got, problems, err := at().Parse(zone)
		if err != nil {
			t.Fatalf("Parse: %v\n%s", err, zone)
		}
		if len(problems) > 0 {
			t.Fatalf("problems %v\n%s", problems, zone)
		}
		got.Truncated = false // a name that just fits looks truncated
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s\n%s", diff, zone)
		}
	})
}

func TestTruncatedNamesKeepALetterOfEveryPart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.StringMatching(`[A-Z]{1,20}`), 1, 6)
		p, s := parts.Draw(t, "primary"), parts.Draw(t, "secondary")
		zone, err := EncodeTD2(Document{Type: "I", Issuer: "BEL", Number: "1", Nationality: "BEL", Primary: strings.Join(p, " "), Secondary: strings.Join(s, " ")})
		if err != nil {
			t.Fatal(err)
		}
		d, problems, err := at().Parse(zone)
		if err != nil || len(problems) > 0 {
			t.Fatalf("%v %v", problems, err)
		}
		gotP, gotS := strings.Fields(d.Primary), strings.Fields(d.Secondary)
		if len(gotP) != len(p) || len(gotS) != len(s) {
			t.Fatalf("%d and %d parts, want %d and %d: %s", len(gotP), len(gotS), len(p), len(s), zone)
		}
		for i, part := range append(gotP, gotS...) {
			if whole := append(p, s...)[i]; !strings.HasPrefix(whole, part) {
				t.Fatalf("part %q of %q", part, whole)
			}
		}
	})
}

// FuzzParse: whatever a reader sends, there is a document or an error that says why, and what
// was read without a problem can be written and read again.
func FuzzParse(f *testing.F) {
	for _, zone := range []string{
		utopia,
		"I<UTOD23145890<7349<<<<<<<<<<<\n3407127M9507122UTO<<<<<<<<<<<2\nSTEVENSON<<PETER<JOHN<<<<<<<<<",
		"V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\nL8988901C4XXX4009078F9612109<<<<<<<<",
		strings.ToLower(utopia), "", "P<", strings.Repeat("<", 88), "\x00\xff",
	} {
		f.Add(zone)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, problems, err := at().Parse(s)
		if (d == nil) != (err != nil) {
			t.Fatalf("document %v, error %v", d, err)
		}
		if err != nil || len(problems) > 0 {
			return
		}
		zone, err := Encode(d)
		if err != nil {
			// A zone may hold what Encode refuses to write: fillers within the type or an issuer.
			return
		}
		again, problems, err := at().Parse(zone)
		if err != nil || len(problems) > 0 {
			t.Fatalf("read again: %v, %v\n%s", problems, err, zone)
		}
		again.Truncated = d.Truncated
		if diff := cmp.Diff(d, again); diff != "" {
			t.Fatalf("read again (-first +second):\n%s\n%s", diff, zone)
		}
	})
}
