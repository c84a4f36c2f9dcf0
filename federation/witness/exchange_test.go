package witness_test

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"buf.build/go/protovalidate"

	"github.com/entente-mesh/entente/federation/witness"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// finds checks that a node has raised an alarm over a fork of a bureau's log, and that its file
// proves it to who has nothing but the fingerprint.
func (c *trial) finds(n *node, of identity.Bureau) witness.Alarm {
	c.t.Helper()
	for _, a := range n.siren.all() {
		if a.Subject != string(of) {
			c.t.Errorf("%s raised an alarm over %s: %+v", n.bureau, a.Subject, a)
		}
		if a.Kind != forkAlarm {
			continue
		}
		n.files.Lock()
		text := n.files.byName[a.Evidence[len("evidence/"):]]
		n.files.Unlock()
		e, err := evidence.DecodeLogEvidence(text)
		if err != nil {
			c.t.Fatal(err)
		}
		r := evidence.VerifyLogEvidence(e, evidence.Trust{Fingerprint: c.fed.Fingerprint()})
		if r.Proven != evidence.Fork || r.Bureau != of || r.Origin != evidence.Origin(federation, of, "1") {
			c.t.Errorf("what %s has in hand proves %q of %s: %+v", n.bureau, r.Proven, r.Bureau, r)
		}
		return a
	}
	c.t.Fatalf("%s does not know that %s has two logs: %+v", n.bureau, of, n.siren.all())
	return witness.Alarm{}
}

// countries makes BEL and LBN nodes that ask each other, with the keys of real rosters.
func countries(t *testing.T, play func(t *testing.T, c *trial, bel, lbn *node)) {
	court(t, func(t *testing.T, c *trial, bel *node) {
		lbn := c.join("LBN")
		lbn.rosters = c.fed.Rosters
		for _, n := range []*node{bel, lbn} {
			n.log.key = c.fed.Countries[n.bureau].Log
		}
		c.meet(bel, lbn)
		play(t, c, bel, lbn)
	})
}

// ESP shows BEL one log and LBN another, and proves to each that its own grows. Nobody gives a
// command.
func TestASplitViewIsFoundByItself(t *testing.T) {
	for name, v := range map[string]struct {
		more  uint64
		every time.Duration
	}{
		"of one size":  {},
		"of two sizes": {more: 23},
		// The wish to hear what a bureau was shown is there again before the next question may be put.
		"of two sizes, compared all the time": {more: 23, every: 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			more := v.more
			countries(t, func(t *testing.T, c *trial, bel, lbn *node) {
				for _, n := range []*node{bel, lbn} {
					n.exchange = v.every
					c.restart(n)
				}
				c.meet(bel, lbn) // as they are now
				one, other := c.logs["ESP"], newChronicle("ESP", "1")
				other.key = c.esp.Log
				lbn.lines.mu.Lock()
				lbn.lines.to["ESP"] = &line{served: []grpcService{serve(t, other)}}
				lbn.lines.mu.Unlock()
				for i := range uint64(15) {
					bel.hears("ESP", one.growTo(101+10*i, "leaf"))
					lbn.hears("ESP", other.growTo(101+10*i+more, "another leaf"))
					c.pass(time.Minute)
				}
				c.pass(10 * time.Second)
				c.finds(bel, "ESP")
				c.finds(lbn, "ESP")

				// Whoever has dealt with neither of the two hears of both.
				che := c.join("CHE")
				che.rosters = c.fed.Rosters
				che.lines.mu.Lock()
				clear(che.lines.to)
				che.lines.mu.Unlock()
				c.meet(bel, che)
				c.pass(2 * time.Minute)
				if known := che.Known(); len(known) != 1 || known[0].Bureau != "ESP" {
					t.Errorf("CHE knows %+v", known)
				}
				if more == 0 {
					c.finds(che, "ESP") // two of one size need no word of ESP
				}
			})
		})
	}
}

func TestAnHonestLogIsNotSplit(t *testing.T) {
	countries(t, func(t *testing.T, c *trial, bel, lbn *node) {
		esp := c.logs["ESP"]
		for i := range uint64(90) {
			// BEL hears of it every minute, LBN once in seven, and both of each other only what they ask.
			checkpoint := esp.growTo(101+10*i, "leaf")
			bel.hears("ESP", checkpoint)
			if i%7 == 0 {
				lbn.hears("ESP", checkpoint)
			}
			bel.log.grow("leaf of BEL")
			lbn.log.grow("leaf of LBN", "another of LBN")
			c.pass(time.Minute)
		}
		c.pass(5 * time.Minute)
		c.quiet(bel)
		c.quiet(lbn)
		c.knows(bel, "ESP", 991)
		c.knows(lbn, "ESP", 991)
		c.knows(bel, "LBN", 180)
		c.knows(lbn, "BEL", 90)
		for _, n := range []*node{bel, lbn} {
			for of, st := range n.Stats() {
				if st.Worthless+st.Invalid+st.Unproven+st.Dropped != 0 {
					t.Errorf("%s of %s: %+v", n.bureau, of, st)
				}
			}
		}
		if st := lbn.Stats()["BEL"]; st.Told == 0 {
			t.Errorf("BEL told LBN nothing: %+v", st)
		}
	})
}

// tells has BGR tell what it likes.
func (s *stage) tells(list func() []*auditv1.Witnessed) {
	s.lines["BGR"].set(nil, func(_ string, reply any, err error) error {
		if r, ok := reply.(*auditv1.GetCheckpointResponse); ok {
			r.Witnessed = list()
		}
		return err
	})
}

func TestALiarChangesNothing(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		s.roster.list("BEL", bel.log.key)
		esp := s.logs["ESP"]
		s.logs["BGR"].growTo(10, "leaf")
		bel.log.growTo(50, "leaf")
		good := esp.growTo(100, "leaf")
		bel.hears("ESP", good)
		s.pass(3 * time.Second)
		before, puts := bel.Stats()["ESP"], bel.shelf.writes()

		made := func(of identity.Bureau, key ed25519.PrivateKey) []byte {
			c := newChronicle(of, "1")
			c.key = key
			return c.growTo(100, "as BGR would have it")
		}
		elsewhere := newChronicle("ESP", "1")
		elsewhere.origin = "esp.drill.entente/log/1"
		times := 0
		s.tells(func() []*auditv1.Witnessed {
			times++
			return []*auditv1.Witnessed{
				{Bureau: "ESP", Checkpoint: made("ESP", keyOf("BGR"))},
				{Bureau: "ESP", Checkpoint: made("BGR", keyOf("BGR"))},
				{Bureau: "ESP", Checkpoint: made("BGR", keyOf("ESP"))},
				{Bureau: "ESP", Checkpoint: elsewhere.grow("leaf")},
				{Bureau: "ESP", Checkpoint: good[:len(good)-1]},
				{Bureau: "ESP", Checkpoint: make([]byte, 8193)},
				{Bureau: "ESP"},
				{Bureau: "BEL", Checkpoint: made("BEL", keyOf("BGR"))},
				{Bureau: "bel", Checkpoint: good},
				{Checkpoint: good},
				nil,
				{Bureau: "XXX", Checkpoint: good}, // not in the roster, in BGR's it may be
				{Bureau: "BGR", Checkpoint: made("BGR", keyOf("BGR"))},
				{Bureau: "ESP", Checkpoint: good},
			}
		})
		asks := s.lines["ESP"].asks()
		s.pass(time.Hour)
		s.quiet(bel)
		after := bel.Stats()
		fetched := after["ESP"].Fetched - before.Fetched
		before.Fetched = after["ESP"].Fetched
		if diff := cmp.Diff(before, after["ESP"]); diff != "" {
			t.Errorf("what BGR tells changes what is known of ESP:\n%s", diff)
		}
		if got := s.lines["ESP"].asks() - asks; got != int(fetched) {
			t.Errorf("ESP was asked %d times for what BGR made up", got-int(fetched))
		}
		if times < 20 || after["BGR"].Worthless != uint64(11*times) || after["BGR"].Told != 0 {
			t.Errorf("%d times 11 lies: %+v", times, after["BGR"])
		}
		if _, there := after["XXX"]; there {
			t.Error("who is not in the roster is watched")
		}
		if got := bel.shelf.writes() - puts; got > 1 { // BGR's own log
			t.Errorf("%d durable writes for lies", got)
		}
		s.knows(bel, "ESP", 100)
		s.knows(bel, "BGR", 10)
	})
}

// BGR tells all that ESP has ever signed, thousands at a time, and more that it made up.
func TestAFloodOfWhatWasWitnessed(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		esp := s.logs["ESP"]
		var all []*auditv1.Witnessed
		for range 4000 {
			all = append(all, &auditv1.Witnessed{Bureau: "ESP", Checkpoint: esp.grow("leaf")})
		}
		for i := range 4000 {
			all = append(all, &auditv1.Witnessed{Bureau: fmt.Sprintf("%c%c%c", 'A'+i%26, 'A'+i/26%26, 'A'+i/676), Checkpoint: []byte("made up")})
		}
		bel.hears("ESP", esp.Newest())
		s.pass(3 * time.Second)
		turn, times := 0, 0
		s.tells(func() []*auditv1.Witnessed {
			times++
			turn += 997
			from := turn % len(all)
			return slices.Concat(all[from:], all[:from])
		})
		asks, looked, puts := s.lines["ESP"].asks(), s.roster.looked, bel.shelf.writes()
		for range 20 {
			bel.hears("ESP", esp.grow("another"))
			s.pass(time.Minute)
		}
		if times < 8 || times > 14 {
			t.Fatalf("BGR was asked %d times in 20 minutes", times)
		}
		const each = 24
		if got := s.lines["ESP"].asks() - asks; got > 20*2+each*times {
			t.Errorf("ESP was asked %d times over %d floods", got, times)
		}
		if got := s.roster.looked - looked; got > 1024*times+4*20+2*each*times {
			t.Errorf("%d keys were looked for in %d floods", got, times)
		}
		if got := bel.shelf.writes() - puts; got > 60 {
			t.Errorf("%d durable writes in %d floods", got, times)
		}
		st := bel.Stats()
		if len(st) != 2 || st["ESP"].Dropped != 0 || st["ESP"].Invalid != 0 || st["BGR"].Told > uint64(each*times) || st["BGR"].Worthless == 0 {
			t.Errorf("stats: %+v", st)
		}
		s.quiet(bel)
		s.knows(bel, "ESP", 4020)
	})
}

// What is told of others is bounded, whatever there is to tell, and nobody's own idea of it.
func TestWhatIsToldIsBounded(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		for i := range 400 {
			b := identity.Bureau(fmt.Sprintf("%c%c%c", 'A'+i%26, 'A'+i/26, 'Z'))
			s.roster.list(b, keyOf(string(b)))
			for _, replica := range []string{"1", "2", "3"} {
				bel.hears(b, newChronicle(b, replica).grow("leaf"))
			}
		}
		s.pass(10 * time.Second)
		if n := len(bel.Known()); n != 1200 {
			t.Fatalf("%d logs are known", n)
		}
		var g grpcService
		bel.Register(&g)
		told := make(map[string]bool)
		for range 20 {
			ctx, bgr := as("BGR", g)
			r, err := bgr.GetCheckpoint(ctx, &auditv1.GetCheckpointRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if err := protovalidate.Validate(r); err != nil || len(r.GetWitnessed()) != 1024 || proto.Size(r) > 512<<10 {
				t.Fatalf("%d are told, in %d bytes: %v", len(r.GetWitnessed()), proto.Size(r), err)
			}
			for _, one := range r.GetWitnessed() {
				told[string(one.GetCheckpoint())] = true
			}
			s.pass(2 * time.Second)
		}
		if len(told) != 1200 {
			t.Errorf("%d of 1,200 logs were told of in 20 times", len(told))
		}
	})
}

// Everybody is told the same: the newest of each log, also of the caller's own, and not of the
// teller's.
func TestWhatIsTold(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		var g grpcService
		bel.Register(&g)
		bel.log.growTo(5, "leaf")
		s.roster.list("BEL", bel.log.key)
		bel.hears("BEL", bel.log.Newest())
		bel.hears("BGR", s.logs["BGR"].growTo(7, "leaf"))
		bel.hears("ESP", s.logs["ESP"].growTo(100, "leaf"))
		s.pass(3 * time.Second)
		s.lines["ESP"].set(errDown, nil) // the next one cannot be proven, and is told all the same
		unproven := s.logs["ESP"].growTo(120, "leaf")
		bel.hears("ESP", unproven)
		s.pass(3 * time.Second)
		s.knows(bel, "ESP", 100)
		for _, b := range []identity.Bureau{"ESP", "BGR", "LBN"} {
			ctx, client := as(b, g)
			r, err := client.GetCheckpoint(ctx, &auditv1.GetCheckpointRequest{})
			if err != nil {
				t.Fatal(err)
			}
			got := make(map[string]string)
			for _, one := range r.GetWitnessed() {
				got[one.GetBureau()] += string(one.GetCheckpoint())
			}
			if diff := cmp.Diff(map[string]string{"ESP": string(unproven), "BGR": string(s.logs["BGR"].Newest())}, got); diff != "" {
				t.Errorf("%s is told:\n%s", b, diff)
			}
		}
	})
}

// Two bureaus that do nothing else ask each other for ever: it stands in no books, so that none of
// it is something new to look at.
func TestTheExchangeDoesNotFeedItself(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		lbn := s.join("LBN")
		s.meet(bel, lbn)
		logs := map[*node][]byte{bel: bel.log.growTo(40, "leaf"), lbn: lbn.log.growTo(50, "leaf")}
		s.logs["ESP"].growTo(100, "leaf")
		s.logs["BGR"].growTo(9, "leaf")
		s.pass(10 * time.Minute)
		var mu sync.Mutex
		calls := make(map[string]int)
		for _, n := range s.nodes {
			for _, l := range n.lines.to {
				l.set(nil, func(method string, _ any, err error) error {
					mu.Lock()
					defer mu.Unlock()
					calls[method]++
					return err
				})
			}
		}
		puts := bel.shelf.writes() + lbn.shelf.writes()
		s.pass(3 * time.Hour)
		if n := calls["GetCheckpoint"]; n < 2*2*60 || n > 2*4*60 || len(calls) != 1 {
			t.Errorf("calls of two bureaus in three hours: %v", calls)
		}
		if n := bel.shelf.writes() + lbn.shelf.writes() - puts; n != 0 {
			t.Errorf("%d durable writes", n)
		}
		for n, newest := range logs {
			if string(n.log.Newest()) != string(newest) {
				t.Errorf("the log of %s has grown", n.bureau)
			}
			for of, st := range n.Stats() {
				if st.Told > 6 {
					t.Errorf("%s tells %s the same again and again: %+v", of, n.bureau, st)
				}
			}
			s.quiet(n)
		}
	})
}

// Everybody is asked in turn, and nobody in step with another.
func TestEverybodyIsAskedInTurn(t *testing.T) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		lbn := s.join("LBN")
		s.meet(bel, lbn)
		for _, n := range s.nodes {
			n.log.grow("leaf")
		}
		s.logs["ESP"].grow("leaf")
		s.logs["BGR"].grow("leaf")
		s.pass(9 * time.Minute)
		s.lines["BGR"].set(errDown, nil) // who is down does not hold up the others
		before := maps.Clone(bel.Stats())
		s.pass(30 * time.Minute)
		for _, b := range []identity.Bureau{"ESP", "LBN"} {
			if n := bel.Stats()[b].Fetched - before[b].Fetched; n < 8 || n > 12 {
				t.Errorf("%s was asked %d times in 30 minutes by a bureau of three others", b, n)
			}
		}
		// Two bureaus that started at one time do not ask at one time.
		s.lines["ESP"].mu.Lock()
		defer s.lines["ESP"].mu.Unlock()
		together := 0
		calls := s.lines["ESP"].calls
		for i := range calls[1:] {
			if calls[i+1].Sub(calls[i]) < 100*time.Millisecond && calls[i].Sub(calls[0]) > 10*time.Minute {
				together++
			}
		}
		if together > 2 {
			t.Errorf("ESP was asked %d times by both at once", together)
		}
	})
}
