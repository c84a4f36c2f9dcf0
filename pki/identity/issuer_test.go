package identity

import (
	"strings"
	"testing"
)

func TestEveryStateIsItsOwnBureau(t *testing.T) {
	codes := strings.Fields(isoCodes)
	if len(codes) != 249 {
		t.Errorf("%d ISO codes, expected 249", len(codes))
	}
	seen := map[string]bool{}
	for _, code := range codes {
		if seen[code] {
			t.Errorf("%s stands twice", code)
		}
		seen[code] = true
		if _, err := ParseBureau(code); err != nil {
			t.Error(err)
		}
		if b, ok := BureauOfIssuer(code); !ok || string(b) != code {
			t.Errorf("BureauOfIssuer(%s) = %s, %v", code, b, ok)
		}
	}
}

func TestBureauOfIssuer(t *testing.T) {
	for _, tt := range []struct {
		code  string
		want  Bureau
		known bool
	}{
		{"D", "DEU", true},
		{"D<<", "DEU", true},
		{"DEU", "DEU", true},
		{"GBD", "GBR", true},
		{"GBN", "GBR", true},
		{"GBO", "GBR", true},
		{"GBP", "GBR", true},
		{"GBS", "GBR", true},
		{"UNO", "UNO", true},
		{"UNA", "UNO", true},
		{"UNK", "UNO", true},
		{"XPO", "XPO", true},
		{"XOM", "XOM", true},
		{"EUE", "EUE", true},
		{"RKS", "RKS", true},
		{"UTO", "UTO", true},
		// Known as a nationality, but no bureau speaks for them.
		{"XXA", "", true},
		{"XXB", "", true},
		{"XXC", "", true},
		{"XXX", "", true},
		// Not codes: withdrawn, private, in the wrong case, or nothing at all.
		{"YUG", "", false},
		{"SUN", "", false},
		{"ZZZ", "", false},
		{"INP", "", false},
		{"bel", "", false},
		{"B<L", "", false},
		{"BE", "", false},
		{"<<<", "", false},
		{"", "", false},
	} {
		b, ok := BureauOfIssuer(tt.code)
		if b != tt.want || ok != (tt.want != "") {
			t.Errorf("BureauOfIssuer(%q) = %q, %v; expected %q", tt.code, b, ok, tt.want)
		}
		if KnownCode(tt.code) != tt.known {
			t.Errorf("KnownCode(%q) = %v", tt.code, !tt.known)
		}
	}
}
