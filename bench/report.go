package main

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/entente-mesh/entente/bench/page"
)

// row is one line of the table. An empty cell is a dash: there is no budget, or no yardstick.
type row struct {
	what, measured, yardstick, ratio, budget string
	met                                      verdict
}

// verdict says whether a budget is met.
type verdict string

func within(met bool) verdict {
	if met {
		return "yes"
	}
	return "**no**"
}

// report is what a run found, and where.
type report struct {
	quick bool
	scale scale
	run   page.Run
	rows  []row
}

func (r *report) begin(quick bool, s scale, now time.Time) {
	r.quick, r.scale, r.run = quick, s, page.Begin(now)
}

func (r *report) end(now time.Time) { r.run.End(now) }

// columns are the table's.
var columns = []string{"what", "measured", "yardstick, same run", "ratio", "budget", "met"}

// markdown is this program's part of the page.
func (r *report) markdown() []byte {
	var b bytes.Buffer
	b.WriteString(string(page.Mesh) + "\n\n")
	b.WriteString("Written by `make bench` (`go run ./bench`), never by hand. Each figure stands beside a yardstick that was\n" +
		"measured in the same run, in turn with it: a busy machine slows both, so read the ratios. The budgets are\n" +
		"those of the design. The nodes, their clients and the yardsticks share this one machine.\n\n")
	if r.quick {
		b.WriteString("**This was a quick run: it shows that everything runs, and its figures say nothing.**\n\n")
	}
	b.Write(r.run.Facts())
	b.WriteString("\n")
	rows := make([][]string, 0, len(r.rows))
	for _, row := range r.rows {
		rows = append(rows, []string{row.what, row.measured, row.yardstick, row.ratio, row.budget, string(row.met)})
	}
	page.Table(&b, columns, rows)
	fmt.Fprintf(&b, `
What was measured:

- The bare echo is a gRPC service of one method over the nodes' own mutual TLS, with a payload of 1 KiB and
  nothing else: no interceptors, no validation, no look at the certificate at each call.
- One client makes calls one after the other; 64 callers share one connection, to the echo as to the node.
- A check at home goes through the local listener of a node that holds %d documents, and with names %d persons
  too, in a federation of five with none of which it has a treaty. It is recorded durably before it is answered.
  The numbers asked for are not held; the names are made like those held, and are not found. All are invented.
- An ask is a whole check at a node that is permitted to ask: in through the local listener, recorded, signed,
  sent over the mesh, verified, decided, searched, recorded, signed, remembered, verified, recorded, answered.
  Each bureau asked holds one person, who is not the one asked about.
- Asks answered by one node are signed by the callers and sent past the asker's own node: what the machine does
  besides is their signing and their side of the connection.
- A commit is a write of 256 bytes and fsync, in the same file system as the nodes' stores.
- The limits are in force, with quotas that nothing here reaches; only the storm meets those that are shipped.
  Records and books are encrypted, each record under its own key, each segment of the journal under its own.
- CPU is what the process used, all nodes and callers together, over the number of calls. Who else works on the
  machine changes it far less than the rate.
- Books off means a gate that decides, works and counts as ever and writes nothing. A sync is the journal's own: it
  is counted at the journal's point behind each.
- Withheld: the asks are signed and sent past the asker's own node, one after the other, in pairs of random order,
  one about a record that may not be told, one about none. Both groups are invented alike and dealt at random.
- The storm is one bureau with asks signed beforehand, each put again as soon as it is answered or turned away.
- Latencies are of %d calls in blocks of %d, work and yardstick in turn; throughputs are the median of %d turns.
`, r.scale.documents, r.scale.persons, r.scale.rounds, blockSize, r.scale.turns)
	return b.Bytes()
}

// length writes a duration with three digits that count.
func length(d time.Duration) string {
	switch a := d.Abs(); {
	case a < time.Microsecond:
		return fmt.Sprintf("%d ns", d.Nanoseconds())
	case a < 10*time.Microsecond:
		return fmt.Sprintf("%.2f us", float64(d)/float64(time.Microsecond))
	case a < time.Millisecond:
		return fmt.Sprintf("%.0f us", float64(d)/float64(time.Microsecond))
	case a < time.Second:
		return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
	default:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
}

// perSecond writes a rate with its thousands apart.
func perSecond(rate float64) string {
	digits := strconv.FormatFloat(rate, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits + "/s"
}

func times(ratio float64) string { return fmt.Sprintf("%.2f", ratio) }

func over(a, b time.Duration) float64 { return float64(a) / float64(b) }
