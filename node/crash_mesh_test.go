package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/node/nodetest"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// wreck is two bureaus that ask each other while their nodes, each a process of its own, are
// killed; and what was acknowledged meanwhile.
type wreck struct {
	t      *testing.T
	mesh   *nodetest.Mesh
	nodes  []*victim
	random *rand.Rand
	round  int

	mu      sync.Mutex
	checks  []answered // of this round
	records map[identity.Bureau][]string
	all     struct{ checks, heard, records, refused int }

	// kept is, by message id, what the books of a bureau must hold for ever: of every round.
	kept map[identity.Bureau]map[string][]passage
	// seen are the checkpoints that were seen of a bureau.
	seen map[identity.Bureau]map[string]bool
}

// answered is a check's answer, as it reached a client of a bureau.
type answered struct {
	at   *victim
	resp *screeningv1.CheckResponse
}

// passage is a kind and a direction.
type passage struct {
	kind auditv1.EntryKind
	way  auditv1.EntryDirection
}

func (p passage) String() string { return fmt.Sprint(p.kind, "/", p.way) }

var (
	checked    = passage{auditv1.EntryKind_ENTRY_KIND_CHECK, auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL}
	asked      = passage{auditv1.EntryKind_ENTRY_KIND_ASK, auditv1.EntryDirection_ENTRY_DIRECTION_OUT}
	wasAsked   = passage{auditv1.EntryKind_ENTRY_KIND_ASK, auditv1.EntryDirection_ENTRY_DIRECTION_IN}
	gave       = passage{auditv1.EntryKind_ENTRY_KIND_ANSWER, auditv1.EntryDirection_ENTRY_DIRECTION_OUT}
	got        = passage{auditv1.EntryKind_ENTRY_KIND_ANSWER, auditv1.EntryDirection_ENTRY_DIRECTION_IN}
	gotNothing = passage{auditv1.EntryKind_ENTRY_KIND_NO_ANSWER, auditv1.EntryDirection_ENTRY_DIRECTION_IN}
)

// wanted is how many people each bureau looks for.
const wanted = 12

func wantedPerson(id identity.Bureau, i int) (recordID, primary string) {
	return fmt.Sprintf("%s:w%d", id, i), surname(i) + " of " + string(id)
}

func newWreck(t *testing.T) *wreck {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := &wreck{
		t: t, random: rand.New(rand.NewPCG(seed, 0)), mesh: nodetest.FoundWith(t, nodetest.Setup{Asleep: true, Direct: true}, "BEL", "BGR"),
		kept: map[identity.Bureau]map[string][]passage{}, seen: map[identity.Bureau]map[string]bool{}, records: map[identity.Bureau][]string{},
	}
	w.mesh.Permit("BEL", "BGR", nodetest.Persons, nodetest.Border)
	w.mesh.Permit("BGR", "BEL", nodetest.Persons, nodetest.Border)
	for _, b := range w.mesh.Bureaus() {
		w.nodes = append(w.nodes, newVictim(t, b))
		w.kept[b.ID], w.seen[b.ID] = map[string][]passage{}, map[string]bool{}
	}
	for _, v := range w.nodes {
		v.up()
		for i := range wanted {
			id, primary := wantedPerson(v.ID, i)
			if err := w.create(v, nodetest.Person(id, primary, "Yorick", "1990-07-21")); err != nil {
				t.Fatal(err)
			}
		}
		// The posts look for the same few persons all the time, and find them.
		for _, q := range []*adminv1.Quota{
			{Scope: adminv1.QuotaScope_QUOTA_SCOPE_BUREAU, Name: string(w.other(v).ID)},
			{Scope: adminv1.QuotaScope_QUOTA_SCOPE_AGENCY, Name: "border-police"},
		} {
			q.PerSecond, q.Burst, q.SubjectsPerDay, q.PositivesPerDay = 1e6, 1e6, 1e9, 1e9
			if _, err := w.admin(v).SetQuota(t.Context(), &adminv1.SetQuotaRequest{Quota: q}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return w
}

func (w *wreck) other(v *victim) *victim {
	if w.nodes[0] == v {
		return w.nodes[1]
	}
	return w.nodes[0]
}

func (w *wreck) admin(v *victim) adminv1.AdminServiceClient {
	return adminv1.NewAdminServiceClient(v.roles[identity.RoleOperator])
}

func (w *wreck) books(v *victim) auditv1.AuditServiceClient {
	return auditv1.NewAuditServiceClient(v.roles[identity.RoleAuditor])
}

// create enters a record, and notes that it was acknowledged.
func (w *wreck) create(v *victim, r *recordv1.Record) error {
	_, err := recordv1.NewRecordServiceClient(v.roles[identity.RoleOperator]).Create(w.t.Context(), &recordv1.CreateRequest{Record: r})
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records[v.ID] = append(w.records[v.ID], r.GetRecordId())
	w.all.records++
	return nil
}

func heardOf(resp *screeningv1.CheckResponse, b identity.Bureau) bool {
	s := nodetest.Status(resp, string(b)).GetStatus()
	return s == queryv1.Status_STATUS_HIT || s == queryv1.Status_STATUS_NO_HIT
}

// load is checks and new records at both nodes, until it is ended.
type load struct {
	w     *wreck
	ended atomic.Bool
	heard atomic.Int64 // answers from abroad so far
	wait  sync.WaitGroup
	enter context.CancelFunc
}

func (w *wreck) load(posts int) *load {
	ctx, cancel := context.WithCancel(w.t.Context())
	l := &load{w: w, enter: cancel}
	for _, v := range w.nodes {
		officer := screeningv1.NewScreeningServiceClient(v.roles[identity.RoleOfficer])
		for k := range posts {
			// The first checks are the same in each round: what counts is when they are cut.
			l.wait.Go(func() {
				for i := k; !l.ended.Load(); i++ {
					if !l.check(ctx, v, officer, i) {
						return
					}
				}
			})
		}
		l.wait.Go(func() {
			for i := 0; !l.ended.Load() && i < 4; i++ {
				id := fmt.Sprintf("%s:r%d-%d", v.ID, w.round, i)
				if w.create(v, nodetest.Person(id, fmt.Sprintf("Nobody %c%c", 'A'+w.round%26, 'A'+i), "Zoe", "1971-01-02")) != nil {
					return
				}
			}
		})
	}
	return l
}

// check makes one check, and says whether the node is there to make another.
func (l *load) check(ctx context.Context, v *victim, officer screeningv1.ScreeningServiceClient, i int) bool {
	abroad := l.w.other(v)
	_, primary := wantedPerson(abroad.ID, i%(wanted+3)) // some are looked for by nobody
	req := nodetest.CheckPerson(primary, "Yorick", "1990-07-21")
	req.Justification = &queryv1.Justification{Purpose: nodetest.Border}
	resp, err := officer.Check(ctx, req)
	switch status.Code(err) {
	case codes.OK:
	case codes.ResourceExhausted:
		l.w.mu.Lock()
		l.w.all.refused++
		l.w.mu.Unlock()
		return true
	default:
		return false
	}
	l.w.mu.Lock()
	l.w.checks = append(l.w.checks, answered{v, resp})
	l.w.all.checks++
	if heardOf(resp, abroad.ID) {
		l.w.all.heard++
		l.heard.Add(1)
	}
	l.w.mu.Unlock()
	return true
}

// underWay waits until so many answers have come from abroad.
func (l *load) underWay(n int64) {
	l.w.t.Helper()
	l.w.mesh.Eventually(fmt.Sprintf("%d answers from abroad in round %d", n, l.w.round), func() bool { return l.heard.Load() >= n })
}

// end lets what is under way end.
func (l *load) end() {
	l.ended.Store(true)
	l.wait.Wait()
	l.enter()
}

// play is one round: load, the blow, and everything looked at again.
func (w *wreck) play(posts int, blow func(*load)) {
	w.t.Helper()
	w.round++
	w.checks = nil
	since := time.Now().Add(-time.Millisecond)
	l := w.load(posts)
	blow(l)
	l.end()
	for _, v := range w.nodes {
		w.see(v)
	}
	var wait sync.WaitGroup
	for _, v := range w.nodes {
		if v.cmd == nil {
			wait.Go(v.up)
		}
	}
	wait.Wait()
	w.look(since)
	if w.t.Failed() {
		w.t.FailNow()
	}
}

// see notes a node's checkpoint as it lies on its disk.
func (w *wreck) see(v *victim) {
	w.t.Helper()
	note, err := os.ReadFile(filepath.Join(v.Dir, "books", "log", "checkpoint"))
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.seen[v.ID][string(note)] = true
}

// look compares what has left with what stands in both books since a time.
func (w *wreck) look(since time.Time) {
	w.t.Helper()
	books := map[identity.Bureau]map[string][]passage{}
	entries := map[identity.Bureau]map[string]*auditv1.Entry{}
	for _, v := range w.nodes {
		books[v.ID], entries[v.ID] = w.list(v, since)
		w.wantNoAlarm(v)
	}
	for _, c := range w.checks {
		id := c.resp.GetCheckId()
		own, foreign := books[c.at.ID], books[w.other(c.at).ID]
		if !slices.Equal(own[id], []passage{checked}) {
			w.t.Errorf("round %d: %s answered check %s, and its books have %v", w.round, c.at.ID, id, own[id])
			continue
		}
		for _, s := range c.resp.GetBureaus() {
			if booked := outcome(entries[c.at.ID][id], s.GetBureau()); booked != s.GetStatus() {
				w.t.Errorf("round %d: %s told %v of %s in check %s, and booked %v", w.round, c.at.ID, s.GetStatus(), s.GetBureau(), id, booked)
			}
			ask := s.GetAskId()
			if ask == "" {
				continue
			}
			if !heardOf(c.resp, identity.Bureau(s.GetBureau())) {
				continue // whatever became of it, its books are compared below
			}
			if !slices.Contains(own[ask], got) || !slices.Contains(foreign[ask], gave) {
				w.t.Errorf("round %d: %s told the answer of %s to ask %s; own books: %v, theirs: %v", w.round, c.at.ID, s.GetBureau(), ask, own[ask], foreign[ask])
			}
		}
	}
	for _, v := range w.nodes {
		other := w.other(v).ID
		for id, all := range books[v.ID] {
			w.kept[v.ID][id] = all
			if slices.Contains(all, asked) && !slices.Equal(all, []passage{asked, got}) && !slices.Equal(all, []passage{asked, gotNothing}) {
				w.t.Errorf("round %d: %s asked %s, and its books have %v", w.round, v.ID, id, all)
			}
			if slices.Contains(all, got) && !slices.Equal(books[other][id], []passage{wasAsked, gave}) {
				w.t.Errorf("round %d: %s has an answer to ask %s, and the books of %s have %v", w.round, v.ID, id, other, books[other][id])
			}
			if slices.Contains(all, gave) && !slices.Contains(books[other][id], asked) {
				w.t.Errorf("round %d: %s has answered ask %s, and the books of %s have %v", w.round, v.ID, id, other, books[other][id])
			}
		}
	}
	w.lookAtRecords()
}

func outcome(e *auditv1.Entry, bureau string) queryv1.Status {
	for _, o := range e.GetOutcomes() {
		if o.GetBureau() == bureau {
			return o.GetStatus()
		}
	}
	return 0
}

// lookAtRecords reads the records of the last rounds that were acknowledged, and some others.
func (w *wreck) lookAtRecords() {
	w.t.Helper()
	for _, v := range w.nodes {
		all := w.records[v.ID]
		some := slices.Clone(all[max(0, len(all)-4):])
		for range 2 {
			some = append(some, all[w.random.IntN(len(all))])
		}
		w.wantRecords(v, some)
	}
}

func (w *wreck) wantRecords(v *victim, ids []string) {
	w.t.Helper()
	reader := recordv1.NewRecordServiceClient(v.roles[identity.RoleOperator])
	for _, id := range ids {
		if _, err := reader.Get(w.t.Context(), &recordv1.GetRequest{Collection: nodetest.Persons, RecordId: id}); err != nil {
			w.t.Errorf("round %d: %s acknowledged record %s: %v", w.round, v.ID, id, err)
		}
	}
}

// list reads the books through the node: by message id, what passed, in the order of the log.
func (w *wreck) list(v *victim, since time.Time) (map[string][]passage, map[string]*auditv1.Entry) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), nodetest.Patience)
	defer cancel()
	stream, err := w.books(v).List(ctx, &auditv1.ListRequest{Since: timestamppb.New(since)})
	if err != nil {
		w.t.Fatal(err)
	}
	found, checks := map[string][]passage{}, map[string]*auditv1.Entry{}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return found, checks
		}
		if err != nil {
			w.t.Fatalf("round %d: list the books of %s: %v", w.round, v.ID, err)
		}
		e := resp.GetLocated().GetEntry()
		if e == nil {
			continue // erased: its leaf stands, and is looked at in the end
		}
		p := passage{e.GetKind(), e.GetDirection()}
		found[e.GetMessageId()] = append(found[e.GetMessageId()], p)
		if p == checked {
			checks[e.GetMessageId()] = e
		}
	}
}

func (w *wreck) wantNoAlarm(v *victim) {
	w.t.Helper()
	s, err := w.admin(v).GetStatus(w.t.Context(), &adminv1.GetStatusRequest{})
	if err != nil {
		w.t.Fatalf("round %d: %s: %v", w.round, v.ID, err)
	}
	for _, a := range s.GetAlarms() {
		w.t.Errorf("round %d: %s raised an alarm: %v %s: %s", w.round, v.ID, a.GetKind(), a.GetSubject(), a.GetText())
	}
}

// verify has both nodes verify their books whole.
func (w *wreck) verify() {
	w.t.Helper()
	for _, v := range w.nodes {
		report := w.verified(v)
		if !report.GetWhole() || report.GetIntegrated() < report.GetLeaves() {
			w.t.Errorf("round %d: the books of %s: %v", w.round, v.ID, report)
		}
		w.seen[v.ID][string(report.GetCheckpoint())] = true
	}
	if w.t.Failed() {
		w.t.FailNow()
	}
}

func (w *wreck) verified(v *victim) *auditv1.VerifyReport {
	w.t.Helper()
	stream, err := w.books(v).Verify(w.t.Context(), &auditv1.VerifyRequest{})
	if err != nil {
		w.t.Fatal(err)
	}
	var report *auditv1.VerifyReport
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return report
		}
		if err != nil {
			w.t.Fatalf("round %d: verify the books of %s: %v", w.round, v.ID, err)
		}
		if r := resp.GetReport(); r != nil {
			report = r
		}
	}
}

// strike kills at a moment that nobody chose.
func (w *wreck) strike(victims ...*victim) func(*load) {
	answers := int64(w.random.IntN(20))
	moment := time.Duration(w.random.IntN(8_000)) * time.Microsecond
	return func(l *load) {
		l.underWay(answers)
		pause := time.NewTimer(moment)
		<-pause.C
		for _, v := range victims {
			v.kill()
		}
	}
}

// String is what was done so far.
func (w *wreck) String() string {
	kills := 0
	for _, v := range w.nodes {
		kills += v.kills
	}
	passages := 0
	for _, m := range w.kept {
		for all := range maps.Values(m) {
			passages += len(all)
		}
	}
	return fmt.Sprintf("%d rounds, %d kills, %d checks answered, %d answers from abroad, %d records acknowledged, %d checks throttled, %d passages in both books",
		w.round, kills, w.all.checks, w.all.heard, w.all.records, w.all.refused, passages)
}
