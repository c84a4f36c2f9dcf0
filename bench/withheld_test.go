package main

import (
	"math"
	"testing"
	"time"
)

func TestRankAUC(t *testing.T) {
	many := func(from, count int) spread {
		var s spread
		for i := range count {
			s = append(s, time.Duration(from+i))
		}
		return s
	}
	for name, c := range map[string]struct {
		positive, negative spread
		want               float64
	}{
		"the same":           {many(0, 100), many(0, 100), 0.5},
		"all slower":         {many(100, 50), many(0, 50), 1},
		"all faster":         {many(0, 50), many(100, 50), 0},
		"one of four":        {spread{1, 4}, spread{2, 3}, 0.5},
		"equal ones share":   {spread{5, 5}, spread{5, 5, 5}, 0.5},
		"three quarters":     {spread{2, 4}, spread{1, 3}, 0.75},
		"ties at a boundary": {spread{2, 3}, spread{1, 2}, 0.875},
	} {
		if got, _ := rankAUC(c.positive, c.negative); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if _, margin := rankAUC(many(0, 20_000), many(0, 20_000)); margin > 0.006 || margin < 0.005 {
		t.Errorf("margin %v at 20,000 pairs", margin)
	}
}
