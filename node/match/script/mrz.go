package script

import "strings"

const filler = '<'

// MRZ writes a name as the name field of a machine-readable zone carries it, in so many characters:
// 39 in a passport, 31 on a card of format TD2, 30 of TD1. Words are brought to the zone by the
// tables of ICAO Doc 9303-3 section 6, and a name that is too long is truncated by its section 4.6:
// a full field that ends in a letter.
func MRZ(primary, secondary string, room int) string {
	if room <= 0 {
		return ""
	}
	primary, secondary = Fold(doubled(primary)), Fold(doubled(secondary))
	whole := primary + " " + secondary
	field := truncate(zoneWords(primary, whole), zoneWords(secondary, whole), room)
	return field + strings.Repeat(string(filler), room-len(field))
}

// truncate joins the identifiers and brings them to a width. Every word keeps at least its first
// letter; the room beyond goes from left to right. Words are dropped from the end, those of the
// secondary identifier first, only where not one letter of each fits, and the first of either stays.
func truncate(primary, secondary []string, width int) string {
	if len(primary) == 0 {
		primary, secondary = secondary, nil
	}
	join := func() string {
		if len(secondary) == 0 {
			return strings.Join(primary, string(filler))
		}
		return strings.Join(primary, string(filler)) + "<<" + strings.Join(secondary, string(filler))
	}
	whole := join()
	if len(whole) <= width {
		return whole
	}
	least := func() int {
		n := 2*len(primary) - 1
		if len(secondary) > 0 {
			n += 2*len(secondary) + 1
		}
		return n
	}
	for least() > width && (len(secondary) > 1 || len(primary) > 1) {
		if len(secondary) > 1 {
			secondary = secondary[:len(secondary)-1]
		} else {
			primary = primary[:len(primary)-1]
		}
	}
	if least() > width {
		secondary = nil // a field of three characters
	}
	room := max(0, width-least())
	shorten := func(words []string) []string {
		short := make([]string, len(words))
		for i, w := range words {
			more := min(room, len(w)-1)
			short[i] = w[:1+more]
			room -= more
		}
		return short
	}
	primary, secondary = shorten(primary), shorten(secondary)
	return join()
}

// Widths of the name field, by which a field that is full is told from one that was trimmed.
func isFieldWidth(n int) bool { return n == 39 || n == 31 || n == 30 }

// FromMRZ reads the name field of a machine-readable zone: the words of the primary and of the
// secondary identifier, folded, and whether the name may have been truncated. It forgives what
// readers and airlines do to a field: a separator that is missing or too many, digits for letters,
// fillers read as K. Escapes are undone: UXX is ü, and a field in the escapes of Arabic is brought
// back to Arabic letters, which say more than the zone.
func FromMRZ(field string) (primary, secondary []string, truncated bool) {
	if len(field) > maxText {
		field = field[:maxText]
	}
	b := make([]byte, 0, len(field))
	for _, r := range field {
		switch {
		case 'A' <= r && r <= 'Z':
			b = append(b, byte(r))
		case 'a' <= r && r <= 'z':
			b = append(b, byte(r-'a'+'A'))
		case '0' <= r && r <= '9':
			b = append(b, letterOfDigit[r-'0'])
		case r == '\'':
		default:
			b = append(b, filler)
		}
	}
	truncated = isFieldWidth(len(b)) && b[len(b)-1] != filler
	b = trimFillers(b)
	second := false
	for len(b) > 0 {
		gap := 0
		for gap < len(b) && b[gap] == filler {
			gap++
		}
		second = second || gap >= 2
		b = b[gap:]
		end := 0
		for end < len(b) && b[end] != filler {
			end++
		}
		if end == 0 {
			break
		}
		word := strings.ToLower(string(b[:end]))
		if second {
			secondary = append(secondary, word)
		} else {
			primary = append(primary, word)
		}
		b = b[end:]
	}
	if !tables().zone.undo(primary, secondary, truncated) {
		undoMarks(primary)
		undoMarks(secondary)
	}
	return primary, secondary, truncated
}

// letterOfDigit is the letter that a reader took for a digit: no name holds one.
var letterOfDigit = [10]byte{'O', 'I', 'Z', 'J', 'A', 'S', 'G', 'T', 'B', 'G'}

// trimFillers drops the fillers at the end, and what a reader made of them: a long run of K, or one
// after fillers.
func trimFillers(b []byte) []byte {
	end, ks := len(b), 0
	for end > 0 && (b[end-1] == filler || b[end-1] == 'K') {
		if b[end-1] == 'K' {
			ks++
		}
		end--
	}
	tail := len(b) - end
	if ks == 0 || tail >= 4 && end > 0 && (ks >= 4 || ks < tail) {
		// KOVAK<<<K: the first of the run belongs to the name if a filler follows it at once.
		for ks > 0 && end < len(b) && b[end] == 'K' && (end+1 == len(b) || b[end+1] == filler) {
			end++
			break
		}
		return b[:end]
	}
	for len(b) > 0 && b[len(b)-1] == filler {
		b = b[:len(b)-1]
	}
	return b
}

// undoMarks brings back the letters that section 6 A permits to escape.
func undoMarks(words []string) {
	for i, w := range words {
		if strings.Contains(w, "xx") {
			words[i] = strings.NewReplacer("uxx", "ü", "nxx", "ñ", "oxx", "ö").Replace(w)
		}
	}
}
