package match

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/entente-mesh/entente/node/match/names"
	"github.com/entente-mesh/entente/node/match/people"
)

var measureUsual = flag.Bool("update-usual", false, "measure anew what usual.tsv says; takes some minutes")

const usualHead = `# Thresholds of a list that was not measured, in nats of log-odds: at the default point, on a list of 10,000
# invented persons (package people). Made by: go test ./node/match -run TestUsualThresholds -update-usual
# home	name, alone, with nationality, sex, both	year of birth, alone ...	day of birth, alone ...
`

// TestUsualThresholds holds that the table has a threshold for whatever is known and wherever a name is
// at home.
func TestUsualThresholds(t *testing.T) {
	if *measureUsual {
		measureUsualThresholds(t)
		return
	}
	for _, home := range homes() {
		for k := range known(allKnown) {
			least, ok := usual()[k][home]
			if !ok || least < leastThreshold || least > 25 {
				t.Errorf("%q, %b known: %v", home, k, least)
			}
		}
	}
	for k := range known(allKnown) {
		if n := len(usual()[k]); n != len(homes()) {
			t.Errorf("%d homes", n)
		}
	}
}

func measureUsualThresholds(t *testing.T) {
	each, err := strconv.Atoi(os.Getenv("USUAL_EACH"))
	if err != nil {
		each = 20_000
	}
	p, world := NewPersons(Options{}), people.NewPopulation(3)
	p.index = names.Build(func(yield func(*names.Person) bool) {
		for i := range DefaultPoint.Together {
			if !yield(entry(strconv.Itoa(i), world.Next())) {
				return
			}
		}
	})
	if err := p.Calibrate(t.Context(), Measure{Seed: 29, Each: each, Workers: runtime.GOMAXPROCS(0)}); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(usualHead)
	c := p.Calibration()
	for _, home := range homes() {
		fmt.Fprintf(&b, "%s", max(home, "-"))
		for k := range c.least {
			least, ok := c.least[k][home]
			if !ok {
				t.Errorf("%q, %b known: too few to tell", home, k)
			}
			fmt.Fprintf(&b, "\t%.1f", least)
		}
		b.WriteByte('\n')
	}
	if err := os.WriteFile("usual.tsv", []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
