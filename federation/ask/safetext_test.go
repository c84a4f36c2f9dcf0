package ask

import (
	"testing"
	"unicode"
	"unicode/utf8"
)

func FuzzStripped(f *testing.F) {
	for _, seed := range []string{"", "Müller", "كتاب", "a\u202eb", "\x1b[31m", "\U000E0041", "x\u200dy", "\xff\xfe"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		out := stripped(text)
		if utf8.ValidString(text) && !utf8.ValidString(out) {
			t.Fatalf("%q became invalid", text)
		}
		if stripped(out) != out {
			t.Fatalf("%q is not stable", out)
		}
		for _, r := range out {
			if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Fatalf("%q still holds %U", out, r)
			}
		}
	})
}
