package node_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/server"
	"github.com/entente-mesh/entente/node/nodetest"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// The scenes in this file have a BEL whose own operator is the attacker: with all keys, the log
// signer's memory and as many nodes as it wants. What it does is proven by what the honest side
// has, through the auditors' service and the offline verifiers, as the audit commands use them.

const (
	logFork     = adminv1.AlarmKind_ALARM_KIND_LOG_FORK
	logShrink   = adminv1.AlarmKind_ALARM_KIND_LOG_SHRINK
	logUnproven = adminv1.AlarmKind_ALARM_KIND_LOG_UNPROVEN
)

// trusted is the roster that a court has from elsewhere.
func trusted(m *nodetest.Mesh) evidence.Trust {
	return evidence.Trust{Fingerprint: m.View().Fingerprint()}
}

// checkYorick has BGR's officer look for the person that BEL holds, and returns the id under which
// both books have the question.
func checkYorick(t *testing.T, bgr *nodetest.Bureau) (askID string) {
	t.Helper()
	resp := bgr.Check(nodetest.CheckPerson("Vandersmissen", "Yorick", "1990-07-21"))
	if resp.GetVerdict() != screeningv1.Verdict_VERDICT_HIT {
		t.Fatalf("BEL's person is not found: %v %v", resp.GetVerdict(), resp.GetBureaus())
	}
	return nodetest.Status(resp, "BEL").GetAskId()
}

// checkNobody has an officer look for somebody whom nobody holds: what BEL answers tells of nobody,
// and so can be kept with the evidence.
func checkNobody(t *testing.T, at *nodetest.Bureau) {
	t.Helper()
	resp := at.Check(nodetest.CheckPerson("Nobody", "Atall", "1971-01-02"))
	if s := nodetest.Status(resp, "BEL"); s.GetStatus() != queryv1.Status_STATUS_NO_HIT {
		t.Fatalf("%s asks BEL about nobody: %v", at.ID, s)
	}
}

// shownTo is the largest log of BEL that a bureau has been shown, in leaves, as it tells every bureau
// that asks it; 0 if none.
func shownTo(t *testing.T, at, asker *nodetest.Bureau) uint64 {
	t.Helper()
	resp, err := auditv1.NewWitnessServiceClient(asker.DialMesh(at)).GetCheckpoint(t.Context(), &auditv1.GetCheckpointRequest{})
	if err != nil {
		t.Fatal(err)
	}
	most := uint64(0)
	for _, w := range resp.GetWitnessed() {
		if w.GetBureau() == "BEL" {
			c, err := evidence.ParseCheckpoint(w.GetCheckpoint())
			if err != nil {
				t.Fatal(err)
			}
			most = max(most, c.Size)
		}
	}
	return most
}

// slowly does something again and again until it holds, as often as a bureau may ask another one's
// witness.
func slowly(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Second / 4)
	defer tick.Stop()
	const patience = 3 * nodetest.Patience // a proof that was refused is asked for again later and later
	for end := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("after %s it does not hold: %s", patience, what)
		}
	}
}

// knows has a bureau ask BEL about nobody until it has seen so many leaves of BEL's log: an answer
// carries the checkpoint that was the newest then.
func knows(t *testing.T, at, asker *nodetest.Bureau, leaves uint64) {
	t.Helper()
	slowly(t, fmt.Sprintf("%s has seen BEL's log of %d leaves", at.ID, leaves), func() bool {
		checkNobody(t, at)
		return shownTo(t, at, asker) >= leaves
	})
}

// meets waits until BGR or another is connected with BEL, or with what stands in its place.
func meets(m *nodetest.Mesh, at *nodetest.Bureau) {
	m.Eventually(string(at.ID)+" is connected with BEL", func() bool { return at.Connected("BEL") })
}

// integrated waits until all of a bureau's books are in its tree and signed, and returns the leaves.
func integrated(t *testing.T, m *nodetest.Mesh, b *nodetest.Bureau) uint64 {
	t.Helper()
	leaves := b.Status().GetBooks().GetLeaves() // each look at the status is booked itself
	m.Eventually(string(b.ID)+"'s books are in its tree", func() bool {
		return b.Status().GetBooks().GetIntegrated() >= leaves
	})
	return leaves
}

// finds has a bureau go on asking BEL until it raises an alarm, and returns what the evidence proves to
// somebody who has nothing but the file and the roster's fingerprint. Which answer is the first to
// carry a checkpoint that shows something is a matter of BEL's time.
func finds(t *testing.T, m *nodetest.Mesh, at *nodetest.Bureau, kind adminv1.AlarmKind) (*adminv1.Alarm, evidence.LogReport) {
	t.Helper()
	var a *adminv1.Alarm
	slowly(t, string(at.ID)+" raises "+kind.String()+" over BEL", func() bool {
		checkNobody(t, at)
		a = at.Alarm(kind, "BEL")
		return a.GetEvidence() != ""
	})
	r := evidence.VerifyLogEvidence(at.Evidence(a), trusted(m))
	t.Logf("%s: %s %s", at.ID, kind, a.GetText())
	for _, s := range r.Steps {
		t.Logf("%-6s %s: %s", s.Verdict, s.Name, s.What)
	}
	return a, r
}

// forgetful is a BEL that answers BGR about a person, and then goes back to what it had before: the
// same keys, a signer that remembers nothing of it, and books without it. When it answers, its log is
// ahead of where it goes back to by some leaves more. It returns the ask's id.
func forgetful(t *testing.T, m *nodetest.Mesh, ahead int) (askID string) {
	t.Helper()
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	integrated(t, m, bel)
	bel.Stop()
	before := bel.Keep()
	bel.Restart()
	m.WaitOffers("BGR", "BEL", nodetest.Persons)
	meets(m, bgr)
	bel.Create(fillers(ahead)...)
	integrated(t, m, bel)
	askID = checkYorick(t, bgr)
	size := integrated(t, m, bel)
	knows(t, bgr, bel, size)
	bel.Stop()
	bel.Return(before)
	bel.MustStart()
	return askID
}

// fillers are records that make a log longer.
func fillers(n int) (all []*recordv1.Record) {
	for i := range n {
		all = append(all, nodetest.Person(fmt.Sprintf("bel:filler-%d", i), "Filler", "Of Books", "1950-01-01"))
	}
	return all
}

// TestANodeThatRewritesItsLog answers, and then tells a history in which it never did.
func TestANodeThatRewritesItsLog(t *testing.T) {
	m := belgium(t, "BEL", "BGR")
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	askID := forgetful(t, m, 0)
	shown := shownTo(t, bgr, bel)
	bel.Create(fillers(int(shown))...) // the other history is made longer than the one that was shown
	if now := integrated(t, m, bel); now <= shown {
		t.Fatalf("BEL's other log has %d leaves, want more than %d", now, shown)
	}
	m.WaitConnected()
	a, r := finds(t, m, bgr, logFork)
	if r.Proven != evidence.Fork || r.Bureau != "BEL" || !r.OK() {
		t.Errorf("the evidence proves %q against %q, want a fork of BEL: %v", r.Proven, r.Bureau, r.Steps)
	}
	// The alarm is in BGR's books, and outlives BGR's restart.
	bgr.Restart()
	if again := bgr.Alarm(logFork, "BEL"); again.GetEvidence() != a.GetEvidence() {
		t.Errorf("after BGR was started again: %v", again)
	}
	booked := bgr.Entries(&auditv1.ListRequest{Kind: auditv1.EntryKind_ENTRY_KIND_ALARM})
	if !slices.ContainsFunc(booked, func(l *auditv1.Located) bool {
		return l.GetEntry().GetOperation() == "log-fork" && strings.Contains(l.GetEntry().GetObject(), a.GetEvidence())
	}) {
		t.Errorf("the alarm is not in BGR's books: %v", booked)
	}
	stillProven(t, m, askID)
	// BEL's own books pass BEL's own verification: it is the others who know better.
	if report := bel.Verify(); !report.GetWhole() {
		t.Errorf("BEL's other history is not whole in itself: %v", report.GetFlaws())
	}
}

// stillProven holds BGR's bundle against BEL, which denies the exchange.
func stillProven(t *testing.T, m *nodetest.Mesh, askID string) {
	t.Helper()
	bundle, missing := m.Bureau("BGR").Prove(askID, true)
	if missing == "" {
		t.Error("BEL proves what it has forgotten")
	}
	r := evidence.VerifyBundle(bundle, trusted(m))
	if !r.OK() || r.Asker != "BGR" || r.Answerer != "BEL" || r.AnsweredAt.IsZero() {
		t.Errorf("BGR's bundle does not prove that BEL answered: %+v", r)
	}
	for _, s := range r.Steps {
		t.Logf("%-6s %s: %s", s.Verdict, s.Name, s.What)
	}
}

// TestANodeWhoseLogShrinks answers, forgets it, and has not got so far again when it is asked minutes
// later.
func TestANodeWhoseLogShrinks(t *testing.T) {
	if testing.Short() {
		t.Skip("TestANodeThatRewritesItsLog goes the same way: some seconds")
	}
	m := belgium(t, "BEL", "BGR")
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	askID := forgetful(t, m, 60) // so many that it does not meet a size again that BGR remembers
	for _, b := range m.Bureaus() {
		b.Clock.Set(10 * time.Minute) // longer than any message is on its way
	}
	meets(m, bgr) // to look at BEL's status would make its log longer
	_, r := finds(t, m, bgr, logShrink)
	if r.Proven != evidence.Shrink || r.Bureau != "BEL" {
		t.Errorf("the evidence proves %q against %q, want a shrink of BEL", r.Proven, r.Bureau)
	}
	stillProven(t, m, askID)
	if bel.Alarm(logShrink, "BEL") != nil {
		t.Error("BEL accuses itself of a shrink")
	}
}

// TestANodeThatShowsTwoLogs shows BGR one log and LBN another, each of which only grows. BGR and LBN
// tell each other what they were shown.
func TestANodeThatShowsTwoLogs(t *testing.T) {
	if testing.Short() {
		t.Skip("two logs that grow until they are told of: some seconds")
	}
	m := belgium(t, "BEL", "BGR", "LBN")
	bel, bgr, lbn := m.Bureau("BEL"), m.Bureau("BGR"), m.Bureau("LBN")
	m.PermitBoth("BEL", "LBN", nodetest.Persons, nodetest.Border)
	integrated(t, m, bel)
	for _, b := range m.Bureaus() {
		b.Stop()
	}
	twin := bel.Twin(bel.Keep())
	bgr.Exchange, lbn.Exchange = 300*time.Millisecond, 300*time.Millisecond
	bel.MustStart()
	bgr.MustStart()
	m.WaitOffers("BGR", "BEL", nodetest.Persons)
	meets(m, bgr)
	checkNobody(t, bgr)
	size := integrated(t, m, bel)
	knows(t, bgr, bel, size)

	// From here on whoever dials BEL meets the other node; BGR's connection stands.
	twin.MustStart()
	bel.Tap.Join(twin.Config.MeshListen)
	lbn.MustStart()
	m.WaitOffers("LBN", "BEL", nodetest.Persons)
	meets(m, lbn)
	knows(t, lbn, bgr, size)
	if lbn.Alarm(logShrink, "BEL") != nil || bgr.Alarm(logShrink, "BEL") != nil {
		t.Error("each of BEL's logs grows, and one is said to shrink")
	}
	slowly(t, "BGR and LBN find the fork", func() bool {
		checkNobody(t, bgr) // both logs go on growing, as logs do
		checkNobody(t, lbn)
		return bgr.Alarm(logFork, "BEL").GetEvidence() != "" && lbn.Alarm(logFork, "BEL").GetEvidence() != ""
	})
	for _, b := range []*nodetest.Bureau{bgr, lbn} {
		// Who finds it first tells the other its proof: two checkpoints that cannot both be.
		if _, r := finds(t, m, b, logFork); r.Proven != evidence.Fork || r.Bureau != "BEL" {
			t.Errorf("%s: the evidence proves %q against %q, want a fork of BEL", b.ID, r.Proven, r.Bureau)
		}
	}
}

// TestANodeThatDropsAnEntry: BEL's books about BGR lack what BGR's have, because it has rewritten
// them, or because it has taken one entry out of what it gives the auditors.
func TestANodeThatDropsAnEntry(t *testing.T) {
	m := belgium(t, "BEL", "BGR")
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	askID := checkYorick(t, bgr)
	other := checkYorick(t, bgr)
	integrated(t, m, bel)
	integrated(t, m, bgr)
	for _, b := range m.Bureaus() {
		b.Clock.Set(10 * time.Minute) // what is minutes old is judged
	}
	mine, theirs := bgr.Export("BEL"), bel.Export("BGR")
	if r := evidence.Join(mine, theirs, trusted(m)); !r.OK() || len(r.Findings) != 0 || r.Matched != 4 {
		t.Fatalf("honest books: %+v", r)
	}
	drop := func(of *auditv1.Export, kind auditv1.EntryKind, id string) *auditv1.Export {
		cut := proto.CloneOf(of)
		cut.Entries = slices.DeleteFunc(cut.Entries, func(e *auditv1.ExportEntry) bool {
			leaf, err := evidence.ParseLeaf(e.GetLeaf())
			return err == nil && leaf.Kind == kind && leaf.MessageID.String() == id
		})
		if len(cut.GetEntries()) != len(of.GetEntries())-1 {
			t.Fatalf("%d entries of %d are left", len(cut.GetEntries()), len(of.GetEntries()))
		}
		return cut
	}
	for name, c := range map[string]struct {
		kind    auditv1.EntryKind
		passage string
	}{
		"the ask":    {auditv1.EntryKind_ENTRY_KIND_ASK, "ASK/in"},
		"the answer": {auditv1.EntryKind_ENTRY_KIND_ANSWER, "ANSWER/out"},
	} {
		r := evidence.Join(mine, drop(theirs, c.kind, askID), trusted(m))
		named := slices.ContainsFunc(r.Findings, func(f evidence.Finding) bool {
			return f.Finding == evidence.Omission && f.Lacks == "BEL" && f.Has == "BGR" && f.Passage == c.passage && f.MessageID.String() == askID
		})
		for _, f := range r.Findings {
			t.Log(f)
			if f.Lacks != "BEL" || f.MessageID.String() == other {
				t.Errorf("%s taken out: %v", name, f)
			}
		}
		if r.OK() || !named {
			t.Errorf("%s taken out of BEL's export is not named: %+v", name, r)
		}
	}

	// The whole exchange gone from BEL's books, with a log that is signed and whole in itself.
	gone := forgetful(t, m, 0)
	integrated(t, m, bgr)
	for _, b := range m.Bureaus() {
		b.Clock.Set(20 * time.Minute)
	}
	checkLocal(t, bel)
	r := evidence.Join(bgr.Export("BEL"), bel.Export("BGR"), trusted(m))
	var lacking []string
	for _, f := range r.Findings {
		if f.MessageID.String() == gone {
			t.Log(f)
		}
		if f.Finding == evidence.Omission && f.Lacks == "BEL" && f.Has == "BGR" && f.MessageID.String() == gone {
			lacking = append(lacking, f.Passage)
		}
	}
	slices.Sort(lacking)
	if want := []string{"ANSWER/out", "ASK/in"}; r.OK() || !slices.Equal(lacking, want) {
		t.Errorf("of the exchange that BEL has forgotten it lacks %v, want %v: %+v", lacking, want, r)
	}
	stillProven(t, m, gone)
}

// checkLocal has the own officer make a check, so that there is something to book.
func checkLocal(t *testing.T, at *nodetest.Bureau) {
	t.Helper()
	at.Check(nodetest.CheckPerson("Nobody", "Atall", "1971-01-02"))
}

// silentLog is what a node shows of its log that wants to show none.
type silentLog struct{ note func() []byte }

func (s silentLog) Newest() []byte { return s.note() }

func (silentLog) Saw(identity.Bureau, []byte, *signedv1.Signed, time.Time) {}

// TestANodeThatShowsNoLog shows no checkpoint any more, or what is none, or what another key signed.
func TestANodeThatShowsNoLog(t *testing.T) {
	garbage := func() []byte {
		b := make([]byte, 200)
		rand.Read(b)
		return b
	}
	m := belgium(t, "BEL", "BGR", "ESP")
	bel, bgr, esp := m.Bureau("BEL"), m.Bureau("BGR"), m.Bureau("ESP")
	integrated(t, m, esp)
	var others []byte
	slowly(t, "ESP has a checkpoint", func() bool {
		resp, err := auditv1.NewWitnessServiceClient(bgr.DialMesh(esp)).GetCheckpoint(t.Context(), &auditv1.GetCheckpointRequest{})
		if err != nil {
			t.Fatal(err)
		}
		others = resp.GetCheckpoint()
		return len(others) > 0
	})
	for i, c := range []struct {
		name string
		note func() []byte
		says string
	}{
		{"none any more", func() []byte { return nil }, "no checkpoint of it any more"},
		{"garbage", garbage, "not a checkpoint"},
		{"another bureau's", func() []byte { return others }, "no log key of it signed"},
	} {
		if i > 0 && testing.Short() {
			break
		}
		t.Run(c.name, func(t *testing.T) {
			began := time.Duration(i) * 3 * time.Hour // an alarm is told again after an hour
			for _, b := range m.Bureaus() {
				b.Clock.Set(began)
			}
			bel.Restart()
			meets(m, bgr)
			knows(t, bgr, esp, integrated(t, m, bel))
			before := bgr.Alarm(logUnproven, "BEL").GetCount()
			stop := bel.Impersonate(func(cfg *server.Config) { cfg.Witness = silentLog{c.note} })
			defer stop()
			meets(m, bgr)
			for round := range 12 { // a passing fault is none: it goes on for more than ten minutes
				for _, b := range m.Bureaus() {
					b.Clock.Set(began + time.Duration(round+1)*time.Minute + time.Duration(round)*time.Second)
				}
				checkNobody(t, bgr)
			}
			var a *adminv1.Alarm
			m.Eventually("BGR raises an alarm", func() bool {
				a = bgr.Alarm(logUnproven, "BEL")
				return a.GetCount() > before && a.GetEvidence() != ""
			})
			if !strings.Contains(a.GetText(), c.says) {
				t.Errorf("the alarm says %q, want %q", a.GetText(), c.says)
			}
			// Who shows nothing cannot be proven to have two logs: the file says what to ask for.
			if r := evidence.VerifyLogEvidence(bgr.Evidence(a), trusted(m)); r.Proven != "" {
				t.Errorf("evidence of silence proves %q", r.Proven)
			}
		})
	}
}
