package store

import (
	"context"
	"fmt"
	"strings"
)

// bulkSizes are how many rows one statement takes: as often as possible the most, then fewer. Of
// a short statement's time, most goes on the way through database/sql. More than 16 rows cost more
// again: SQLite takes $1 for a name, and looks each name up in a list of all.
var bulkSizes = [...]int{16, 4, 1}

// bulk is a statement over many rows, in each of the sizes.
type bulk struct {
	columns int
	queries map[int]string
}

// newBulk makes the statement from its beginning, what stands for each row (%s for each of its
// columns) and its end. The numbers of placeholders before the rows' are taken.
func newBulk(head, row, tail string, taken int) bulk {
	b := bulk{columns: strings.Count(row, "%s"), queries: map[int]string{}}
	for _, n := range bulkSizes {
		rows := make([]string, n)
		for i := range rows {
			args := make([]any, b.columns)
			for j := range args {
				args[j] = fmt.Sprintf("$%d", taken+i*b.columns+j+1)
			}
			rows[i] = fmt.Sprintf(row, args...)
		}
		b.queries[n] = head + strings.Join(rows, ", ") + tail
	}
	return b
}

// all are the statements, for preparing.
func (b bulk) all() []string {
	var list []string
	for _, n := range bulkSizes {
		list = append(list, b.queries[n])
	}
	return list
}

// chunks calls do with the statement and its part of the rows' arguments, until all are done.
func (b bulk) chunks(args []any, do func(query string, args []any) error) error {
	for _, n := range bulkSizes {
		for width := n * b.columns; len(args) >= width; args = args[width:] {
			if err := do(b.queries[n], args[:width]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *transaction) execAll(ctx context.Context, b bulk, args []any) error {
	return b.chunks(args, func(query string, args []any) error {
		_, err := t.exec(ctx, query, args...)
		return err
	})
}
