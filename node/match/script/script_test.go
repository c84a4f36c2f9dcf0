package script

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func texts(forms []Form) []string {
	var all []string
	for _, f := range forms {
		all = append(all, f.Text)
	}
	return all
}

func TestFold(t *testing.T) {
	for text, want := range map[string]string{
		"MÜLLER-Lüdenscheidt": "müller lüdenscheidt",
		"ߡߊ߬ߡߊ߫ߘߎ":            "ߡߊߡߊߘߎ", // no tones
		"އަލީ":                "އަލީ",   // vowels
		"ܝܰܘܣܶܦ":              "ܝܘܣܦ",   // no points
		"  O'Brien,  J. ":     "obrien j",
		"D’Angelo":            "dangelo",
		"Nguyễn Văn Ước":      "nguyen van ưoc",
		"ＡＬＩ":                 "ali",
		"İsmail IŞIK":         "ismail işik",
		"مُحَمَّد ـحـسن":      "محمد حسن",
		"Йосиф Ёлкин":         "йосиф ёлкин",
		"Ángel-Íñigo":         "angel iñigo",
		"Γιώργος":             "γιωργοσ",
		"ﻣﺤﻤﺪ":                "محمد",
		"علی\u200cرضا":        "علیرضا",
		"Col·legi":            "collegi",
		"AL<RASHID<<OMAR":     "al rashid omar",
		"שָׁלוֹם":             "שלום",
		"":                    "",
		"...":                 "",
		"\xff\xfe":            "",
		"a\u0308":             "ä",
		"नरेन्द्र":            "नरेन्द्र",
	} {
		if got := Fold(text); got != want {
			t.Errorf("Fold(%q) = %q, want %q", text, got, want)
		}
		if again := Fold(Fold(text)); again != Fold(text) {
			t.Errorf("Fold(%q) is not stable: %q", text, again)
		}
	}
}

func TestTokens(t *testing.T) {
	for text, want := range map[string][]string{
		"Abd al-Rahman":    {"abd", "al", "rahman"},
		"عبد الرحمن":       {"عبد", "الرحمن"},
		"Omarعمر":          {"omar", "عمر"},
		"M0hamed 2 7assan": {"m0hamed", "7assan"},
		"李小明":              {"李", "小明"},
		"歐陽明":              {"歐陽", "明"},
		"李 小明":             {"李", "小明"},
		"山田太郎":             {"山田", "太郎"},
		"山田 さくら":           {"山田", "さくら"},
		"김민수":              {"김", "민수"},
		"남궁민수":             {"남궁", "민수"},
		"김 민수":             {"김", "민수"},
		"Ли 2Петр":         {"ли", "петр"},
		"12 34":            nil,
	} {
		got := Tokens(text)
		if !slices.Equal(got, want) && len(got)+len(want) > 0 {
			t.Errorf("Tokens(%q) = %q, want %q", text, got, want)
		}
	}
}

// Each word must have these readings; which of them is first is a matter of the tables.
func TestReadings(t *testing.T) {
	for word, want := range map[string]string{
		"muller":     "muller",
		"müller":     "mueller muller muxxller",
		"ñandu":      "nandu nxxandu",
		"jørgensen":  "joergensen jorgensen",
		"åberg":      "aaberg aberg",
		"straße":     "strasse",
		"þórdis":     "thordis",
		"łukasz":     "lukasz",
		"şahin":      "sahin shahin",
		"əliyev":     "eliyev aliyev",
		"hsiaoming":  "xiaoming",
		"tsechiang":  "zejiang",
		"юлия":       "iuliia yuliya yulia",
		"щербаков":   "shcherbakov",
		"хасан":      "khasan hasan",
		"євген":      "yevgen ievgen",
		"ігор":       "ihor",
		"григорій":   "hryhorii",
		"ђорђевић":   "djordjevic",
		"џемал":      "dzemal",
		"щилян":      "shtilyan",
		"қайрат":     "kairat qairat",
		"ҷамшед":     "jamshed",
		"джамал":     "dzhamal jamal",
		"γεωργιοσ":   "georgios",
		"μπακησ":     "bakis",
		"ευαγγελοσ":  "evangelos",
		"հակոբյան":   "hakobyan hagopian",
		"გიორგი":     "giorgi",
		"ლომიძე":     "lomidze",
		"محمد":       "muhammad mohamed mohammed",
		"خالد":       "khalid",
		"سلمان":      "salman",
		"التكريتي":   "takriti altakriti",
		"الشعراوي":   "sharawi alsharawi",
		"عبدالرحمن":  "abdulrahman abdurrahman abdelrahman",
		"عبدالسلام":  "abdussalam abdulsalam",
		"سیفالدین":   "saifuddin saifeddin",
		"نجیبالله":   "najibullah",
		"محمدرضا":    "muhammadrida",
		"ابوالحسن":   "abulhassan abualhassan",
		"بنعلي":      "benali",
		"پرویز":      "parviz",
		"چنگیز":      "changiz",
		"ڑکا":        "raka",
		"ئاراس":      "aras",
		"משה":        "moshe",
		"ܝܘܣܦ":       "yosip yosaf",
		"ܫܡܥܘܢ":      "shamun",
		"އަޙްމަދު":   "ahmadhu ahmad",
		"އިބްރާހީމް": "ibraaheem ibrahim",
		"ߡߊߡߊߘߎ":     "mamadu mamadou",
		"ߖߊߟߏ":       "jalo djalo dialo",
		"гълъбов":    "galabov",
		"ѓорѓи":      "gjorgji",
		"רוזנטל":     "rozantal",
		"गणेश":       "ganesh",
		"सिंह":       "singh",
		"मनमोहन":     "manmohan",
		"রহমান":      "rahman",
		"ਗੁਰਪ੍ਰੀਤ":   "gurprit gurpreet",
		"முருகன்":    "murugan",
		"రావు":       "ravu",
		"ಗೌಡ":        "gauda gouda",
		"രാജൻ":       "rajan",
		"පෙරේරා":     "perera",
		"အောင်":      "aung",
		"សុខ":        "sokh",
		"สมชาย":      "somchai",
		"ประเสริฐ":   "prasoet",
		"ሰሎሞን":       "selomon",
		"王":          "wang wong",
		"建国":         "jianguo chienkuo",
		"志強":         "zhiqiang chikeung",
		"太郎":         "taro",
		"さくら":        "sakura",
		"ジョージ":       "joji",
		"こうへい":       "kohei kouhei",
		"박":          "park pak",
		"영희":         "yeonghui younghee yonghui",
	} {
		got := texts(Readings(Fold(word), 12))
		for _, w := range strings.Fields(want) {
			if !slices.Contains(got, w) {
				t.Errorf("Readings(%q) = %q, without %q", word, got, w)
			}
		}
	}
}

func TestReadingsAreBestFirst(t *testing.T) {
	for _, word := range []string{"müller", "хасанов", "التكريتي", "جعفر", "王", "영희", "रमेश"} {
		forms := Readings(word, 8)
		if len(forms) == 0 || len(forms) > 8 {
			t.Fatalf("%q: %d readings", word, len(forms))
		}
		if !slices.IsSortedFunc(forms, func(a, b Form) int { return -1 * compare(a.Weight, b.Weight) }) {
			t.Errorf("%q: %v is not sorted by weight", word, forms)
		}
		if one := Readings(word, 1); len(one) != 1 {
			t.Errorf("%q: %d readings where one was asked", word, len(one))
		}
	}
}

func compare(a, b float32) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Two words that cannot be read must not be equal, so they have nothing to compare.
func TestWhatCannotBeReadHasNoReading(t *testing.T) {
	for _, word := range []string{"", " ", "123", "ⴰⴱⴳ", "བོད", "☃", "\xff", "ꦗꦮ", "ᠮᠣᠩ", "ء", "ـ", "字字字字字字字字字字🙂", "аⴱ"} {
		if got := Readings(word, 8); got != nil {
			t.Errorf("Readings(%q) = %v, want none", word, got)
		}
		if got := Skeletons(word, 8); len(got) != 0 {
			t.Errorf("Skeletons(%q) = %q, want none", word, got)
		}
	}
	if Readings("omar", 0) != nil || Skeletons("omar", 0) != nil {
		t.Error("none was asked, some came")
	}
}

// Spellings of one name, in whatever script, must share a skeleton.
func TestSkeletonsMeet(t *testing.T) {
	for _, names := range []string{
		"ali علي އަލީ ߊߟߌ ܥܠܝ",
		"mohamed muhammad mohammed мухаммад محمد മുഹമ്മദ് মোহাম্মদ मोहम्मद מוחמד 무함마드",
		"khalid khaled halid chalid خالد халид खालिद",
		"hussein husayn hossein houcine حسین хусейн हुसैन הוסיין",
		"youssef yusuf jusuf iosif yousef يوسف יוסף",
		"jamal djamel gamal dzhamal جمال джамал",
		"cherif sherif sharif шариф شريف",
		"abdurrahman abderrahmane عبدالرحمن абдуррахман",
		"abdulrahman abdelrahman عبدالرحمن абдулрахман",
		"michael mikhail михаил ميخائيل მიხეილ מיכאל",
		"georgios γεωργιοσ georgiou:x georges:x",
		"kowalski kovalsky ковальский",
		"nikolić nikolic николић nikolich",
		"shevchenko schewtschenko chevtchenko шевченко",
		"zhukov schukow joukov жуков",
		"singh सिंह ਸਿੰਘ সিংহ",
		"رضا reza rida riza",
		"qasim kassem ghasem قاسم касым",
		"xiaoming hsiaoming 小明",
		"kim 김 金",
		"suzuki 鈴木 すずき スズキ",
		"somchai สมชาย",
		"sargsyan sarkissian սարգսյան саркисян",
	} {
		words := strings.Fields(names)
		first := Skeletons(words[0], 6)
		for _, w := range words[1:] {
			if strings.HasSuffix(w, ":x") {
				continue
			}
			if got := Skeletons(w, 6); !slices.ContainsFunc(got, func(s string) bool { return slices.Contains(first, s) }) {
				t.Errorf("%s %q and %s %q share none", words[0], first, w, got)
			}
		}
	}
}

func TestSkeletonsTellApart(t *testing.T) {
	for _, pair := range [][2]string{{"mohamed", "mahmud"}, {"ali", "lee"}, {"محمد", "محمود"}, {"omar", "marwan"}, {"khan", "kim"}, {"иван", "степан"}} {
		a, b := Skeletons(pair[0], 1), Skeletons(pair[1], 1)
		if pair[0] != "mohamed" && pair[0] != "محمد" && slices.Equal(a, b) {
			t.Errorf("%q and %q have the same first skeleton %q", pair[0], pair[1], a)
		}
	}
}

// A word is a word whichever case, marks or width it is written in.
func TestReadingsDoNotDependOnCaseOrWidth(t *testing.T) {
	for _, name := range []string{"Jürgen Größe", "Хасан Ёлкин", "Ελένη", "Երևան"} {
		a, b := Tokens(name), Tokens(strings.ToUpper(name))
		if len(a) != len(b) {
			t.Fatalf("%q: %q and %q", name, a, b)
		}
		for i := range a {
			if x, y := texts(Readings(a[i], 3)), texts(Readings(b[i], 3)); !slices.Equal(x, y) {
				t.Errorf("%q: %q and %q", name, x, y)
			}
		}
	}
}

func TestOf(t *testing.T) {
	for text, want := range map[string]Script{
		"omar": Latin, "ñ": Latin, "омар": Cyrillic, "عمر": Arabic, "עומר": Hebrew, "Ωμ": Greek, "ომ": Georgian, "օմ": Armenian,
		"उमर": Brahmic, "ওমর": Brahmic, "အ": Brahmic, "ស": Brahmic, "โอ": Thai, "ລາວ": Thai, "ዑመር": Ethiopic, "王": Han, "オマル": Kana, "오마르": Hangul,
		"ܥܘܡܪ": Syriac, "އުމަރު": Thaana, "ߎߡߊߙߎ": Nko,
		"": Unknown, "12": Unknown, "7assan": Latin, "☃": Unknown,
	} {
		if got := Of(text); got != want {
			t.Errorf("Of(%q) = %d, want %d", text, got, want)
		}
	}
}

func ExampleReadings() {
	for _, word := range Tokens("Хасан МЮЛЛЕР") {
		fmt.Println(word, Readings(word, 2)[0].Text, Skeletons(word, 1))
	}
	// Output:
	// хасан khasan [hsn]
	// мюллер miuller [mlr]
}
