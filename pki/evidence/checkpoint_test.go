package evidence_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/evidence/evidencetest"
	"github.com/entente-mesh/entente/pki/signing"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
)

func TestACheckpointIsOfItsBureauAlone(t *testing.T) {
	s := newScene(t)
	c := s.f.Countries[bel]
	good := s.bel.Checkpoint(t, 8)
	got, err := evidence.VerifyCheckpoint(good, fed, bel, c.LogKeys())
	if err != nil || got.Size != 8 || got.Origin != "bel.demo.entente/log/1" {
		t.Fatalf("%+v, %v", got, err)
	}
	message := signing.PublicKey{Bureau: bel, Usage: rosterv1.KeyUsage_KEY_USAGE_MESSAGE, Algorithm: signing.AlgorithmEd25519, Key: evidencetest.Public(c.Log)}
	espKey := c.LogKeys()[0]
	espKey.Bureau = esp
	quantum := c.LogKeys()[0]
	quantum.Algorithm = "ml-dsa-44"
	text := evidence.Checkpoint{Origin: got.Origin, Size: 8, Root: got.Root}.Text()
	note := func(text string) []byte { return evidencetest.Note(text, got.Origin, c.Log) }
	for name, tt := range map[string]struct {
		note []byte
		keys []signing.PublicKey
		want error
	}{
		"no keys":                   {good, nil, evidence.ErrCheckpointSignature},
		"key of another usage":      {good, []signing.PublicKey{message}, evidence.ErrCheckpointSignature},
		"key of another bureau":     {good, []signing.PublicKey{espKey}, evidence.ErrCheckpointSignature},
		"unknown algorithm":         {good, []signing.PublicKey{quantum}, evidence.ErrCheckpointSignature},
		"other key":                 {good, s.f.Countries[esp].LogKeys(), evidence.ErrCheckpointSignature},
		"other bureau's log":        {s.esp.Checkpoint(t, 2), s.f.Countries[esp].LogKeys(), evidence.ErrCheckpointSignature},
		"signed under another name": {evidencetest.Note(text, "bel.demo.entente/log/2", c.Log), c.LogKeys(), evidence.ErrCheckpointSignature},
		"flipped":                   {bytes.Replace(good, []byte("\n8\n"), []byte("\n9\n"), 1), c.LogKeys(), evidence.ErrCheckpointSignature},
		"empty":                     {nil, c.LogKeys(), evidence.ErrCheckpoint},
		"not a note":                {[]byte(text), c.LogKeys(), evidence.ErrCheckpoint},
		"too long":                  {append(bytes.Repeat([]byte("x"), evidence.MaxCheckpoint), good...), c.LogKeys(), evidence.ErrCheckpoint},
		"leading zero":              {note(strings.Replace(text, "\n8\n", "\n08\n", 1)), c.LogKeys(), evidence.ErrCheckpoint},
		"plus sign":                 {note(strings.Replace(text, "\n8\n", "\n+8\n", 1)), c.LogKeys(), evidence.ErrCheckpoint},
		"size of 64 bits":           {note(strings.Replace(text, "\n8\n", "\n18446744073709551615\n", 1)), c.LogKeys(), evidence.ErrCheckpoint},
		"short root":                {note(got.Origin + "\n8\nAAAA\n"), c.LogKeys(), evidence.ErrCheckpoint},
		"further lines":             {note(text + "more\n"), c.LogKeys(), evidence.ErrCheckpoint},
		"another federation":        {evidencetest.Note(strings.Replace(text, "demo", "prod", 1), "bel.prod.entente/log/1", c.Log), c.LogKeys(), evidence.ErrCheckpointSignature},
		"origin in capitals":        {evidencetest.Note(strings.Replace(text, "bel", "BEL", 1), "BEL.demo.entente/log/1", c.Log), c.LogKeys(), evidence.ErrCheckpoint},
		"origin of no bureau":       {evidencetest.Note(strings.Replace(text, "bel.", "belg.", 1), "belg.demo.entente/log/1", c.Log), c.LogKeys(), evidence.ErrCheckpoint},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := evidence.VerifyCheckpoint(tt.note, fed, bel, tt.keys); !errors.Is(err, tt.want) {
				t.Errorf("%v, expected %v", err, tt.want)
			}
		})
	}
	// The same key from two sources, the signer and the roster, is one key.
	if _, err := evidence.VerifyCheckpoint(good, fed, bel, append(c.LogKeys(), c.LogKeys()...)); err != nil {
		t.Error(err)
	}
	// A witness's signature beside the bureau's is no harm.
	witnessed := append(bytes.Clone(good), bytes.SplitAfterN(evidencetest.Note(text, "witness.example", evidencetest.Key(t)), []byte("\n\n"), 2)[1]...)
	if _, err := evidence.VerifyCheckpoint(witnessed, fed, bel, c.LogKeys()); err != nil {
		t.Error(err)
	}
}

func TestProofs(t *testing.T) {
	s := newScene(t)
	checkpoint := func(size uint64) evidence.Checkpoint {
		c, err := evidence.ParseCheckpoint(s.bel.Checkpoint(t, size))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for to := uint64(1); to <= 8; to++ {
		for from := uint64(1); from <= to; from++ {
			path := s.bel.Consistency(t, from, to).GetProof()
			if err := evidence.VerifyConsistency(checkpoint(from), checkpoint(to), path); err != nil {
				t.Fatalf("from %d to %d: %v", from, to, err)
			}
			if from == to {
				continue
			}
			wrong := checkpoint(from)
			wrong.Root[0] ^= 1
			if err := evidence.VerifyConsistency(wrong, checkpoint(to), path); !errors.Is(err, evidence.ErrProof) {
				t.Fatalf("from %d to %d, another root: %v", from, to, err)
			}
			if err := evidence.VerifyConsistency(checkpoint(from), checkpoint(to), append(path, make([]byte, 31))); !errors.Is(err, evidence.ErrProof) {
				t.Fatalf("from %d to %d, a hash of 31 bytes: %v", from, to, err)
			}
		}
	}
	other := checkpoint(8)
	other.Origin = "bel.demo.entente/log/2"
	if err := evidence.VerifyConsistency(checkpoint(4), other, s.bel.Consistency(t, 4, 8).GetProof()); !errors.Is(err, evidence.ErrProof) {
		t.Errorf("two logs: %v", err)
	}
	leaf := s.bel.Leaves[3].Bytes()
	p := s.bel.Proof(t, 3)
	if err := evidence.VerifyInclusion(checkpoint(8), 3, leaf[:], p.GetInclusion()); err != nil {
		t.Error(err)
	}
	if err := evidence.VerifyInclusion(checkpoint(8), 8, leaf[:], p.GetInclusion()); !errors.Is(err, evidence.ErrProof) {
		t.Errorf("index beyond the log: %v", err)
	}
}

func TestOrigins(t *testing.T) {
	f, b, replica, err := evidence.ParseOrigin(evidence.Origin(fed, bel, "node-2"))
	if err != nil || f != fed || b != bel || replica != "node-2" {
		t.Fatal(f, b, replica, err)
	}
	for _, bad := range []string{"", "bel/log/1", "bel.demo.entente/log/", "bel.demo.entente/log/1/log/2", ".demo/log/1", "b3l.demo.entente/log/1"} {
		if _, _, _, err := evidence.ParseOrigin(bad); !errors.Is(err, evidence.ErrCheckpoint) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzCheckpoint(f *testing.F) {
	s := newScene(f)
	f.Add(s.bel.Checkpoint(f, 8))
	f.Add([]byte("bel.demo.entente/log/1\n1\nAAAA\n\n— x AAAAAAAA\n"))
	keys := s.f.Countries[bel].LogKeys()
	said := map[evidence.Checkpoint]bool{}
	for n := range uint64(9) {
		c, err := evidence.ParseCheckpoint(s.bel.Checkpoint(f, n))
		if err != nil {
			f.Fatal(err)
		}
		said[c] = true
	}
	f.Fuzz(func(t *testing.T, note []byte) {
		if c, err := evidence.ParseCheckpoint(note); err == nil {
			if back, err := evidence.ParseCheckpoint(evidencetest.Note(c.Text(), "x", s.f.Countries[bel].Log)); err != nil || back != c {
				t.Fatalf("%+v is read back as %+v, %v", c, back, err)
			}
		}
		if c, err := evidence.VerifyCheckpoint(note, fed, bel, keys); err == nil && !said[c] {
			t.Fatalf("%+v was never signed", c)
		}
	})
}

func FuzzLeaf(f *testing.F) {
	leaf := evidence.Leaf{Kind: evidencetest.Ask, Direction: evidencetest.Out, Peer: esp, At: time.Unix(1, 2)}.Bytes()
	f.Add(leaf[:])
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := evidence.ParseLeaf(raw)
		if err != nil {
			return
		}
		if back := l.Bytes(); !bytes.Equal(back[:], raw) {
			t.Fatalf("%x is written back as %x", raw, back)
		}
	})
}
