package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// reports is a file of n passports that BEL reports stolen, each in a series of its own.
func reports(series string, n int) string {
	var b strings.Builder
	b.WriteString("number,issuing_country,type,status,national_reference\n")
	for i := range n {
		fmt.Fprintf(&b, "%s%06d,BEL,passport,stolen,BEL-%s-%d\n", series, i, series, i)
	}
	return b.String()
}

func importArgs(source, file string) []string {
	return []string{"import", "--dir", "bel", "--collection", "documents", "--format", "csv", "--source", source, "--json", file}
}

// imports takes a file in, and returns the report.
func (f *folder) imports(source, file string) *recordv1.ImportReport {
	f.t.Helper()
	return jsonInto(f.t, f.do(importArgs(strings.ToLower(source), file)...).stdout, &recordv1.ImportReport{})
}

func wantReport(t *testing.T, r *recordv1.ImportReport, created, unchanged uint64) {
	t.Helper()
	if r.GetCreated() != created || r.GetUnchanged() != unchanged || r.GetUpdated() != 0 || r.GetWithdrawn() != 0 || r.GetBad() != 0 {
		t.Errorf("%d created and %d unchanged, want %d and %d: %v", r.GetCreated(), r.GetUnchanged(), created, unchanged, r)
	}
}

// documents is how many documents the running node of BEL holds.
func (f *folder) documents() uint64 {
	f.t.Helper()
	s := jsonInto(f.t, f.do("status", "--dir", "bel", "--json").stdout, &adminv1.GetStatusResponse{})
	for _, c := range s.GetCollections() {
		if c.GetCollection() == "documents" {
			return c.GetRecords()
		}
	}
	return 0
}

// halfway starts an import and returns when its first rows are in the store's journal and the
// import is still under way. It returns false if the import ended before it could be seen.
func (f *folder) halfway(cmd *exec.Cmd) (ended chan struct{}, ok bool) {
	f.t.Helper()
	journal := func() int64 {
		info, err := os.Stat(f.at("bel", "store", "entente.db-wal"))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	// What is there belongs to what was acknowledged. A journal that is begun anew shrinks first.
	before := journal()
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	ended = make(chan struct{})
	go func() {
		_ = cmd.Wait() // what it was, ProcessState says
		close(ended)
	}()
	f.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	dog := time.NewTimer(watchdog)
	defer dog.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return ended, false
		case <-dog.C:
			f.t.Fatal("the import wrote nothing")
		case <-tick.C:
			if size := journal(); size > before+1<<20 {
				return ended, true
			}
		}
	}
}

// crash kills a process in the middle of an import of ever more rows, until it is seen to be the
// middle, and returns how many rows that were.
func (f *folder) crash(series string, kill func(importing *exec.Cmd)) int {
	f.t.Helper()
	for rows := 10_000; rows <= 160_000; rows *= 2 {
		f.write("many.csv", reports(series, rows))
		cmd := f.command(importArgs(strings.ToLower(series), "many.csv")...)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		ended, ok := f.halfway(cmd)
		if !ok {
			continue // so fast: the next one has more new rows
		}
		kill(cmd)
		<-ended
		if cmd.ProcessState.ExitCode() == 0 {
			continue // the kill came when all was done
		}
		return rows
	}
	f.t.Fatal("no import lasted long enough to be killed in its middle")
	return 0
}

// TestImportSurvivesKill kills the node, and the command line without a node, in the middle of
// imports. What was acknowledged is there; what was not is completed by importing again.
func TestImportSurvivesKill(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	f.do("init", "--country", "BEL", "--federation", "demo.entente", "--dir", "bel")
	node := f.up("bel")

	// Acknowledged, and killed at once.
	f.write("first.csv", reports("EA", 1500))
	wantReport(t, f.imports("EA", "first.csv"), 1500, 0)
	node.kill()
	node = f.up("bel")
	if n := f.documents(); n != 1500 {
		t.Errorf("1500 records were acknowledged, %d are there", n)
	}

	// Killed in the middle of an import over the running node.
	rows := f.crash("EB", func(*exec.Cmd) { node.kill() })
	node = f.up("bel")
	kept := f.documents() - 1500
	t.Logf("the node was killed in an import of %d rows: %d are there", rows, kept)
	if kept == 0 || kept > uint64(rows) {
		t.Errorf("%d of %d rows are there", kept, rows)
	}
	wantReport(t, f.imports("EA", "first.csv"), 0, 1500)
	wantReport(t, f.imports("EB", "many.csv"), uint64(rows)-kept, kept)
	// Its id is made from its number under a key of the node's, so that only the document is known.
	last := fmt.Sprintf("EB%06d", rows-1)
	resp := f.check("bel", "--document", last, "--issuer", "BEL")
	if resp.GetVerdict() != screeningv1.Verdict_VERDICT_HIT || len(resp.GetHits()) != 1 || resp.GetHits()[0].GetDocument().GetNumber() != last {
		t.Errorf("the check of %s came out as %s", last, came(resp))
	}
	node.stop()

	// Killed in the middle of an import into the folder of a node that does not run.
	offline := f.crash("EC", func(importing *exec.Cmd) {
		if err := importing.Process.Kill(); err != nil {
			t.Error(err)
		}
	})
	again := f.imports("EC", "many.csv")
	t.Logf("the import itself was killed in %d rows: %d are there", offline, again.GetUnchanged())
	if again.GetCreated()+again.GetUnchanged() != uint64(offline) || again.GetUnchanged() == 0 {
		t.Errorf("of %d rows: %v", offline, again)
	}
	f.write("again.csv", reports("EB", rows))
	wantReport(t, f.imports("EB", "again.csv"), 0, uint64(rows))
	wantReport(t, f.imports("EA", "first.csv"), 0, 1500)
	node = f.up("bel")
	if n := f.documents(); n != uint64(1500+rows+offline) {
		t.Errorf("%d documents, want %d", n, 1500+rows+offline)
	}
	node.stop()
}
