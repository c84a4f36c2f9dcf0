package main

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// TestBooksSurviveKill kills the nodes of two bureaus under the checks of their officers, as an
// operator would see it: entente run, SIGKILL, entente run. Afterwards every check that an officer
// was answered stands in the own books, every answer in both, and both auditors' commands find
// the books whole.
func TestBooksSurviveKill(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	dirs := []string{"bel", "bgr"}
	for i, country := range []string{"BEL", "BGR"} {
		f.do("init", "--country", country, "--federation", "demo.entente", "--dir", dirs[i])
	}
	f.found(dirs...)
	f.write("stolen.csv", "number,issuing_country,type,status\nEH482913,BEL,passport,stolen\n")
	f.do("import", "--dir", "bel", "--collection", "documents", "--format", "csv", "stolen.csv")
	f.do("policy", "permit", "--dir", "bgr", "--bureau", "ALL", "--collection", "documents")
	up := map[string]*running{}
	for _, dir := range dirs {
		up[dir] = f.up(dir)
		f.do("enrol", "--dir", dir, "--agency", "bureau", "--role", "auditor", "--name", "dpo", "--out", dir+"/clients/auditor")
	}
	passport := []string{"--document", "EH482913", "--issuer", "BEL"}
	var told []*screeningv1.CheckResponse
	for _, victim := range []string{"bel", "bgr", "bel", "bgr"} {
		f.meets("bgr", "BEL", "documents")
		var mu sync.Mutex
		var officers sync.WaitGroup
		for range 3 {
			officers.Go(func() {
				for range 4 {
					o := f.try("", append([]string{"check", "--dir", "bgr", "--purpose", "border-control", "--json"}, passport...)...)
					resp := &screeningv1.CheckResponse{}
					if protojson.Unmarshal([]byte(o.stdout), resp) != nil || resp.GetCheckId() == "" {
						continue // the node was away, and has told nothing
					}
					mu.Lock()
					told = append(told, resp)
					mu.Unlock()
				}
			})
		}
		moment := time.NewTimer(time.Duration(100+rand.IntN(400)) * time.Millisecond)
		<-moment.C
		up[victim].kill()
		up[victim] = f.up(victim)
		officers.Wait()
	}
	heardOf := 0
	for _, resp := range told {
		f.do("audit", "show", "--dir", "bgr", "--message-id", resp.GetCheckId())
		s := statusAt(resp, "BEL")
		if !heard(s) {
			continue
		}
		heardOf++
		for i, want := range []int{2, 2} { // asked and answered, in both
			o := f.do("audit", "show", "--dir", dirs[i], "--message-id", s.GetAskId(), "--json")
			if _, err := jsonLines(o.stdout, want); err != nil {
				t.Errorf("check %s, ask %s in the books of %s: %v", resp.GetCheckId(), s.GetAskId(), dirs[i], err)
			}
		}
	}
	if heardOf == 0 {
		t.Error("no check was answered from abroad: nothing was shown")
	}
	t.Logf("%d checks were answered, %d of them by BEL", len(told), heardOf)
	for i, dir := range dirs {
		report := &auditv1.VerifyReport{}
		if jsonInto(t, f.do("audit", "verify", "--dir", dir, "--json").stdout, report); !report.GetWhole() {
			t.Errorf("%s: %v", dir, report)
		}
		f.into(dir+".export", "audit", "export", "--dir", dir, "--bureau", []string{"BGR", "BEL"}[i])
	}
	t.Log(f.do("audit", "join", "bel.export", "bgr.export").stdout)
	for _, dir := range dirs {
		up[dir].stop()
	}
}
