package node_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/nodetest"
	"github.com/entente-mesh/entente/node/store"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// asleep is a bureau whose node was made and not started.
func asleep(t *testing.T) *nodetest.Bureau {
	t.Helper()
	return nodetest.FoundWith(t, nodetest.Setup{Asleep: true, Gossip: true}, "BEL").Bureau("BEL")
}

func newNode(t *testing.T, b *nodetest.Bureau) *node.Node {
	t.Helper()
	n, err := node.New(t.Context(), b.Config, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Stop() }) // the test has looked at the first
	return n
}

// TestStartAndStop in every order that a program may try.
func TestStartAndStop(t *testing.T) {
	bel := asleep(t)
	n := newNode(t, bel)
	if err := n.Stop(); err != nil {
		t.Errorf("stop without a start: %v", err)
	}
	if err := n.Stop(); err != nil {
		t.Errorf("stop again: %v", err)
	}
	if err := n.Start(t.Context()); err == nil {
		t.Error("a node that was stopped was started")
	}

	n = newNode(t, bel)
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "start") {
		t.Errorf("a second start: %v, want an error that says so", err)
	}
	// The second start has not harmed the first.
	conn, err := net.Dial("tcp", bel.Config.LocalListen)
	if err != nil {
		t.Errorf("after the second start: %v", err)
	} else if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := n.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	for _, address := range []string{bel.Config.LocalListen, bel.Config.MeshListen} {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			t.Errorf("%s is still served after the stop", address)
		}
	}
}

// TestTheContextOfAStart is not the node's: it serves on when that has ended.
func TestTheContextOfAStart(t *testing.T) {
	bel := asleep(t)
	ctx, cancel := context.WithCancel(t.Context())
	n := newNode(t, bel)
	if err := n.Start(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	err := getStatus(t, bel.Intrude(bel.Config.LocalListen, bel.ClientLeaf(node.OperatorClient)))
	if err != nil {
		t.Errorf("after the context of the start has ended: %v", err)
	}
	waited := make(chan error, 1)
	ctx, cancel = context.WithCancel(t.Context())
	go func() { waited <- n.Wait(ctx) }()
	cancel()
	if err := <-waited; err != nil {
		t.Errorf("wait until the context ends: %v", err)
	}
}

// TestTwoNodesOverOneFolder: the second says what holds it up, and does the first no harm.
func TestTwoNodesOverOneFolder(t *testing.T) {
	bel := nodetest.Found(t, "BEL").Bureau("BEL")
	if running, err := node.Running(bel.Dir); err != nil || !running {
		t.Errorf("Running: %v %v", running, err)
	}
	began := time.Now()
	_, err := node.New(t.Context(), bel.Config, node.Options{})
	if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "store") {
		t.Errorf("a second node over one folder: %v, want store.ErrLocked", err)
	}
	t.Logf("refused after %s: %v", time.Since(began).Round(time.Millisecond), err)
	bel.Create(nodetest.Person("bel:1", "Vandersmissen", "Yorick", "1990-07-21"))
	bel.Stop()
	if running, err := node.Running(bel.Dir); err != nil || running {
		t.Errorf("Running after the stop: %v %v", running, err)
	}
}

// TestAPortThatIsTaken is named with its key, and what was opened is closed again.
func TestAPortThatIsTaken(t *testing.T) {
	bel := asleep(t)
	for _, c := range []struct {
		key     string
		address *string
	}{{"mesh_listen", &bel.Config.MeshListen}, {"local_listen", &bel.Config.LocalListen}} {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		was := *c.address
		*c.address = taken.Addr().String()
		n := newNode(t, bel)
		if err := n.Start(t.Context()); err == nil || !strings.Contains(err.Error(), c.key) {
			t.Errorf("%s is taken: %v", c.key, err)
		}
		if err := n.Stop(); err != nil {
			t.Errorf("stop after a failed start: %v", err)
		}
		*c.address = was
		if err := taken.Close(); err != nil {
			t.Error(err)
		}
	}
	n := newNode(t, bel)
	if err := n.Start(t.Context()); err != nil {
		t.Errorf("with free ports: %v", err)
	}
}

// TestStopWhileAsksAreUnderWay stops the answerer, and then the asker, in the middle of many
// checks. None of them may say "no hit" of somebody who is wanted.
func TestStopWhileAsksAreUnderWay(t *testing.T) {
	m := nodetest.FoundWith(t, nodetest.Setup{Gossip: true}, "BEL", "BGR")
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	bel.Create(nodetest.Person("bel:1", "Vandersmissen", "Yorick", "1990-07-21"))
	m.PermitBoth("BEL", "BGR", nodetest.Persons, nodetest.Border)
	bel.Generous("BGR")
	screening := bgr.Screening()

	run := func(stop func()) (verdicts map[string]int) {
		t.Helper()
		verdicts = map[string]int{}
		var mu sync.Mutex
		var officers sync.WaitGroup
		var halfway sync.WaitGroup
		const posts, checks = 8, 40
		halfway.Add(posts)
		for range posts {
			officers.Go(func() {
				for i := range checks {
					if i == checks/2 {
						halfway.Done()
					}
					req := nodetest.CheckPerson("Vandersmissen", "Yorick", "1990-07-21")
					req.Justification = &queryv1.Justification{Purpose: nodetest.Border}
					ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
					resp, err := screening.Check(ctx, req)
					cancel()
					mu.Lock()
					if err != nil {
						verdicts[status.Code(err).String()]++
					} else {
						verdicts[strings.TrimPrefix(resp.GetVerdict().String(), "VERDICT_")]++
					}
					mu.Unlock()
				}
			})
		}
		halfway.Wait()
		began := time.Now()
		stop()
		t.Logf("stopped in %s", time.Since(began).Round(time.Millisecond))
		officers.Wait()
		return verdicts
	}
	got := run(bel.Stop)
	t.Logf("BEL was stopped: %v", got)
	if got["HIT"] == 0 || got["HIT"]+got["INCOMPLETE"] != 320 {
		t.Errorf("while BEL stops: %v, want HIT before and INCOMPLETE after", got)
	}
	bel.MustStart()
	m.Eventually("BGR uses BEL again", func() bool { return bgr.Connected("BEL") })
	got = run(func() {
		n := bgr.Node
		if err := n.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	t.Logf("BGR was stopped: %v", got)
	if got["HIT"] == 0 || got["NO_HIT"] != 0 || got["HIT"]+got["INCOMPLETE"]+got[codes.Unavailable.String()]+got[codes.Canceled.String()] != 320 {
		t.Errorf("while BGR stops: %v", got)
	}
}

// TestWhatIsAcknowledgedStays: what the operator was told is recorded is there after the lines
// broke and the node was started again, and is not there twice.
func TestWhatIsAcknowledgedStays(t *testing.T) {
	m := nodetest.Found(t, "BEL", "BGR")
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	m.PermitBoth("BEL", "BGR", nodetest.Persons, nodetest.Border)
	var recs []*recordv1.Record
	for i := range 10 {
		recs = append(recs, nodetest.Person(fmt.Sprintf("bel:%d", i), surname(i), "Yorick", "1990-07-21"))
	}
	bel.Create(recs...)
	bel.Kill()
	bel.MustStart()
	bel.Create(recs...) // the same requests again are answered as the first
	m.Eventually("BGR uses BEL again", func() bool { return bgr.Connected("BEL") })
	for i := range recs {
		resp := bgr.Check(nodetest.CheckPerson(surname(i), "Yorick", "1990-07-21"))
		if resp.GetVerdict() != screeningv1.Verdict_VERDICT_HIT || len(resp.GetHits()) != 1 {
			t.Errorf("%d: %v with %d hits", i, resp.GetVerdict(), len(resp.GetHits()))
		}
	}
}
