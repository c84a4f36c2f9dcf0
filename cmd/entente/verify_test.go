package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
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

// swappedFrames puts two frames of the journal in each other's place, with their bytes: the second and
// the third, or any two of one length if alike is wanted, so that everything else stays where it is.
func swappedFrames(alike bool) func([]byte) []byte {
	return func(b []byte) []byte {
		var at []int
		for i := 0; i+8 < len(b); i++ {
			if string(b[i:i+4]) == "EJF1" {
				at = append(at, i)
			}
		}
		length := func(i int) int { return int(binary.BigEndian.Uint32(b[at[i]+4:])) }
		first, second := 1, 2
		for i := 1; alike && i < len(at); i++ {
			for k := i + 1; k < len(at); k++ {
				if length(i) == length(k) {
					first, second = i, k
				}
			}
		}
		p, q := at[first], at[second]
		return slices.Concat(b[:p], b[q:q+length(second)], b[p+length(first):q], b[p:p+length(first)], b[q+length(second):])
	}
}

// swapped puts the first two entries of a file of the log in each other's place.
func swapped(b []byte) []byte {
	return slices.Concat(b[bundleEntry:2*bundleEntry], b[:bundleEntry], b[2*bundleEntry:])
}

// swappedHashes puts the second and the third hash of a tile in each other's place.
func swappedHashes(b []byte) []byte {
	const size = 32
	return slices.Concat(b[:size], b[2*size:3*size], b[size:2*size], b[3*size:])
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
		"two frames of the journal swapped":    {segment, swappedFrames(false), `^journal/00000001\.seg, byte \d+, leaf 1: reordered`, false},
		"two frames of one length swapped":     {segment, swappedFrames(true), `^journal/00000001\.seg, byte \d+, leaf [1-9]\d*: reordered`, false},
		"a byte of the log's entries":          {entries, flippedAt(bundleEntry + 10), `^log/tree/tile/entries/\S+, byte 76, leaf 1: damaged`, true},
		"two entries of the log in one order":  {entries, swapped, `^log/tree/tile/entries/\S+, byte 0, leaf 0: reordered: the entry of leaf 1 stands here$`, true},
		"the log's last entry":                 {entries, func(b []byte) []byte { return b[:len(b)-bundleEntry] }, `^log/tree/tile/entries/\S+, byte \d+, leaf [1-9]\d*: cut off`, true},
		"the newest entries":                   {entries, nil, `^log/tree/tile/entries/\S+, byte 0, leaf 0: missing`, true},
		"a byte of the log's hashes":           {tile, flippedAt(40), `^log/tree/tile/0/\S+, byte 40, leaf 1: damaged`, true},
		"two hashes of the log in one order":   {tile, swappedHashes, `^log/tree/tile/0/\S+, byte 32, leaf 1: reordered: the hash of leaf 2 stands here$`, true},
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
				// Of the rest it is said what it is, and no more.
				if !strings.Contains(o.stdout, "nothing is said beyond its first flaw") ||
					!strings.Contains(o.stdout, fmt.Sprintf("The log by itself lists %d leaves, with a signed checkpoint of %d: it agrees with itself", whole.GetLeaves(), whole.GetLeaves())) {
					t.Errorf("what else could be read is not said:\n%s", o.stdout)
				}
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

// TestAuditVerifyReadsTheLogWithoutTheJournal spoils what leads to the journal, and the log with it: both
// are named, and neither passes for sound.
func TestAuditVerifyReadsTheLogWithoutTheJournal(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	f.do("init", "--country", "BEL", "--federation", "demo.entente", "--dir", "bel")
	node := f.up("bel")
	f.do("enrol", "--dir", "bel", "--agency", "bureau", "--role", "auditor", "--name", "dpo", "--out", filepath.Join("bel", "clients", "auditor"))
	f.check("bel", "--document", "EH482913", "--issuer", "BEL")
	f.do("audit", "verify", "--dir", "bel")
	node.stop()
	spoil := func(file string, do func([]byte) []byte) {
		t.Helper()
		raw, err := os.ReadFile(f.at("bel", file))
		if err == nil {
			err = os.WriteFile(f.at("bel", file), do(raw), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	says := func(parts ...string) {
		t.Helper()
		o := f.fails("the books are not whole", "audit", "verify", "--offline", "--dir", "bel")
		for _, part := range parts {
			if !regexp.MustCompile("(?m)" + part).MatchString(o.stdout) {
				t.Errorf("it does not say %s:\n%s", part, o.stdout)
			}
		}
	}
	keys := filepath.Join("vault", "journal.keys")
	spoil(keys, flippedAt(40))
	says(`^vault/journal\.keys, byte 0, leaf 0: `, `^NOT WHOLE: .*by itself lists [1-9]\d* leaves, with a signed checkpoint of [1-9]\d*: it agrees with itself`)
	spoil(newest(t, f.at("bel"), filepath.Join("books", "log", "tree", "tile", "0", "000.p")), swappedHashes)
	says(`^vault/journal\.keys, `, `^log/tree/tile/0/\S+, byte 32, leaf 1: reordered`, `^NOT WHOLE: .*: it is flawed too$`)
	report := jsonInto(t, f.fails("the books are not whole", "audit", "verify", "--offline", "--dir", "bel", "--json").stdout, &auditv1.VerifyReport{})
	if report.GetWhole() || report.GetLeaves() != 0 || report.GetEntries() != 0 || report.GetIntegrated() == 0 || len(report.GetCheckpoint()) == 0 {
		t.Errorf("%v", report)
	}
	// Neither can the log be read: the first flaw is said all the same.
	if err := os.RemoveAll(f.at("bel", "books", "log")); err != nil {
		t.Fatal(err)
	}
	says(`^vault/journal\.keys, `, `^log/`, `^NOT WHOLE: .*no leaf of the log could be read$`)
	if err := os.Remove(f.at("bel", "keys", "log.key")); err != nil {
		t.Fatal(err)
	}
	says(`^vault/journal\.keys, `, `^log, byte 0, leaf 0: not read: log key: `, `^NOT WHOLE: .*no leaf of the log could be read$`)
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
