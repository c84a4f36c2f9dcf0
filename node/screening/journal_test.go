package screening_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/ask"
	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/federation/server"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/limits"
	"github.com/entente-mesh/entente/node/vault"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// keepsBooks gives the post a real journal.
func (p *post) keepsBooks(t *testing.T) *journal.Journal {
	t.Helper()
	dir, key := t.TempDir(), bytes.Repeat([]byte{7}, 32)
	keys, err := vault.Open(vault.Config{Path: filepath.Join(dir, "journal.keys"), Master: key, Label: "journal"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	j, err := journal.Open(t.Context(), journal.Config{Dir: filepath.Join(dir, "journal"), Federation: fed, Bureau: bgr, Replica: "1", Vault: keys, Marks: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	p.gate = gate.New(gate.Config{Self: bgr, Federation: fed, Policy: p.policy, Books: j, Now: func() time.Time { return p.now }, Budget: limits.Budget{Time: time.Minute}})
	p.Screening = p.with(p.gate)
	return j
}

func signed(text string) *signedv1.Signed {
	return &signedv1.Signed{PayloadType: "test", Payload: []byte(text), Signatures: []*signedv1.Signature{{KeyId: strings.Repeat("0", 64), Algorithm: "ed25519", Value: []byte{1}}}}
}

// TestNoAnswerCostsTheCheck: what others answer is written down, however long the names are that it
// gives to records and however large it is, and what is known at home reaches the officer.
func TestNoAnswerCostsTheCheck(t *testing.T) {
	longest := strings.Repeat("\U0001F600", 128) // as many characters as a record's id may have
	for name, told := range map[string]string{"a long id": longest, "an id beyond all bounds": strings.Repeat(longest, 10), "no id": ""} {
		t.Run(name, func(t *testing.T) {
			p := bulgaria(t, may(t, policy.PermitOptions{Bureau: "ESP", Collection: "persons"}), may(t, policy.PermitOptions{Bureau: "BEL", Collection: "persons"}))
			p.keep(t, person("own", "Karim Zerouali", "1989-04-17"))
			j := p.keepsBooks(t)
			var left []string
			p.asker.answer = func(q ask.Question) []ask.Result {
				var all []ask.Result
				for _, to := range q.Targets {
					id := uuid.NewString()
					left = append(left, id)
					if err := q.Books.AskLeaves(context.Background(), to, &queryv1.Ask{AskId: id, Requester: &queryv1.Requester{Bureau: "BGR"}}, signed("ask "+id)); err != nil {
						t.Fatal(err)
					}
					r := ask.Result{Bureau: to.Bureau, Status: queryv1.Status_STATUS_NO_HIT, AskID: id}
					sent := ask.Sent{AskID: id, Answer: signed(strings.Repeat("large", 800_000))}
					if to.Bureau == esp {
						r.Status, r.Hits = queryv1.Status_STATUS_HIT, []*hitv1.Hit{{Bureau: "ESP", Collection: "persons", RecordId: told, Band: hitv1.Band_BAND_STRONG}}
						sent.Told = []string{told}
					}
					r.Sent = []ask.Sent{sent}
					// As many large answers as do not fit into one write.
					for range 2 {
						again := ask.Sent{AskID: uuid.NewString(), Answer: sent.Answer, Fault: ask.NotBelieved}
						r.Sent = append(r.Sent, again)
						left = append(left, again.AskID)
					}
					all = append(all, r)
				}
				return all
			}
			resp := p.check(t, traveller("Karim Zerouali", "1989-04-17"))
			want, status := []string{"BGR/own", "ESP/" + told}, queryv1.Status_STATUS_HIT
			if told != longest { // what is not in the books is not shown
				want, status = want[:1], queryv1.Status_STATUS_UNAVAILABLE
			}
			equal(t, "hits", ids(resp.GetHits()), want...)
			for _, b := range resp.GetBureaus() {
				if b.GetBureau() == "ESP" && (b.GetStatus() != status || (b.GetReason() == "") != (status == queryv1.Status_STATUS_HIT)) {
					t.Errorf("ESP: %v", b)
				}
			}
			if found, err := j.Find(t.Context(), resp.GetCheckId()); err != nil || len(found) != 1 {
				t.Errorf("the check: %d passages, %v", len(found), err)
			}
			if len(left) != 6 {
				t.Errorf("%d asks left", len(left))
			}
			for _, id := range left {
				ends := 0
				found, err := j.Find(t.Context(), id)
				for _, l := range found {
					if l.Leaf.Direction == auditv1.EntryDirection_ENTRY_DIRECTION_IN {
						ends++
					}
				}
				if err != nil || ends != 1 {
					t.Errorf("%s has %d ends: %v", id, ends, err)
				}
			}
			if told == longest {
				if quoted, err := j.FindQuotes(t.Context(), "ESP", longest); err != nil || len(quoted) != 1 {
					t.Errorf("%d passages quote the record: %v", len(quoted), err)
				}
			}
		})
	}
}

// TestAPanicIsAnEndToo: a bug between what was permitted and what was answered leaves nothing open.
func TestAPanicIsAnEndToo(t *testing.T) {
	p := bulgaria(t, may(t, policy.PermitOptions{Bureau: "ESP", Collection: "persons"}))
	j := p.keepsBooks(t)
	id := uuid.NewString()
	p.asker.answer = func(q ask.Question) []ask.Result {
		if err := q.Books.AskLeaves(context.Background(), q.Targets[0], &queryv1.Ask{AskId: id, Requester: &queryv1.Requester{Bureau: "BGR"}}, signed("ask")); err != nil {
			t.Fatal(err)
		}
		panic("at an answer")
	}
	func() {
		defer func() {
			if v := recover(); v != "at an answer" {
				t.Errorf("recovered %v", v)
			}
		}()
		req := traveller("Karim Zerouali", "1989-04-17")
		req.Justification = &queryv1.Justification{Purpose: border}
		_, err := p.Check(t.Context(), officer(), req)
		t.Errorf("no panic, %v", err)
	}()
	var got []string
	err := j.Scan(t.Context(), time.Time{}, time.Time{}, func(l journal.Located) error {
		got = append(got, strings.TrimPrefix(l.Entry.GetKind().String(), "ENTRY_KIND_")+" "+l.Entry.GetReason())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "books", got, "ASK ", "NO_ANSWER INTERNAL", "CHECK INTERNAL")
}

// TestTheJournalTakesWhatTheGateWrites plays every kind of passage into a real journal.
func TestTheJournalTakesWhatTheGateWrites(t *testing.T) {
	p := bulgaria(t, may(t, policy.PermitOptions{Bureau: "ESP", Collection: "persons"}))
	j := p.keepsBooks(t)

	// As the asker: two asks leave, one is answered.
	answered, silent := uuid.NewString(), uuid.NewString()
	p.asker.answer = func(q ask.Question) []ask.Result {
		for _, id := range []string{answered, silent} {
			a := &queryv1.Ask{AskId: id, Requester: &queryv1.Requester{Bureau: "BGR", Officer: q.Targets[0].Officer}}
			if err := q.Books.AskLeaves(context.Background(), q.Targets[0], a, signed("ask "+id)); err != nil {
				t.Fatal(err)
			}
		}
		return []ask.Result{{Bureau: esp, Status: queryv1.Status_STATUS_HIT, Sent: []ask.Sent{
			{AskID: silent, Fault: string(fault.AskExpired)}, {AskID: answered, Answer: signed("answer"), Told: []string{"esp-7"}},
		}}}
	}
	check := p.check(t, traveller("Karim Zerouali", "1989-04-17"))

	// As the answerer: one answered, and asked again; one turned away.
	asked := func(id string) server.Asked {
		a := &queryv1.Ask{
			AskId: id, Audience: string(bgr), MaxCandidates: 10, Requester: &queryv1.Requester{Bureau: string(esp), Agency: "border-police", Role: "officer"},
			Justification: &queryv1.Justification{Purpose: border}, Person: traveller("Karim Zerouali", "1989-04-17").GetPerson(),
		}
		payload, err := proto.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256(payload)
		return server.Asked{From: identity.Node(fed, esp, "1"), Ask: a, Signed: signed(string(payload)), Digest: digest[:]}
	}
	door, question, late := p.gate.Answering(p.holdings), asked(uuid.NewString()), asked(uuid.NewString())
	reply, err := door.Answer(t.Context(), question)
	if err != nil {
		t.Fatal(err)
	}
	if err := reply.Commit(t.Context(), signed("our answer"), p.now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := door.Again(t.Context(), question); err != nil {
		t.Fatal(err)
	}
	if err := door.Unanswered(t.Context(), late, codes.Unauthenticated, fault.AskExpired); err != nil {
		t.Fatal(err)
	}
	if err := p.gate.Administer(t.Context(), uuid.NewString(), officer(), policy.OperationReadStatus); err == nil {
		t.Error("an officer operates the node")
	}
	for id, want := range map[string]int{check.GetCheckId(): 1, answered: 2, silent: 2, question.Ask.GetAskId(): 3, late.Ask.GetAskId(): 1} {
		found, err := j.Find(t.Context(), id)
		if err != nil || len(found) != want {
			t.Errorf("%s: %d passages, want %d: %v", id, len(found), want, err)
		}
	}
	if digest, kept, found, err := j.RecallAsk(t.Context(), "ESP", question.Ask.GetAskId()); err != nil || !found || !bytes.Equal(digest, question.Digest) || len(kept) == 0 {
		t.Errorf("the memory of asks: found %t, %v", found, err)
	}
	if err := reply.Commit(t.Context(), signed("another answer"), p.now.Add(time.Minute)); err == nil {
		t.Error("answered twice")
	}
}
