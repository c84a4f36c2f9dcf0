//go:build unix

package main

import (
	"syscall"
	"testing"
	"time"

	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// TestHungBureau stops a bureau's process without ending it: its connections stand, and nobody
// answers. One check waits for it as long as an officer may, the next does not, and it is used
// again when it goes on.
func TestHungBureau(t *testing.T) {
	f := newFolder(t)
	f.do("init", "--country", "BEL", "--federation", "demo.entente", "--dir", "bel")
	f.do("init", "--country", "BGR", "--federation", "demo.entente", "--dir", "bgr")
	f.found("bel", "bgr")
	f.write("stolen.csv", "number,issuing_country,type,status\nEH482913,BEL,passport,stolen\n")
	f.do("import", "--dir", "bel", "--collection", "documents", "--format", "csv", "stolen.csv")
	f.do("policy", "permit", "--dir", "bgr", "--bureau", "ALL", "--collection", "documents")
	bel, bgr := f.up("bel"), f.up("bgr")
	f.meets("bgr", "BEL", "documents")
	passport := []string{"--document", "EH482913", "--issuer", "BEL"}
	const hit = "HIT: BGR=NO_HIT BEL=HIT; BEL/documents/sltd:*"
	wantCame(t, f.check("bgr", passport...), hit)

	if err := bel.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// SIGSTOP is asynchronous: an answer that was under way may still come.
	eventually(t, "BEL hangs", func() bool { return !heard(statusAt(f.check("bgr", passport...), "BEL")) })
	quickest := watchdog
	for range 3 {
		resp := f.check("bgr", passport...)
		s := statusAt(resp, "BEL")
		wantCame(t, resp, "INCOMPLETE: BGR=NO_HIT BEL=UNAVAILABLE")
		if s.GetStatus() == queryv1.Status_STATUS_UNAVAILABLE && s.GetSince() == nil {
			t.Errorf("not said since when: %v", s)
		}
		quickest = min(quickest, s.GetElapsed().AsDuration())
	}
	if quickest >= 50*time.Millisecond {
		t.Errorf("a check waits %s for a bureau that is known to hang", quickest)
	}

	if err := bel.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	on := time.Now()
	eventually(t, "BEL is used again", func() bool { return came(f.check("bgr", passport...)) == hit })
	took := time.Since(on)
	t.Logf("BEL was used again %s after it went on", took)
	if took > 15*time.Second {
		t.Errorf("BEL was used again only %s after it went on", took)
	}
	bel.stop()
	bgr.stop()
}
