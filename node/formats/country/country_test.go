package country

import (
	"strings"
	"testing"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"github.com/entente-mesh/entente/pki/identity"
)

func TestNamesAsListsWriteThem(t *testing.T) {
	for name, want := range map[string]string{
		"Belgium": "BEL", "belgique": "BEL", "BULGARIE": "BGR", "Spain": "ESP", "Liban": "LBN", "Lebanon": "LBN",
		"Iran (Islamic Republic of)":                           "IRN",
		"Democratic People's Republic of Korea":                "PRK",
		"Democratic People’s Republic of Korea":                "PRK",
		"Republic of Korea":                                    "KOR",
		"Democratic Republic of the Congo":                     "COD",
		"Congo":                                                "COG",
		"République démocratique du Congo":                     "COD",
		"United Kingdom of Great Britain and Northern Ireland": "GBR",
		"United States of America":                             "USA", "U.S.A.": "USA", "États-Unis": "USA",
		"Türkiye": "TUR", "Turkey": "TUR", "Côte d’Ivoire": "CIV", "Cote d'Ivoire": "CIV", "Ivory Coast": "CIV",
		"the Netherlands": "NLD", "Les Comores": "COM", "St. Lucia": "LCA", "Saint Lucia": "LCA",
		"Trinidad & Tobago": "TTO", "Guinea-Bissau": "GNB", "Guinea": "GIN", "Equatorial Guinea": "GNQ",
		"Niger": "NER", "Nigeria": "NGA", "State of Palestine": "PSE", " South  Sudan\n": "SSD", "Sudan": "SDN",
		"Iran": "IRN", "Iran, Islamic Rep. of": "IRN", "Russia": "RUS", "Syria": "SYR", "Syrian Arab Rep.": "SYR",
		"Korea, North": "PRK", "Korea (South)": "KOR", "Korea, DPR": "PRK", "Korea (the Republic of)": "KOR",
		"Democratic Peoples Republic of Korea": "PRK", "Korea, Dem. People's Rep.": "PRK", "ROK": "KOR",
		"Congo, Rep.": "COG", "Congo (the)": "COG", "Congo, Dem. Rep.": "COD", "Congo, Democratic Republic of": "COD", "DR Congo": "COD",
		"Gambia (the)": "GMB", "Bahamas, The": "BHS", "Germany, Federal Republic of": "DEU", "China, People's Republic of": "CHN",
		"Palestinian": "PSE", "Moldova (the Republic of)": "MDA", "Macedonia, FYR": "MKD",
		"China, Hong Kong Special Administrative Region": "HKG", "Viet Nam": "VNM", "Dominica": "DMA", "Dominican Republic": "DOM",
	} {
		if got, ok := Alpha3(name); !ok || got != want {
			t.Errorf("Alpha3(%q) = %q, %v, want %s", name, got, ok, want)
		}
	}
}

func TestTwoLettersAreACodeOrAName(t *testing.T) {
	for written, want := range map[string]string{"UK": "GBR", "GB": "GBR", "US": "USA", "IR": "IRN"} {
		if got, ok := Parse(written); !ok || got != want {
			t.Errorf("Parse(%q) = %q, %v, want %s", written, got, ok, want)
		}
	}
}

func TestWhatIsNotRecognisedIsNotGuessed(t *testing.T) {
	for _, name := range []string{"", " ", "na", "former Soviet Union", "Yugoslavia", "Belgian", "Kandahar", "Korea", "the", "XYZ"} {
		if got, ok := Alpha3(name); ok {
			t.Errorf("Alpha3(%q) = %s, want nothing", name, got)
		}
		if got, ok := Parse(name); ok {
			t.Errorf("Parse(%q) = %s, want nothing", name, got)
		}
	}
}

func TestCodes(t *testing.T) {
	for s, want := range map[string]string{"BEL": "BEL", "bel": "BEL", "BE": "BEL", " ES ": "ESP", "be": "", "Liban": "LBN", "XXA": "XXA", "UNO": "UNO", "QQ": ""} {
		if got, ok := Parse(s); got != want || ok != (want != "") {
			t.Errorf("Parse(%q) = %q, %v, want %q", s, got, ok, want)
		}
	}
}

// TestTableIsWhole compares the table with the codes that bureaus have, and with the names that
// the Unicode locale data has in both languages.
func TestTableIsWhole(t *testing.T) {
	english, french := display.English.Regions(), display.French.Regions()
	names, lines := map[string]string{}, 0
	for line := range strings.Lines(strings.TrimSpace(table)) {
		lines++
		fields := strings.SplitN(strings.TrimSpace(line), " ", 3)
		if b, ok := identity.BureauOfIssuer(fields[0]); !ok || string(b) != fields[0] {
			t.Errorf("%s is the code of no bureau", fields[0])
		}
		for name := range strings.SplitSeq(fields[2], ";") {
			if other, ok := names[fold(name)]; ok && other != fields[0] {
				t.Errorf("%q is a name of both %s and %s", name, other, fields[0])
			}
			names[fold(name)] = fields[0]
		}
		region, err := language.ParseRegion(fields[1])
		if err != nil || region.ISO3() != fields[0] {
			t.Errorf("alpha-2 %s is %s, not %s (%v)", fields[1], region.ISO3(), fields[0], err)
			continue
		}
		for _, name := range []string{english.Name(region), french.Name(region)} {
			if got, ok := Alpha3(name); !ok || got != fields[0] {
				t.Errorf("Alpha3(%q) = %q, want %s", name, got, fields[0])
			}
		}
	}
	if lines != 249 {
		t.Errorf("%d states and territories, ISO 3166-1 has 249", lines)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("Belgium")
	f.Add("Côte d’Ivoire")
	f.Add("\xff\x00 the ")
	f.Fuzz(func(t *testing.T, s string) {
		if code, ok := Parse(s); ok && !identity.KnownCode(code) {
			t.Errorf("%q is %q, which is no known code", s, code)
		}
	})
}
