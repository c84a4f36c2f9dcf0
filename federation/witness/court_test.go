package witness_test

import (
	"testing"
	"time"

	"github.com/entente-mesh/entente/federation/witness"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/evidence/evidencetest"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// trial is a scene with real rosters and signatures, whose evidence goes to court.
type trial struct {
	*stage
	fed *evidencetest.Federation
	esp *evidencetest.Country
}

func court(t *testing.T, play func(t *testing.T, c *trial, bel *node)) {
	scene(t, func(t *testing.T, s *stage, bel *node) {
		fed := evidencetest.Found(t, federation, time.Now().Add(-time.Hour), "BEL", "ESP", "LBN")
		c := &trial{s, fed, fed.Countries["ESP"]}
		s.logs["ESP"].key = c.esp.Log
		s.roster.list("ESP", c.esp.Log)
		bel.rosters = fed.Rosters
		play(t, c, bel)
	})
}

// answers has ESP answer BEL now.
func (c *trial) answers(bel *node, checkpoint []byte) {
	now := time.Now()
	id := messageID(now.String())
	ask := c.fed.Countries["BEL"].Ask(c.t, "ESP", id, now, nil)
	bel.Saw("ESP", checkpoint, c.esp.Answer(c.t, ask, "BEL", id, now, checkpoint), now)
}

// proves checks what the file of a node's last alarm proves to who has nothing but the
// fingerprint.
func (c *trial) proves(bel *node, want string) {
	c.t.Helper()
	all := bel.siren.all()
	if len(all) == 0 {
		c.t.Fatal("no alarm")
	}
	bel.files.Lock()
	text := bel.files.byName[all[len(all)-1].Evidence[len("evidence/"):]]
	bel.files.Unlock()
	e, err := evidence.DecodeLogEvidence(text)
	if err != nil {
		c.t.Fatal(err)
	}
	c.judge(e, want)
}

func (c *trial) judge(e *auditv1.LogEvidence, want string) {
	c.t.Helper()
	r := evidence.VerifyLogEvidence(e, evidence.Trust{Fingerprint: c.fed.Fingerprint()})
	if r.Proven != want || r.Bureau != "ESP" || r.Origin != evidence.Origin(federation, "ESP", "1") {
		c.t.Errorf("proven: %q, want %q: %+v", r.Proven, want, r)
	}
	for _, s := range r.Steps {
		if s.Verdict == evidence.Fails {
			c.t.Errorf("%s fails: %s", s.Name, s.What)
		}
	}
}

func TestWhatACourtMakesOfIt(t *testing.T) {
	cases := map[string]struct {
		play func(c *trial, bel *node)
		want string
	}{
		"rewritten": {func(c *trial, bel *node) {
			c.answers(bel, c.logs["ESP"].growTo(101, "leaf"))
			c.pass(3 * time.Second)
			c.answers(bel, c.logs["ESP"].rewrite(99, 150, "another leaf"))
		}, evidence.Fork},
		"two of one size": {func(c *trial, bel *node) {
			c.answers(bel, c.logs["ESP"].growTo(101, "leaf"))
			c.pass(3 * time.Second)
			c.answers(bel, c.logs["ESP"].rewrite(99, 101, "another leaf"))
		}, evidence.Fork},
		"shrunk": {func(c *trial, bel *node) {
			older := c.logs["ESP"].growTo(101, "leaf")
			c.answers(bel, c.logs["ESP"].growTo(120, "leaf"))
			c.pass(10 * time.Minute)
			c.answers(bel, older)
		}, evidence.Shrink},
		"rewritten at a power of two": {func(c *trial, bel *node) {
			c.answers(bel, c.logs["ESP"].growTo(128, "leaf"))
			c.pass(3 * time.Second)
			c.answers(bel, c.logs["ESP"].rewrite(99, 150, "another leaf"))
			c.pass(time.Minute)
		}, ""}, // the file says what to ask ESP, and ESP has no answer
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			court(t, func(t *testing.T, c *trial, bel *node) {
				tc.play(c, bel)
				c.pass(5 * time.Second)
				c.proves(bel, tc.want)
			})
		})
	}
}

func TestWhatACourtMakesOfTwoViews(t *testing.T) {
	court(t, func(t *testing.T, c *trial, bel *node) {
		lbn := c.join("LBN")
		lbn.rosters = c.fed.Rosters
		one, other := c.logs["ESP"], newChronicle("ESP", "1")
		other.key = c.esp.Log
		lbn.lines.mu.Lock()
		lbn.lines.to["ESP"] = &line{served: []grpcService{serve(t, other)}}
		lbn.lines.mu.Unlock()
		c.answers(bel, one.growTo(101, "leaf"))
		lbn.Saw("ESP", other.growTo(101, "another leaf"), (*signedv1.Signed)(nil), time.Now())
		c.pass(3 * time.Second)
		open := func(note []byte, of identity.Bureau) (evidence.Checkpoint, error) {
			return evidence.VerifyCheckpoint(note, federation, of, c.esp.LogKeys())
		}
		all, err := witness.Compare(c.viewOf(bel), c.viewOf(lbn), open)
		if err != nil || len(all) != 1 {
			t.Fatalf("Compare: %+v, %v", all, err)
		}
		c.judge(all[0].Evidence, evidence.Fork)
		if all, err = bel.Examine(t.Context(), c.viewOf(lbn)); err != nil || len(all) != 1 {
			t.Fatalf("Examine: %+v, %v", all, err)
		}
		c.judge(all[0].Evidence, evidence.Fork)
		c.proves(bel, evidence.Fork)
	})
}
