package match

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/entente-mesh/entente/node/match/people"
	"github.com/entente-mesh/entente/node/match/script"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// onePerson is an index of the traveller under a name, among the others, whose names make words
// common or rare.
func onePerson(p *Persons, who people.Traveller, written string) {
	p.Put("one", recordOf(who, written))
}

// natives write Latin letters in another script, as far as the names of a region allow it.
var natives = []struct {
	name, region string
	most         float64
	letters      *strings.Replacer
}{
	{"Cyrillic", "Slavic", 6, strings.NewReplacer("SHCH", "Щ", "ZH", "Ж", "KH", "Х", "TS", "Ц", "CH", "Ч", "SH", "Ш", "IU", "Ю", "YU", "Ю", "IA", "Я", "YA", "Я",
		"A", "А", "B", "Б", "V", "В", "W", "В", "G", "Г", "D", "Д", "E", "Е", "Z", "З", "I", "И", "J", "Й", "K", "К", "C", "К", "L", "Л", "M", "М", "N", "Н", "O", "О",
		"P", "П", "R", "Р", "S", "С", "T", "Т", "U", "У", "F", "Ф", "H", "Х", "Y", "Ы", "X", "КС", "Q", "К")},
	{"Cyrillic", "Persian and Turkic", 6, strings.NewReplacer("ZH", "Ж", "KH", "Х", "TS", "Ц", "CH", "Ч", "SH", "Ш", "YU", "Ю", "YA", "Я",
		"A", "А", "B", "Б", "V", "В", "W", "В", "G", "Г", "D", "Д", "E", "Е", "Z", "З", "I", "И", "J", "Ж", "K", "К", "C", "Ч", "L", "Л", "M", "М", "N", "Н", "O", "О",
		"P", "П", "R", "Р", "S", "С", "T", "Т", "U", "У", "F", "Ф", "H", "Х", "Y", "Й", "X", "КС", "Q", "К")},
	{"Greek", "Eastern Mediterranean and Caucasus", 9, strings.NewReplacer("TH", "Θ", "CH", "Χ", "PS", "Ψ", "OU", "ΟΥ",
		"A", "Α", "B", "ΜΠ", "V", "Β", "G", "Γ", "D", "Δ", "E", "Ε", "Z", "Ζ", "I", "Ι", "K", "Κ", "L", "Λ", "M", "Μ", "N", "Ν", "O", "Ο", "P", "Π", "R", "Ρ", "S", "Σ",
		"T", "Τ", "U", "ΟΥ", "F", "Φ", "X", "Ξ", "Y", "Υ")},
	{"Georgian", "Eastern Mediterranean and Caucasus", 6, strings.NewReplacer("ZH", "ჟ", "KH", "ხ", "GH", "ღ", "TS", "ც", "DZ", "ძ", "CH", "ჩ", "SH", "შ",
		"A", "ა", "B", "ბ", "G", "გ", "D", "დ", "E", "ე", "V", "ვ", "Z", "ზ", "T", "თ", "I", "ი", "K", "კ", "L", "ლ", "M", "მ", "N", "ნ", "O", "ო", "P", "პ", "R", "რ",
		"S", "ს", "U", "უ", "Q", "ყ", "J", "ჯ", "H", "ჰ", "F", "ფ")},
	{"Armenian", "Eastern Mediterranean and Caucasus", 6, strings.NewReplacer("ZH", "ժ", "KH", "խ", "GH", "ղ", "TS", "ց", "DZ", "ձ", "CH", "չ", "SH", "շ", "EV", "եւ", "U", "ու",
		"A", "ա", "B", "բ", "G", "գ", "D", "դ", "E", "է", "Z", "զ", "T", "տ", "I", "ի", "K", "կ", "L", "լ", "M", "մ", "N", "ն", "O", "օ", "P", "պ", "R", "ր", "S", "ս",
		"V", "վ", "Y", "յ", "H", "հ", "J", "ջ", "F", "ֆ")},
	{"Katakana", "Japanese", 6, strings.NewReplacer("SHA", "シャ", "SHU", "シュ", "SHO", "ショ", "SHI", "シ", "CHI", "チ", "TSU", "ツ", "JI", "ジ", "KYO", "キョ", "RYO", "リョ", "JU", "ジュ", "FU", "フ", "KA", "カ", "KI", "キ", "KU", "ク", "KE", "ケ", "KO", "コ",
		"GA", "ガ", "GI", "ギ", "GU", "グ", "GE", "ゲ", "GO", "ゴ", "SA", "サ", "SU", "ス", "SE", "セ", "SO", "ソ", "ZA", "ザ", "ZU", "ズ", "ZE", "ゼ", "ZO", "ゾ", "TA", "タ", "TE", "テ", "TO", "ト",
		"DA", "ダ", "DE", "デ", "DO", "ド", "NA", "ナ", "NI", "ニ", "NU", "ヌ", "NE", "ネ", "NO", "ノ", "HA", "ハ", "HI", "ヒ", "HE", "ヘ", "HO", "ホ", "BA", "バ", "BI", "ビ", "BU", "ブ", "BE", "ベ", "BO", "ボ",
		"MA", "マ", "MI", "ミ", "MU", "ム", "ME", "メ", "MO", "モ", "YA", "ヤ", "YU", "ユ", "YO", "ヨ", "RA", "ラ", "RI", "リ", "RU", "ル", "RE", "レ", "RO", "ロ", "WA", "ワ", "N", "ン",
		"A", "ア", "I", "イ", "U", "ウ", "E", "エ", "O", "オ")},
}

// Who is listed in another script is found by the Latin name, and who is listed in Latin letters by
// the name in the other script and by what the zone makes of that; each at a bounded cost.
func TestScriptsCostLittle(t *testing.T) {
	all := propertyTravellers()
	for _, n := range natives {
		world := indexOf(all, inOrder(len(all)))
		tried, worst, who, first := 0, 0.0, "", 0
		for _, traveller := range all {
			if traveller.Region != n.region {
				continue
			}
			surname, given := n.letters.Replace(traveller.Surname), n.letters.Replace(traveller.Given)
			if strings.ContainsFunc(surname+given, func(r rune) bool { return r < unicode.MaxASCII && unicode.IsLetter(r) }) {
				continue // not a name of this script
			}
			tried++
			onePerson(world, traveller, traveller.Name())
			plain := odds(world, byZone(traveller), "one")
			native := odds(world, &queryv1.PersonQuery{Primary: surname, Secondary: given}, "one")
			zone := &queryv1.PersonQuery{Primary: strings.Join(script.Zone(surname), " "), Secondary: strings.Join(script.Zone(given), " ")}
			onZone := odds(world, zone, "one")
			onePerson(world, traveller, given+" "+surname)
			reverse := odds(world, byZone(traveller), "one")
			if cost := plain - min(native, onZone, reverse); cost > worst {
				worst, who = cost, fmt.Sprintf("%s %s, %s", given, surname, traveller.Name())
			}
			if r := world.Rank(born(byZone(traveller), traveller), 1); len(r) > 0 && r[0].ID == "one" || odds(world, born(byZone(traveller), traveller), "one") > 0 {
				first++
			}
			world.Remove("one")
		}
		t.Logf("%s, %s: costs at most %.2f nats (%s), %d of %d", n.name, n.region, worst, who, first, tried)
		if tried < 5 || worst > n.most+rounding || first < tried {
			t.Errorf("%s costs %s %.2f nats, more than %.2f; %d of %d are found", n.name, who, worst, n.most, first, tried)
		}
	}
}

// Names of one script each, and how a passport or an airline writes them. All are invented.
var written = []struct{ native, latin string }{
	{"خالد الزروالي", "ZEROUALI KHALID"},
	{"عبد اللطيف حمداني", "HAMDANI ABDELLATIF"},
	{"فاطمة بوشارب", "BOUCHAREB FATIMA"},
	{"عادل الخطيبي", "ALKHATIBI ADEL"},
	{"یاسر کریم\u200cپور", "KARIMPOUR YASER"},
	{"گل آغا پټان", "PATAN GUL AGHA"},
	{"ڈاکر چوہدری", "CHAUDHRY ZAKIR"},
	{"ئاراس کەریم", "KARIM ARAS"},
	{"משה רוזנטלר", "ROSENTALER MOSHE"},
	{"राजेश भारद्वाज", "BHARDWAJ RAJESH"},
	{"মাহবুব হোসেন", "HOSSAIN MAHBUB"},
	{"ਗੁਰਪ੍ਰੀਤ ਢਿੱਲੋਂ", "DHILLON GURPREET"},
	{"હાર્દિક પટેલિયા", "PATELIYA HARDIK"},
	{"ସନ୍ତୋଷ ମହାପାତ୍ର", "MAHAPATRA SANTOSH"},
	{"முருகன் செல்வராஜன்", "SELVARAJAN MURUGAN"},
	{"వెంకట రామారావు", "RAMARAO VENKATA"},
	{"ಮಂಜುನಾಥ ಗೌಡ", "GOWDA MANJUNATH"},
	{"ഉണ്ണികൃഷ്ണൻ മേനോൻ", "MENON UNNIKRISHNAN"},
	{"නිමල් පෙරේරා", "PERERA NIMAL"},
	{"အောင် မြင့် ဦး", "AUNG MYINT OO"},
	{"ហេង សុផល", "HENG SOPHAL"},
	{"สมชาย ประเสริฐสุข", "PRASERTSUK SOMCHAI"},
	{"ສົມພອນ ວົງສາ", "VONGSA SOMPHON"},
	{"ሰሎሞን ተስፋዬ", "TESFAYE SOLOMON"},
	{"歐陽 建國", "OUYANG JIANGUO"},
	{"たかはし さくら", "TAKAHASHI SAKURA"},
	{"남궁 민수", "NAMGUNG MINSU"},
	{"ܝܘܣܦ ܫܡܥܘܢ", "SHAMOUN YOSIP"},
	{"އަޙްމަދު ރަޝީދު", "RASHEED AHMED"},
	{"ߡߊߡߊߘߎ ߖߊߟߏ", "DIALLO MAMADOU"},
}

// Every script that the tables hold: who is listed in it is the first by the Latin name and by what
// the zone makes of the native one, and the other way round.
func TestEveryScriptIsFound(t *testing.T) {
	all := propertyTravellers()
	world := indexOf(all, inOrder(len(all)))
	const date = "1979-05-23"
	for _, w := range written {
		zone := strings.Join(script.Zone(w.native), " ")
		for _, c := range []struct {
			way, listed, asked string
			least              float64
		}{
			{"in Latin letters", w.native, w.latin, 6},
			{"from the zone", w.native, zone, 6},
			{"in its script", w.latin, w.native, 6},
			// The zone has no short vowels of Arabic, and two words where the list may have one.
			{"from the zone", w.latin, zone, -2},
		} {
			world.Put("one", person(c.listed, day(date)))
			found := world.Rank(ask(c.asked, ""), 1)
			if len(found) == 0 || found[0].ID != "one" || found[0].LogOdds < c.least {
				t.Errorf("%s, listed as %s and asked %s as %s: %v", w.latin, c.listed, c.way, c.asked, found)
			}
		}
		world.Remove("one")
	}
}
