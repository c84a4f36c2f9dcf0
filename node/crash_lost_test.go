package node_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/ask"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/federation/server"
	"github.com/entente-mesh/entente/node/disk/disktest"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/nodetest"
	"github.com/entente-mesh/entente/node/policies"
	"github.com/entente-mesh/entente/node/vault"
	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// door is a bureau's gate over its journal, on a disk that loses what was not synced.
type door struct {
	t      *testing.T
	self   identity.Bureau
	disk   *disktest.Lossy
	master []byte
	set    *policy.Set

	books *journal.Journal
	vault *vault.Vault
	gate  *gate.Gate
}

func newDoor(t *testing.T, self, other identity.Bureau) *door {
	t.Helper()
	dir := t.TempDir()
	if err := policies.WriteDefaults(dir, self, nodetest.Federation); err != nil {
		t.Fatal(err)
	}
	_, _, err := policies.WritePermit(dir, nodetest.PermitOptions{Self: self, Bureau: string(other), Collection: nodetest.Persons, Purposes: []nodetest.Purpose{nodetest.Border}})
	if err != nil {
		t.Fatal(err)
	}
	d := &door{t: t, self: self, disk: disktest.New(), master: make([]byte, 32)}
	if d.set, err = policy.Load(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	rand.Read(d.master)
	if err := d.disk.MkdirAll("/node/journal", 0o700); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *door) open() error {
	marks, err := vault.Derive(d.master, "journal marks")
	if err != nil {
		return err
	}
	if d.vault, err = vault.Open(vault.Config{Path: "/node/journal.keys", Master: d.master, Label: "journal", Files: d.disk}); err != nil {
		return err
	}
	d.books, err = journal.Open(context.Background(), journal.Config{
		Dir: "/node/journal", Federation: nodetest.Federation, Bureau: d.self, Replica: "1", Vault: d.vault, Marks: marks,
		Files: d.disk, SegmentBytes: 64 << 10,
	})
	if err != nil {
		return errors.Join(err, d.vault.Close())
	}
	d.gate = gate.New(gate.Config{Self: d.self, Federation: nodetest.Federation, Policy: func() *policy.Set { return d.set }, Books: d.books})
	return nil
}

// close lets the files go, whatever the disk says.
func (d *door) close() {
	if d.books != nil {
		_, _ = d.books.Close(), d.vault.Close()
		d.books = nil
	}
}

// nobody is held by nobody.
type nobody struct{}

func (nobody) SearchDocuments(context.Context, *queryv1.DocumentQuery, gate.Depth) ([]gate.Found, error) {
	return nil, nil
}

func (nobody) SearchPersons(context.Context, *queryv1.PersonQuery, gate.Depth) ([]gate.Found, error) {
	return nil, nil
}

// left is what has left one of the doors.
type left struct {
	mu                    sync.Mutex
	asks, answers, checks []string // by message id
}

func (l *left) add(to *[]string, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*to = append(*to, id)
}

// exchange is one check with one ask abroad, as far as it comes.
func exchange(asker, answerer *door, out *left) error {
	ctx := context.Background()
	officer := identity.Client(nodetest.Federation, asker.self, "border-police", identity.RoleOfficer, "officer-1", []nodetest.Purpose{nodetest.Border})
	just := &queryv1.Justification{Purpose: nodetest.Border}
	person := &queryv1.PersonQuery{Primary: "Vandersmissen", Secondary: "Yorick", BirthDate: "1990-07-21"}
	requester := &queryv1.Requester{Bureau: string(asker.self), Agency: "border-police", Role: string(identity.RoleOfficer)}
	check := uuid.NewString()
	permit, err := asker.gate.Check(ctx, gate.Checking{ID: check, Client: officer, Requester: requester, Justification: just, Person: person})
	if err != nil {
		return err
	}
	now := time.Now()
	question := &queryv1.Ask{
		AskId: uuid.NewString(), Audience: string(answerer.self), IssuedAt: timestamppb.New(now), NotAfter: timestamppb.New(now.Add(time.Minute)),
		Requester: requester, Justification: just, Person: person, MaxCandidates: 10,
	}
	signed := &signedv1.Signed{PayloadType: "ask", Payload: []byte(question.GetAskId())}
	if err := permit.AskLeaves(ctx, ask.Target{Bureau: answerer.self, Persons: true}, question, signed); err != nil {
		return err
	}
	out.add(&out.asks, question.GetAskId())
	digest := sha256.Sum256(signed.GetPayload())
	reply, err := answerer.gate.Answering(nobody{}).Answer(ctx, server.Asked{
		From: identity.Node(nodetest.Federation, asker.self, "1"), Ask: question, Signed: signed, Digest: digest[:],
	})
	if err != nil {
		return err
	}
	answer := &signedv1.Signed{PayloadType: "answer", Payload: []byte("answer to " + question.GetAskId())}
	if err := reply.Commit(ctx, answer, now.Add(3*time.Minute)); err != nil {
		return err
	}
	out.add(&out.answers, question.GetAskId())
	err = permit.Checked(ctx, &screeningv1.CheckResponse{CheckId: check, Bureaus: []*screeningv1.BureauStatus{
		{Bureau: string(answerer.self), Status: queryv1.Status_STATUS_NO_HIT, AskId: question.GetAskId()},
	}}, []ask.Result{{Bureau: answerer.self, Sent: []ask.Sent{{
		AskID: question.GetAskId(), Answer: answer, Answered: []ask.CollectionStatus{{Collection: nodetest.Persons, Status: queryv1.Status_STATUS_NO_HIT}},
	}}}})
	if err != nil {
		return err
	}
	out.add(&out.checks, check+" "+question.GetAskId())
	return nil
}

// has tells whether books hold passages of a message.
func (d *door) has(id string, wanted ...passage) error {
	found, err := d.books.Find(d.t.Context(), id)
	if err != nil {
		return err
	}
	there := map[passage]int{}
	for _, l := range found {
		if l.Entry == nil {
			return errors.New("its entry is gone")
		}
		there[passage{l.Entry.GetKind(), l.Entry.GetDirection()}]++
	}
	for _, p := range wanted {
		if there[p] != 1 {
			return fmt.Errorf("%d times %v, there is %v", there[p], p, there)
		}
	}
	return nil
}

// TestNothingIsLostWithASync crashes the disks of an asker and an answerer that drop what was not
// synced, at some write, sync or rename under load. Every ask that left, every answer that left
// and every check that was answered is in the books afterwards, and an ask that was answered is
// remembered with its answer.
func TestNothingIsLostWithASync(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	random := mathrand.New(mathrand.NewPCG(seed, 0))
	asker, answerer := newDoor(t, "BGR", "BEL"), newDoor(t, "BEL", "BGR")
	out, pulled := &left{}, errors.New("the plug was pulled")
	for round := range rounds {
		asks, answers, checks := len(out.asks), len(out.answers), len(out.checks)
		if round == rounds-1 {
			asks, answers, checks = 0, 0, 0 // in the end everything is looked at once more
		}
		for _, d := range []*door{asker, answerer} {
			if err := d.open(); err != nil {
				t.Fatalf("round %d: %s: %v", round, d.self, err)
			}
		}
		victim := []*door{asker, answerer}[random.IntN(2)]
		op, after := []string{"write", "sync", "rename", "syncdir", "truncate"}[random.IntN(5)], 1+random.IntN(30)
		victim.disk.FailWith(func(at, name string) error { // under the disk's lock
			if at == op && strings.HasPrefix(name, "/node") {
				if after--; after < 0 {
					return pulled
				}
			}
			return nil
		})
		var posts sync.WaitGroup
		for range 4 {
			posts.Go(func() {
				for range 12 {
					if exchange(asker, answerer, out) != nil {
						return
					}
				}
			})
		}
		posts.Wait()
		for _, d := range []*door{asker, answerer} {
			d.disk.FailWith(nil)
			if random.IntN(2) == 0 {
				d.disk.CrashTorn(random)
			} else {
				d.disk.Crash()
			}
			d.close()
			if err := d.open(); err != nil {
				t.Fatalf("round %d: %s after a crash at %s: %v", round, d.self, op, err)
			}
			if report, err := d.books.Check(t.Context(), nil); err != nil || len(report.Flaws) > 0 {
				t.Fatalf("round %d: %s after a crash at %s: %v %v", round, d.self, op, report, err)
			}
		}
		for _, id := range out.asks[asks:] {
			if err := asker.has(id, asked); err != nil {
				t.Errorf("round %d: the ask %s left: %v", round, id, err)
			}
		}
		for _, id := range out.answers[answers:] {
			if err := answerer.has(id, wasAsked, gave); err != nil {
				t.Errorf("round %d: the answer to %s left: %v", round, id, err)
			}
			if _, answer, ok, err := answerer.books.RecallAsk(t.Context(), "BGR", id); !ok || err != nil || !strings.Contains(string(answer), id) {
				t.Errorf("round %d: the answer to %s left, and is not remembered: %v", round, id, err)
			}
		}
		for _, both := range out.checks[checks:] {
			check, id, _ := strings.Cut(both, " ")
			if err := errors.Join(asker.has(check, checked), asker.has(id, asked, got)); err != nil {
				t.Errorf("round %d: check %s was answered: %v", round, check, err)
			}
		}
		for _, d := range []*door{asker, answerer} {
			d.close()
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d rounds: %d asks and %d answers left, %d checks were answered, and all stand", rounds, len(out.asks), len(out.answers), len(out.checks))
}
