package gate_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/limits"
	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// counted notes what is told to the limits.
type counted struct {
	lines []string
	err   error
}

func (c *counted) Asked(_ context.Context, from identity.Bureau, subjects ...limits.Subject) error {
	c.lines = append(c.lines, fmt.Sprintf("asked %s %v", from, subjects))
	return c.err
}

func (c *counted) Told(from identity.Bureau, hits int) {
	c.lines = append(c.lines, fmt.Sprintf("told %s %d", from, hits))
}

func (c *counted) Checked(_ context.Context, agency string, subjects ...limits.Subject) error {
	c.lines = append(c.lines, fmt.Sprintf("checked %s %v", agency, subjects))
	return c.err
}

func (c *counted) Found(agency string, hits int) {
	c.lines = append(c.lines, fmt.Sprintf("found %s %d", agency, hits))
}

// trace is all that one question leaves behind, as far as anybody could look.
type trace struct {
	Answer   *queryv1.Answer
	Passages []journal.Passage
	Work     gate.Work
	Limits   []string
	Log      string
}

// traced asks once at a gate of its own.
func traced(t *testing.T, set *policy.Set, question *queryv1.Ask, h *holdings) trace {
	t.Helper()
	var log bytes.Buffer
	b, c := &books{}, &counted{}
	g := gate.New(gate.Config{
		Self: esp, Federation: fed, Policy: func() *policy.Set { return set }, Books: b, Now: func() time.Time { return noon },
		Limits: c, Marker: limits.NewMarker([]byte("secret")), Budget: limits.Budget{Time: time.Minute},
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})),
	})
	return trace{answer(t, g, question, h), b.passages, g.Work(), c.lines, log.String()}
}

// TestWithheldLooksLikeNoRecord holds everything that a question leaves behind against what it
// leaves where there is nothing: content, books, work, limits and log.
func TestWithheldLooksLikeNoRecord(t *testing.T) {
	listed := func(allow ...string) *recordv1.Audience {
		return &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_LISTED, Allow: allow}
	}
	// change makes a record one that may not be told.
	change := func(f gate.Found, how func(*recordv1.Record)) gate.Found {
		f.Record = proto.CloneOf(f.Record)
		how(f.Record)
		return f
	}
	expired := func(r *recordv1.Record) { r.Stewardship.ExpiresAt = timestamppb.New(noon.Add(-time.Hour)) }
	otherPurpose := func(r *recordv1.Record) { r.Stewardship.Purposes = []recordv1.Purpose{visa} }
	minor := func(r *recordv1.Record) {
		r.GetPerson().Births[0].From, r.GetPerson().Births[0].To = "2015-01-01", "2015-01-01"
	}
	refugee := func(r *recordv1.Record) { r.Stewardship.SensitiveCategories = []string{"refugee"} }
	forbids := map[string]string{
		"protect.cedar": `@id("never/refugees") forbid (principal, action == Action::"disclose", resource) when { resource.sensitive_categories.contains("refugee") };
@id("never/minors") forbid (principal, action == Action::"disclose", resource) when { resource.minor };
@id("never/other-purposes") forbid (principal, action == Action::"disclose", resource) when { !resource.purposes.isEmpty() && !resource.purposes.contains(context.purpose) };`,
	}
	fails := map[string]string{"fails.cedar": `@id("fails") forbid (principal, action == Action::"disclose", resource) ` + broken + ";"}
	onRefugees := map[string]string{"fails.cedar": `@id("fails") forbid (principal, action == Action::"disclose", resource) when { resource.exercise && 9223372036854775807 + 1 > 0 };`}
	person, document := func(f gate.Found) *holdings { return &holdings{persons: []gate.Found{f}} }, func(f gate.Found) *holdings { return &holdings{documents: []gate.Found{f}} }
	for name, c := range map[string]struct {
		more map[string]string
		held *holdings
	}{
		"person: no audience":        {nil, person(wanted("esp-1", nil))},
		"person: nobody":             {nil, person(wanted("esp-1", &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_NONE}))},
		"person: listed to another":  {nil, person(wanted("esp-1", listed("LBN")))},
		"person: an empty list":      {nil, person(wanted("esp-1", listed()))},
		"person: denied by the list": {nil, person(wanted("esp-1", &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_ALL_PERMITTED, Deny: []string{"BGR"}}))},
		"person: a child":            {forbids, person(change(wanted("esp-1", everybody), minor))},
		"person: a refugee":          {forbids, person(change(wanted("esp-1", everybody), refugee))},
		"person: another purpose":    {forbids, person(change(wanted("esp-1", everybody), otherPurpose))},
		"person: expired":            {nil, person(change(wanted("esp-1", everybody), expired))},
		"person: a policy fails":     {fails, person(wanted("esp-1", everybody))},
		"person: three of them":      {nil, &holdings{persons: []gate.Found{wanted("a", nil), wanted("b", listed("LBN")), wanted("c", nil)}}},
		"person: four of them":       {nil, &holdings{persons: []gate.Found{wanted("a", nil), wanted("b", nil), wanted("c", nil), wanted("d", nil)}}},
		"document: no audience":      {nil, document(stolen("doc-1", nil))},
		"document: listed":           {nil, document(stolen("doc-1", listed("LBN", "BEL")))},
		"document: another purpose":  {forbids, document(change(stolen("doc-1", everybody), otherPurpose))},
		"document: expired":          {nil, document(change(stolen("doc-1", everybody), expired))},
		"document: a policy fails":   {fails, document(stolen("doc-1", everybody))},
		"both":                       {nil, &holdings{documents: []gate.Found{stolen("doc-1", nil)}, persons: []gate.Found{wanted("esp-1", nil)}}},
	} {
		t.Run(name, func(t *testing.T) {
			more := personsFor(t)
			for name, text := range c.more {
				more[name] = text
			}
			set, question := spain(t, more), documentAsk(esp)
			question.Person = personAsk().GetPerson()
			withheld, none := traced(t, set, question, c.held), traced(t, set, question, &holdings{})
			if diff := cmp.Diff(none, withheld, protocmp.Transform()); diff != "" {
				t.Errorf("a withheld record shows (-none +withheld):\n%s", diff)
			}
			if w := withheld.Work; w.Candidates != 2*gate.DefaultSlots || w.Decisions != w.Candidates || w.Cuts != w.Candidates || w.Marshalled != w.Candidates || w.Passages != 2 {
				t.Errorf("work %+v: not every candidate went the whole way", w)
			}
		})
	}
	// A policy that fails on such records alone is told to the operator, once, and to no one else.
	more := personsFor(t)
	for name, text := range onRefugees {
		more[name] = text
	}
	var log bytes.Buffer
	set, b := spain(t, more), &books{}
	g := gate.New(gate.Config{Self: esp, Federation: fed, Policy: func() *policy.Set { return set }, Books: b, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for range 5 {
		answer(t, g, personAsk(), person(change(wanted("esp-1", everybody), func(r *recordv1.Record) { r.Stewardship.Exercise = true })))
	}
	if n := bytes.Count(log.Bytes(), []byte("\n")); n != 1 {
		t.Errorf("%d lines, want one for five questions:\n%s", n, log.String())
	}
}

// TestToldRecordDiffers shows that the trace would show a difference.
func TestToldRecordDiffers(t *testing.T) {
	set := spain(t, personsFor(t))
	told, none := traced(t, set, personAsk(), &holdings{persons: []gate.Found{wanted("esp-1", everybody)}}), traced(t, set, personAsk(), &holdings{})
	if cmp.Equal(none, told, protocmp.Transform()) {
		t.Error("a record that is told leaves the same trace as none")
	}
	// The books say by which rule it was told, and are longer for it.
	told.Work.EntryBlocks, none.Work.EntryBlocks = 0, 0
	if told.Work != none.Work {
		t.Errorf("work %+v, without it %+v: even what is told costs no more", told.Work, none.Work)
	}
	if want := []string{"asked BGR", "told BGR 1"}; len(told.Limits) != 2 || told.Limits[1] != want[1] || none.Limits[1] != "told BGR 0" {
		t.Errorf("limits %v and %v", told.Limits, none.Limits)
	}
	// More than the slots is more work: the bound is where it is said to be.
	var many []gate.Found
	for i := range gate.DefaultSlots + 2 {
		many = append(many, wanted(fmt.Sprint(i), nil))
	}
	if w := traced(t, set, personAsk(), &holdings{persons: many}).Work; w.Candidates != gate.DefaultSlots+2 {
		t.Errorf("work %+v", w)
	}
}

// TestUntoldIsNotToldWhateverPolicySays: what a searcher marks so (expired, a decoy) stays here.
func TestUntoldIsNotToldWhateverPolicySays(t *testing.T) {
	set := spain(t, personsFor(t))
	gone := wanted("esp-1", everybody)
	gone.Untold = true
	if diff := cmp.Diff(traced(t, set, personAsk(), &holdings{}), traced(t, set, personAsk(), &holdings{persons: []gate.Found{gone}}), protocmp.Transform()); diff != "" {
		t.Errorf("(-none +untold):\n%s", diff)
	}
}

// TestBudget: a question looks at no more candidates than the budget says, and takes no longer.
func TestBudget(t *testing.T) {
	set, b := spain(t, personsFor(t)), &books{}
	g := gate.New(gate.Config{
		Self: esp, Federation: fed, Policy: func() *policy.Set { return set }, Books: b, Now: func() time.Time { return noon },
		Budget: limits.Budget{Candidates: 20, Time: time.Minute},
	})
	var many []gate.Found
	for i := range 100 {
		many = append(many, wanted(fmt.Sprint(i), nil))
	}
	many[19], many[20] = wanted("last within", everybody), wanted("first beyond", everybody)
	a := answer(t, g, personAsk(), &holdings{persons: many})
	if hits := a.GetResults()[0].GetHits(); len(hits) != 1 || hits[0].GetRecordId() != "last within" || g.Work().Candidates != 20 {
		t.Errorf("hits %v, work %+v", hits, g.Work())
	}
	g = gate.New(gate.Config{Self: esp, Federation: fed, Policy: func() *policy.Set { return set }, Books: b, Budget: limits.Budget{Time: time.Nanosecond}})
	reply, err := g.Answering(&holdings{persons: many}).Answer(t.Context(), asked(personAsk()))
	if err == nil || reply.Answer != nil {
		t.Errorf("answered %v in no time: half an answer would pass for a whole one", reply.Answer)
	}
}
