package people

import (
	"fmt"
	"strings"
)

// row is one line of a table: its columns, and where it stands for whoever has to mend it.
type row struct {
	cells []string
	at    string
}

func (r row) cell(i int) string {
	if i < len(r.cells) {
		return r.cells[i]
	}
	return ""
}

// readTable returns the rows of an embedded table. Lines that begin with # are its head and its
// remarks; columns are separated by tabs.
func readTable(name string) ([]row, error) {
	b, err := files.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", name, err)
	}
	var rows []row
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(line, "\t")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, row{cells, fmt.Sprintf("%s:%d", name, n)})
	}
	return rows, nil
}

// maxSpellings bounds what one cell may stand for: a table is read by people.
const maxSpellings = 2000

// expand returns the words of a cell. Braces hold alternatives, as in a shell: {abd,abdul}{,l}ah.
func expand(cell string) ([]string, error) {
	var all []string
	for _, word := range strings.Fields(cell) {
		words, err := braces(word)
		if err != nil {
			return nil, err
		}
		if all = append(all, words...); len(all) > maxSpellings {
			return nil, fmt.Errorf("%q stands for more than %d words: split the row", cell, maxSpellings)
		}
	}
	return all, nil
}

func braces(word string) ([]string, error) {
	open := strings.IndexByte(word, '{')
	if open < 0 {
		if strings.IndexByte(word, '}') >= 0 {
			return nil, fmt.Errorf("%q closes a brace that it does not open", word)
		}
		return []string{word}, nil
	}
	end := strings.IndexByte(word[open:], '}')
	if end < 0 {
		return nil, fmt.Errorf("%q does not close its brace", word)
	}
	rest, err := braces(word[open+end+1:])
	if err != nil {
		return nil, err
	}
	var all []string
	for middle := range strings.SplitSeq(word[open+1:open+end], ",") {
		for _, tail := range rest {
			all = append(all, word[:open]+middle+tail)
		}
	}
	return all, nil
}

// folded reports that a word is as the tables want it.
func folded(word string) bool {
	for i := range len(word) {
		if word[i] < 'a' || word[i] > 'z' {
			return false
		}
	}
	return word != ""
}
