package match

// The tables are those of Doc 9303 part 3, section 6, which say how a state writes a name into
// the machine-readable zone. They are in upper case; letters that are not here lose their
// diacritics. Greek has no table there: it follows ISO 843 (ELOT 743), which Greek passports use.
//
// A pair is (what the MRZ has, what people write instead): MÜLLER is MUELLER in the zone and
// MULLER in many a list. Both forms are indexed and compared.

type spelling struct{ mrz, plain string }

var latinTable = map[rune]spelling{
	'Ä': {"AE", "A"}, 'Ö': {"OE", "O"}, 'Ü': {"UE", "U"}, 'Å': {"AA", "A"},
	'Æ': {"AE", "AE"}, 'Ø': {"OE", "O"}, 'Œ': {"OE", "OE"}, 'ẞ': {"SS", "SS"}, 'ß': {"SS", "SS"},
	'Þ': {"TH", "TH"}, 'Ð': {"D", "D"}, 'Đ': {"D", "DJ"}, 'Ĳ': {"IJ", "IJ"}, 'Ł': {"L", "L"},
	'Ħ': {"H", "H"}, 'Ŋ': {"N", "N"}, 'Ŧ': {"T", "T"}, 'ĸ': {"Q", "Q"}, 'Ə': {"E", "A"},
	'Ɓ': {"B", "B"}, 'Ɗ': {"D", "D"}, 'Ƙ': {"K", "K"}, 'Ƴ': {"Y", "Y"},
}

var cyrillicTable = map[rune]spelling{
	'А': {"A", "A"}, 'Б': {"B", "B"}, 'В': {"V", "V"}, 'Г': {"G", "G"}, 'Д': {"D", "D"},
	'Е': {"E", "E"}, 'Ё': {"E", "YO"}, 'Ж': {"ZH", "ZH"}, 'З': {"Z", "Z"}, 'И': {"I", "I"},
	'Й': {"I", "Y"}, 'К': {"K", "K"}, 'Л': {"L", "L"}, 'М': {"M", "M"}, 'Н': {"N", "N"},
	'О': {"O", "O"}, 'П': {"P", "P"}, 'Р': {"R", "R"}, 'С': {"S", "S"}, 'Т': {"T", "T"},
	'У': {"U", "U"}, 'Ф': {"F", "F"}, 'Х': {"KH", "H"}, 'Ц': {"TS", "C"}, 'Ч': {"CH", "CH"},
	'Ш': {"SH", "SH"}, 'Щ': {"SHCH", "SHT"}, 'Ъ': {"IE", ""}, 'Ы': {"Y", "Y"}, 'Ь': {"", ""},
	'Э': {"E", "E"}, 'Ю': {"IU", "YU"}, 'Я': {"IA", "YA"},
	// Ukrainian, Belarusian, Serbian, Macedonian.
	'Є': {"IE", "YE"}, 'І': {"I", "I"}, 'Ї': {"I", "YI"}, 'Ґ': {"G", "G"}, 'Ў': {"U", "W"},
	'Ђ': {"D", "DJ"}, 'Ѓ': {"G", "GJ"}, 'Ѕ': {"DZ", "DZ"}, 'Ј': {"J", "J"}, 'Љ': {"LJ", "LJ"},
	'Њ': {"NJ", "NJ"}, 'Ћ': {"C", "C"}, 'Ќ': {"K", "KJ"}, 'Џ': {"DZ", "DZ"},
	// Kazakh, Kyrgyz, Tatar, Tajik: no rows in the table; as their states romanise them.
	'Ә': {"A", "A"}, 'Ғ': {"G", "GH"}, 'Қ': {"Q", "K"}, 'Ң': {"N", "NG"}, 'Ө': {"O", "O"},
	'Ұ': {"U", "U"}, 'Ү': {"U", "U"}, 'Һ': {"H", "H"}, 'Ҳ': {"H", "H"}, 'Ҷ': {"J", "J"},
	'Ӣ': {"I", "I"}, 'Ӯ': {"U", "U"},
}

// ukrainianTable overrides cyrillicTable in names that isUkrainian.
var ukrainianTable = map[rune]spelling{'И': {"Y", "Y"}, 'Г': {"H", "G"}, 'Х': {"KH", "KH"}}

var greekTable = map[rune]spelling{
	'Α': {"A", "A"}, 'Β': {"V", "B"}, 'Γ': {"G", "G"}, 'Δ': {"D", "D"}, 'Ε': {"E", "E"},
	'Ζ': {"Z", "Z"}, 'Η': {"I", "I"}, 'Θ': {"TH", "TH"}, 'Ι': {"I", "I"}, 'Κ': {"K", "K"},
	'Λ': {"L", "L"}, 'Μ': {"M", "M"}, 'Ν': {"N", "N"}, 'Ξ': {"X", "KS"}, 'Ο': {"O", "O"},
	'Π': {"P", "P"}, 'Ρ': {"R", "R"}, 'Σ': {"S", "S"}, 'Τ': {"T", "T"}, 'Υ': {"Y", "I"},
	'Φ': {"F", "PH"}, 'Χ': {"CH", "H"}, 'Ψ': {"PS", "PS"}, 'Ω': {"O", "O"},
}

// arabicTable gives the escapes of the zone beside the sound: خ is XKH in a zone that was made
// from the script, and KH in every romanisation by ear.
var arabicTable = map[rune]spelling{
	'ء': {"XE", ""}, 'آ': {"XAA", "A"}, 'أ': {"XAE", "A"}, 'ؤ': {"U", "U"}, 'إ': {"I", "I"},
	'ئ': {"XI", "I"}, 'ا': {"A", "A"}, 'ب': {"B", "B"}, 'ة': {"XTA", "A"}, 'ت': {"T", "T"},
	'ث': {"XTH", "TH"}, 'ج': {"J", "J"}, 'ح': {"XH", "H"}, 'خ': {"XKH", "KH"}, 'د': {"D", "D"},
	'ذ': {"XDH", "DH"}, 'ر': {"R", "R"}, 'ز': {"Z", "Z"}, 'س': {"S", "S"}, 'ش': {"XSH", "SH"},
	'ص': {"XSS", "S"}, 'ض': {"XDZ", "D"}, 'ط': {"XTT", "T"}, 'ظ': {"XZZ", "Z"}, 'ع': {"E", "A"},
	'غ': {"G", "GH"}, 'ف': {"F", "F"}, 'ق': {"Q", "Q"}, 'ك': {"K", "K"}, 'ل': {"L", "L"},
	'م': {"M", "M"}, 'ن': {"N", "N"}, 'ه': {"H", "H"}, 'و': {"W", "W"}, 'ى': {"XAY", "A"},
	'ي': {"Y", "Y"}, 'ٱ': {"XXA", "A"},
	// Persian, Dari, Pashto, Urdu.
	'پ': {"P", "P"}, 'چ': {"XC", "CH"}, 'ژ': {"XJ", "ZH"}, 'گ': {"XGG", "G"}, 'ک': {"XKK", "K"},
	'ی': {"XYA", "Y"}, 'ڤ': {"XV", "V"}, 'ٹ': {"XXT", "T"}, 'ڈ': {"XXD", "D"}, 'ڑ': {"XXR", "R"},
	'ں': {"XNN", "N"}, 'ہ': {"XXG", "H"}, 'ھ': {"XDO", "H"}, 'ے': {"XYB", "E"}, 'ۃ': {"XTG", "A"},
	'ټ': {"XRT", "T"}, 'ځ': {"XKE", "Z"}, 'څ': {"XXH", "TS"}, 'ډ': {"XDR", "D"}, 'ړ': {"XRR", "R"},
	'ږ': {"XRX", "G"}, 'ښ': {"XXS", "SH"}, 'ګ': {"XXK", "G"}, 'ڼ': {"XXN", "N"}, 'ې': {"Y", "E"},
	'ۍ': {"XXY", "AI"},
}

// isUkrainian reports whether words hold a letter that Ukrainian has and its neighbours have not
// (Belarusian, which shares the І, has the Ў).
func isUkrainian(words [][]rune) bool {
	found := false
	for _, word := range words {
		for _, r := range word {
			switch r {
			case 'І', 'Ї', 'Є', 'Ґ':
				found = true
			case 'Ў', 'Ы', 'Э':
				return false
			}
		}
	}
	return found
}

// transliterate returns the two spellings of a word in upper case, and whether every letter of it
// has one. Marks have been stripped except where the table of Latin needs them.
func transliterate(word []rune, ukrainian bool) (mrz, plain string, ok bool) {
	ok = true
	m, p := make([]byte, 0, len(word)*2), make([]byte, 0, len(word)*2)
	for i, r := range word {
		if r >= 'A' && r <= 'Z' {
			m, p = append(m, byte(r)), append(p, byte(r))
			continue
		}
		s, found := lookUp(r, ukrainian)
		if !found {
			ok = false
			continue
		}
		if r == 'Υ' && i > 0 { // ELOT 743: the digraph ου is one vowel, αυ and ευ end in V or F
			switch word[i-1] {
			case 'Ο':
				s = spelling{"U", "U"}
			case 'Α', 'Ε':
				s = spelling{"V", "F"}
			}
		}
		m, p = append(m, s.mrz...), append(p, s.plain...)
	}
	return string(m), string(p), ok
}

func lookUp(r rune, ukrainian bool) (spelling, bool) {
	if ukrainian {
		if s, ok := ukrainianTable[r]; ok {
			return s, true
		}
	}
	for _, table := range []map[rune]spelling{latinTable, cyrillicTable, arabicTable, greekTable} {
		if s, ok := table[r]; ok {
			return s, true
		}
	}
	return spelling{}, false
}
