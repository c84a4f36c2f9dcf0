package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// bundleEntry is the size of an entry in a file of the log: its length in two bytes, and the leaf.
const bundleEntry = 66

// flippedAt flips a bit of one byte.
func flippedAt(offset int) func([]byte) []byte {
	return func(b []byte) []byte { b[offset] ^= 0x10; return b }
}

// swapped puts the first two entries of a file of the log in each other's place.
func swapped(b []byte) []byte {
	return slices.Concat(b[bundleEntry:2*bundleEntry], b[:bundleEntry], b[2*bundleEntry:])
}

// TestAuditVerifyNamesWhatIsWrong stops a node and spoils its books, one byte or entry at a time, in
// journal, bodies and log. The verification of the folder names the file, the byte and the leaf, and
// changes nothing; the node itself either mends what it can make again from the journal, or refuses
// to start and says why.
func TestAuditVerifyNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	f.do("init", "--country", "BEL", "--federation", "demo.entente", "--dir", "bel")
	f.write("stolen.csv", "number,issuing_country,type,status\nEH482913,BEL,passport,stolen\n")
	f.do("import", "--dir", "bel", "--collection", "documents", "--format", "csv", "stolen.csv")
	node := f.up("bel")
	f.do("enrol", "--dir", "bel", "--agency", "bureau", "--role", "auditor", "--name", "dpo", "--out", filepath.Join("bel", "clients", "auditor"))
	for range 5 {
		f.check("bel", "--document", "EH482913", "--issuer", "BEL")
	}
	f.do("audit", "verify", "--dir", "bel")
	node.stop()
	whole := jsonInto(t, f.do("audit", "verify", "--offline", "--dir", "bel", "--json").stdout, &auditv1.VerifyReport{})
	if !whole.GetWhole() || whole.GetLeaves() < 8 || whole.GetIntegrated() != whole.GetLeaves() {
		t.Fatalf("before anything is spoilt: %v", whole)
	}

	segment := filepath.Join("books", "journal", "00000001.seg")
	entries := newest(t, f.at("bel"), filepath.Join("books", "log", "tree", "tile", "entries", "000.p"))
	tile := newest(t, f.at("bel"), filepath.Join("books", "log", "tree", "tile", "0", "000.p"))
	for name, c := range map[string]struct {
		file   string
		spoil  func([]byte) []byte // nil: the file is removed
		says   string              // of the flaw
		starts bool
	}{
		"a byte of the journal's header":       {segment, flippedAt(20), `^journal/00000001\.seg, byte 0, leaf 0: `, false},
		"a byte of a body":                     {segment, flippedAt(3000), `^journal/00000001\.seg, byte \d+, leaf [1-9]\d*: `, false},
		"the journal's end":                    {segment, func(b []byte) []byte { return b[:5000] }, `^journal/00000001\.seg, byte \d+, leaf \d+: `, false},
		"the journal's only segment":           {segment, nil, `^journal/00000001\.seg, byte 0, leaf 0: missing`, false},
		"a byte of the log's entries":          {entries, flippedAt(bundleEntry + 10), `^log/tree/tile/entries/\S+, byte 76, leaf 1: damaged`, true},
		"two entries of the log in one order":  {entries, swapped, `^log/tree/tile/entries/\S+, byte \d+, leaf 0: damaged`, true},
		"the log's last entry":                 {entries, func(b []byte) []byte { return b[:len(b)-bundleEntry] }, `^log/tree/tile/entries/\S+, byte \d+, leaf [1-9]\d*: cut off`, true},
		"the newest entries":                   {entries, nil, `^log/tree/tile/entries/\S+, byte 0, leaf 0: missing`, true},
		"a byte of the log's hashes":           {tile, flippedAt(40), `^log/tree/tile/0/\S+, byte 40, leaf 1: damaged`, true},
		"a byte of the newest checkpoint":      {filepath.Join("books", "log", "checkpoint"), flippedAt(30), `^log/checkpoint, byte \d+, leaf \d+: `, true},
		"a byte of how far the tree has grown": {filepath.Join("books", "log", "tree", ".state", "treeState"), flippedAt(3), `^log/tree/\.state/treeState, byte 0, leaf \d+: damaged`, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := &folder{t, t.TempDir()}
			if err := os.CopyFS(g.at("bel"), os.DirFS(f.at("bel"))); err != nil {
				t.Fatal(err)
			}
			private(t, g.at("bel"))
			path := g.at("bel", c.file)
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if c.spoil == nil {
				err = os.Remove(path)
			} else {
				raw = c.spoil(raw)
				err = os.WriteFile(path, raw, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			o := g.fails("the books are not whole", "audit", "verify", "--offline", "--dir", "bel")
			if !regexp.MustCompile("(?m)"+c.says).MatchString(o.stdout) || !strings.Contains(o.stdout, "NOT WHOLE") {
				t.Errorf("it is not said where:\n%s", o.stdout)
			}
			// It was read and nothing else.
			after, err := os.ReadFile(path)
			if c.spoil == nil != os.IsNotExist(err) || c.spoil != nil && !bytes.Equal(after, raw) {
				t.Errorf("the verification has changed the folder: %v", err)
			}
			if !c.starts {
				refused := g.fails("journal", "run", "--dir", "bel")
				if strings.Contains(refused.stderr, "EH482913") {
					t.Errorf("it names what was asked:\n%s", refused.stderr)
				}
				return
			}
			// What the journal can make again is made again.
			n := g.up("bel")
			eventually(t, "the log is whole again", func() bool { return g.try("", "audit", "verify", "--dir", "bel").code == exitDone })
			n.stop()
		})
	}
}

// newest is the file in a folder of partial files that holds the most.
func newest(t *testing.T, dir, at string) string {
	t.Helper()
	parts, err := os.ReadDir(filepath.Join(dir, at))
	if err != nil || len(parts) == 0 {
		t.Fatalf("%s: %v", at, err)
	}
	name := slices.MaxFunc(parts, func(a, b os.DirEntry) int {
		return len(a.Name())*1000 + strings.Compare(a.Name(), b.Name()) - len(b.Name())*1000
	}).Name()
	return filepath.Join(at, name)
}

// private takes away from others what a copy has given them: keys that others can read are refused.
func private(t *testing.T, dir string) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	}); err != nil {
		t.Fatal(err)
	}
}
