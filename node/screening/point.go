package screening

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/match"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// Names is how many names of persons the index holds.
func (h *Holdings) Names() int { return h.held().Names() }

const (
	pointRoom    = "point"
	pointKey     = "point"
	pointVersion = 1
)

// savedPoint is what an operator set, as it is saved. What is 0 takes the default.
type savedPoint struct {
	Version  int     `json:"version"`
	Name     float64 `json:"name_per_thousand,omitempty"`
	Birth    float64 `json:"birth_per_thousand,omitempty"`
	Together int     `json:"together,omitempty"`
}

// point is the operating point with the defaults filled in.
func (s savedPoint) point() match.OperatingPoint {
	o := match.DefaultPoint
	if s.Name > 0 {
		o.NamePerThousand = s.Name
	}
	if s.Birth > 0 {
		o.BirthPerThousand = s.Birth
	}
	if s.Together > 0 {
		o.Together = s.Together
	}
	return o
}

// Bounds of what an operator may set.
const (
	leastAlerts  = 0.001 // one traveller in a million: who wants fewer wants none
	mostAlerts   = 1000
	mostTogether = 10_000_000_000 // more names than there are persons
)

// Point is the bureau's operating point as its operator sees and sets it: it is kept in the durable
// state, held by the index, and what it costs is measured in the background. It is safe for
// concurrent use.
type Point struct {
	holdings *Holdings
	state    State
	now      func() time.Time
	logger   *slog.Logger

	setting sync.Mutex // one change at a time, with its entry in the books
	wake    chan struct{}

	mu       sync.Mutex // owns what follows
	saved    savedPoint
	measured measured
	wanted   bool // somebody asked for a measurement
	running  bool
}

// measured is when the holdings were measured last, and how many names they had.
type measured struct {
	at    time.Time
	names int
}

// OpenPoint reads what was set and has the holdings answer by it. Follow must run for anything to be
// measured.
func OpenPoint(ctx context.Context, h *Holdings, state State) (*Point, error) {
	p := &Point{holdings: h, state: state, now: h.now, logger: h.logger, wake: make(chan struct{}, 1)}
	value, found, err := state.GetState(ctx, pointRoom, pointKey)
	if err != nil {
		return nil, fmt.Errorf("operating point: read what was saved: %w", err)
	}
	if found {
		if err := json.Unmarshal(value, &p.saved); err != nil || p.saved.Version != pointVersion {
			return nil, fmt.Errorf("operating point: what was saved cannot be read (version %d): start the program that wrote it, or restore the node's store from a backup", p.saved.Version)
		}
	}
	h.SetPoint(p.saved.point())
	return p, nil
}

// Set changes the point. It calls book with what changes when nothing but the change itself is left,
// and before it stands; an error of book is that of Set. What is set is durable and holds when Set
// returns. It fails with OPERATING_POINT_UNFIT, which names the field.
func (p *Point) Set(ctx context.Context, req *adminv1.SetOperatingPointRequest, book func(change string) error) error {
	p.setting.Lock()
	defer p.setting.Unlock()
	if err := fitPoint(req, p.holdings.Names()); err != nil {
		return err
	}
	p.mu.Lock()
	was := p.saved
	p.mu.Unlock()
	next := was
	next.Version = pointVersion
	switch req.GetEvidenceClass() {
	case adminv1.EvidenceClass_EVIDENCE_CLASS_NAME:
		next.Name = req.GetAlertsPerThousand()
	case adminv1.EvidenceClass_EVIDENCE_CLASS_BIRTH_DATE:
		next.Birth = req.GetAlertsPerThousand()
	}
	if req.Together != nil {
		next.Together = int(req.GetTogether())
	}
	if err := book(changeOf(was.point(), next.point())); err != nil {
		return err
	}
	value, err := json.Marshal(next)
	if err == nil {
		err = p.state.PutState(ctx, pointRoom, pointKey, value)
	}
	if err != nil {
		return fmt.Errorf("the operating point could not be saved and stays as it was: %w", err)
	}
	p.mu.Lock()
	p.saved = next
	p.mu.Unlock()
	p.holdings.SetPoint(next.point())
	return nil
}

// changeOf says in words what becomes of what, for the books.
func changeOf(was, is match.OperatingPoint) string {
	var parts []string
	for _, class := range match.Classes() {
		if a, b := was.PerThousand(class), is.PerThousand(class); a != b {
			parts = append(parts, fmt.Sprintf("%s: %g to %g alerts in 1000", classWord(class), a, b))
		}
	}
	if was.Together != is.Together {
		parts = append(parts, fmt.Sprintf("together: %d to %d names", was.Together, is.Together))
	}
	if len(parts) == 0 {
		return "as it was"
	}
	return strings.Join(parts, "; ")
}

func classWord(c match.Class) string {
	if c == match.ByBirthDate {
		return "birth date"
	}
	return "name"
}

func unfitPoint(field, message string) error {
	return fault.New(codes.InvalidArgument, fault.OperatingPointUnfit, field, message)
}

// fitPoint says which field cannot hold, and what to write.
func fitPoint(req *adminv1.SetOperatingPointRequest, own int) error {
	alerts, class := req.GetAlertsPerThousand(), req.GetEvidenceClass()
	switch {
	case class == adminv1.EvidenceClass_EVIDENCE_CLASS_UNSPECIFIED && alerts != 0:
		return unfitPoint("evidence_class", "say of which class these are the alerts: name or birth-date")
	case class == adminv1.EvidenceClass_EVIDENCE_CLASS_UNSPECIFIED && req.Together == nil:
		return unfitPoint("evidence_class", "give a class with its alerts, or how many names are searched together, or both")
	case class != adminv1.EvidenceClass_EVIDENCE_CLASS_UNSPECIFIED && (math.IsNaN(alerts) || alerts <= 0):
		return unfitPoint("alerts_per_thousand", "give a number above 0: without a single false alert nobody is found either")
	case alerts > mostAlerts:
		return unfitPoint("alerts_per_thousand", "give at most 1000: every traveller")
	case alerts > 0 && alerts < leastAlerts:
		return unfitPoint("alerts_per_thousand", fmt.Sprintf("give at least %g, which is one traveller in a million: with fewer nobody is found", leastAlerts))
	case req.Together != nil && req.GetTogether() > 0 && req.GetTogether() < uint64(own):
		return unfitPoint("together", fmt.Sprintf("the own list alone has %d names: give as many or more, or 0 for the default", own))
	case req.GetTogether() > mostTogether:
		return unfitPoint("together", fmt.Sprintf("give at most %d", int64(mostTogether)))
	}
	return nil
}

// Measuring: with what, how often, how long.
const (
	// listedSeed is of those who are looked for: others than those who set the thresholds.
	listedSeed = 17
	// listedEach is how many of each region of the world: a recall is known to three in a hundred.
	listedEach = 250
	// lookEvery is how often it is looked whether the list has changed by a part of itself; also how
	// long a node that starts has time for other things.
	lookEvery = time.Minute
	// leastGrown is by how many names a list must have changed to be measured again.
	leastGrown = 100
	// measureWithin bounds the search for those who are listed: an hour is enough among millions of names.
	// How long the thresholds take before that is bounded by how many innocents there are.
	measureWithin = time.Hour
)

// Follow measures the holdings soon after the start, whenever the list has changed by a part of
// itself, and when Measure asks for it, until ctx ends. Checks go first.
func (p *Point) Follow(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-tick.C:
			if !p.due() {
				continue
			}
		}
		if err := p.measure(ctx); err != nil && ctx.Err() == nil {
			p.logger.ErrorContext(ctx, "what the operating point costs could not be measured", slog.Any("error", err))
		}
	}
}

// Measure asks for a measurement, unless one is under way.
func (p *Point) Measure() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holdings.hurry.Store(true)
	if p.running {
		return
	}
	p.wanted = true
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *Point) due() bool {
	names := p.holdings.Names()
	p.mu.Lock()
	defer p.mu.Unlock()
	moved := names - p.measured.names
	moved = max(moved, -moved)
	return p.measured.at.IsZero() || moved >= leastGrown && moved*measuredShare > p.measured.names
}

func (p *Point) measure(ctx context.Context) error {
	p.mu.Lock()
	p.running = true
	again := p.wanted
	p.mu.Unlock()
	m := measured{names: p.holdings.Names()}
	err := p.holdings.measureRecall(ctx, again)
	m.at = p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running, p.wanted = false, false
	p.holdings.hurry.Store(false)
	if err == nil {
		p.measured = m
	}
	return err
}

// measureRecall measures what operating points cost; with again the thresholds too, though the list
// has not changed.
func (h *Holdings) measureRecall(ctx context.Context, again bool) error {
	if err := h.calibrate(ctx, again); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, measureWithin)
	defer cancel()
	return h.held().MeasureRecall(ctx, listedSeed, listedEach)
}
