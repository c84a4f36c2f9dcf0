package policy

import (
	"fmt"
	"strings"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// handlingRanks orders the handling codes of the three schemes by how far they let information
// go, for the one purpose of taking the stricter of two. It is the coarsest mapping there is,
// and used one way only: a code is never turned into another scheme's.
//
//	0 may go on   1 with care   2 under conditions   3 own agency only   4 not further
var handlingRanks = []struct {
	code string
	rank int
}{
	{"europol/H0", 0}, // to prevent and combat crime
	{"europol/H1", 1}, // not in court without the provider's permission
	{"europol/H3", 2}, // other restrictions, in words
	{"europol/H2", 4}, // no dissemination without the provider's permission
	{"uk-3x5x2/P", 0}, // permitted
	{"uk-3x5x2/C", 2}, // conditions
	{"uk-5x5x5/1", 0}, // United Kingdom and EEA police
	{"uk-5x5x5/2", 1}, // United Kingdom, not prosecuting
	{"uk-5x5x5/3", 2}, // other police, with conditions
	{"uk-5x5x5/4", 3}, // own agency only
	{"uk-5x5x5/5", 4}, // no further dissemination
}

// unknownRank is stricter than every code that is known: what we cannot read may forbid all.
const unknownRank = 5

// HandlingCode is a handling as policies write it, "scheme/code"; empty without one.
func HandlingCode(h *recordv1.Handling) string {
	scheme := strings.ToLower(strings.TrimSpace(h.GetScheme()))
	code := strings.ToUpper(strings.TrimSpace(h.GetCode()))
	if scheme == "" && code == "" {
		return ""
	}
	return scheme + "/" + code
}

// ParseHandling returns the handling that an obligation names, for example "europol/H1".
func ParseHandling(s string) (*recordv1.Handling, error) {
	codes := make([]string, 0, len(handlingRanks))
	for _, h := range handlingRanks {
		if h.code == s {
			scheme, code, _ := strings.Cut(s, "/")
			return &recordv1.Handling{Scheme: scheme, Code: code}, nil
		}
		codes = append(codes, h.code)
	}
	return nil, fmt.Errorf("handling %q: give one of %s", s, strings.Join(codes, ", "))
}

// StricterHandling is the stricter of a record's handling and an obligation's ("" for none).
// The record's own stands where both are as strict, and where its code is not known here.
func StricterHandling(record *recordv1.Handling, obligation string) *recordv1.Handling {
	own := HandlingCode(record)
	if stricter(own, obligation) == own {
		return record
	}
	h, err := ParseHandling(obligation)
	if err != nil { // an obligation of a loaded policy always parses
		return record
	}
	h.Text = record.GetText() // the owner's words hold whatever the code
	return h
}

// stricter is the stricter of two codes, the first if they are as strict.
func stricter(a, b string) string {
	if handlingRank(b) > handlingRank(a) {
		return b
	}
	return a
}

func handlingRank(code string) int {
	if code == "" {
		return -1
	}
	for _, h := range handlingRanks {
		if h.code == code {
			return h.rank
		}
	}
	return unknownRank
}
