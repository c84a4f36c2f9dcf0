package witness_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/entente-mesh/entente/federation/witness"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// upright is a logger that fails the test over a panic that was caught.
type upright struct{ t *testing.T }

func (u upright) Enabled(context.Context, slog.Level) bool { return true }
func (u upright) WithAttrs([]slog.Attr) slog.Handler       { return u }
func (u upright) WithGroup(string) slog.Handler            { return u }
func (u upright) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "panicked") {
		text := r.Message
		r.Attrs(func(a slog.Attr) bool { text += "\n" + a.String(); return true })
		u.t.Error(text)
	}
	return nil
}

// FuzzWhatAPeerShows gives the witness a peer's bytes as checkpoint, as carrier and as proof, amid
// the messages of an honest log. Whatever they are, the honest log stays what it is.
func FuzzWhatAPeerShows(f *testing.F) {
	c := newChronicle("ESP", "1")
	good := c.growTo(3, "leaf")
	now := time.Unix(0, 0)
	f.Add(good, answer("ESP", "1", good, now).GetPayload(), []byte("proof"), true)
	f.Add(bytes.Replace(good, []byte("\n3\n"), []byte("\n9223372036854775807\n"), 1), asked("ESP", "1", "name", nil, now).GetPayload(), make([]byte, 64), false)
	f.Add(c.sign(0, make([]byte, 32)), []byte{}, make([]byte, 33), true)
	f.Add(c.sign(1<<62, make([]byte, 32)), []byte{0xff}, make([]byte, 4096), true)
	f.Add([]byte("\n\n\n\u2014 a b\n"), []byte("x"), []byte{}, false)
	f.Fuzz(func(t *testing.T, note, payload, proof []byte, ask bool) {
		kind := signing.KindAnswer
		if ask {
			kind = signing.KindAsk
		}
		scene(t, func(t *testing.T, s *stage, bel *node) {
			esp := s.logs["ESP"]
			bel.hears("ESP", esp.growTo(101, "leaf"))
			s.pass(3 * time.Second)
			s.lines["ESP"].set(nil, func(_ string, reply any, err error) error {
				if r, ok := reply.(*auditv1.GetConsistencyResponse); ok && len(proof) > 0 {
					r.Consistency.Proof = nil
					for p := proof; len(p) > 0; p = p[min(32, len(p)):] {
						r.Consistency.Proof = append(r.Consistency.Proof, p[:min(32, len(p))])
					}
				}
				return err
			})
			carrier := &signedv1.Signed{PayloadType: signing.PayloadType(kind, federation), Payload: payload}
			bel.Saw("BGR", note, carrier, time.Now())
			bel.Told("BGR", note)
			bel.hears("ESP", esp.growTo(150, "leaf"))
			s.pass(5 * time.Second)
			s.lines["ESP"].set(nil, nil)
			s.pass(10 * time.Minute)
			s.knows(bel, "ESP", 150)
			for _, a := range bel.siren.all() {
				if a.Kind != unprovenAlarm {
					t.Errorf("an honest log is said to have forked or shrunk: %+v", a)
				}
			}
			if k := bel.Known(); len(k) > 1 {
				t.Errorf("BGR's key has signed nothing, and is known to have a log: %+v", k)
			}
		})
	})
}

// FuzzCompare reads a stranger's view.
func FuzzCompare(f *testing.F) {
	c := newChronicle("ESP", "1")
	f.Add(c.growTo(3, "leaf"), c.growTo(5, "leaf"), "ESP", uint64(3), []byte("proof"))
	f.Add([]byte{}, []byte("x"), "", uint64(0), []byte{})
	f.Fuzz(func(t *testing.T, known, presented []byte, of string, from uint64, proof []byte) {
		s := &stage{t: t, roster: &roster{keys: map[identity.Bureau][]ed25519.PrivateKey{"ESP": {c.key}}}}
		good := &auditv1.LogEvidence{Federation: string(federation), Bureau: "ESP", Known: c.Newest()}
		view := &auditv1.LogEvidence{Federation: string(federation), Bureau: of, Known: known, Presented: presented}
		all, err := witness.Compare(good, view, s.opener())
		if err != nil {
			return
		}
		for _, c := range all {
			c.Settle(view, &auditv1.Consistency{From: from, To: c.Newer.Size, Proof: [][]byte{proof}})
			if c.Verdict == witness.Forked {
				t.Fatalf("a fork is made up: %+v", c)
			}
		}
	})
}
