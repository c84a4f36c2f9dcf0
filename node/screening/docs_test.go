package screening_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/node/match/people"
	"github.com/entente-mesh/entente/node/screening"
	"github.com/entente-mesh/entente/node/store"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

var update = flag.Bool("update", false, "measure anew what docs/operating-point.md says; takes minutes")

const (
	pointPage = "../../docs/operating-point.md"
	costHead  = "| known | searched together | 0.1 | 0.25 | 0.5 | 1 | 2 | 5 |\n|---|---|---|---|---|---|---|---|\n"
	// The list of the page.
	pageNames, pageSeed = 10_000, 21
	bureaus             = 195
)

// TestPointPage holds that the page names the default, and measures its table with -update.
func TestPointPage(t *testing.T) {
	b, err := os.ReadFile(pointPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, class := range match.Classes() {
		if want := fmt.Sprintf("**%g in 1,000**", match.DefaultPoint.PerThousand(class)); !strings.Contains(page, want) {
			t.Errorf("%s does not name the default %s", pointPage, want)
		}
	}
	before, rest, ok := strings.Cut(page, costHead)
	if !ok {
		t.Fatalf("%s has no table", pointPage)
	}
	if !*update {
		return
	}
	_, after, _ := strings.Cut(rest, "\n\n")
	if err := os.WriteFile(pointPage, []byte(before+costHead+costTable(t)+"\n"+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// costTable is what points cost on an invented list, alone and among as many as there are states.
func costTable(t *testing.T) string {
	s := &shelf{values: map[string][]byte{}}
	h := screening.NewHoldings(bgr, inventedList{}, nil, nil)
	if err := h.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := screening.OpenPoint(t.Context(), h, s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Follow(ctx)
	}()
	p.Measure()
	point, how := p.Cost()
	for look := time.NewTicker(time.Second); how.GetRunning(); point, how = p.Cost() {
		<-look.C
	}
	cancel()
	<-done
	table := costRows(point)
	if err := p.Set(t.Context(), &adminv1.SetOperatingPointRequest{Together: proto.Uint64(bureaus * pageNames)}, booked); err != nil {
		t.Fatal(err)
	}
	point, _ = p.Cost()
	return table + costRows(point)
}

func costRows(p *adminv1.OperatingPoint) string {
	var rows strings.Builder
	for i, known := range []string{"name", "name and birth date"} {
		c := p.GetClasses()[i]
		fmt.Fprintf(&rows, "| %s | %d |", known, p.GetTogether())
		for _, r := range c.GetRecalls() {
			mark := ""
			if r.GetAlertsPerThousand() == c.GetDefaultAlertsPerThousand() {
				mark = "**"
			}
			fmt.Fprintf(&rows, " %s%.1f %%%s |", mark, 100*r.GetRecall(), mark)
		}
		rows.WriteString("\n")
	}
	return rows.String()
}

// inventedList is a list of invented persons.
type inventedList struct{}

func (inventedList) FindDocuments(context.Context, store.DocumentLookup) ([]*recordv1.Record, error) {
	return nil, nil
}

func (inventedList) Changes(_ context.Context, after int64, _ int, _ ...string) ([]store.Change, error) {
	if after > 0 {
		return nil, nil
	}
	world := people.NewPopulation(pageSeed)
	all := make([]store.Change, 0, pageNames)
	for i := range pageNames {
		t := world.Next()
		p := &recordv1.Person{
			Names:         []*recordv1.Name{{Parts: []*recordv1.NamePart{{Kind: recordv1.NamePartKind_NAME_PART_KIND_FULL, Text: t.Name()}}}},
			Births:        []*recordv1.Birth{{Precision: recordv1.DatePrecision_DATE_PRECISION_DAY, From: t.Born, To: t.Born}},
			Nationalities: []*recordv1.Nationality{{Code: t.Nationality}}, Sex: recordv1.Sex_SEX_MALE,
		}
		if t.Sex == people.Female {
			p.Sex = recordv1.Sex_SEX_FEMALE
		}
		id := fmt.Sprintf("bgr:%d", i+1)
		all = append(all, store.Change{Seq: int64(i + 1), RecordID: id, Record: &recordv1.Record{RecordId: id, Body: &recordv1.Record_Person{Person: p}}})
	}
	return all, nil
}
