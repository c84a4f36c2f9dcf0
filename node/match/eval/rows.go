package eval

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// fieldError says where a file is wrong, and what helps.
func fieldError(line int, field, what string) error {
	return fmt.Errorf("line %d: %s %s", line, field, what)
}

// byteOrderMark may stand at the head of a file; it is no part of what the file says.
const byteOrderMark = "\ufeff"

// mostLine bounds one line of input.
const mostLine = 1 << 20

// placed is what can be told the line that it was read from.
type placed[T any] interface {
	*T
	at(line int)
}

// lines yields one object a line. Empty lines are none; fields that nobody knows are passed over, for
// whoever labels data keeps more in it than is measured.
func lines[T any, P placed[T]](r io.Reader) iter.Seq2[P, error] {
	return func(yield func(P, error) bool) {
		in := bufio.NewScanner(r)
		in.Buffer(make([]byte, 0, 64<<10), mostLine)
		n := 0
		for in.Scan() {
			n++
			line := in.Bytes()
			if n == 1 {
				line = bytes.TrimPrefix(line, []byte(byteOrderMark))
			}
			if len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			v := P(new(T))
			v.at(n)
			if err := json.Unmarshal(line, v); err != nil {
				yield(nil, lineError(n, err))
				return
			}
			if !yield(v, nil) {
				return
			}
		}
		if err := in.Err(); errors.Is(err, bufio.ErrTooLong) {
			yield(nil, fmt.Errorf("line %d: longer than %d bytes: write one JSON object a line", n+1, mostLine))
		} else if err != nil {
			yield(nil, fmt.Errorf("line %d: %w", n+1, err))
		}
	}
}

// lineError says what is wrong with a line without its values: those are names.
func lineError(line int, err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		want := "a text in quotes"
		if wrong.Field == "names" && wrong.Type.Kind().String() == "slice" {
			want = `a list of texts: ["...", "..."]`
		}
		return fieldError(line, wrong.Field, fmt.Sprintf("is of kind %s: write %s", strings.Fields(wrong.Value)[0], want))
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("line %d: no JSON object (at byte %d): write one a line", line, syntax.Offset)
	}
	return fmt.Errorf("line %d: no JSON object: write one a line", line)
}

// row is one line of a table, by the names of its columns.
type row struct {
	line int
	of   map[string]string
}

// table yields the rows of a table with a head line. Its columns may stand in any order and among
// others; those that may be missing are empty where they are.
func table(r io.Reader, needed, more []string) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		in := csv.NewReader(r)
		in.FieldsPerRecord, in.ReuseRecord = -1, true
		head, err := in.Read()
		if errors.Is(err, io.EOF) {
			err = errors.New("line 1: the head line is missing: name the columns in it: " + strings.Join(needed, ", "))
		}
		if err != nil {
			yield(row{}, tableError(err))
			return
		}
		at := make(map[string]int)
		for i, h := range head {
			at[strings.ToLower(strings.TrimSpace(strings.TrimPrefix(h, byteOrderMark)))] = i
		}
		for _, c := range needed {
			if _, ok := at[c]; !ok {
				yield(row{}, fieldError(1, c, "is no column of the head line: add it"))
				return
			}
		}
		columns := append(append([]string{}, needed...), more...)
		for {
			fields, err := in.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(row{}, tableError(err))
				return
			}
			line, _ := in.FieldPos(0)
			got := row{line: line, of: make(map[string]string, len(columns))}
			for _, c := range needed {
				if at[c] >= len(fields) {
					yield(row{}, fieldError(line, c, fmt.Sprintf("is missing, for the line has %d cells: write as many as the head line has", len(fields))))
					return
				}
			}
			for _, c := range columns {
				if j, ok := at[c]; ok && j < len(fields) {
					got.of[c] = strings.TrimSpace(fields[j])
				}
			}
			if !yield(got, nil) {
				return
			}
		}
	}
}

func tableError(err error) error {
	var wrong *csv.ParseError
	if errors.As(err, &wrong) {
		return fmt.Errorf("line %d, column %d: %w: put a cell that holds quotes, commas or line breaks in quotes, and double the quotes in it", wrong.Line, wrong.Column, wrong.Err)
	}
	return err
}
