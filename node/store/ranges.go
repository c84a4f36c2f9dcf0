package store

import (
	"context"
	"errors"
	"math"
	"strconv"
)

// maxWidth is how many digits a range's numbers can have: what a 64-bit integer holds whatever
// the digits are.
const maxWidth = 18

// probe is a normal form seen as a number: the digits at its end, and what stands before them.
// Two normal forms can be compared as numbers if prefix and width are the same.
type probe struct {
	prefix string
	width  int
	num    int64
}

// newProbe takes a normal form apart. One that does not end in a digit, or in more than 18, lies
// in no range.
func newProbe(key string) (probe, bool) {
	at := len(key)
	for at > 0 && '0' <= key[at-1] && key[at-1] <= '9' {
		at--
	}
	width := len(key) - at
	if width == 0 || width > maxWidth {
		return probe{}, false
	}
	num, err := strconv.ParseInt(key[at:], 10, 64)
	if err != nil {
		return probe{}, false
	}
	return probe{prefix: key[:at], width: width, num: num}, true
}

// span is a range of numbers, both ends included.
type span struct {
	prefix   string
	width    int
	from, to int64
}

// newSpan makes the range between two normal forms. What it refuses could not be looked up; it
// must not become a range that silently contains nothing, or a single document.
func newSpan(fromKey, toKey string) (span, error) {
	from, ok := newProbe(fromKey)
	if !ok {
		return span{}, invalid("the first number of a range must end in 1 to %d digits", maxWidth)
	}
	to, ok := newProbe(toKey)
	if !ok {
		return span{}, invalid("the last number of a range must end in 1 to %d digits", maxWidth)
	}
	if from.prefix != to.prefix || from.width != to.width {
		return span{}, invalid("first and last number must have the same length, and the same characters before their digits")
	}
	if from.num > to.num {
		return span{}, invalid("the last number comes before the first")
	}
	return span{prefix: from.prefix, width: from.width, from: from.num, to: to.num}, nil
}

// level is the lowest level at which the span lies in one block or two neighbours.
func (s span) level() (level int, size int64) {
	size = 1
	for s.to/size-s.from/size > 1 {
		level, size = level+1, size*10
	}
	return level, size
}

// levelKey names one count of ranges.
type levelKey struct {
	prefix string
	width  int
	level  int
}

const (
	addRange = `INSERT INTO document_ranges (range_prefix, width, level, block, from_num, to_num, seq)
VALUES ($1, $2, $3, $4, $5, $6, $7)`
	rangesOf     = `SELECT range_prefix, width, level, from_num, to_num FROM document_ranges WHERE seq = $1`
	removeRanges = `DELETE FROM document_ranges WHERE seq = $1`

	addLevel   = `UPDATE document_range_levels SET live = live + $1 WHERE range_prefix = $2 AND width = $3 AND level = $4`
	newLevel   = `INSERT INTO document_range_levels (range_prefix, width, level, block_size, live) VALUES ($1, $2, $3, $4, $5)`
	emptyLevel = `DELETE FROM document_range_levels WHERE range_prefix = $1 AND width = $2 AND level = $3 AND live = 0`
)

func (t *transaction) addRange(ctx context.Context, s span, seq int64) error {
	level, size := s.level()
	for block := s.from / size; block <= s.to/size; block++ {
		if _, err := t.exec(ctx, addRange, s.prefix, s.width, level, block, s.from, s.to, seq); err != nil {
			return err
		}
	}
	t.levels[levelKey{s.prefix, s.width, level}]++
	return nil
}

// stored is the range in row seq and its level, or none. It is read from the table, not made from
// the record again: another normal form may have made it.
func (t *transaction) stored(ctx context.Context, seq int64) (s *span, level int, err error) {
	rows, err := t.rows(ctx, rangesOf, seq)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		s = &span{}
		if err := rows.Scan(&s.prefix, &s.width, &level, &s.from, &s.to); err != nil {
			return nil, 0, err
		}
	}
	return s, level, rows.Err()
}

func (t *transaction) holdsRange(ctx context.Context, want span, seq int64) (bool, error) {
	have, _, err := t.stored(ctx, seq)
	return have != nil && *have == want, err
}

func (t *transaction) removeRange(ctx context.Context, seq int64) error {
	have, level, err := t.stored(ctx, seq)
	if err != nil || have == nil {
		return err
	}
	if _, err := t.exec(ctx, removeRanges, seq); err != nil {
		return err
	}
	t.levels[levelKey{have.prefix, have.width, level}]--
	return nil
}

func (t *transaction) settleLevels(ctx context.Context) error {
	for k, n := range t.levels {
		if n == 0 {
			continue
		}
		res, err := t.exec(ctx, addLevel, n, k.prefix, k.width, k.level)
		if err != nil {
			return err
		}
		hit, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if hit == 0 {
			size := int64(math.Pow10(k.level))
			if _, err := t.exec(ctx, newLevel, k.prefix, k.width, k.level, size, n); err != nil {
				return err
			}
		}
		if _, err := t.exec(ctx, emptyLevel, k.prefix, k.width, k.level); err != nil {
			return err
		}
	}
	return nil
}
