package audit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/entente-mesh/entente/node/audit"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// TestALogIsReadWithoutItsJournal reads what a log has by itself, sound and spoilt: it is never whole, a
// sound one has no flaws, and of a spoilt one file, byte and leaf are named.
func TestALogIsReadWithoutItsJournal(t *testing.T) {
	h, m := newHouse(t)
	r := h.open()
	m.local(600)
	r.signed(600)
	m.local(30)
	r.signed(630)
	_ = r.stop()
	const size = 66 // of an entry
	edge := "tree/tile/entries/002.p/118"
	// swap puts two entries of a file in each other's place.
	swap := func(i, k, size int) func([]byte) []byte {
		return func(b []byte) []byte {
			return slices.Concat(b[:i*size], b[k*size:(k+1)*size], b[(i+1)*size:k*size], b[i*size:(i+1)*size], b[(k+1)*size:])
		}
	}
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[at] ^= 1; return b }
	}
	for name, c := range map[string]struct {
		file  string
		spoil func([]byte) []byte // nil: the file is removed
		leads uint64              // how many leaves are listed
		says  string
	}{
		"nothing":                     {edge, func(b []byte) []byte { return b }, 630, ""},
		"an entry":                    {"tree/tile/entries/001", flip(5*size + 10), 630, "log/tree/tile/0/001@160 leaf 261: damaged: the hash is not what the log's list of leaves has"},
		"an entry's length":           {"tree/tile/entries/001", flip(5 * size), 630, "log/tree/tile/entries/001@330 leaf 261: damaged"},
		"two entries":                 {"tree/tile/entries/000", swap(3, 9, size), 630, "log/tree/tile/0/000@96 leaf 3: reordered: the hash of leaf 9 stands here"},
		"the newest entries":          {edge, swap(0, 117, size), 630, "log/tree/tile/0/002.p/118@0 leaf 512: reordered: the hash of leaf 629 stands here"},
		"two hashes":                  {"tree/tile/0/001", swap(0, 1, 32), 630, "log/tree/tile/0/001@0 leaf 256: reordered: the hash of leaf 257 stands here"},
		"a hash above":                {"tree/tile/1/000.p/2", flip(40), 630, "log/tree/tile/1/000.p/2@40 leaf 256: damaged"},
		"entries that are gone":       {"tree/tile/entries/001", nil, 256, "log/tree/tile/entries/001@0 leaf 256: missing, or cut off: the log has 630 leaves"},
		"entries that are cut":        {"tree/tile/entries/001", func(b []byte) []byte { return b[:10*size+7] }, 266, "log/tree/tile/entries/001@660 leaf 266: missing, or cut off: the log has 630 leaves"},
		"how far the tree is":         {"tree/.state/treeState", nil, 630, "log/tree/.state/treeState@0 leaf 630: missing"},
		"the checkpoint":              {"checkpoint", flip(60), 630, "log/checkpoint@60 leaf 630: damaged: not the checkpoint that was signed last"},
		"the checkpoint is not there": {"checkpoint", nil, 630, "log/checkpoint@0 leaf 630: missing"},
	} {
		t.Run(name, func(t *testing.T) {
			one := *h
			one.dir, one.journal, one.signer = filepath.Join(t.TempDir(), "log"), nil, h.signer
			copyFolder(t, h.dir, one.dir)
			path := filepath.Join(one.dir, filepath.FromSlash(c.file))
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if c.spoil == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, c.spoil(raw), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			report, err := audit.ExamineAlone(t.Context(), one.config(), nil)
			if err != nil {
				t.Fatal(err)
			}
			var flaws []string
			for _, f := range report.GetFlaws() {
				flaws = append(flaws, fmt.Sprintf("%s@%d leaf %d: %s", f.GetFile(), f.GetOffset(), f.GetIndex(), f.GetWhat()))
			}
			if report.GetWhole() || report.GetLeaves() != 0 || report.GetIntegrated() != c.leads {
				t.Errorf("whole %v, %d of the journal, %d listed", report.GetWhole(), report.GetLeaves(), report.GetIntegrated())
			}
			if c.says == "" && len(flaws) > 0 || !slices.ContainsFunc(flaws, func(f string) bool { return strings.HasPrefix(f, c.says) }) && c.says != "" {
				t.Errorf("expected %q:\n%s", c.says, strings.Join(flaws, "\n"))
			}
		})
	}
}

// TestALogWithoutABelievedCheckpointIsNotWhole spoils or removes the newest checkpoint and its copy: no
// other one says then that the leaves are those that were signed.
func TestALogWithoutABelievedCheckpointIsNotWhole(t *testing.T) {
	h, m := newHouse(t)
	r := h.open()
	m.local(5)
	r.signed(5)
	_ = r.stop()
	both := []string{"checkpoint", "tree/checkpoint"}
	for name, c := range map[string]struct {
		spoil func(path string) error
		says  string
	}{
		"damaged": {func(p string) error {
			raw, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			raw[40] ^= 1
			return os.WriteFile(p, raw, 0o600)
		}, "damaged, or never signed: the own signature is not under it"},
		"removed": {os.Remove, "missing: the tree has 5 leaves, and no checkpoint of them is signed"},
	} {
		t.Run(name, func(t *testing.T) {
			one := *h
			one.dir = filepath.Join(t.TempDir(), "log")
			copyFolder(t, h.dir, one.dir)
			for _, file := range both {
				if err := c.spoil(filepath.Join(one.dir, filepath.FromSlash(file))); err != nil {
					t.Fatal(err)
				}
			}
			whole, err := audit.Examine(t.Context(), one.config(), nil)
			if err != nil {
				t.Fatal(err)
			}
			alone, err := audit.ExamineAlone(t.Context(), one.config(), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, report := range []*auditv1.VerifyReport{whole, alone} {
				if report.GetWhole() || len(report.GetFlaws()) == 0 || report.GetFlaws()[0].GetFile() != "log/checkpoint" ||
					report.GetFlaws()[0].GetWhat() != c.says {
					t.Errorf("%v", report)
				}
			}
		})
	}
}
