package records_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/node/records"
	"github.com/entente-mesh/entente/node/store"
	"github.com/entente-mesh/entente/node/vault"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// needles are the texts that must not lie on the disk: names, their unusual parts and numbers, as
// written, in other cases and in UTF-16.
type needles map[string]bool

// unusual are the parts of a text that are looked for by themselves. Shorter ones can stand in any
// ciphertext by chance.
var unusual = regexp.MustCompile(`[\pL\pN]{7,}`)

func (n needles) add(text string) {
	if len(text) < 7 {
		return
	}
	for _, s := range append(unusual.FindAllString(text, -1), text) {
		n[s], n[strings.ToUpper(s)], n[strings.ToLower(s)] = true, true, true
	}
}

// wide are the same in UTF-16, in both orders of bytes.
func wide(s string) [][]byte {
	var little, big []byte
	for _, u := range utf16.Encode([]rune(s)) {
		little, big = binary.LittleEndian.AppendUint16(little, u), binary.BigEndian.AppendUint16(big, u)
	}
	return [][]byte{little, big}
}

func (n needles) addRecord(rec *recordv1.Record) {
	for _, name := range rec.GetPerson().GetNames() {
		for _, p := range name.GetParts() {
			n.add(p.GetText())
		}
	}
	for _, b := range rec.GetPerson().GetBirths() {
		n.add(b.GetPlace())
	}
	n.add(rec.GetPerson().GetRemarks())
	d := rec.GetDocument()
	for _, s := range append(slices.Clone(d.GetMoreKeys()), d.GetNumber(), d.GetNumberKey(), d.GetRangeEnd(), d.GetRemarks()) {
		n.add(s)
	}
	// Ids and references, but for those that say no more than that the program knows such a word.
	n.add(rec.GetRecordId())
	n.add(rec.GetStewardship().GetNationalRef())
}

// without drops what a store without any record holds as well: words of its schema.
func (n needles) without(haystack []byte) {
	for s := range n {
		for _, form := range append(wide(s), []byte(s)) {
			if bytes.Contains(haystack, form) {
				delete(n, s)
			}
		}
	}
}

// in returns how many needles a file holds, and one of them. It walks along the file once for all
// needles of one length.
func (n needles) in(haystack []byte) (found int, one string) {
	byHead := map[[7]byte][]string{}
	for s := range n {
		for _, form := range append(wide(s), []byte(s)) {
			if len(form) >= 7 {
				head := [7]byte(form[:7])
				byHead[head] = append(byHead[head], string(form))
			}
		}
	}
	for i := 0; i+7 <= len(haystack); i++ {
		for _, form := range byHead[[7]byte(haystack[i:i+7])] {
			if bytes.HasPrefix(haystack[i:], []byte(form)) {
				found, one = found+1, form
			}
		}
	}
	return found, one
}

// folder fails if a file of the folder holds a needle.
func (n needles) folder(t *testing.T, when, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var total int
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		total += len(b)
		if found, one := n.in(b); found > 0 {
			t.Errorf("%s: %s holds %d of what was imported, for example %q", when, e.Name(), found, one)
		}
	}
	t.Logf("%s: %d needles in %d bytes of %d files", when, len(n), total, len(entries))
}

// all are the records that the store can still open.
func (d *desk) all(t *testing.T) (list []*recordv1.Record) {
	t.Helper()
	var after int64
	for {
		changes, err := d.store.Changes(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(changes) == 0 {
			return list
		}
		for _, c := range changes {
			after = c.Seq
			if c.Record != nil {
				list = append(list, c.Record)
			}
		}
	}
}

// TestNothingReadableOnTheDisk imports lists, and looks for their names and numbers in every byte
// that lies in the folder: with the WAL, with the keys, with the saved index of persons, after
// everything was folded in, and, once one record was erased, in all that the remaining keys still open.
func TestNothingReadableOnTheDisk(t *testing.T) {
	dir, empty := t.TempDir(), t.TempDir()
	if err := belgiumIn(t, empty).store.PutState(t.Context(), "pins", "any", nil); err != nil {
		t.Fatal(err)
	}
	d := belgiumIn(t, dir)
	var csv strings.Builder
	csv.WriteString(csvHead)
	for i := range 300 {
		csv.WriteString("EH48" + string(rune('A'+i%26)) + strings.Repeat(string(rune('0'+i%10)), 3) + string(rune('A'+i/26)) + "913,,BEL,passport,stolen\n")
	}
	csv.WriteString("EH5000000,EH5000999,BEL,passport,stolen blank\n")
	d.take(t, documents(), csv.String())
	var people strings.Builder
	for i := range 200 {
		id := "wanted-" + strings.Repeat(string(rune('a'+i%26)), 3) + string(rune('a'+i/26))
		people.WriteString(person(id, `,"remarks":"last seen at Kapitan Andreevo by Quarterstaff"`))
		people.WriteString(associated(id+"-passport", "XDA77"+strings.Repeat(string(rune('0'+i%10)), 4), id))
	}
	d.take(t, persons(), people.String())
	un, err := os.ReadFile(filepath.Join("..", "formats", "unlist", "testdata", "list.xml"))
	if err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(os.Getenv("ENTENTE_DATA"), "lists", "un_consolidated.xml")
	if os.Getenv("ENTENTE_DATA") == "" {
		public = filepath.Join("..", "..", "..", "shared", "data", "lists", "un_consolidated.xml")
	}
	if b, err := os.ReadFile(public); err == nil {
		un = b
	} else if !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	d.take(t, &recordv1.ImportHeader{Collection: records.Persons, Format: "un-xml", Source: "un"}, string(un))

	look := needles{}
	held := d.all(t)
	for _, rec := range held {
		look.addRecord(rec)
	}
	for _, name := range []string{"store.db", "store.db-wal"} {
		b, err := os.ReadFile(filepath.Join(empty, name))
		if err != nil {
			t.Fatal(err)
		}
		look.without(b)
	}
	// The search itself finds what is there.
	plain, err := proto.Marshal(held[len(held)-1])
	if err != nil {
		t.Fatal(err)
	}
	if found, _ := look.in(plain); found == 0 {
		t.Fatal("the search finds nothing in a record that is not sealed")
	}
	d.save(t)
	look.folder(t, "imported", dir)
	index, err := os.ReadFile(filepath.Join(dir, "persons.index"))
	if err != nil {
		t.Fatal(err)
	}

	// One person is erased with what hangs on it.
	at := slices.IndexFunc(held, func(r *recordv1.Record) bool { return r.GetRecordId() == "wanted-cccc" })
	if at < 0 {
		t.Fatal("the person is not there")
	}
	gone := needles{}
	gone.add("wanted-cccc")
	for collection, id := range map[string]string{records.Persons: "wanted-cccc", records.Documents: "wanted-cccc-passport"} {
		if _, err := d.store.Erase(t.Context(), collection, id); err != nil {
			t.Fatal(err)
		}
	}
	look.folder(t, "erased", dir)
	// The index that was saved before it is of no use with the keys that remain; the next one is.
	if err := os.WriteFile(filepath.Join(dir, "persons.index"), index, 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := vault.Open(vault.Config{Path: filepath.Join(dir, "index.vault"), Master: key, Label: "index"})
	if err != nil {
		t.Fatal(err)
	}
	for id := range keys.Live() {
		t.Errorf("key %d of the saved index is not destroyed", id)
	}
	if err := keys.Close(); err != nil {
		t.Fatal(err)
	}
	d.save(t)
	look.folder(t, "erased, and the index saved again", dir)
	for _, rec := range d.all(t) {
		b, err := proto.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		if found, one := gone.in(b); found > 0 {
			t.Errorf("%s still says %q", rec.GetRecordId(), one)
		}
	}
	if list, err := d.store.Copies(t.Context(), "BEL", "wanted-cccc"); err != nil || len(list) > 0 {
		t.Errorf("copies of the erased: %v, %v", list, err)
	}
	if _, err := d.store.Get(t.Context(), records.Persons, "wanted-cccc"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := d.store.Close(); err != nil {
		t.Fatal(err)
	}
	look.folder(t, "closed", dir)
	if err := belgiumIn(t, dir).store.Check(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestIDsTellNothing(t *testing.T) {
	d := belgium(t)
	file := csvHead + "EH482913,,BEL,passport,stolen\nEH500000,EH500999,BEL,passport,stolen blank\n"
	d.take(t, documents(), file)
	form := regexp.MustCompile(`^sltd:[a-z2-7]{24}$`)
	var ids []string
	for _, rec := range d.all(t) {
		if ids = append(ids, rec.GetRecordId()); !form.MatchString(rec.GetRecordId()) {
			t.Errorf("the id %s", rec.GetRecordId())
		}
	}
	wants(t, d.take(t, documents(), file), 0, 0, 2, 0, 0)
	other := belgium(t)
	other.IDKey = bytes.Repeat([]byte{8}, 32)
	other.take(t, documents(), file)
	for _, rec := range other.all(t) {
		if slices.Contains(ids, rec.GetRecordId()) {
			t.Errorf("the id %s does not depend on the key", rec.GetRecordId())
		}
	}
	other.IDKey = nil
	if _, err := other.Import(t.Context(), documents(), strings.NewReader(file), nil); err == nil || !strings.Contains(err.Error(), "record ids") {
		t.Errorf("without a key: %v", err)
	}
}
