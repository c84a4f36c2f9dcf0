package screening

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/node/match"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// tablePoints are the points of which Cost tells what they cost, in alerts in 1,000.
func tablePoints() []float64 { return []float64{0.1, 0.25, 0.5, 1, 2, 5} }

// measureMethod says how the recall is measured.
const measureMethod = "Invented persons of every region of the world, each listed as another source writes them " +
	"(other spellings, a word left out, an initial, another order, a slip of the keys; of five birth dates one is incomplete or wrong), " +
	"are looked for by the machine-readable zones of their passports, among the own list. " +
	"The alerts are those of invented travellers, of as many from each region, of whom nobody is listed."

// Show is the point as it holds now.
func (p *Point) Show() *adminv1.OperatingPoint {
	p.mu.Lock()
	saved := p.saved
	p.mu.Unlock()
	o, own := saved.point(), p.holdings.Names()
	out := &adminv1.OperatingPoint{
		Together: uint64(max(o.Together, own)), OwnNames: uint64(own), TogetherSet: uint64(saved.Together),
	}
	for _, class := range match.Classes() {
		out.Classes = append(out.Classes, &adminv1.PointOfClass{
			EvidenceClass: evidenceClass(class), AlertsPerThousand: o.PerThousand(class),
			DefaultAlertsPerThousand: match.DefaultPoint.PerThousand(class),
			Threshold:                p.holdings.held().ThresholdsAt(class, o.PerThousand(class)).Formula,
		})
	}
	return out
}

// Cost is the point as it holds now, with the thresholds of all regions, what it and others cost, and
// how that was measured.
func (p *Point) Cost() (*adminv1.OperatingPoint, *adminv1.RecallMeasurement) {
	out := p.Show()
	p.mu.Lock()
	last, running := p.measured, p.wanted || p.running
	p.mu.Unlock()
	how := &adminv1.RecallMeasurement{Method: measureMethod, Running: running}
	if last.at.IsZero() {
		return out, how
	}
	persons, names := p.holdings.held().LookedFor()
	how.MeasuredAt, how.LookedFor, how.OwnNames = timestamppb.New(last.at), uint32(persons), uint64(names)
	for i, class := range match.Classes() {
		c := out.GetClasses()[i]
		if p.holdings.held().Calibration() != nil {
			c.CalibratedAt = timestamppb.New(last.at)
			for region, least := range p.holdings.held().ThresholdsAt(class, c.GetAlertsPerThousand()).Regions {
				c.Regions = append(c.Regions, &adminv1.RegionThreshold{Region: region, Threshold: least})
			}
		}
		slices.SortFunc(c.Regions, func(a, b *adminv1.RegionThreshold) int { return cmp.Compare(a.GetRegion(), b.GetRegion()) })
		points := append(tablePoints(), c.GetAlertsPerThousand())
		slices.Sort(points)
		for _, at := range slices.Compact(points) {
			if recall, ok := p.holdings.held().RecallAt(class, at); ok {
				c.Recalls = append(c.Recalls, &adminv1.RecallAt{AlertsPerThousand: at, Recall: recall})
			}
		}
	}
	return out, how
}

func evidenceClass(c match.Class) adminv1.EvidenceClass {
	if c == match.ByBirthDate {
		return adminv1.EvidenceClass_EVIDENCE_CLASS_BIRTH_DATE
	}
	return adminv1.EvidenceClass_EVIDENCE_CLASS_NAME
}
