package limits_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/limits"
	"github.com/entente-mesh/entente/pki/identity"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

const (
	federation = identity.Federation("demo.entente")
	askMethod  = queryv1.QueryService_Ask_FullMethodName
	check      = screeningv1.ScreeningService_Check_FullMethodName
	bureaus    = adminv1.QuotaScope_QUOTA_SCOPE_BUREAU
	agencies   = adminv1.QuotaScope_QUOTA_SCOPE_AGENCY
)

func node(b identity.Bureau) identity.Identity { return identity.Node(federation, b, "1") }

func client(agency string) identity.Identity {
	return identity.Client(federation, "BEL", agency, identity.RoleOfficer, "jansen", nil)
}

// drawer is a state that survives the limits that use it.
type drawer struct {
	mu       sync.Mutex
	values   map[string][]byte
	puts     []time.Time // of the accounts
	broken   bool
	largest  int // Optional: values are refused that are larger, as the store does
	tooLarge int // how many were
}

func (d *drawer) PutState(_ context.Context, room, key string, value []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken {
		return errors.New("no space left")
	}
	if d.largest > 0 && len(value) > d.largest {
		d.tooLarge++
		return fmt.Errorf("value of %d bytes: give at most %d", len(value), d.largest)
	}
	if d.values == nil {
		d.values = map[string][]byte{}
	}
	d.values[room+"\x00"+key] = slices.Clone(value)
	if strings.HasPrefix(key, "account/") {
		d.puts = append(d.puts, time.Now())
	}
	return nil
}

func (d *drawer) ListState(_ context.Context, room string) (map[string][]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := map[string][]byte{}
	for k, v := range d.values {
		if key, ok := strings.CutPrefix(k, room+"\x00"); ok {
			found[key] = v
		}
	}
	return found, nil
}

func (d *drawer) DeleteState(_ context.Context, room, key string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.values, room+"\x00"+key)
	return nil
}

// copied is the drawer as a crash leaves it.
func (d *drawer) copied() *drawer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &drawer{values: maps.Clone(d.values)}
}

// stage is one node's limits with what they wrote.
type stage struct {
	*limits.Limits
	t     *testing.T
	mark  *limits.Marker
	state *drawer

	mu     sync.Mutex
	booked []*auditv1.Entry
	alarms []string // "ENUMERATION ESP"
	texts  []string
	stop   func()
}

// open starts limits over a state. change may be nil.
func open(t *testing.T, state *drawer, change func(*limits.Config)) *stage {
	t.Helper()
	s := &stage{t: t, mark: limits.NewMarker([]byte("a secret of the node")), state: state}
	cfg := limits.Config{
		Self:  "BEL",
		State: state,
		Book: func(_ context.Context, e *auditv1.Entry) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.booked = append(s.booked, e)
			return nil
		},
		Raise: func(_ context.Context, kind adminv1.AlarmKind, subject, text string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.alarms = append(s.alarms, strings.TrimPrefix(kind.String(), "ALARM_KIND_")+" "+subject)
			s.texts = append(s.texts, text)
		},
	}
	if change != nil {
		change(&cfg)
	}
	l, err := limits.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Limits = l
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	var once sync.Once
	s.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	return s
}

// close stops the limits as a node does that is stopped.
func (s *stage) close() {
	s.t.Helper()
	s.stop()
	if err := s.Close(context.Background()); err != nil {
		s.t.Error(err)
	}
}

// asks is one ask of a bureau, from the door to the answer.
func (s *stage) asks(from identity.Bureau, hits int, subjects ...limits.Subject) error {
	leave, err := s.Enter(s.t.Context(), node(from), askMethod)
	if err != nil {
		return err
	}
	defer leave()
	if err := s.Asked(s.t.Context(), from, subjects...); err != nil {
		return err
	}
	s.Told(from, hits)
	return nil
}

func (s *stage) document(number string) []limits.Subject {
	return s.mark.Question(&queryv1.DocumentQuery{Number: number, Issuer: "BEL"}, nil)
}

func (s *stage) person(name, birth string) []limits.Subject {
	return s.mark.Question(nil, &queryv1.PersonQuery{Name: name, BirthDate: birth})
}

func (s *stage) of(scope adminv1.QuotaScope, name string) *adminv1.QuotaState {
	s.t.Helper()
	states := s.List(scope, name)
	if len(states) != 1 {
		s.t.Fatalf("%d states of %s", len(states), name)
	}
	return states[0]
}

// raised returns the alarms of a kind and subject that were raised.
func (s *stage) raised(alarm string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, a := range s.alarms {
		if a == alarm {
			n++
		}
	}
	return n
}

// inBooks counts the calls of somebody that the books say were turned away, by reason.
func (s *stage) inBooks(name string) map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := map[string]uint64{}
	for _, e := range s.booked {
		if e.GetKind() != auditv1.EntryKind_ENTRY_KIND_LIMITED || e.GetDecision() != auditv1.Decision_DECISION_DENY || len(e.GetMessageId()) != 36 || len(e.GetSalt()) != 16 {
			s.t.Errorf("entry %v", e)
		}
		if e.GetRequester().GetBureau() == name || e.GetRequester().GetAgency() == name {
			counts[e.GetReason()] += e.GetCount()
		}
	}
	return counts
}

func (s *stage) all(name string) uint64 {
	var sum uint64
	for _, n := range s.inBooks(name) {
		sum += n
	}
	return sum
}

func wantReason(t *testing.T, err error, want fault.Reason) {
	t.Helper()
	reason, _ := fault.ReasonOf(err)
	if reason != want || status.Code(err) != codes.ResourceExhausted {
		t.Errorf("error %v (%v), want RESOURCE_EXHAUSTED %s", err, reason, want)
		return
	}
	if after, ok := fault.RetryAfter(err); !ok || after <= 0 {
		t.Errorf("%s without a RetryInfo", want)
	}
}

// scene runs a test at a node of its own, in a time of its own.
func scene(t *testing.T, change func(*limits.Config), do func(t *testing.T, s *stage)) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, &drawer{}, change)
		do(t, s)
		s.close()
	})
}

func number(i int) string { return fmt.Sprintf("EH%07d", i) }

// pass lets time pass, in the bubble that scene plays in.
func pass(d time.Duration) { time.Sleep(d) }
