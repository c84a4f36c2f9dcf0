package screening_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/gate"
	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/node/screening"
	"github.com/entente-mesh/entente/node/store"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// shelf is a durable state in memory, and the records of some persons.
type shelf struct {
	values  map[string][]byte
	full    error
	persons []string
}

func (s *shelf) PutState(_ context.Context, room, key string, value []byte) error {
	if s.full == nil {
		s.values[room+"/"+key] = value
	}
	return s.full
}

func (s *shelf) GetState(_ context.Context, room, key string) ([]byte, bool, error) {
	value, ok := s.values[room+"/"+key]
	return value, ok, nil
}

func (s *shelf) FindDocuments(context.Context, store.DocumentLookup) ([]*recordv1.Record, error) {
	return nil, nil
}

func (s *shelf) Changes(_ context.Context, after int64, _ int, _ ...string) ([]store.Change, error) {
	var all []store.Change
	for i, name := range s.persons {
		if seq := int64(i + 1); seq > after {
			all = append(all, store.Change{Seq: seq, RecordID: name, Record: &recordv1.Record{RecordId: name, Body: &recordv1.Record_Person{Person: &recordv1.Person{
				Names: []*recordv1.Name{{Parts: []*recordv1.NamePart{{Kind: recordv1.NamePartKind_NAME_PART_KIND_FULL, Text: name}}}},
			}}}})
		}
	}
	return all, nil
}

func openPoint(t *testing.T, s *shelf) (*screening.Point, *screening.Holdings) {
	t.Helper()
	h := screening.NewHoldings(bgr, s, nil, nil)
	p, err := screening.OpenPoint(t.Context(), h, s)
	if err != nil {
		t.Fatal(err)
	}
	return p, h
}

func booked(string) error { return nil }

func TestPointOutlivesARestart(t *testing.T) {
	s := &shelf{values: map[string][]byte{}}
	p, h := openPoint(t, s)
	if h.Point() != match.DefaultPoint {
		t.Errorf("begins with %+v", h.Point())
	}
	req := &adminv1.SetOperatingPointRequest{EvidenceClass: adminv1.EvidenceClass_EVIDENCE_CLASS_NAME, AlertsPerThousand: 0.5, Together: proto.Uint64(50_000)}
	if err := p.Set(t.Context(), req, booked); err != nil {
		t.Fatal(err)
	}
	want := match.OperatingPoint{NamePerThousand: 0.5, BirthPerThousand: match.DefaultPoint.BirthPerThousand, Together: 50_000}
	if h.Point() != want {
		t.Errorf("set to %+v", h.Point())
	}
	if _, h = openPoint(t, s); h.Point() != want {
		t.Errorf("after a restart %+v", h.Point())
	}
	// What cannot be saved does not hold.
	s.full = errors.New("disk full")
	req.AlertsPerThousand = 3
	if err := p.Set(t.Context(), req, booked); err == nil || p.Show().GetClasses()[0].GetAlertsPerThousand() != 0.5 {
		t.Errorf("%v, holds %v", err, p.Show())
	}
	s.values = map[string][]byte{"point/point": []byte(`{"version":9}`)}
	if _, err := screening.OpenPoint(t.Context(), h, s); err == nil || !strings.Contains(err.Error(), "version 9") {
		t.Error(err)
	}
}

func TestTogetherIsNotLessThanTheOwnList(t *testing.T) {
	p, h := openPoint(t, &shelf{values: map[string][]byte{}, persons: []string{"Karim Zerouali", "Ludmila Ostapenko", "Park Min Jun"}})
	if err := h.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := p.Set(t.Context(), &adminv1.SetOperatingPointRequest{Together: proto.Uint64(2)}, booked)
	if reason, _ := fault.ReasonOf(err); reason != fault.OperatingPointUnfit || fault.FieldOf(err) != "together" || !strings.Contains(err.Error(), "has 3 names") {
		t.Error(err)
	}
	if got := p.Show(); got.GetOwnNames() != 3 || got.GetTogether() != uint64(match.DefaultPoint.Together) {
		t.Errorf("%v", got)
	}
}

func TestMeasuredInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := openPoint(t, &shelf{values: map[string][]byte{}})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if _, how := p.Cost(); how.GetMeasuredAt() != nil || how.GetRunning() || how.GetMethod() == "" {
			t.Errorf("at the start: %v", how)
		}
		p.Measure()
		if _, how := p.Cost(); !how.GetRunning() {
			t.Errorf("asked for: %v", how)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.Follow(ctx)
		}()
		synctest.Wait()
		point, how := p.Cost()
		if how.GetRunning() || how.GetMeasuredAt() == nil || how.GetLookedFor() == 0 {
			t.Fatalf("measured: %v", how)
		}
		for _, c := range point.GetClasses() {
			last := 0.0
			if len(c.GetRecalls()) != 6 { // the point is among them
				t.Errorf("%v", c.GetRecalls())
			}
			for _, r := range c.GetRecalls() {
				if r.GetRecall() < last || r.GetRecall() > 1 {
					t.Errorf("%v after %.3f", r, last)
				}
				last = r.GetRecall()
			}
		}
		first := how.GetMeasuredAt().AsTime()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if _, how = p.Cost(); !how.GetMeasuredAt().AsTime().Equal(first) {
			t.Error("measured again, though nothing has changed")
		}
		cancel()
		<-done
	})
}

// TestThePointIsSetWhileOthersSearch, and while it is measured.
func TestThePointIsSetWhileOthersSearch(t *testing.T) {
	p, h := openPoint(t, &shelf{values: map[string][]byte{}, persons: []string{"Karim Zerouali", "Ludmila Ostapenko", "Park Min Jun"}})
	if err := h.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wait sync.WaitGroup
	wait.Go(func() { p.Follow(ctx) })
	p.Measure()
	for worker := range 3 {
		wait.Go(func() {
			for i := range 40 {
				switch worker {
				case 0:
					req := &adminv1.SetOperatingPointRequest{EvidenceClass: adminv1.EvidenceClass_EVIDENCE_CLASS_NAME, AlertsPerThousand: float64(1 + i%5)}
					if err := p.Set(t.Context(), req, booked); err != nil {
						t.Error(err)
					}
				case 1:
					p.Cost()
				default:
					if _, err := h.SearchPersons(t.Context(), &queryv1.PersonQuery{Name: "ZEROUALI KARIM"}, gate.Depth{Most: 10}); err != nil {
						t.Error(err)
					}
				}
			}
			if worker == 2 {
				cancel()
			}
		})
	}
	wait.Wait()
}
