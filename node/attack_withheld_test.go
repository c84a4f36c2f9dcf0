package node_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/nodetest"
	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// written is how many bytes were written into the files below a folder, which are laid out ahead:
// up to the last one that is not zero.
func written(t *testing.T, dir string) int64 {
	t.Helper()
	total := int64(0)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if filepath.Ext(path) == ".seg" { // its space is taken ahead, and zero
			content = bytes.TrimRight(content, "\x00")
		}
		total += int64(len(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

// passing are what changes with every call: times, ids, ports.
var passing = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]+(\.[0-9]+)?(ms|µs|ns|s|m)?`)

// counters are a node's metrics that count; what measures time, and the program itself, is left out.
func counters(t *testing.T, address string) map[string]string {
	t.Helper()
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	all := map[string]string{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if at := strings.LastIndex(lines.Text(), " "); at > 0 {
			name, value = lines.Text()[:at], lines.Text()[at+1:]
		}
		base, _, _ := strings.Cut(name, "{")
		if !ok || strings.HasPrefix(name, "#") || strings.HasPrefix(base, "go_") || strings.HasPrefix(base, "process_") ||
			strings.HasSuffix(base, "_bucket") || strings.HasSuffix(base, "_sum") || strings.Contains(base, "seconds") && !strings.HasSuffix(base, "_count") {
			continue
		}
		all[name] = value
	}
	return all
}

// grown is by how much what counts has grown.
func grown(before, after map[string]string) map[string]float64 {
	d := map[string]float64{}
	for name, value := range after {
		var was, is float64
		fmt.Sscan(before[name], &was)
		fmt.Sscan(value, &is)
		if is != was {
			d[name] = is - was
		}
	}
	return d
}

// TestNothingToTellOnTheWire holds records that BEL may not tell of against none, from where BGR sees
// it and from where BEL's own disk does: status and size of the answer, bytes on the wire,
// growth of the books, lines in the log, counts in the metrics.
func TestNothingToTellOnTheWire(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 20
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	metrics := free.Addr().String()
	_ = free.Close()
	m := nodetest.FoundWith(t, nodetest.Setup{Config: func(b identity.Bureau, c *node.Config) {
		if b == "BEL" {
			c.MetricsListen = metrics
		}
	}}, "BEL", "BGR")
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	for i, edit := range []func(*recordv1.Stewardship){
		func(s *recordv1.Stewardship) { s.Audience = nil },
		func(s *recordv1.Stewardship) { s.Audience.Deny = []string{"BGR"} },
		func(s *recordv1.Stewardship) {
			s.Audience = &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_LISTED, Allow: []string{"LBN"}}
		},
	} {
		withheld := nodetest.Person(fmt.Sprintf("bel:%d", i), withheldName(i), "Yorick", "1990-07-21")
		edit(withheld.GetStewardship())
		bel.Create(withheld)
	}
	m.PermitBoth("BEL", "BGR", nodetest.Persons, nodetest.Border)
	bel.Generous("BGR")
	bgr.Stop() // so that nothing crosses BEL's tap but what is asked here

	conn := bgr.Intrude(bel.Tap.Address(), bgr.Leaf().Get())
	signer := bgr.Signer()
	type seen struct {
		Status  queryv1.Status
		Answer  int   // bytes of the signed answer
		FromBEL int64 // bytes on the wire
	}
	ask := func(primary string) seen {
		t.Helper()
		q := bgr.Ask("BEL")
		q.Person = &queryv1.PersonQuery{Primary: primary, Secondary: "Yorick", BirthDate: "1990-07-21"}
		before := bel.Tap.Traffic()
		answer, err := sendAsk(t, conn, sign(t, signer, q))
		if err != nil {
			t.Fatal(err)
		}
		var passed nodetest.Traffic
		m.Eventually("all that belongs to an ask has passed", func() bool {
			earlier := passed
			passed = bel.Tap.Traffic().Since(before)
			return passed == earlier && passed.Answered > 0
		})
		r := read(t, m, answer).GetResults()
		if len(r) != 1 {
			t.Fatalf("%d results", len(r))
		}
		return seen{r[0].GetStatus(), proto.Size(answer), passed.Answered}
	}
	for n := range 12 { // headers are packed shorter when they come again, and names are known
		ask(withheldName(n))
		ask(absentName(n))
	}
	kinds := map[string]func(int) string{"withheld": withheldName, "none": absentName}
	wire := map[string]map[seen]int{"withheld": {}, "none": {}}
	books, logged := map[string]int64{}, map[string][]string{}
	counted := map[string]map[string]float64{}
	const blocks = 4
	for block := range 2 * blocks {
		kind := []string{"withheld", "none", "none", "withheld"}[block%4] // neither is always first
		journal, lines, count := written(t, filepath.Join(bel.Dir, "books", "journal")), len(bel.Log.Lines()), counters(t, metrics)
		for n := range rounds / blocks {
			wire[kind][ask(kinds[kind](n))]++
		}
		books[kind] += written(t, filepath.Join(bel.Dir, "books", "journal")) - journal
		for _, line := range bel.Log.Lines()[lines:] {
			if strings.HasPrefix(line, "DEBUG handshake") {
				continue // BGR's node was stopped
			}
			logged[kind] = append(logged[kind], passing.ReplaceAllString(line, "#"))
		}
		if counted[kind] == nil {
			counted[kind] = map[string]float64{}
		}
		for name, n := range grown(count, counters(t, metrics)) {
			counted[kind][name] += n
		}
	}
	for kind, all := range wire {
		for s, n := range all {
			t.Logf("%-8s %3d times: %s, answer of %d bytes, %d on the wire", kind, n, s.Status, s.Answer, s.FromBEL)
		}
	}
	// gRPC measures the line with a ping now and then, for either kind: what is compared is what passes
	// most of the time, and that there is hardly anything else.
	usual := func(kind string) (most seen) {
		for s, n := range wire[kind] {
			if n > wire[kind][most] {
				most = s
			}
		}
		if wire[kind][most] < rounds*8/10 {
			t.Errorf("%s: %d of %d are the most that are alike: no usual exchange", kind, wire[kind][most], rounds)
		}
		return most
	}
	withheld, none := usual("withheld"), usual("none")
	if withheld != none || none.Status != queryv1.Status_STATUS_NO_HIT || none.FromBEL == 0 {
		t.Errorf("withheld %+v, none %+v: want the same", withheld, none)
	}
	for kind, all := range wire {
		for s := range all {
			if s.Status != none.Status || s.Answer != none.Answer {
				t.Errorf("%s: %+v", kind, s)
			}
		}
	}
	t.Logf("the journal grows by %d bytes for %d withheld and by %d for as many none; %d and %d lines in the log", books["withheld"], rounds, books["none"], len(logged["withheld"]), len(logged["none"]))
	if books["withheld"] != books["none"] || books["none"] == 0 {
		t.Errorf("the journal grows by %d bytes for withheld records, by %d for none", books["withheld"], books["none"])
	}
	for _, lines := range logged {
		slices.Sort(lines)
	}
	if withheld, none := slices.Compact(logged["withheld"]), slices.Compact(logged["none"]); !slices.Equal(withheld, none) {
		t.Errorf("the log says for withheld records %q, for none %q", withheld, none)
	}
	for _, moving := range []string{"entente_log_integrated"} { // the tree follows in its own time
		for _, c := range counted {
			maps.DeleteFunc(c, func(name string, _ float64) bool { return strings.HasPrefix(name, moving) })
		}
	}
	t.Logf("in the metrics: %v", counted["none"])
	if !maps.Equal(counted["withheld"], counted["none"]) || len(counted["none"]) == 0 {
		t.Errorf("the metrics count for withheld records %v, for none %v", counted["withheld"], counted["none"])
	}
	// The scene would show a difference: at home they are there.
	for i := range 3 {
		if resp := bel.Check(nodetest.CheckPerson(withheldName(i), "Yorick", "1990-07-21")); len(resp.GetHits()) == 0 {
			t.Errorf("record %d is not held at all", i)
		}
	}
}

// withheldName and absentName are names of one length.
func withheldName(n int) string {
	return []string{"Vandersmissen", "Quentinsburyh", "Oldhamptonian"}[n%3]
}

func absentName(n int) string {
	return []string{"Haraldsdottir", "Wennekesbachs", "Bratimirovski"}[n%3]
}
