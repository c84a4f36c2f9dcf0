package gate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/ask"
	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// narrow are books that take no more than so many bytes of evidence in one write, and no passage
// that quotes what they do not like.
type narrow struct {
	*books
	most    int
	dislike string
}

func (n narrow) Record(ctx context.Context, passages ...journal.Passage) error {
	size := 0
	for _, p := range passages {
		size += proto.Size(p.Evidence)
		if n.dislike != "" && slices.Contains(p.Quotes, journal.Quote{Owner: p.Entry.GetBureau(), RecordID: n.dislike}) {
			return fmt.Errorf("journal: %w: quotes[0]", journal.ErrInvalid)
		}
	}
	if size > n.most {
		return fmt.Errorf("journal: %w: more than %d bytes in one call", journal.ErrInvalid, n.most)
	}
	return n.books.Record(ctx, passages...)
}

// over is a permit at such books.
func over(t *testing.T, b gate.Books) *gate.Permit {
	t.Helper()
	set := spain(t, nil)
	g := gate.New(gate.Config{Self: esp, Federation: fed, Policy: func() *policy.Set { return set }, Books: b})
	permit, err := g.Check(t.Context(), checking(officer(border), border))
	if err != nil {
		t.Fatal(err)
	}
	return permit
}

// answeredBy is an ask that a bureau answered with so many bytes, naming a record.
func answeredBy(b identity.Bureau, id string, bytes int, told string) ask.Result {
	return ask.Result{Bureau: b, Status: queryv1.Status_STATUS_HIT, Sent: []ask.Sent{{
		AskID: id, Answer: &signedv1.Signed{Payload: make([]byte, bytes)}, Told: []string{told},
		Answered: []ask.CollectionStatus{{Collection: "persons", Status: queryv1.Status_STATUS_HIT}},
	}}}
}

func TestManyLargeAnswersAreSeveralWrites(t *testing.T) {
	b := &books{}
	permit := over(t, narrow{books: b, most: 5 << 20})
	var results []ask.Result
	for i := range 12 {
		results = append(results, answeredBy(bgr, fmt.Sprint("a", i), 1<<20-100, "bgr-1"))
	}
	if err := permit.Checked(t.Context(), &screeningv1.CheckResponse{}, results); err != nil {
		t.Fatal(err)
	}
	if len(b.passages) != 13 || b.commits != 4 {
		t.Errorf("%d passages in %d writes", len(b.passages), b.commits)
	}
	for i, p := range b.passages[:12] {
		if p.Evidence == nil || p.Entry.GetMessageId() != fmt.Sprint("a", i) {
			t.Errorf("passage %d: %v", i, p.Entry)
		}
	}
	if last := b.passages[12].Entry; last.GetMessageId() != checkID {
		t.Errorf("the check is not the last: %v", last)
	}
}

func TestWhatTheBooksDoNotTakeIsNotLetIn(t *testing.T) {
	b := &books{}
	permit := over(t, narrow{books: b, most: 1 << 20, dislike: "poison"})
	for id, to := range map[string]identity.Bureau{"a1": bgr, "a2": lbn} {
		question := personAsk()
		question.AskId = id
		if err := permit.AskLeaves(t.Context(), ask.Target{Bureau: to}, question, signed); err != nil {
			t.Fatal(err)
		}
	}
	b.passages = nil
	results := []ask.Result{answeredBy(bgr, "a1", 10, "bgr-1"), answeredBy(lbn, "a2", 10, "poison")}
	err := permit.Checked(t.Context(), &screeningv1.CheckResponse{}, results)
	var refused *gate.NotBooked
	if !errors.As(err, &refused) || !slices.Equal(refused.Bureaus, []identity.Bureau{lbn}) || !strings.Contains(err.Error(), "LBN") {
		t.Fatalf("error %v", err)
	}
	if err := permit.Checked(t.Context(), &screeningv1.CheckResponse{}, results); err != nil {
		t.Fatal(err)
	}
	b.want(t, "answer in BGR allow BGR/persons=hit", "no_answer in LBN deny ANSWER_NOT_BELIEVED", "check local ESP allow")
	if p := b.passages[1]; p.Evidence != nil || len(p.Quotes) != 0 {
		t.Errorf("%+v", p)
	}
	if err := permit.Failed(t.Context(), errors.New("panic")); err != nil || len(b.passages) != 3 {
		t.Errorf("a check that is written down failed: %v, %v", err, b.lines())
	}
	// A check that cannot be made has its end all the same.
	b = &books{}
	permit = over(t, narrow{books: b, most: 1 << 20, dislike: "poison"})
	if err := permit.Failed(t.Context(), fault.New(codes.Unavailable, fault.SearchFailed, "", ""), results...); err != nil {
		t.Fatal(err)
	}
	b.want(t, "answer in BGR allow BGR/persons=hit", "no_answer in LBN deny ANSWER_NOT_BELIEVED", "check local ESP failed SEARCH_FAILED")
}

func TestAnAskThatThisNodeLostHasAnEnd(t *testing.T) {
	permit, b, _ := permitted(t)
	for _, id := range []string{"a1", "a2"} {
		question := personAsk()
		question.AskId = id
		if err := permit.AskLeaves(t.Context(), ask.Target{Bureau: bgr}, question, signed); err != nil {
			t.Fatal(err)
		}
	}
	b.passages = nil
	if err := permit.Failed(t.Context(), errors.New("panic"), answeredBy(bgr, "a2", 10, "bgr-1")); err != nil {
		t.Fatal(err)
	}
	b.want(t, "answer in BGR allow BGR/persons=hit", "no_answer in BGR failed INTERNAL", "check local ESP failed INTERNAL")
	if id := b.passages[1].Entry.GetMessageId(); id != "a1" {
		t.Errorf("%s has no answer", id)
	}
}

// TestAnAnswerIsNoLargerThanAskersTake: pictures do not keep a hit from being told.
func TestAnAnswerIsNoLargerThanAskersTake(t *testing.T) {
	g, _ := open(t, map[string]string{"all.cedar": `@id("persons-whole") @evidence("full")
permit (principal, action == Action::"answer", resource == Collection::"ESP/persons");
@id("persons-told")
permit (principal, action == Action::"disclose", resource);`})
	var found []gate.Found
	for i := range 3 {
		f := wanted(fmt.Sprint("esp-", i), everybody)
		f.Record.GetPerson().Images = []*recordv1.Attachment{{MediaType: "image/png", Content: make([]byte, 700<<10)}}
		found = append(found, f)
	}
	reply, err := g.Answering(&holdings{persons: found}).Answer(t.Context(), asked(personAsk()))
	if err != nil {
		t.Fatal(err)
	}
	if size := proto.Size(reply.Answer); size > ask.MaxAnswer-64<<10 {
		t.Errorf("an answer of %d bytes", size)
	}
	hits := reply.Answer.GetResults()[0].GetHits()
	if len(hits) != 3 || len(hits[0].GetPerson().GetImages()) != 1 {
		t.Fatalf("%d hits, the first with %d pictures", len(hits), len(hits[0].GetPerson().GetImages()))
	}
	for i, h := range hits[1:] {
		if h.GetPerson().GetRemarks() == "" || len(h.GetPerson().GetImages()) != 0 {
			t.Errorf("hit %d: %d pictures", i+1, len(h.GetPerson().GetImages()))
		}
	}
	for _, f := range found {
		if len(f.Record.GetPerson().GetImages()) != 1 {
			t.Error("the own record lost its picture")
		}
	}
}
