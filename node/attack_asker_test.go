package node_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/nodetest"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// The scenes in this file have a BGR that is permitted to ask, with all its true keys, and asks for
// another reason than a traveller. Nothing that it asks is wrong by itself.

// asker is a bureau that asks past its node.
type asker struct {
	t        *testing.T
	from, to *nodetest.Bureau
	conn     *grpc.ClientConn
	signer   *signing.Signer
	verifier *signing.Verifier

	mu      sync.Mutex
	passed  int
	refused map[fault.Reason]int
	hits    map[string]bool // record ids that it has learned
	odd     []string        // what must not be
}

func newAsker(t *testing.T, from, to *nodetest.Bureau) *asker {
	t.Helper()
	return &asker{
		t: t, from: from, to: to, conn: from.DialMesh(to), signer: from.Signer(),
		verifier: signing.NewVerifier(nodetest.Federation, from.Book(), from.Clock.Now),
		refused:  map[fault.Reason]int{}, hits: map[string]bool{},
	}
}

// ask asks once, and returns the hits; ok is false if it was turned away. Any other outcome than
// these two is odd.
func (a *asker) ask(edit func(*queryv1.Ask)) (hits []*hitv1.Hit, ok bool) {
	question := a.from.Ask(a.to.ID)
	edit(question)
	signed, err := a.signer.Ask(question)
	if err != nil {
		a.note("sign: %v", err)
		return nil, false
	}
	resp, err := queryv1.NewQueryServiceClient(a.conn).Ask(a.t.Context(), &queryv1.AskRequest{Ask: signed})
	if err != nil {
		reason, _ := fault.ReasonOf(err)
		if after, told := fault.RetryAfter(err); status.Code(err) != codes.ResourceExhausted || !told || after <= 0 {
			a.note("turned away with %v (again after %s)", err, after)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.refused[reason]++
		return nil, false
	}
	answer, err := a.verifier.Answer(resp.GetAnswer(), a.to.ID)
	if err != nil {
		a.note("the answer: %v", err)
		return nil, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.passed++
	for _, r := range answer.GetResults() {
		for _, h := range r.GetHits() {
			a.hits[h.GetRecordId()] = true
			hits = append(hits, h)
		}
	}
	return hits, true
}

func (a *asker) note(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.odd) < 5 {
		a.odd = append(a.odd, fmt.Sprintf(format, args...))
	}
}

func (a *asker) turnedAway() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, c := range a.refused {
		n += c
	}
	return n
}

// number asks about one document.
func number(n int) func(*queryv1.Ask) {
	return func(q *queryv1.Ask) { q.Document = &queryv1.DocumentQuery{Number: passport(n), Issuer: "BEL"} }
}

func passport(n int) string { return fmt.Sprintf("QD%07d", 7_000_000+n) }

// stolenSeries is a mesh in which BEL holds every hundredth passport of a series, and BGR and ESP may
// ask about them.
func stolenSeries(t *testing.T) *nodetest.Mesh {
	t.Helper()
	m := nodetest.Found(t, "BEL", "BGR", "ESP")
	var stolen []*recordv1.Record
	for n := 50; n < 5000; n += 100 {
		stolen = append(stolen, nodetest.Stolen(fmt.Sprintf("bel:%d", n), passport(n), "BEL"))
	}
	m.Bureau("BEL").Create(stolen...)
	m.PermitBoth("BEL", "BGR", nodetest.Documents, nodetest.Border)
	m.PermitBoth("BEL", "ESP", nodetest.Documents, nodetest.Border)
	return m
}

// quotaOf is what `entente quota show --bureau` shows.
func quotaOf(t *testing.T, at *nodetest.Bureau, of identity.Bureau) *adminv1.QuotaState {
	t.Helper()
	resp, err := at.Admin().ListQuotas(t.Context(), &adminv1.ListQuotasRequest{Scope: adminv1.QuotaScope_QUOTA_SCOPE_BUREAU, Name: string(of)})
	if err != nil || len(resp.GetQuotas()) != 1 {
		t.Fatalf("quota of %s: %v %v", of, resp, err)
	}
	return resp.GetQuotas()[0]
}

// limited is how many calls of a bureau the books say were turned away, by reason, and in how many
// entries, as `entente audit list --kind limited` shows them.
func limited(at *nodetest.Bureau, of identity.Bureau) (counts map[fault.Reason]int, entries int) {
	counts = map[fault.Reason]int{}
	for _, l := range at.Entries(&auditv1.ListRequest{Kind: auditv1.EntryKind_ENTRY_KIND_LIMITED}) {
		if e := l.GetEntry(); e.GetRequester().GetBureau() == string(of) {
			counts[fault.Reason(e.GetReason())] += int(e.GetCount())
			entries++
		}
	}
	return counts, entries
}

// TestANodeThatWalksThroughNumbers goes through a series as fast as the wire takes it.
func TestANodeThatWalksThroughNumbers(t *testing.T) {
	const enumeration = adminv1.AlarmKind_ALARM_KIND_ENUMERATION
	asks, at := 3000, 64
	if testing.Short() {
		asks = 500
	}
	m := stolenSeries(t)
	bel, bgr, esp := m.Bureau("BEL"), m.Bureau("BGR"), m.Bureau("ESP")
	walker, honest := newAsker(t, bgr, bel), newAsker(t, esp, bel)

	done := make(chan struct{})
	var slowest time.Duration
	honestly := make(chan struct{})
	go func() {
		defer close(honestly)
		tick := time.NewTicker(40 * time.Millisecond) // a traveller now and then
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			began := time.Now()
			n := 50 + 100*(i%50)
			if i%5 > 0 {
				n = i * 7_919 % 3_000_000 // most are not on any list
			}
			honest.ask(number(n))
			slowest = max(slowest, time.Since(began))
		}
	}()
	next := make(chan int)
	var walkers sync.WaitGroup
	for range at {
		walkers.Go(func() {
			for n := range next {
				walker.ask(number(n))
			}
		})
	}
	began := time.Now()
	for n := range asks {
		next <- n
	}
	close(next)
	walkers.Wait()
	took := time.Since(began)
	close(done)
	<-honestly

	turned := walker.turnedAway()
	t.Logf("of %d numbers in a row, asked within %s, %d passed and told %d records of 50; turned away: %v", asks, took.Round(time.Millisecond), walker.passed, len(walker.hits), walker.refused)
	t.Logf("meanwhile ESP asked %d times and was answered each time, at the latest after %s", honest.passed, slowest.Round(time.Millisecond))
	if walker.passed > 250 || walker.passed < 64 || turned != asks-walker.passed || walker.refused[fault.Throttled] == 0 {
		t.Errorf("%d passed and %d were turned away (%v): want some 128 before the pattern is seen, and a trickle", walker.passed, turned, walker.refused)
	}
	if honest.passed == 0 || honest.turnedAway() != 0 || len(honest.hits) == 0 {
		t.Errorf("ESP: %d answered, %v turned away", honest.passed, honest.refused)
	}
	if odd := append(walker.odd, honest.odd...); len(odd) > 0 {
		t.Errorf("neither answered nor turned away in order: %q", odd)
	}

	// BEL's operator sees it.
	m.Eventually("BEL raises an alarm", func() bool { return bel.Alarm(enumeration, "BGR") != nil })
	if a := bel.Alarm(enumeration, "BGR"); !strings.Contains(a.GetText(), "BGR") || strings.Contains(a.GetText(), "QD7") {
		t.Errorf("the alarm: %q", a.GetText())
	}
	if bel.Alarm(enumeration, "ESP") != nil {
		t.Error("an alarm over ESP, which did nothing")
	}
	state := quotaOf(t, bel, "BGR")
	if state.GetThrottledUntil() == nil || int(state.GetTurnedAway()) != turned || state.GetSubjects() == 0 || state.GetPositives() != uint64(len(walker.hits)) {
		t.Errorf("quota show: %v, %d turned away", state, turned)
	}

	// A restart forgets nothing of it, and leaves every count in the books.
	bel.Restart()
	walker.conn, honest.conn = bgr.DialMesh(bel), esp.DialMesh(bel)
	counts, entries := limited(bel, "BGR")
	if !maps.Equal(counts, walker.refused) || entries > 20 {
		t.Errorf("the books say %v in %d entries, turned away were %v", counts, entries, walker.refused)
	}
	if counts, _ := limited(bel, "ESP"); len(counts) != 0 {
		t.Errorf("the books say of ESP %v", counts)
	}
	again := quotaOf(t, bel, "BGR")
	if !again.GetThrottledUntil().AsTime().Equal(state.GetThrottledUntil().AsTime()) || bel.Alarm(enumeration, "BGR") == nil {
		t.Errorf("after a restart: %v", again)
	}
	before := walker.passed
	for n := range 5 {
		walker.ask(number(asks + n))
	}
	if walker.passed > before+1 {
		t.Errorf("after a restart %d of 5 pass, want the one of the minute at the most", walker.passed-before)
	}
	// The operators have spoken: entente quota set --lift.
	quota := again.GetQuota()
	quota.PerSecond, quota.Burst, quota.SubjectsPerDay, quota.PositivesPerDay = 0, 0, 0, 0
	lifted, err := bel.Admin().SetQuota(t.Context(), &adminv1.SetQuotaRequest{Quota: quota, Lift: true})
	if err != nil || lifted.GetQuota().GetThrottledUntil() != nil {
		t.Fatalf("lift: %v %v", lifted, err)
	}
	before = walker.passed
	for n := range 5 {
		walker.ask(number(n * 1000))
	}
	if walker.passed != before+5 {
		t.Errorf("after the throttle was lifted %d of 5 pass", walker.passed-before)
	}
}

// TestAMillionNumbersTakeYears has the same asker go on for days, at every minute what it may.
func TestAMillionNumbersTakeYears(t *testing.T) {
	const million = 1_000_000
	hours := 2 * 24
	if testing.Short() {
		hours = 2
	}
	m := stolenSeries(t)
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	bgr.Stop() // it has other plans for its keys
	var walker *asker
	n, total, throttles := 0, 0, 0
	for minute := range hours * 60 {
		for _, b := range m.Bureaus() {
			b.Clock.Set(time.Duration(minute) * time.Minute)
		}
		if minute%360 == 0 { // certificates are short-lived
			passed := 0
			if walker != nil {
				passed = walker.passed
			}
			walker = newAsker(t, bgr, bel)
			walker.conn = bgr.Intrude(bel.Config.MeshListen, bgr.Mint(identity.Node(nodetest.Federation, "BGR", "1"), nil))
			total += passed
		}
		// A throttle lasts whole hours: at each it tries how far it gets.
		for tries := 0; ; tries++ {
			_, ok := walker.ask(number(n))
			if n++; !ok || minute%60 != 1 {
				if !ok && tries > 5 {
					throttles++
				}
				break
			}
		}
		if len(walker.odd) > 0 {
			t.Fatalf("after %d minutes: %q", minute, walker.odd)
		}
	}
	total += walker.passed
	bel.Restart() // its own certificate has run out too: it helps itself when it starts
	days := float64(hours) / 24
	years := million / (float64(total) / days) / 365
	t.Logf("within %.1f days %d numbers of a series pass: a million takes %.1f years; %d times it got further than a trickle", days, total, years, throttles)
	if floor := hours * 50; total < floor { // else the scene is not what it says
		t.Errorf("%d passed in %d hours: not even the trickle", total, hours)
	}
	if !testing.Short() && years < 1 { // the first hours have the first burst
		t.Errorf("a million numbers pass within %.1f years", years)
	}
	if a := bel.Alarm(adminv1.AlarmKind_ALARM_KIND_ENUMERATION, "BGR"); a == nil {
		t.Error("no alarm")
	}
	counts, entries := limited(bel, "BGR")
	if counts[fault.Throttled] == 0 {
		t.Errorf("the books say %v in %d entries", counts, entries)
	}
}

// TestANodeThatClimbsAHill knows a birth date and a part of a name, and goes by what the answers say
// to find the rest.
func TestANodeThatClimbsAHill(t *testing.T) {
	m := belgium(t, "BEL", "BGR")
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	climber := newAsker(t, bgr, bel)
	const target = "VANDERSMISSEN YORICK"
	random := rand.New(rand.NewPCG(7, 11))
	best, height := []byte("VANDERSMISZEN YORIK"), hitv1.Band_BAND_UNSPECIFIED
	steps, answers := 600, map[string]bool{}
	for range steps {
		try := slices.Clone(best)
		for range 1 + random.IntN(2) {
			if i := random.IntN(len(try)); try[i] != ' ' {
				try[i] = byte('A' + random.IntN(26))
			}
		}
		hits, ok := climber.ask(func(q *queryv1.Ask) {
			q.Person = &queryv1.PersonQuery{Name: string(try), BirthDate: "1990-07-21"}
		})
		for _, h := range hits {
			answers[fmt.Sprintf("%v %q", h.GetBand(), h.GetExplanation())] = true
			if h.Score != nil || len(h.GetEvidence()) != 0 || h.GetPerson() != nil {
				t.Fatalf("more than a band crosses the border: %v", h)
			}
			if strings.Contains(strings.ToUpper(h.GetExplanation()), "VANDERSMISSEN") {
				t.Fatalf("the answer says what was not asked: %q", h.GetExplanation())
			}
			if h.GetBand() >= height {
				best, height = try, h.GetBand()
			}
		}
		if !ok && climber.turnedAway() > 20 {
			break
		}
	}
	t.Logf("%d steps passed, then %v; the best name is %q; what the answers told: %v", climber.passed, climber.refused, best, slices.Sorted(maps.Keys(answers)))
	if climber.passed > 250 || climber.turnedAway() == 0 || len(climber.odd) > 0 {
		t.Errorf("%d steps passed, %v turned away, %q", climber.passed, climber.refused, climber.odd)
	}
	if string(best) == target {
		t.Error("the climber is at the top")
	}
	// Three bands are three steps of a hill: nothing of the score is in the order of the answers.
	if len(answers) > 12 {
		t.Errorf("%d different answers: a fine scale", len(answers))
	}
	m.Eventually("BEL raises an alarm", func() bool {
		a := bel.Alarm(adminv1.AlarmKind_ALARM_KIND_ENUMERATION, "BGR")
		return a != nil
	})
	m.Eventually("what was turned away is in the books", func() bool {
		counts, _ := limited(bel, "BGR")
		return cmp.Or(counts[fault.Throttled], counts[fault.TooSoon]) > 0
	})
}
