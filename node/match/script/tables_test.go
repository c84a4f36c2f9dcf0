package script

import (
	"io/fs"
	"strings"
	"testing"
	"unicode/utf8"
)

// Every table says in its first line what it holds and where that comes from. One that is not wholly
// this project's stands in NOTICE.
func TestTablesNameTheirSource(t *testing.T) {
	entries, err := fs.ReadDir(files, "tables")
	if err != nil || len(entries) < 15 {
		t.Fatalf("%d tables, %v", len(entries), err)
	}
	for _, e := range entries {
		b, err := files.ReadFile("tables/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(b), "\n")
		if !strings.HasPrefix(head, "# ") || len(head) < 60 || !utf8.Valid(b) || !strings.Contains(head, "ritten for this project") {
			t.Errorf("%s begins with %q, not with what it holds and its source", e.Name(), head)
		}
	}
}

// What tables write is a to z, and what they sound like is in the classes of skeletons.
func TestTablesWriteLatin(t *testing.T) {
	all := tables()
	for name, table := range map[string]*table{"latin": all.latin, "sounds": all.sounds, "cyrillic": all.cyrillic, "greek": all.greek,
		"armenian": all.armenian, "georgian": all.georgian, "kana": all.kana, "thaana": all.thaana, "nko": all.nko,
		"hebrew": all.hebrew.sounds, "arabic": all.arabic.sounds, "syriac": all.syriac.sounds} {
		check := func(r rule) {
			for _, a := range r.sound {
				if strings.Trim(a.text, ".abdfhjklmnrst") != "" || a.weight <= 0 || a.weight > 1 {
					t.Errorf("%s: %q sounds like %+v", name, r.text, a)
				}
			}
			if len(r.cells) != len(table.columns) {
				t.Errorf("%s: %q has %d cells, want %d", name, r.text, len(r.cells), len(table.columns))
			}
			for i, cell := range r.cells {
				if len(cell) == 0 {
					t.Errorf("%s: %q has nothing in the column %s: write - for a letter left out", name, r.text, table.columns[i].name)
				}
				for _, a := range cell {
					if !isPlain(a.text) || a.weight <= 0 || a.weight > 1 {
						t.Errorf("%s: %q is written %+v", name, r.text, a)
					}
				}
			}
		}
		for _, rules := range table.ascii {
			for _, r := range rules {
				check(r)
			}
		}
		for _, rules := range table.other {
			for _, r := range rules {
				check(r)
			}
		}
		for _, c := range table.columns {
			if c.weight <= 0 || c.weight > 1 {
				t.Errorf("%s: column %s weighs %v", name, c.name, c.weight)
			}
		}
	}
}

func TestNamesAreWrittenInLatin(t *testing.T) {
	all := tables()
	for table, names := range map[string]map[string][]string{"arabic": all.arabic.names, "hebrew": all.hebrew.names, "korean": all.hangul.surnames, "han": all.han.surnames} {
		for name, texts := range names {
			for i, text := range texts {
				if text == "" || !isPlain(text) {
					t.Errorf("%s: %s is written %q", table, name, text)
				}
				for _, other := range texts[:i] {
					if other == text {
						t.Errorf("%s: %s is twice written %q", table, name, text)
					}
				}
			}
			if Fold(name) != name || len(Readings(name, 8)) == 0 {
				t.Errorf("%s: %q is not how a folded word is written", table, name)
			}
		}
	}
}

// Every letter of the alphabets has a reading by itself or after another.
func TestAlphabetsAreWhole(t *testing.T) {
	for name, letters := range map[string]string{
		"Russian":    "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
		"Ukrainian":  "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
		"Belarusian": "абвгдеёжзійклмнопрстуўфхцчшыьэюя",
		"Serbian":    "абвгдђежзијклљмнњопрстћуфхцчџш",
		"Macedonian": "абвгдѓежзѕијклљмнњопрстќуфхцчџш",
		"Bulgarian":  "абвгдежзийклмнопрстуфхцчшщъьюя",
		"Kazakh":     "аәбвгғдеёжзийкқлмнңоөпрстуұүфхһцчшщъыіьэюя",
		"Kyrgyz":     "абвгдеёжзийклмнңоөпрстуүфхцчшщъыьэюя",
		"Tajik":      "абвгғдеёжзиӣйкқлмнопрстуӯфхҳчҷшъэюя",
		"Uzbek":      "абвгғдеёжзийкқлмнопрстуўфхҳцчшъьэюя",
		"Mongolian":  "абвгдеёжзийклмноөпрстуүфхцчшщъыьэюя",
		"Tatar":      "аәбвгдеёжҗзийклмнңоөпрстуүфхһцчшщъыьэюя",
		"Chechen":    "абвгдеёжзийклмнопрстуфхцчшщъыьэюяӏ",
		"Greek":      "αβγδεζηθικλμνξοπρστυφχψω",
		"Armenian":   "աբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆ",
		"Georgian":   "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ",
		"Hebrew":     "אבגדהוזחטיכךלמםנןסעפףצץקרשת",
		"Arabic":     "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيٱ",
		"Persian":    "پچژگکی",
		"Urdu":       "ٹڈڑںہھےۓۂۃ",
		"Pashto":     "ټځڅډړږښګڼېۍ",
		"Kurdish":    "ڕڵۆێەڤ",
		"Uyghur":     "ۇۈۋڭې",
		"Sindhi":     "ٻڀٽٺٿڄڃڇڌڍڏڙڦڱڳڻ",
		"Jawi":       "چڠڤݢڽۏ",
		"Yiddish":    "װױײ",
		"Syriac":     "ܐܒܓܕܗܘܙܚܛܝܟܠܡܢܣܤܥܦܨܩܪܫܬ",
		"Thaana":     "ހށނރބޅކއވމފދތލގޏސޑޒޓޔޕޖޗޘޙޚޛޜޝޞޟޠޡޢޣޤޥޱ",
		"N'Ko":       "ߊߋߌߍߎߏߐߑߒߓߔߕߖߗߘߙߚߛߜߝߞߟߠߡߢߣߤߥߦߧߨߩߪ",
		"Hindi":      "अआइईउऊऋएऐओऔकखगघङचछजझञटठडढणतथदधनपफबभमयरलवशषसह",
		"Bengali":    "অআইঈউঊঋএঐওঔকখগঘঙচছজঝঞটঠডঢণতথদধনপফবভমযরলশষসহৎ",
		"Punjabi":    "ਅਆਇਈਉਊਏਐਓਔਕਖਗਘਙਚਛਜਝਞਟਠਡਢਣਤਥਦਧਨਪਫਬਭਮਯਰਲਵੜਸਹ",
		"Gujarati":   "અઆઇઈઉઊઋએઐઓઔકખગઘઙચછજઝઞટઠડઢણતથદધનપફબભમયરલવશષસહળ",
		"Odia":       "ଅଆଇଈଉଊଋଏଐଓଔକଖଗଘଙଚଛଜଝଞଟଠଡଢଣତଥଦଧନପଫବଭମଯରଲଳଵଶଷସହୟ",
		"Tamil":      "அஆஇஈஉஊஎஏஐஒஓஔகஙசஞடணதநபமயரலவழளறன",
		"Telugu":     "అఆఇఈఉఊఋఎఏఐఒఓఔకఖగఘఙచఛజఝఞటఠడఢణతథదధనపఫబభమయరలవశషసహళ",
		"Kannada":    "ಅಆಇಈಉಊಋಎಏಐಒಓಔಕಖಗಘಙಚಛಜಝಞಟಠಡಢಣತಥದಧನಪಫಬಭಮಯರಲವಶಷಸಹಳ",
		"Malayalam":  "അആഇഈഉഊഋഎഏഐഒഓഔകഖഗഘങചഛജഝഞടഠഡഢണതഥദധനപഫബഭമയരലവശഷസഹളഴറ",
		"Sinhala":    "අආඇඈඉඊඋඌඑඒඓඔඕඖකඛගඝඟචඡජඣඤටඨඩඪණඬතථදධනඳපඵබභමඹයරලවශෂසහළෆ",
		"Burmese":    "ကခဂဃငစဆဇဈညဋဌဍဎဏတထဒဓနပဖဗဘမယရလဝသဟဠအ",
		"Khmer":      "កខគឃងចឆជឈញដឋឌឍណតថទធនបផពភមយរលវសហឡអ",
		"Thai":       "กขฃคฅฆงจฉชซฌญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรลวศษสหฬอฮ",
		"Lao":        "ກຂຄງຈຊຍດຕຖທນບປຜຝພຟມຢຣລວສຫອຮ",
		"Amharic":    "ሀለሐመሠረሰሸቀበተቸኀነኘአከኸወዐዘዠየደጀገጠጨጰጸፀፈፐ",
		"Hiragana":   "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをがぎぐげござじずぜぞだぢづでどばびぶべぼぱぴぷぺぽ",
		"Katakana":   "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲンガギグゲゴザジズゼゾダヂヅデドバビブベボパピプペポヴー",
	} {
		seed := map[string]string{"Arabic": "ب", "Persian": "ب", "Urdu": "ب", "Pashto": "ب", "Kurdish": "ب", "Uyghur": "ب", "Sindhi": "ب", "Jawi": "ب", "Yiddish": "ב", "Hebrew": "ב", "Thai": "ก", "Lao": "ກ", "Katakana": "ア", "Syriac": "ܒ", "Thaana": "ބަ"}[name]
		if seed == "" {
			seed = string([]rune(letters)[0])
		}
		for _, r := range letters {
			// Between two letters that are certain, so that signs of no sound of their own pass too.
			word := seed + string(r) + seed
			if Fold(word) != Fold(Fold(word)) || len(Readings(Fold(word), 4)) == 0 || len(Skeletons(Fold(word), 4)) == 0 {
				t.Errorf("%s: %c in %q is read as %v, with the skeletons %q", name, r, Fold(word), Readings(Fold(word), 4), Skeletons(Fold(word), 4))
			}
		}
	}
}
