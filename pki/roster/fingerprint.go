package roster

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
)

const groupDigits = 4

// Fingerprint is the SHA-256 of a roster's payload for people: "3F2A 91C0 ...", sixteen groups of
// four. It is the whole hash, long as it is to read out: whoever drafts a roster chooses its
// bytes, and could prepare two rosters with one shortened fingerprint (half the bits, half the
// exponent).
func Fingerprint(payload []byte) string {
	d := sha256.Sum256(payload)
	return grouped(d[:])
}

// BureauFingerprint is the fingerprint of a bureau's entry: its id, address, roots and keys. It
// is the same in its join request and in the roster, whatever the order of roots and keys.
func BureauFingerprint(b *rosterv1.Bureau) string {
	// Its own encoding, not protobuf's, which is not canonical: two programs must print one
	// fingerprint. Every part has its length before it.
	h := sha256.New()
	part := func(p []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write(p)
	}
	list := func(parts [][]byte) {
		slices.SortFunc(parts, bytes.Compare)
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(parts))))
		for _, p := range parts {
			part(p)
		}
	}
	part([]byte("entente bureau v1"))
	part([]byte(b.GetBureau()))
	part([]byte(b.GetAddress()))
	list(slices.Clone(b.GetCaRoots()))
	keys := make([][]byte, 0, len(b.GetKeys()))
	for _, k := range b.GetKeys() {
		e := binary.BigEndian.AppendUint32(nil, uint32(k.GetUsage()))
		e = appendTime(e, k.GetNotBefore())
		e = appendTime(e, k.GetNotAfter())
		e = appendTime(e, k.GetRevokedAt())
		e = binary.BigEndian.AppendUint64(e, uint64(len(k.GetAlgorithm())))
		e = append(e, k.GetAlgorithm()...)
		keys = append(keys, append(e, k.GetKey()...))
	}
	list(keys)
	return grouped(h.Sum(nil))
}

func appendTime(e []byte, t *timestamppb.Timestamp) []byte {
	if t == nil {
		return append(e, 0)
	}
	e = append(e, 1)
	e = binary.BigEndian.AppendUint64(e, uint64(t.GetSeconds()))
	return binary.BigEndian.AppendUint32(e, uint32(t.GetNanos()))
}

// EqualFingerprint compares two fingerprints as people write them: case, spaces, colons and
// dashes do not matter. A shortened fingerprint equals nothing.
func EqualFingerprint(a, b string) bool {
	x, okX := plain(a)
	y, okY := plain(b)
	return okX && okY && x == y
}

func plain(s string) (string, bool) {
	s = strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\t', '\n', '\r', ':', '-', '\u00a0':
			return -1
		}
		return r
	}, strings.ToUpper(s))
	raw, err := hex.DecodeString(s)
	return s, err == nil && len(raw) == sha256.Size
}

func grouped(d []byte) string {
	digits := strings.ToUpper(hex.EncodeToString(d))
	var out strings.Builder
	for i := 0; i < len(digits); i += groupDigits {
		if i > 0 {
			out.WriteByte(' ')
		}
		out.WriteString(digits[i : i+groupDigits])
	}
	return out.String()
}
