package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/node/policies"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// memory is the first half of row 7.
func (b *bench) memory(ctx context.Context) error {
	b.indexMemory()
	return b.idleNode(ctx)
}

// indexMemory measures what the index of persons holds, with the records that it keeps: a
// process that holds an index holds both.
func (b *bench) indexMemory() {
	in := newInventor(3)
	empty := heap()
	persons := in.persons(b.persons)
	names := 0
	for _, p := range persons {
		names += len(p.GetPerson().GetNames())
	}
	records := heap() - empty
	index := match.NewPersons(match.Options{})
	for _, p := range persons {
		index.Put(p.GetRecordId(), p)
	}
	whole := heap() - empty
	runtime.KeepAlive(persons)
	runtime.KeepAlive(index)
	runtime.KeepAlive(in)
	b.note(row{
		what:      fmt.Sprintf("Index of %d persons with %d names, with their records: bytes a name", b.persons, names),
		measured:  fmt.Sprintf("%d B a name, %d B a person", whole/int64(names), whole/int64(b.persons)),
		yardstick: fmt.Sprintf("the records alone %d B a name", records/int64(names)),
		ratio:     times(float64(whole) / float64(records)), budget: "<= 1,500 B a name", met: within(whole <= 1500*int64(names)),
	})
}

// heap is what is alive.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first freed through finalizers
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// settle is how long a node is left alone before its memory is read.
const settle = 5 * time.Second

// idleNode starts a real process: the dead bureau comes back, in a federation whose others live.
func (b *bench) idleNode(ctx context.Context) (err error) {
	r := row{what: "An idle node in a federation of five: resident memory", budget: "<= 120 MB"}
	if b.quick {
		r.measured = "not measured in a quick run"
		b.note(r)
		return nil
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		r.measured = "not measured: this system has no /proc"
		b.note(r)
		return nil
	}
	binary := filepath.Join(b.dir, "entente")
	b.say("  the binary is built")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/entente").CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./cmd/entente: %w: %s", err, out)
	}
	at := b.mesh.at(mortal)
	process := exec.Command(binary, "run", "--dir", at.dir)
	var output bytes.Buffer
	process.Stdout, process.Stderr = &output, &output
	if err := process.Start(); err != nil {
		return err
	}
	defer func() {
		serr := process.Process.Signal(syscall.SIGTERM)
		if werr := process.Wait(); werr != nil || serr != nil {
			err = errors.Join(err, serr, fmt.Errorf("the node's process: %w: %s", werr, output.String()))
		}
	}()
	if err := answers(ctx, at); err != nil {
		return fmt.Errorf("%w: %s", err, output.String())
	}
	if err := pause(ctx, settle); err != nil {
		return err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process.Process.Pid))
	if err != nil {
		return err
	}
	resident, anonymous := kilobytes(status, "VmRSS"), kilobytes(status, "RssAnon")
	if resident == 0 {
		return errors.New("/proc tells no VmRSS of the node")
	}
	r.measured = fmt.Sprintf("%d MB", resident/1024)
	r.yardstick = fmt.Sprintf("of which its own %d MB; the rest is the program's file", anonymous/1024)
	r.met = within(resident <= 120*1024)
	b.note(r)
	return nil
}

// answers waits until a node answers its operator.
func answers(ctx context.Context, at *bureau) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := at.dial(node.OperatorClient)
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		_, err := adminv1.NewAdminServiceClient(conn).GetStatus(ctx, &adminv1.GetStatusRequest{})
		if err == nil {
			return nil
		}
		if pause(ctx, 100*time.Millisecond) != nil {
			return fmt.Errorf("the node does not answer: %w", err)
		}
	}
}

// kilobytes reads one line of /proc/PID/status.
func kilobytes(status []byte, name string) int {
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), name+":"); ok {
			n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return n
		}
	}
	return 0
}

// manyTreaties is how many bureaus a country may have treaties with.
const manyTreaties = 195

// decisionsOfPolicy is the second half of row 7: the price of a decision may not grow with the
// number of treaties.
func (b *bench) decisionsOfPolicy(ctx context.Context) error {
	const batch = 200 // a decision is too short to be timed alone
	var works []work
	for _, n := range []int{manyTreaties, 1} {
		set, other, err := b.treatySet(n)
		if err != nil {
			return err
		}
		facts := policy.AnswerFacts{
			Self: spain, From: other, Federation: benchFederation, Agency: "border-police", Role: string(identity.RoleOfficer),
			Collection: policy.CollectionPersons, Mode: policy.ModeAsk, Purpose: forOne, Nationality: "ROU", Now: time.Now(),
		}
		works = append(works, work{fmt.Sprintf("decision with %d treaties", n), func(context.Context, int) error {
			for range batch {
				if d := set.Answer(facts); !d.Allow {
					return fmt.Errorf("denied: %v", d.Err)
				}
			}
			return nil
		}})
	}
	spreads, err := latencies(ctx, b.decisions, works...)
	if err != nil {
		return err
	}
	many, one := spreads[0].p50()/batch, spreads[1].p50()/batch
	b.note(row{
		what: fmt.Sprintf("Policy decision on an ask, with %d treaties: p50", manyTreaties), measured: length(many),
		yardstick: "with one treaty " + length(one), ratio: times(over(many, one)),
		budget: "2 to 3 us, whatever the treaties", met: within(many <= 3*time.Microsecond),
	})
	return nil
}

func (b *bench) treatySet(n int) (*policy.Set, identity.Bureau, error) {
	dir := filepath.Join(b.dir, fmt.Sprintf("treaties-%d", n))
	if err := policies.WriteDefaults(dir, spain, benchFederation); err != nil {
		return nil, "", err
	}
	var last identity.Bureau
	for i := range n {
		last = identity.Bureau(fmt.Sprintf("Q%c%c", 'A'+i/26, 'A'+i%26))
		name, text, err := policy.Permit(policy.PermitOptions{
			Self: spain, Bureau: string(last), Collection: policy.CollectionPersons, Mode: policy.ModeAsk,
			Purposes: []recordv1.Purpose{forOne, forThree}, Until: time.Now().Add(rosterLife),
		})
		if err != nil {
			return nil, "", err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, "", err
		}
	}
	set, err := policy.Load(os.DirFS(dir))
	return set, last, err
}
