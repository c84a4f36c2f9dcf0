package mrz

// weights are repeated over the characters of a field (Doc 9303-3 section 4.9).
var weights = [3]int{7, 3, 1}

// CheckDigit computes the check digit of a field (Doc 9303-3 section 4.9): digits count as
// themselves, A to Z as 10 to 35, the filler as 0, modulo 10.
func CheckDigit(field string) byte {
	sum := 0
	for i := range len(field) {
		sum += value(field[i]) * weights[i%len(weights)]
	}
	return byte('0' + sum%10)
}

func value(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case isLetter(c):
		return int(c-'A') + 10
	default:
		return 0
	}
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'A' <= c && c <= 'Z' }

// digitFor is the digit that an optical reader took for a letter. OCR-B was drawn to keep the
// two apart (ISO 1073-2); worn print and cheap cameras bring them together again.
func digitFor(c byte) (byte, bool) {
	switch c {
	case 'O', 'Q', 'D', 'U':
		return '0', true
	case 'I', 'L', 'J':
		return '1', true
	case 'Z':
		return '2', true
	case 'A':
		return '4', true
	case 'S':
		return '5', true
	case 'G':
		return '6', true
	case 'T':
		return '7', true
	case 'B':
		return '8', true
	}
	return 0, false
}

// letterFor is the reverse, for fields that hold letters alone.
func letterFor(c byte) (byte, bool) {
	switch c {
	case '0':
		return 'O', true
	case '1':
		return 'I', true
	case '2':
		return 'Z', true
	case '4':
		return 'A', true
	case '5':
		return 'S', true
	case '6':
		return 'G', true
	case '8':
		return 'B', true
	}
	return 0, false
}
