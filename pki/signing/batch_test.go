package signing

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/proto"

	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// numbered are n answers of ESP, each to another ask.
func numbered(n int) []*queryv1.Answer {
	out := make([]*queryv1.Answer, n)
	for i := range out {
		out[i] = anAnswer()
		digest := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
		out[i].InReplyTo = digest[:]
	}
	return out
}

// together has n answers signed in the same moment.
func together(t *testing.T, s *Signer, n int) (out []*signedv1.Signed) {
	t.Helper()
	out = make([]*signedv1.Signed, n)
	synctest.Test(t, func(t *testing.T) {
		batched := s.Batched()
		batched.batches.busy = true // somebody signs, until all have come
		for i, m := range numbered(n) {
			go func() { out[i] = must[*signedv1.Signed](t)(batched.Answer(m)) }()
		}
		synctest.Wait()
		batched.batches.mu.Lock()
		first := batched.batches.waiting[0]
		batched.batches.mu.Unlock()
		first.turn <- false
		synctest.Wait()
		if batched.batches.busy || len(batched.batches.waiting) > 0 {
			t.Error("somebody waits for ever")
		}
	})
	return out
}

func TestBatches(t *testing.T) {
	x := newTable(t)
	for _, n := range []int{1, 2, 3, 4, 5, 7, 8, 31, 63, 64, 65, 130} {
		values := map[string]bool{}
		for i, s := range together(t, x.esp, n) {
			got, err := x.at.Answer(s, "ESP")
			if err != nil {
				t.Fatalf("%d of %d: %v", i, n, err)
			}
			if want := numbered(n)[i].GetInReplyTo(); !bytes.Equal(got.GetInReplyTo(), want) {
				t.Errorf("%d of %d is another's", i, n)
			}
			if len(s.GetSignatures()) != 1 || len(s.GetSignatures()[0].GetBatchProof()) > batchHeader+maxPath*sha256.Size {
				t.Errorf("%d of %d: a proof of %d bytes", i, n, len(s.GetSignatures()[0].GetBatchProof()))
			}
			// A stranger who gets this answer alone believes it as well.
			if _, err := NewVerifier(fed, x.ring, nil).Answer(s, "ESP"); err != nil {
				t.Errorf("%d of %d by itself: %v", i, n, err)
			}
			values[string(s.GetSignatures()[0].GetValue())] = true
		}
		if want := (n + maxBatch - 1) / maxBatch; len(values) != want {
			t.Errorf("%d answers have %d signatures, want %d", n, len(values), want)
		}
	}
}

// TestBatchIsATreeOfRFC6962 holds the roots to those of another library.
func TestBatchIsATreeOfRFC6962(t *testing.T) {
	x := newTable(t)
	for _, n := range []int{2, 3, 4, 5, 6, 7, 8, 9, 15, 21, 33, 63, 64} {
		var h history
		signed := together(t, x.esp, n)
		index := func(s *signedv1.Signed) int { return int(binary.BigEndian.Uint16(s.Signatures[0].BatchProof[1:])) }
		for at := range n {
			for _, s := range signed {
				if index(s) == at {
					more, err := tlog.StoredHashes(int64(at), PAE(s.GetPayloadType(), s.GetPayload()), h)
					if err != nil {
						t.Fatal(err)
					}
					h = append(h, more...)
				}
			}
		}
		message := PAE("application/vnd.entente.answer.v1+batch; federation=demo.entente", append(h.root(t, n), 0, byte(n)))
		if !ed25519.Verify(x.esp.PublicKey().Key, message, signed[0].Signatures[0].GetValue()) {
			t.Errorf("%d answers: another root", n)
		}
	}
}

// TestForgedBatches: whatever is done to a proof, to the answer or to the signature, nothing is
// believed that was not signed, also by who has seen the batch before.
func TestForgedBatches(t *testing.T) {
	x := newTable(t)
	all := together(t, x.esp, 7)
	cold := func() *Verifier { return NewVerifier(fed, x.ring, nil) }
	warm := cold()
	for _, s := range all {
		must[*queryv1.Answer](t)(warm.Answer(s, "ESP"))
	}
	other := together(t, x.esp, 6)
	var order [7]*signedv1.Signed
	for _, s := range all {
		order[s.Signatures[0].BatchProof[2]] = s
	}
	never := anAnswer()
	never.InReplyTo = bytes.Repeat([]byte{7}, 32)
	never.KeyId = x.esp.KeyID()
	tables := map[string]func(s *signedv1.Signed){
		"an answer that was not in it": func(s *signedv1.Signed) { s.Payload = must[[]byte](t)(proto.Marshal(never)) },
		"one changed byte":             func(s *signedv1.Signed) { s.Payload[5] ^= 1 },
		"another's proof":              func(s *signedv1.Signed) { s.Signatures[0].BatchProof = order[3].Signatures[0].BatchProof },
		"another place":                func(s *signedv1.Signed) { s.Signatures[0].BatchProof[2] ^= 1 },
		"a place outside":              func(s *signedv1.Signed) { s.Signatures[0].BatchProof[2] = 7 },
		"a place far outside":          func(s *signedv1.Signed) { s.Signatures[0].BatchProof[1] = 0xff },
		"another size":                 func(s *signedv1.Signed) { s.Signatures[0].BatchProof[4] = 8 },
		"a size of one":                func(s *signedv1.Signed) { s.Signatures[0].BatchProof = []byte{1, 0, 0, 0, 1} },
		"a size of none":               func(s *signedv1.Signed) { s.Signatures[0].BatchProof = []byte{1, 0, 0, 0, 0} },
		"a huge size":                  func(s *signedv1.Signed) { s.Signatures[0].BatchProof[3] = 0xff },
		"another version":              func(s *signedv1.Signed) { s.Signatures[0].BatchProof[0] = 2 },
		"a header alone":               func(s *signedv1.Signed) { s.Signatures[0].BatchProof = s.Signatures[0].BatchProof[:batchHeader] },
		"half a header":                func(s *signedv1.Signed) { s.Signatures[0].BatchProof = s.Signatures[0].BatchProof[:2] },
		"a proof that is cut off":      func(s *signedv1.Signed) { b := s.Signatures[0].BatchProof; s.Signatures[0].BatchProof = b[:len(b)-32] },
		"half a hash":                  func(s *signedv1.Signed) { b := s.Signatures[0].BatchProof; s.Signatures[0].BatchProof = b[:len(b)-16] },
		"a hash more": func(s *signedv1.Signed) {
			s.Signatures[0].BatchProof = append(s.Signatures[0].BatchProof, make([]byte, 32)...)
		},
		"a changed hash":            func(s *signedv1.Signed) { s.Signatures[0].BatchProof[batchHeader] ^= 1 },
		"no proof":                  func(s *signedv1.Signed) { s.Signatures[0].BatchProof = nil },
		"a changed signature":       func(s *signedv1.Signed) { s.Signatures[0].Value[0] ^= 1 },
		"a cut signature":           func(s *signedv1.Signed) { s.Signatures[0].Value = s.Signatures[0].Value[:63] },
		"another batch's signature": func(s *signedv1.Signed) { s.Signatures[0].Value = other[0].Signatures[0].Value },
		"another bureau's key":      func(s *signedv1.Signed) { s.Signatures[0].KeyId = x.bel.KeyID() },
		"an inner node in place of it": func(s *signedv1.Signed) {
			b := s.Signatures[0].BatchProof
			s.Payload = b[batchHeader : batchHeader+64]
			s.Signatures[0].BatchProof = append([]byte{1, 0, 0, 0, 4}, b[batchHeader+32:]...)
		},
		"a single signature, with proof": func(s *signedv1.Signed) {
			s.Signatures[0].Value = must[*signedv1.Signed](t)(x.esp.Answer(numbered(1)[0])).Signatures[0].Value
		},
	}
	for name, spoil := range tables {
		for who, v := range map[string]*Verifier{"cold": cold(), "warm": warm} {
			s := proto.CloneOf(order[0])
			spoil(s)
			if got, err := v.Answer(s, "ESP"); !errors.Is(err, ErrSignature) {
				t.Errorf("%s, %s: got %v, %v; want ErrSignature", name, who, got, err)
			}
		}
	}
	// A batch of answers is of answers, of its federation, and of its signer.
	for name, spoil := range map[string]func(s *signedv1.Signed){
		"as an ask":   func(s *signedv1.Signed) { s.PayloadType = PayloadType(KindAsk, fed) },
		"as an offer": func(s *signedv1.Signed) { s.PayloadType = PayloadType(KindOffer, fed) },
	} {
		s := proto.CloneOf(order[0])
		spoil(s)
		if _, err := warm.Ask(s, "ESP"); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := warm.Offer(s, "ESP"); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewVerifier("exercise.entente", x.ring, nil).Answer(order[0], "ESP"); !errors.Is(err, ErrSignature) {
		t.Errorf("in another federation: %v", err)
	}
	if _, err := warm.Answer(order[0], "BEL"); !errors.Is(err, ErrSignature) {
		t.Errorf("from another bureau: %v", err)
	}
	x.ring.revoked[x.esp.KeyID()] = true
	for _, v := range []*Verifier{warm, cold()} {
		if _, err := v.Answer(order[0], "ESP"); !errors.Is(err, ErrSignature) || !errors.Is(err, errNoKey) {
			t.Errorf("with a revoked key: %v", err)
		}
	}
}

// TestBatchedUnderLoad: many answer at the same time, each gets its own, and none is forgotten.
func TestBatchedUnderLoad(t *testing.T) {
	x := newTable(t)
	batched := x.esp.Batched()
	v := NewVerifier(fed, always{x.esp.PublicKey()}, nil)
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for j := range 20 {
				m := anAnswer()
				digest := sha256.Sum256(fmt.Append(nil, i, j))
				m.InReplyTo = digest[:]
				signed, err := batched.Answer(m)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := v.Answer(signed, "ESP"); err != nil || !bytes.Equal(got.GetInReplyTo(), digest[:]) {
					t.Errorf("%v", err)
				}
			}
		})
	}
	all.Wait()
	if n := len(v.batches.now) + len(v.batches.old); n > 2*maxHeld {
		t.Errorf("%d batches are remembered", n)
	}
}

// FuzzBatchProof: no proof makes a batch vouch for an answer that is not in it.
func FuzzBatchProof(f *testing.F) {
	f.Add([]byte("an answer"), encodeBatchProof(3, 7, [][]byte{make([]byte, 32), make([]byte, 32), make([]byte, 32)}))
	f.Add([]byte{}, []byte{1, 0, 0, 0, 2})
	places := make([]*place, 7)
	for i := range places {
		digest := sha256.Sum256([]byte{byte(i)})
		places[i] = &place{leaf: digest[:]}
	}
	_, want := batchTree(places)
	f.Fuzz(func(t *testing.T, payload, batchProof []byte) {
		root, size, err := batchRoot(PayloadType(KindAnswer, fed), payload, batchProof)
		if err != nil {
			if !errors.Is(err, errBatch) || root != nil {
				t.Errorf("%x, %v", root, err)
			}
			return
		}
		if bytes.Equal(root, want) || size < 2 || size > maxBatch || len(root) != sha256.Size {
			t.Errorf("%x of %d", root, size)
		}
	})
}

// BenchmarkAnswers signs and verifies answers, one for one and in batches. "many" is an answerer
// whose answers go to many: each of them has one answer of a batch.
func BenchmarkAnswers(b *testing.B) {
	x := newTable(b)
	for _, mode := range []struct {
		name   string
		signer *Signer
		many   bool
	}{{"single", x.esp, false}, {"batched", x.esp.Batched(), false}, {"batched-many", x.esp.Batched(), true}} {
		for _, callers := range []int{2, 64} {
			b.Run(fmt.Sprintf("%s/%d", mode.name, callers), func(b *testing.B) {
				v := NewVerifier(fed, always{x.esp.PublicKey()}, nil)
				b.SetParallelism(callers / 2)
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					m := anAnswer()
					for pb.Next() {
						signed, err := mode.signer.Answer(m)
						if err != nil {
							b.Error(err)
							return
						}
						at := v
						if mode.many {
							at = NewVerifier(fed, always{x.esp.PublicKey()}, nil)
						}
						if _, err := at.Answer(signed, "ESP"); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}
