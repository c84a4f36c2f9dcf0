package screening_test

import (
	"slices"
	"testing"

	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// TestACommonNameIsNamed: who asks for MOHAMED AHMED hears that it tells of nobody, whether or not he is listed.
func TestACommonNameIsNamed(t *testing.T) {
	p := bulgaria(t)
	for _, listed := range []bool{false, true} {
		if listed {
			p.keep(t, person("own-1", "Mohamed Ahmed", "1989-04-17"))
		}
		for birth, want := range map[string]bool{"": true, "1989": true, "1989-04": true, "1989-04-17": false} {
			resp := p.check(t, traveller("MOHAMED AHMED", birth))
			told := slices.ContainsFunc(resp.GetProblems(), func(p *screeningv1.Problem) bool { return p.GetCode() == "COMMON_NAME" })
			if told != want || len(resp.GetProblems()) > 1 {
				t.Errorf("born %q: %v", birth, resp.GetProblems())
			}
			if found := len(resp.GetHits()) > 0; found != (listed && !want) {
				t.Errorf("born %q, listed %v: %v", birth, listed, ids(resp.GetHits()))
			}
		}
		if resp := p.check(t, traveller("KARIM ZEROUALI", "")); len(resp.GetProblems()) > 0 {
			t.Errorf("a rare name: %v", resp.GetProblems())
		}
	}
}
