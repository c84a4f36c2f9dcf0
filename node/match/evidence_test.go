package match

import (
	"fmt"
	"math"
	"strings"
	"testing"

	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"

	"buf.build/go/protovalidate"
)

// redoSum adds up what a candidate's evidence says, as an officer can.
func redoSum(t *testing.T, c Candidate) {
	t.Helper()
	sum := 0.0
	for _, e := range c.Evidence {
		sum += e.GetWeight()
		if len(e.GetTokens()) == 0 {
			if e.GetWholeWeight() != 0 {
				t.Errorf("%v: a whole of no words", e.GetFeature())
			}
			continue
		}
		words := e.GetWholeWeight()
		for _, w := range e.GetTokens() {
			words += w.GetWeight()
		}
		if math.Abs(words-e.GetWeight()) > 1e-9 {
			t.Errorf("the words add up to %.6f, the name to %.6f", words, e.GetWeight())
		}
	}
	if math.Abs(max(0, min(1, sum))-c.Score) > 1e-9 {
		t.Errorf("the weights add up to %.6f, the score is %.6f", sum, c.Score)
	}
	for _, e := range c.Evidence {
		if err := protovalidate.Validate(e); err != nil {
			t.Errorf("evidence that the treaty refuses: %v", err)
		}
	}
}

// pairs are the words of a name as they met, "KARIM=KARIM SAME".
func pairs(c Candidate) []string {
	var out []string
	for _, w := range c.Evidence[0].GetTokens() {
		text := fmt.Sprintf("%s=%s %s", w.GetAsked(), w.GetRecorded(), strings.TrimPrefix(w.GetKind().String(), "TOKEN_KIND_"))
		if w.GetMoved() {
			text += " moved"
		}
		out = append(out, text)
	}
	return out
}

func TestEvidenceTellsEachWord(t *testing.T) {
	const born = "1989-04-17"
	for _, c := range []struct {
		recorded string
		query    *queryv1.PersonQuery
		want     string
	}{
		{"Karim Zerouali", ask("KARIM ZEROUALI", born), "KARIM=KARIM SAME; ZEROUALI=ZEROUALI SAME"},
		{"Karim Belhadj Zerouali", ask("ZEROUALI KARIM BELHADJ", born), "ZEROUALI=ZEROUALI SAME moved; KARIM=KARIM SAME; BELHADJ=BELHADJ SAME"},
		{"Karim Zerouali", ask("KARIM ZERWALI", born), "KARIM=KARIM SAME; ZERWALI=ZEROUALI SOUND"},
		{"Karim Belhadj Zerouali", ask("KARIM BELHDAJ ZEROUALI", born), "KARIM=KARIM SAME; BELHDAJ=BELHADJ SPELLING; ZEROUALI=ZEROUALI SAME"},
		{"Алексей Хрущёв", ask("ALEKSEI KHRUSHCHEV", born), "ALEKSEI=ALEKSEI TRANSLITERATION; KHRUSHCHEV=KHRUSHCHEV TRANSLITERATION"},
		{"Karim Belhadj Zerouali", ask("K BELHADJ ZEROUALI", born), "K=KARIM INITIAL; BELHADJ=BELHADJ SAME; ZEROUALI=ZEROUALI SAME"},
		{"Karim Alhabu Zerouali", ask("KARIM AL HABU ZEROUALI", born), "KARIM=KARIM SAME; AL HABU=ALHABU JOINED; ZEROUALI=ZEROUALI SAME"},
		{"Karim Belhadj Zerouali", ask("KARIM OMAR ZEROUALI", born), "KARIM=KARIM SAME; ZEROUALI=ZEROUALI SAME; OMAR= NOT_RECORDED; =BELHADJ NOT_ASKED"},
		{"Karim Papandropoulouskyriakides", &queryv1.PersonQuery{Primary: "KARIM", Secondary: "PAPANDROPOULOUSK", BirthDate: born, Truncated: true},
			"KARIM=KARIM SAME; PAPANDROPOULOUSK=PAPANDROPOULOUSKYRIAKIDES CUT_OFF"},
	} {
		got, ok := found(t, person(c.recorded, day(born)), c.query)
		if !ok {
			t.Errorf("%s: no hit", c.recorded)
			continue
		}
		redoSum(t, got)
		if told := strings.Join(pairs(got), "; "); told != c.want {
			t.Errorf("%s beside %v:\n got %s\nwant %s", c.recorded, c.query, told, c.want)
		}
		for _, w := range got.Evidence[0].GetTokens() {
			missing := w.GetKind() == hitv1.TokenKind_TOKEN_KIND_NOT_ASKED || w.GetKind() == hitv1.TokenKind_TOKEN_KIND_NOT_RECORDED
			if missing && w.GetWeight() >= 0 || !missing && w.GetWeight() <= 0 {
				t.Errorf("%s: %v weighs %.3f", c.recorded, w.GetKind(), w.GetWeight())
			}
		}
	}
}

func TestEvidenceOfCutOffIsTold(t *testing.T) {
	rec := person("Karim Zerouali Papandropoulouskyr", day("1989-04-17"))
	q := &queryv1.PersonQuery{Primary: "KARIM ZEROUALI", Secondary: "PAPANDROPOULOUSKY", BirthDate: "1989-04-17", Truncated: true}
	got, _ := found(t, rec, q)
	if !strings.Contains(got.Explanation, "1 cut off") || got.Band == hitv1.Band_BAND_EXACT {
		t.Errorf("%v, %s", got.Band, got.Explanation)
	}
	q.Truncated = false
	if got, _ = found(t, rec, q); len(got.Evidence) == 0 || strings.Contains(got.Explanation, "cut off") {
		t.Errorf("a whole name: %s", got.Explanation)
	}
}

func TestEvidenceIsBounded(t *testing.T) {
	words := func(other string) string {
		var all []string
		for i := range 40 {
			part := fmt.Sprintf("%c%c", 'a'+i%5, 'k'+i/5)
			if i%2 == 0 {
				part += other
			}
			all = append(all, "zeru"+part+strings.Repeat("alipersever"+part, 6))
		}
		return strings.Join(all, " ")
	}
	got, ok := found(t, person(words("mon"), day("1989-04-17")), ask(words("gat"), "1989-04-17"))
	if !ok {
		t.Fatal("no hit")
	}
	redoSum(t, got)
}

func TestSearchBirthCountry(t *testing.T) {
	rec := person("Karim Zerouali", &recordv1.Birth{From: "1989-04-17", To: "1989-04-17", Country: "MAR"}, &recordv1.Birth{Country: "DZA"})
	rec.GetPerson().Nationalities = []*recordv1.Nationality{{Code: "MAR"}}
	search := func(nationality, country string) Candidate {
		got, ok := found(t, rec, &queryv1.PersonQuery{Name: "KARIM ZEROUALI", BirthDate: "1989-04-17", Nationality: nationality, BirthCountry: country})
		if !ok {
			t.Fatalf("%s %s: no hit", nationality, country)
		}
		redoSum(t, got)
		return got
	}
	plain := search("", "")
	if len(plain.Evidence) != 4 {
		t.Errorf("evidence of what was not asked: %s", plain.Explanation)
	}
	for _, c := range []struct {
		country string
		better  int
		want    hitv1.Agreement
		how     string
	}{
		{"MAR", 1, hitv1.Agreement_AGREEMENT_SAME, "same"},
		{"DZA", 1, hitv1.Agreement_AGREEMENT_SAME, "same"},
		{"FRA", -1, hitv1.Agreement_AGREEMENT_DIFFERENT, "different"},
		{"XXX", 0, hitv1.Agreement_AGREEMENT_UNKNOWN, "not asked"},
	} {
		got := search("", c.country)
		e := got.Evidence[len(got.Evidence)-1]
		if e.GetFeature() != hitv1.Feature_FEATURE_BIRTH_COUNTRY || e.GetAgreement() != c.want || e.GetHow() != c.how || e.GetRecorded() != "MAR DZA" {
			t.Errorf("%s: %v", c.country, e)
		}
		if d := got.Score - plain.Score; c.better > 0 && d <= 0 || c.better < 0 && d >= 0 || c.better == 0 && d != 0 {
			t.Errorf("%s: score %.3f beside %.3f", c.country, got.Score, plain.Score)
		}
		if !strings.Contains(got.Explanation, "birth country: "+c.how) {
			t.Errorf("explanation %q", got.Explanation)
		}
	}
	// The country of birth once more than the nationality is hardly news; another one takes little.
	again := search("MAR", "MAR").Score - search("MAR", "").Score
	alone := search("", "MAR").Score - plain.Score
	other := plain.Score - search("", "FRA").Score
	if again <= 0 || again >= alone/2 || other >= alone {
		t.Errorf("it adds %.3f beside the nationality, %.3f alone, and takes %.3f", again, alone, other)
	}
	// Who is not known to be born anywhere is neither.
	got, _ := found(t, person("Karim Zerouali", day("1989-04-17")), &queryv1.PersonQuery{Name: "KARIM ZEROUALI", BirthDate: "1989-04-17", BirthCountry: "FRA"})
	if e := got.Evidence[len(got.Evidence)-1]; e.GetAgreement() != hitv1.Agreement_AGREEMENT_UNKNOWN || e.GetWeight() != 0 || e.GetHow() != "not recorded" {
		t.Errorf("%v", e)
	}
}

func TestSharedDocumentDecides(t *testing.T) {
	rec := person("Karim Belhadj Zerouali", day("1989-04-17"))
	rec.GetPerson().Sex = recordv1.Sex_SEX_MALE
	p := index(rec, person("Pedro Almeidinha"))
	held := stolen("EB124576", "BEL", passport)
	document := func(issuer string) Candidate {
		c, ok := ScoreDocument(&queryv1.DocumentQuery{Number: "EB124576", Issuer: issuer}, held)
		if !ok {
			t.Fatal("the document is no hit")
		}
		return c
	}
	const (
		exact    = hitv1.Band_BAND_EXACT
		strong   = hitv1.Band_BAND_STRONG
		possible = hitv1.Band_BAND_POSSIBLE
	)
	for _, c := range []struct {
		name, asked, born, issuer string
		sex                       recordv1.Sex
		want                      hitv1.Band
		told                      string
	}{
		{"all agrees", "KARIM BELHADJ ZEROUALI", "1989-04-17", "BEL", 0, exact, "name: same"},
		{"a part of the name", "ZEROUALI", "", "BEL", 0, exact, "not asked"},
		{"another name", "ANNA PETROVA", "1989-04-17", "BEL", 0, strong, "not recorded"},
		{"another birth date", "KARIM ZEROUALI", "1961-11-30", "BEL", 0, strong, "birth date: different"},
		{"another sex", "KARIM ZEROUALI", "1989-04-17", "BEL", recordv1.Sex_SEX_FEMALE, strong, "sex: different"},
		{"a document that is not sure, another name", "ANNA PETROVA", "1961-11-30", "", 0, possible, "not recorded"},
		{"a document that is not sure, the same name", "KARIM ZEROUALI", "1989", "", 0, strong, "year only"},
	} {
		q := &queryv1.PersonQuery{Name: c.asked, BirthDate: c.born, Sex: c.sex}
		beside, ok := p.Beside(q, "esp:1")
		if !ok {
			t.Errorf("%s: nobody is beside", c.name)
			continue
		}
		redoSum(t, beside)
		got := WithDocument(beside, document(c.issuer))
		redoSum(t, got)
		if got.Band != c.want || !strings.Contains(got.Explanation, c.told) || !strings.Contains(got.Explanation, "document number: same") {
			t.Errorf("%s: %v %.2f %s, want %v", c.name, got.Band, got.Score, got.Explanation, c.want)
		}
		if c.issuer != "" && got.Score < StrongFrom {
			t.Errorf("%s: a shared document scores %.2f: %s", c.name, got.Score, got.Explanation)
		}
		if strings.Contains(got.Explanation, "EB124576") || len(beside.Evidence) != 4 {
			t.Errorf("%s: %s, and the person alone has %d comparisons", c.name, got.Explanation, len(beside.Evidence))
		}
	}
	// What a search finds and what stands beside is one and the same.
	q := ask("KARIM ZERWALI", "1989-04-17")
	searched, beside := p.Search(q, 1), Candidate{}
	if beside, _ = p.Beside(q, "esp:1"); len(searched) != 1 || searched[0].Score != beside.Score || searched[0].Explanation != beside.Explanation {
		t.Errorf("searched %v, beside %v", searched, beside)
	}
	for _, id := range []string{"esp:3", ""} {
		if _, ok := p.Beside(q, id); ok {
			t.Errorf("%q is beside", id)
		}
	}
	p.Remove("esp:1")
	if _, ok := p.Beside(q, "esp:1"); ok {
		t.Error("somebody withdrawn is beside")
	}
	if _, ok := p.Beside(&queryv1.PersonQuery{}, "esp:2"); ok {
		t.Error("nobody is beside somebody")
	}
}
