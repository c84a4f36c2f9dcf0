package gate_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/entente-mesh/entente/federation/ask"
	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/limits"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// permitted is a check of the border police, at a gate whose operator reloads while it is made.
func permitted(t *testing.T) (*gate.Permit, *books, *policy.Set) {
	t.Helper()
	first, second := spain(t, nil), spain(t, personsFor(t))
	set, b := first, &books{}
	g := gate.New(gate.Config{Self: esp, Federation: fed, Policy: func() *policy.Set { return set }, Books: b})
	permit, err := g.Check(t.Context(), checking(officer(border), border))
	if err != nil {
		t.Fatal(err)
	}
	set = second
	return permit, b, first
}

func TestCheckIsOnePageOfTheBooks(t *testing.T) {
	permit, b, first := permitted(t)
	question := personAsk()
	question.AskId, question.Requester.Bureau, question.Requester.Officer = "a2", "ESP", "pseudonym-for-bgr"
	evidence, answered, odd := &signedv1.Signed{Payload: []byte("ask")}, &signedv1.Signed{Payload: []byte("answer")}, &signedv1.Signed{Payload: []byte("odd")}
	to := ask.Target{Bureau: bgr, Rules: []string{"permit/bgr"}}
	if err := permit.AskLeaves(t.Context(), to, question, evidence); err != nil {
		t.Fatal(err)
	}
	if b.commits != 1 || b.passages[0].Evidence != evidence {
		t.Fatalf("the ask is not in the books before it leaves: %+v", b.passages)
	}
	results := []ask.Result{
		{Bureau: bgr, Rules: to.Rules, Sent: []ask.Sent{
			{AskID: "a1", Fault: string(fault.AskExpired)},
			{AskID: "a2", Answer: answered, Elapsed: 30 * time.Millisecond, Told: []string{"bgr-7"}, Answered: []ask.CollectionStatus{
				{Collection: "documents", Status: queryv1.Status_STATUS_NO_HIT}, {Collection: "persons", Status: queryv1.Status_STATUS_HIT},
			}},
		}},
		{Bureau: lbn, Sent: []ask.Sent{{AskID: "a3", Answer: odd, Fault: ask.NotBelieved}}},
		{Bureau: "BEL"}, // known to be down: nothing left
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel() // the officer has gone
	err := permit.Checked(gone, &screeningv1.CheckResponse{Bureaus: []*screeningv1.BureauStatus{
		{Bureau: "ESP", Status: queryv1.Status_STATUS_NO_HIT},
		{Bureau: "BGR", Status: queryv1.Status_STATUS_HIT, AskId: "a2", Elapsed: durationpb.New(31 * time.Millisecond), Rules: to.Rules},
		{Bureau: "LBN", Status: queryv1.Status_STATUS_UNAVAILABLE, AskId: "a3"},
	}}, results)
	if err != nil {
		t.Fatal(err)
	}
	if b.commits != 2 {
		t.Errorf("%d commits, want one when it leaves and one when all is in", b.commits)
	}
	b.want(t, "ask out BGR allow",
		"no_answer in BGR failed ASK_EXPIRED",
		"answer in BGR allow BGR/documents=no_hit BGR/persons=hit",
		"no_answer in LBN deny ANSWER_NOT_BELIEVED",
		"check local ESP allow ESP=no_hit BGR=hit LBN=unavailable")
	if b.passages[2].Evidence != answered || b.passages[3].Evidence != odd || b.passages[1].Evidence != nil || b.passages[4].Evidence != nil {
		t.Error("what was received is not the evidence")
	}
	if diff := cmp.Diff([]journal.Quote{{Owner: "BGR", RecordID: "bgr-7"}}, b.passages[2].Quotes); diff != "" {
		t.Errorf("quotes:\n%s", diff)
	}
	const client = "spiffe://esp.demo.entente/agency/border-police/officer/officer-7#in clear"
	for i, p := range b.passages {
		e := p.Entry
		if e.GetClient() != client || e.GetJustification().GetPurpose() != border || e.GetPolicyVersion() != first.Version() || e.GetRequester().GetAgency() != "border-police" {
			t.Errorf("entry %d: %v", i, e)
		}
		if across := i < 4; across != (e.GetCheckId() == checkID) || !across && e.GetMessageId() != checkID {
			t.Errorf("entry %d belongs to %q", i, e.GetCheckId())
		}
		if text := protojson.Format(e); strings.Contains(text, "Karimov") || strings.Contains(text, "1989") || strings.Contains(text, "bgr-7") {
			t.Errorf("entry %d holds the person's data: %s", i, text)
		}
	}
	if got := b.passages[0]; got.Officer != "pseudonym-for-bgr" || got.Entry.GetRequester().GetOfficer() != "pseudonym-for-bgr" || !slices.Equal(got.Entry.GetRules(), to.Rules) {
		t.Errorf("the ask: %+v", got)
	}
	if got := b.passages[4]; got.Officer != "own-pseudonym" || !slices.Equal(got.Entry.GetRules(), []string{"check/own-agencies"}) || got.Entry.GetOutcomes()[1].GetAskId() != "a2" ||
		got.Entry.GetOutcomes()[1].GetElapsed().AsDuration() != 31*time.Millisecond {
		t.Errorf("the check: %+v", got)
	}
}

func TestFailedCheckStandsInTheBooks(t *testing.T) {
	permit, b, _ := permitted(t)
	if err := permit.Failed(t.Context(), fault.New(codes.Unavailable, fault.SearchFailed, "", "no disk")); err != nil {
		t.Fatal(err)
	}
	if err := permit.Failed(t.Context(), errors.New("table of Zeroualix")); err != nil {
		t.Fatal(err)
	}
	b.want(t, "check local ESP failed SEARCH_FAILED", "check local ESP failed INTERNAL")
}

func TestWhatIsNotAnsweredStandsInTheBooks(t *testing.T) {
	g, b := open(t, nil)
	door, question := g.Answering(&holdings{}), asked(personAsk())
	for reason, code := range map[fault.Reason]codes.Code{fault.AskExpired: codes.Unauthenticated} {
		if err := door.Unanswered(t.Context(), question, code, reason); err != nil {
			t.Fatal(err)
		}
	}
	if err := door.Unanswered(t.Context(), question, codes.Unavailable, fault.SearchFailed); err != nil {
		t.Fatal(err)
	}
	if err := door.Again(t.Context(), question); err != nil {
		t.Fatal(err)
	}
	b.want(t, "ask in BGR deny ASK_EXPIRED", "ask in BGR failed SEARCH_FAILED", "operation local ESP allow answer-again")
	for i, p := range b.passages {
		if id := p.Entry.GetMessageId(); id != question.Ask.GetAskId() || (p.Evidence == question.Signed) != (i < 2) {
			t.Errorf("entry %d: %v", i, p)
		}
	}
	if got := b.passages[2].Entry.GetObject(); got != "BGR" {
		t.Errorf("given once more to %q", got)
	}
}

func TestOperationsStandInTheBooks(t *testing.T) {
	g, b := open(t, nil)
	if err := g.Administer(t.Context(), checkID, operator(), policy.OperationDistrustPeer); err != nil {
		t.Error(err)
	}
	err := g.Administer(t.Context(), checkID, officer(border), policy.OperationDistrustPeer)
	if reason, _ := fault.ReasonOf(err); reason != fault.RoleNotPermitted {
		t.Errorf("an officer distrusts a peer: %v", err)
	}
	done := gate.Operation{ID: checkID, Client: operator(), Name: policy.OperationDeleteRecord, Object: "documents/ref:AB12", Second: "spiffe://esp/second", Count: 3}
	if err := errors.Join(g.Operated(t.Context(), done, ""), g.Operated(t.Context(), done, fault.DeletionHold)); err != nil {
		t.Error(err)
	}
	b.want(t, "operation local ESP allow distrust-peer", "operation local ESP deny distrust-peer ROLE_NOT_PERMITTED",
		"operation local ESP allow delete-record", "operation local ESP failed delete-record DELETION_HOLD")
	if e := b.passages[2].Entry; e.GetObject() != done.Object || e.GetSecond() != done.Second || e.GetCount() != 3 || !strings.HasSuffix(e.GetClient(), "/operator-1") {
		t.Errorf("entry %v", e)
	}
}

func TestLimitsTurnAwayBeforeAnythingIsSearched(t *testing.T) {
	set, b, c := spain(t, personsFor(t)), &books{}, &counted{}
	g := gate.New(gate.Config{Self: esp, Federation: fed, Policy: func() *policy.Set { return set }, Books: b, Limits: c, Marker: limits.NewMarker([]byte("secret"))})
	h := &holdings{}
	c.err = fault.New(codes.ResourceExhausted, fault.Throttled, "", "wait")
	_, err := g.Answering(h).Answer(t.Context(), asked(personAsk()))
	_, checked := g.Check(t.Context(), checking(officer(border), border))
	for _, err := range []error{err, checked} {
		if reason, _ := fault.ReasonOf(err); reason != fault.Throttled {
			t.Errorf("error %v", err)
		}
	}
	if h.searched != 0 || len(b.passages) != 0 || len(c.lines) != 2 {
		t.Errorf("%d searches, %d passages, limits %v", h.searched, len(b.passages), c.lines)
	}
	// What is denied by policy is not counted as checked.
	if _, err := g.Check(t.Context(), checking(officer(visa), border)); err == nil || len(c.lines) != 2 {
		t.Errorf("error %v, limits %v", err, c.lines)
	}
	defer func() {
		if recover() == nil {
			t.Error("limits without a key")
		}
	}()
	gate.New(gate.Config{Limits: c})
}
