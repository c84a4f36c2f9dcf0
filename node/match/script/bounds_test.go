package script

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// whole checks everything that a caller may rely on, for any text at all.
func whole(t interface{ Fatalf(string, ...any) }, text string) {
	folded := Fold(text)
	if !utf8.ValidString(folded) || strings.HasPrefix(folded, " ") || strings.HasSuffix(folded, " ") || strings.Contains(folded, "  ") {
		t.Fatalf("Fold(%q) = %q", text, folded)
	}
	if Fold(folded) != folded {
		t.Fatalf("Fold(%q) = %q, and that becomes %q", text, folded, Fold(folded))
	}
	tokens := Tokens(text)
	if len(tokens) > maxText || len(folded) > 8*maxText {
		t.Fatalf("%d bytes have %d words", len(text), len(tokens))
	}
	words := Zone(text)
	if len(words) > len(tokens) {
		t.Fatalf("%q has %d words, and %d in the zone", text, len(tokens), len(words))
	}
	for _, w := range words {
		if w == "" || len(w) > passportField || strings.Trim(w, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			t.Fatalf("Zone(%q) holds %q", text, w)
		}
	}
	if again := Zone(strings.Join(words, " ")); !slices.Equal(again, words) {
		t.Fatalf("%q is %q in the zone, and that becomes %q", text, words, again)
	}
	readable := false
	for _, token := range tokens {
		readable = readable || len(Readings(token, 1)) > 0
		if token == "" || strings.Contains(token, " ") {
			t.Fatalf("Tokens(%q) holds %q", text, token)
		}
		forms := Readings(token, 8)
		if len(forms) > 8 {
			t.Fatalf("%q has %d readings", token, len(forms))
		}
		for i, f := range forms {
			if f.Text == "" || !isPlain(f.Text) || len(f.Text) > 2*maxLatin || f.Weight <= 0 || f.Weight > 1 {
				t.Fatalf("%q is read as %+v", token, f)
			}
			if slices.ContainsFunc(forms[:i], func(g Form) bool { return g.Text == f.Text }) {
				t.Fatalf("%q is read twice as %q", token, f.Text)
			}
		}
		keys := Skeletons(token, 4)
		if len(keys) > 4 || len(forms) == 0 && len(keys) > 0 {
			t.Fatalf("%q has no reading and the skeletons %q", token, keys)
		}
		for _, k := range keys {
			if k == "" || strings.Trim(k, "abfdhjklmnrst") != "" {
				t.Fatalf("%q has the skeleton %q", token, k)
			}
		}
	}
	if readable != (len(words) > 0) {
		t.Fatalf("%q can be read: %v; in the zone it is %q", text, readable, words)
	}
	for _, room := range []int{0, 1, 3, 30, 39} {
		field := MRZ(text, text, room)
		if len(field) != room || strings.Trim(field, "ABCDEFGHIJKLMNOPQRSTUVWXYZ<") != "" {
			t.Fatalf("MRZ(%q, same, %d) = %q", text, room, field)
		}
	}
	primary, secondary, _ := FromMRZ(text)
	for _, w := range slices.Concat(primary, secondary) {
		if w == "" || Fold(w) != w {
			t.Fatalf("FromMRZ(%q) holds %q", text, w)
		}
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"Müller-Lüdenscheidt, Hans", "عبد الرحمن بن علی\u200cرضا", "Юрий Щедрин", "歐陽明 山田太郎", "김민수", "ประเสริฐ", "ብርሃን", "मनमोहन शर्मा", "အောင်", "ហ៊ុន",
		"MXHMWD<<EBD<ALRXHMN<<<<", "\u0e4d\u0e32\u0e4c\u0e4c", "\u094d\u094d\u0902", "\u1039\u1039", "x\u0300\u0301", "٠١٢", "M0H4MED 2", "ﷺ", "ｱﾘ", "ー", "っ", "\u17cd\u17cd", "\xf1ŉ", "އަޙްމަދު", "ܝܘܣܦ", "ߡߊߡߊߘߎ", "John 3rd", "ڽ", "ء", "ь", "न\"़"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { whole(t, text) })
}

// Any field at all: whatever a reader or an airline sends.
func FuzzFromMRZ(f *testing.F) {
	for _, s := range []string{"ERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "MXHMWD<<EBD<ALRXHMN<FAXTTMXAH", "EBD<ALLH<<XKHALD", "MUXXLLER<<BEGONXXA", "KOVAK<<JAKUB<<<<<KKKKKK",
		"M0HAMED<<AL1", "XHAFERI<<XHEMAL", "XXXXXXXXXX", "<X<X<<X", "xaexaexae<<x", "EBD<ALRXHMN<<MXHMWD<SLMAN<FAXTTMXAH<FXX"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, field string) {
		primary, secondary, truncated := FromMRZ(field)
		words := slices.Concat(primary, secondary)
		if truncated && len(words) == 0 || len(words) > maxText {
			t.Fatalf("FromMRZ(%q) = %q, %q, %v", field, primary, secondary, truncated)
		}
		for _, w := range words {
			if sc := Of(w); w == "" || Fold(w) != w || sc != Latin && sc != Arabic || len(w) > 2*maxText {
				t.Fatalf("FromMRZ(%q) holds %q", field, w)
			}
		}
		// Case, and blanks for fillers, are no difference.
		p, s, _ := FromMRZ(strings.ToLower(strings.ReplaceAll(field, "<", " ")))
		if isASCII(field) && (!slices.Equal(p, primary) || !slices.Equal(s, secondary)) {
			t.Fatalf("FromMRZ(%q) = %q, %q, and in small letters %q, %q", field, primary, secondary, p, s)
		}
	})
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// Any name into any room: it fits, and what is read from it is what stands there.
func FuzzMRZ(f *testing.F) {
	f.Add("Müller-Lüdenscheidt", "Hans Jürgen", 39)
	f.Add("عبد اللطيف", "فضّة", 30)
	f.Add("", "John 3rd", 31)
	f.Add("王", "小明", 7)
	f.Add("ⴰⴱⴳ", "\xff", -1)
	f.Add("", strings.Repeat("\x91", 4000)+"\u0651x", 45)
	f.Fuzz(func(t *testing.T, primary, secondary string, room int) {
		room = min(room, 1000)
		field := MRZ(primary, secondary, room)
		if len(field) != max(0, room) || strings.Trim(field, "ABCDEFGHIJKLMNOPQRSTUVWXYZ<") != "" {
			t.Fatalf("MRZ(%q, %q, %d) = %q", primary, secondary, room, field)
		}
		if field == "" {
			return
		}
		if first := strings.TrimRight(field, "<"); strings.HasPrefix(first, "<") || strings.Contains(first, "<<<") {
			t.Fatalf("MRZ(%q, %q, %d) = %q", primary, secondary, room, field)
		}
		if read := len(Zone(primary)) + len(Zone(secondary)); read > 0 && field[0] == filler {
			t.Fatalf("MRZ(%q, %q, %d) = %q: nothing of it", primary, secondary, room, field)
		}
	})
}

// Text of any one script, in any order of its letters, marks and signs.
func TestAnyLetters(t *testing.T) {
	blocks := [][2]rune{{0x20, 0x24F}, {0x300, 0x36F}, {0x370, 0x52F}, {0x530, 0x7FF}, {0x900, 0xDFF}, {0xE00, 0xEFF}, {0x1000, 0x13FF}, {0x1780, 0x17FF}, {0x3040, 0x30FF}, {0x4E00, 0x9FFF}, {0xAC00, 0xD7AF}}
	rapid.Check(t, func(t *rapid.T) {
		b := blocks[rapid.IntRange(0, len(blocks)-1).Draw(t, "block")]
		runes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) rune {
			if rapid.IntRange(0, 9).Draw(t, "blank") == 0 {
				return ' '
			}
			return rapid.Int32Range(b[0], b[1]).Draw(t, "rune")
		}), 0, 60).Draw(t, "text")
		whole(t, string(runes))
	})
}

// The longest text costs no more than a few words: nothing grows with it but the words themselves.
func TestCostIsBounded(t *testing.T) {
	for _, letter := range []string{"a", "ch", "c", "x", "ж", "و", "ي", "ع", "א", "क", "ক্", "ธ", "ብ", "字", "王", "か", "っ", "김", "အ", "ា", "<", "xx", "xh"} {
		text := strings.Repeat(letter, 100_000)
		whole(t, text)
		for _, token := range Tokens(text) {
			if n := testing.AllocsPerRun(1, func() { Readings(token, 8) }); n > 60 {
				t.Errorf("%s...: %v allocations", letter, n)
			}
		}
	}
}

func BenchmarkReadings(b *testing.B) {
	for _, s := range []string{"mohamed", "müller", "хасанов", "التكريتي", "عبدالرحمن", "محمد", "παπαδοπουλοσ", "मनमोहन", "小明", "정은", "สมชาย", "ብርሃን"} {
		b.Run(s, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Readings(s, 8)
			}
		})
	}
}

func BenchmarkSkeletons(b *testing.B) {
	for _, s := range []string{"mohamed", "müller", "хасанов", "التكريتي", "مهند", "मनमोहन", "小明"} {
		b.Run(s, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Skeletons(s, 4)
			}
		})
	}
}

func BenchmarkTokens(b *testing.B) {
	for _, s := range []string{"Abd al-Rahman Mohamed", "Müller-Lüdenscheidt Hans", "عبد الرحمن محمد"} {
		b.Run(s, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Tokens(s)
			}
		})
	}
}
