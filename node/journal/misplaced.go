package journal

import "fmt"

// misplaced is the Damage that at an offset a leaf stands where another is expected. A leaf that is not
// where it belongs and stands further on was not lost but moved.
func (r *reader) misplaced(at int64, stands, expected uint64, detail string) error {
	bad := &Damage{r.name, at, expected, order(stands, expected), detail}
	if bad.What == Reordered {
		return bad
	}
	for from := at + 1; from < r.end; from++ {
		b, err := r.bytes(from, len(frameMark))
		if err != nil {
			return err
		}
		if string(b) != frameMark {
			continue
		}
		if f, err := r.frame(from); err == nil && f.index == expected {
			bad.What = Reordered
			bad.Detail += fmt.Sprintf(", and leaf %d at byte %d", expected, from)
			break
		}
	}
	return bad
}
