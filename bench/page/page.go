// Package page is docs/benchmarks.md: a part for each program that measures, each written by its own
// program and kept by the others, and what all say of the machine beside their figures.
//
// It measures nothing. One flow: a program notes the load at its begin, measures, and calls Write
// with its part of the page.
package page

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Part is one program's part of the page: the line that it begins with.
type Part string

// The parts, in the order in which they stand on the page.
const (
	Mesh  Part = "# Benchmarks"
	Names Part = "## Names"
)

// Write replaces one part of the page at path, and keeps the others. The text begins with the part's
// own line.
func Write(path string, part Part, text []byte) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	whole, err := replace(old, part, text)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, whole, 0o644)
}

func replace(old []byte, part Part, text []byte) ([]byte, error) {
	if !bytes.HasPrefix(text, []byte(part+"\n")) {
		return nil, fmt.Errorf("the text does not begin with %q", part)
	}
	mesh, names := old, []byte(nil)
	if at := bytes.Index(old, []byte("\n"+Names+"\n")); at >= 0 {
		mesh, names = old[:at], old[at+1:]
	}
	switch part {
	case Mesh:
		mesh = text
	case Names:
		names = text
	default:
		return nil, fmt.Errorf("there is no part %q", part)
	}
	if len(bytes.TrimSpace(mesh)) == 0 {
		mesh = []byte(Mesh)
	}
	whole := append(bytes.TrimRight(bytes.Clone(mesh), "\n"), '\n')
	if len(names) > 0 {
		whole = append(append(whole, '\n'), append(bytes.TrimRight(names, "\n"), '\n')...)
	}
	return whole, nil
}

// Run is when and on what something was measured.
type Run struct {
	Began    time.Time
	took     time.Duration
	loadThen string
	loadNow  string
}

// Begin notes the time and the load before anything is measured.
func Begin(now time.Time) Run { return Run{Began: now, loadThen: load()} }

// End notes them when all is measured.
func (r *Run) End(now time.Time) { r.took, r.loadNow = now.Sub(r.Began), load() }

// Facts are the lines that stand beside every table.
func (r *Run) Facts() []byte {
	var b bytes.Buffer
	for _, line := range [][2]string{
		{"Date", r.Began.UTC().Format("2006-01-02 15:04 MST")},
		{"Machine", machine()},
		{"System", runtime.GOOS + "/" + runtime.GOARCH + ", kernel " + kernel()},
		{"Go", runtime.Version() + ", GOMAXPROCS " + strconv.Itoa(runtime.GOMAXPROCS(0))},
		{"Load before and after", r.loadThen + " and " + r.loadNow + " (one minute's average; above the number of cores, others worked here too)"},
		{"Took", r.took.Round(time.Second).String()},
	} {
		fmt.Fprintf(&b, "- %s: %s\n", line[0], line[1])
	}
	return b.Bytes()
}

// Table writes rows below a head. An empty cell is a dash.
func Table(b *bytes.Buffer, head []string, rows [][]string) {
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat(" --- |", len(head)))
	for _, cells := range rows {
		told := make([]string, len(cells))
		for i, c := range cells {
			if c == "" {
				c = "–"
			}
			told[i] = strings.ReplaceAll(c, "|", "\\|")
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(told, " | "))
	}
}

// machine names processor, cores and memory, as far as the system tells.
func machine() string {
	parts := []string{fmt.Sprintf("%d cores", runtime.NumCPU())}
	if model := field("/proc/cpuinfo", "model name"); model != "" {
		parts[0] = model + ", " + parts[0]
	}
	if total, err := strconv.Atoi(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB")); err == nil {
		parts = append(parts, fmt.Sprintf("%.1f GiB of memory", float64(total)/(1<<20)))
	}
	return strings.Join(parts, ", ")
}

// field returns the first value of a name in one of the system's files of names and values.
func field(path, name string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(b), " ")
	return one
}
