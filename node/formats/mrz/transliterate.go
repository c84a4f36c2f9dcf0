package mrz

import (
	"errors"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// identifier brings a name to the parts that a zone can hold (Doc 9303-3 sections 4.6 and 6):
// blanks and hyphens separate parts, apostrophes, full stops and commas are left out, letters
// beyond A to Z are transliterated by the tables of section 6.
func identifier(name string) ([]string, error) {
	var out strings.Builder
	// Composed first, so that a letter with a row of its own in the table is found whole.
	for _, r := range norm.NFC.String(name) {
		switch r = unicode.ToUpper(r); {
		case 'A' <= r && r <= 'Z':
			out.WriteRune(r)
		case unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) || r == filler:
			out.WriteByte(' ')
		case strings.ContainsRune("'’ʼʻ`´.,", r) || unicode.Is(unicode.Mn, r):
		default:
			letters, ok := transliterate(r)
			if !ok {
				return nil, errors.New("holds a sign or a script that has no transliteration here: give the name in Latin or Cyrillic letters")
			}
			out.WriteString(letters)
		}
	}
	return strings.Fields(out.String()), nil
}

// transliterate returns the letters of the zone for one letter in upper case.
func transliterate(r rune) (string, bool) {
	for _, table := range [2]string{latin, cyrillic} {
		for row := range strings.FieldsSeq(table) {
			if letter, letters, _ := strings.Cut(row, "="); letter == string(r) {
				return letters, true
			}
		}
	}
	// Every other Latin letter drops its marks.
	base := []rune(norm.NFD.String(string(r)))[0]
	return string(base), 'A' <= base && base <= 'Z'
}

// latin is Doc 9303-3 section 6 part A where it does more than to drop a mark. Of the choices
// it gives (AE or A for Ä, UE or UXX for Ü) the first is taken.
const latin = `Ä=AE Å=AA Æ=AE Ö=OE Ø=OE Œ=OE Ü=UE ß=SS ẞ=SS Þ=TH Ð=D Đ=D Ħ=H Ł=L Ŋ=N Ŧ=T Ĳ=IJ ı=I ĸ=K`

// cyrillic is Doc 9303-3 section 6 part B. The soft sign has no letter.
const cyrillic = `
А=A Б=B В=V Г=G Д=D Е=E Ё=E Ж=ZH З=Z И=I Й=I К=K Л=L М=M Н=N О=O П=P Р=R С=S Т=T У=U Ф=F
Х=KH Ц=TS Ч=CH Ш=SH Щ=SHCH Ъ=IE Ы=Y Ь= Э=E Ю=IU Я=IA
Є=IE І=I Ї=I Ґ=G Ў=U Ј=J Ђ=D Љ=LJ Њ=NJ Ћ=C Џ=DZ Ѓ=G Ќ=K Ѕ=DZ`
