package records_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/node/records"
	"github.com/entente-mesh/entente/node/screening"
	"github.com/entente-mesh/entente/node/store"
	"github.com/entente-mesh/entente/node/vault"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is Belgium's importer over a real store.
type desk struct {
	*records.Importer
	store    *store.Store
	holdings *screening.Holdings
	saved    *screening.Saved
	wrote    int
}

// save saves the index of persons beside the store.
func (d *desk) save(t *testing.T) {
	t.Helper()
	if err := d.holdings.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !d.saved.Whole() {
		t.Fatal("no index is saved")
	}
}

func belgium(t *testing.T) *desk {
	t.Helper()
	return belgiumIn(t, t.TempDir())
}

// key is every key of the tests.
var key = bytes.Repeat([]byte{7}, vault.KeySize)

func belgiumIn(t *testing.T, dir string) *desk {
	t.Helper()
	v, err := vault.Open(vault.Config{Path: filepath.Join(dir, "records.vault"), Master: key, Label: "records"})
	if err != nil {
		t.Fatal(err)
	}
	saved := screening.NewSaved(screening.SavedConfig{
		Path: filepath.Join(dir, "persons.index"), Keys: vault.Config{Path: filepath.Join(dir, "index.vault"), Master: key, Label: "index"},
	})
	s, err := store.Open(t.Context(), store.Config{
		Path: filepath.Join(dir, "store.db"), Vault: saved.Guard(v), LookupKey: key, StateKey: key, DocumentKey: match.DocumentKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Check(context.Background(), nil); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Error(err)
		}
		if err := errors.Join(s.Close(), v.Close(), saved.Close()); err != nil {
			t.Error(err)
		}
	})
	fitter, err := records.NewFitter("BEL")
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{store: s, holdings: screening.NewHoldings("BEL", s, nil, nil), saved: saved}
	d.holdings.SaveIn(saved, s)
	d.Importer = &records.Importer{Store: s, Fitter: fitter, IDKey: key, Written: func() { d.wrote++ }}
	return d
}

func persons() *recordv1.ImportHeader {
	return &recordv1.ImportHeader{Collection: records.Persons, Format: "entente-json", Source: "bel-wanted"}
}

func documents() *recordv1.ImportHeader {
	return &recordv1.ImportHeader{Collection: records.Documents, Format: "csv", Source: "bel-sltd"}
}

func (d *desk) take(t *testing.T, h *recordv1.ImportHeader, file string) *recordv1.ImportReport {
	t.Helper()
	r, err := d.Import(t.Context(), h, strings.NewReader(file), nil)
	if err != nil {
		t.Fatalf("%v; report %v", err, r)
	}
	return r
}

// refused imports a file that is refused as a whole.
func (d *desk) refused(t *testing.T, h *recordv1.ImportHeader, file string, code codes.Code, reason fault.Reason) *recordv1.ImportReport {
	t.Helper()
	r, err := d.Import(t.Context(), h, strings.NewReader(file), nil)
	got, _ := fault.ReasonOf(err)
	if status.Code(err) != code || got != reason {
		t.Fatalf("error %v, want %v %v", err, code, reason)
	}
	return r
}

func (d *desk) get(t *testing.T, collection, id string) *recordv1.Record {
	t.Helper()
	r, err := d.store.Get(t.Context(), collection, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (d *desk) counts(t *testing.T) (persons, documents uint64) {
	t.Helper()
	p, err := d.store.Count(t.Context(), records.Persons)
	q, err2 := d.store.Count(t.Context(), records.Documents)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return p, q
}

func person(id string, more ...string) string {
	return fmt.Sprintf(`{"recordId":%q,"person":{"names":[{"parts":[{"kind":"NAME_PART_KIND_FULL","text":"Invented %s"}]}]%s}}`, id, id, strings.Join(more, "")) + "\n"
}

func associated(id, number, person string) string {
	return fmt.Sprintf(`{"recordId":%q,"document":{"number":%q,"status":"DOCUMENT_STATUS_ASSOCIATED","personRef":%q}}`, id, number, person) + "\n"
}

const csvHead = "number,number_to,issuing_country,type,status\n"

func wants(t *testing.T, r *recordv1.ImportReport, created, updated, unchanged, withdrawn, bad uint64) {
	t.Helper()
	got := [...]uint64{r.GetCreated(), r.GetUpdated(), r.GetUnchanged(), r.GetWithdrawn(), r.GetBad()}
	if want := [...]uint64{created, updated, unchanged, withdrawn, bad}; got != want {
		t.Errorf("created, updated, unchanged, withdrawn, bad: %v, want %v; bad rows %v", got, want, r.GetBadRows())
	}
}

func badRow(t *testing.T, r *recordv1.ImportReport, line uint64, id, field, reason string) {
	t.Helper()
	for _, b := range r.GetBadRows() {
		if b.GetLine() == line && b.GetRecordId() == id && b.GetField() == field && strings.Contains(b.GetReason(), reason) {
			return
		}
	}
	t.Errorf("no bad row %d %q %s %q in %v", line, id, field, reason, r.GetBadRows())
}

func TestSameFileTwiceChangesNothing(t *testing.T) {
	d := belgium(t)
	file := person("p1") + person("p2") + associated("d1", "EH482913", "p1")
	wants(t, d.take(t, persons(), file), 3, 0, 0, 0, 0)
	before := d.wrote
	wants(t, d.take(t, persons(), file), 0, 0, 3, 0, 0)
	if before == 0 {
		t.Error("nobody was told of what was written")
	}
	newer := person("p1", `,"sex":"SEX_MALE"`) + person("p2") + associated("d1", "EH482913", "p1")
	wants(t, d.take(t, persons(), newer), 0, 1, 2, 0, 0)
	p := d.get(t, records.Persons, "p1")
	if s := p.GetStewardship(); s.GetVersion() != 2 || s.GetOwnerBureau() != "BEL" || len(s.GetPreviousDigest()) == 0 {
		t.Errorf("stewardship %v", s)
	}
}

func TestAudience(t *testing.T) {
	all, none, listed := recordv1.AudienceMode_AUDIENCE_MODE_ALL_PERMITTED, recordv1.AudienceMode_AUDIENCE_MODE_UNSPECIFIED, recordv1.AudienceMode_AUDIENCE_MODE_LISTED
	file := person("plain") + person("victim", `,"role":"PERSON_ROLE_VICTIM"`) + person("witness", `,"role":"PERSON_ROLE_WITNESS"`) +
		strings.Replace(person("own"), `"person":`, `"stewardship":{"audience":{"mode":"AUDIENCE_MODE_LISTED","allow":["FRA"]}},"person":`, 1) +
		associated("d-plain", "EH111111", "plain") + associated("d-victim", "EH222222", "victim") + associated("d-own", "EH333333", "own")
	want := map[string]recordv1.AudienceMode{
		"plain": all, "victim": none, "witness": none, "own": listed, "d-plain": all, "d-victim": none, "d-own": listed,
	}
	check := func(t *testing.T, d *desk) {
		t.Helper()
		for id, mode := range want {
			collection := records.Persons
			if strings.HasPrefix(id, "d-") {
				collection = records.Documents
			}
			if got := d.get(t, collection, id).GetStewardship().GetAudience().GetMode(); got != mode {
				t.Errorf("%s: audience %v, want %v", id, got, mode)
			}
		}
	}
	t.Run("the treaty's default is all whom policy permits", func(t *testing.T) {
		d := belgium(t)
		d.take(t, persons(), file)
		check(t, d)
		wants(t, d.take(t, persons(), file), 0, 0, 7, 0, 0)
	})
	t.Run("an import for nobody", func(t *testing.T) {
		d := belgium(t)
		h := persons()
		h.Audience = &recordv1.Audience{}
		d.take(t, h, person("p1"))
		if got := d.get(t, records.Persons, "p1").GetStewardship().GetAudience().GetMode(); got != none {
			t.Errorf("audience %v", got)
		}
	})
	t.Run("a document in a file of its own is told to whom its person is told", func(t *testing.T) {
		d := belgium(t)
		d.take(t, persons(), person("victim", `,"role":"PERSON_ROLE_VICTIM"`))
		h := documents()
		h.Format = "entente-json"
		d.take(t, h, associated("d-victim", "EH222222", "victim")+associated("d-far", "EH444444", "elsewhere"))
		if got := d.get(t, records.Documents, "d-victim").GetStewardship().GetAudience().GetMode(); got != none {
			t.Errorf("the victim's document: %v", got)
		}
		if got := d.get(t, records.Documents, "d-far").GetStewardship().GetAudience().GetMode(); got != all {
			t.Errorf("a document of nobody known: %v", got)
		}
	})
}

func TestBadRowsAreNamedAndTheGoodOnesKept(t *testing.T) {
	d := belgium(t)
	file := person("p1") + // 1
		"no json\n" + // 2
		person("p3", `,"nationalities":[{"code":"QQQ"}]`) + // 3
		person("p4", `,"births":[{"from":"1990-02-30","to":"1990-02-30"}]`) + // 4
		person("p5", `,"births":[{"from":"1990-05-01","to":"1990-04-01"}]`) + // 5
		person("p1") + // 6
		strings.Replace(person("p7"), `"person":`, `"stewardship":{"ownerBureau":"FRA"},"person":`, 1) + // 7
		associated("d8", "EH482913", "p3") + // 8: its person is bad
		associated("d9", "EH482913", "p99") + // 9: its person is nowhere
		`{"recordId":"d10","document":{"number":"EH1","issuer":"BEL","status":"DOCUMENT_STATUS_STOLEN"}}` + "\n" + // 10
		associated("d11", "EH482914", "p1") + // 11
		person("p12", `,"images":[{"content":"AAAA","digest":"AAAA"}]`) + // 12
		person("p13", `,"births":[{"from":"1990-05-01"}]`) // 13
	r := d.take(t, persons(), file)
	wants(t, r, 2, 0, 0, 0, 11)
	if r.GetRows() != 13 {
		t.Errorf("%d rows", r.GetRows())
	}
	badRow(t, r, 2, "", "record", "JSON")
	badRow(t, r, 3, "p3", "person.nationalities[0].code", "ISO 3166")
	badRow(t, r, 4, "p4", "person.births[0].from", "calendar")
	badRow(t, r, 5, "p5", "person.births[0]", "swap")
	badRow(t, r, 6, "p1", "record_id", "twice")
	badRow(t, r, 7, "p7", "stewardship.owner_bureau", "FRA")
	badRow(t, r, 8, "d8", "document.person_ref", "no person")
	badRow(t, r, 9, "d9", "document.person_ref", "no person")
	badRow(t, r, 10, "d10", "document.status", "--collection documents")
	badRow(t, r, 12, "p12", "person.images[0].digest", "SHA-256")
	badRow(t, r, 13, "p13", "person.births[0]", "both")
	if d.get(t, records.Documents, "d11") == nil || d.get(t, records.Persons, "p1") == nil {
		t.Error("good rows were not kept")
	}
	// The same id is taken from a later row if the first one was bad.
	r = d.take(t, persons(), person("p20", `,"nationalities":[{"code":"QQQ"}]`)+person("p20"))
	wants(t, r, 1, 0, 0, 0, 1)
}

func TestReportNamesAHundredRows(t *testing.T) {
	d := belgium(t)
	r := d.take(t, persons(), strings.Repeat("no json\n", 150)+person("p1"))
	wants(t, r, 1, 0, 0, 0, 150)
	if len(r.GetBadRows()) != 100 {
		t.Errorf("%d bad rows are named", len(r.GetBadRows()))
	}
}

func TestStrictKeepsNothing(t *testing.T) {
	d := belgium(t)
	d.take(t, &recordv1.ImportHeader{Collection: records.Persons, Format: "entente-json", Source: "other"}, person("theirs"))
	d.take(t, persons(), person("ours"))
	h := persons()
	h.Strict = true
	for name, file := range map[string]string{
		"a bad row":                       person("new-1") + "no json\n",
		"a row that the store refuses":    person("new-1") + person("theirs"),
		"the last of many batches":        many("new", 0, 2500) + person("theirs"),
		"a document in another's id":      person("new-1") + associated("theirs-doc", "EH1", "new-1"),
		"nothing but refused by a source": person("theirs"),
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(file, "theirs-doc") {
				o := documents()
				o.Format, o.Source = "entente-json", "other"
				d.take(t, o, associated("theirs-doc", "EH1", ""))
			}
			p, q := d.counts(t)
			r := d.refused(t, h, file, codes.FailedPrecondition, fault.BadRows)
			if r.GetBad() != 1 || r.GetCreated() != 0 || len(r.GetBadRows()) != 1 || r.GetBadRows()[0].GetLine() == 0 {
				t.Errorf("report %v", r)
			}
			if p2, q2 := d.counts(t); p2 != p || q2 != q {
				t.Errorf("something was kept: %d persons, %d documents, before %d, %d", p2, q2, p, q)
			}
		})
	}
	wants(t, d.take(t, h, person("ours", `,"sex":"SEX_MALE"`)+person("new-1")), 1, 1, 0, 0, 0)
}

func many(prefix string, from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		b.WriteString(person(fmt.Sprintf("%s-%05d", prefix, i)))
	}
	return b.String()
}

func TestWhatTheStoreRefusesIsNamedWithItsLine(t *testing.T) {
	d := belgium(t)
	other := persons()
	other.Source = "other"
	d.take(t, other, person("theirs"))
	// In the same batch as the refused person, and in a later one.
	file := person("p1") + person("theirs") + associated("d-near", "EH111111", "theirs") + associated("d1", "EH222222", "p1") +
		many("p", 0, 1200) + associated("d-far", "EH333333", "theirs")
	r := d.take(t, persons(), file)
	wants(t, r, 1202, 0, 0, 0, 3)
	badRow(t, r, 2, "theirs", "source", `"other"`)
	badRow(t, r, 3, "d-near", "document.person_ref", "person is not kept")
	badRow(t, r, 1205, "d-far", "document.person_ref", "person is not kept")
	if d.get(t, records.Documents, "d1") == nil || d.get(t, records.Documents, "d-near") != nil || d.get(t, records.Documents, "d-far") != nil {
		t.Error("a document without its person was kept, or a good one not")
	}
}

func TestCompleteWithdrawsWhatIsGone(t *testing.T) {
	d := belgium(t)
	d.take(t, persons(), many("p", 0, 100)+associated("d1", "EH111111", "p-00000"))
	other := persons()
	other.Source = "other"
	d.take(t, other, person("theirs"))
	h := persons()
	h.Complete = true

	// 5 of 101: not more than 5 %.
	wants(t, d.take(t, h, many("p", 0, 95)+associated("d1", "EH111111", "p-00000")), 0, 0, 96, 5, 0)
	if d.get(t, records.Persons, "theirs") == nil {
		t.Error("another source's record was withdrawn")
	}
	// 5 of 96 are more, a truncated file is much more.
	for _, left := range []int{90, 3} {
		d.refused(t, h, many("p", 0, left)+associated("d1", "EH111111", "p-00000"), codes.FailedPrecondition, fault.MassWithdrawal)
	}
	if p, _ := d.counts(t); p != 96 {
		t.Errorf("%d persons: something was changed", p)
	}
	h.ConfirmWithdrawals = true
	wants(t, d.take(t, h, person("p-00000")), 0, 0, 1, 95, 0)
	if p, q := d.counts(t); p != 2 || q != 0 {
		t.Errorf("%d persons, %d documents", p, q)
	}
	// Without complete nothing is withdrawn.
	wants(t, d.take(t, persons(), person("p-00001")), 1, 0, 0, 0, 0)
}

func TestABadRowIsNotGone(t *testing.T) {
	d := belgium(t)
	d.take(t, persons(), many("p", 0, 100)+associated("d1", "EH111111", "p-00000"))
	h := persons()
	h.Complete = true
	// The newer file spoils one row. Person and document stay as they were.
	spoilt := person("p-00000", `,"nationalities":[{"code":"QQQ"}]`) + many("p", 1, 100)
	wants(t, d.take(t, h, spoilt), 0, 0, 99, 0, 1)
	if d.get(t, records.Persons, "p-00000") == nil || d.get(t, records.Documents, "d1") == nil {
		t.Error("a record was withdrawn because its row is bad")
	}
	// A row that cannot be read at all may be any record: ask first.
	unreadable := many("p", 1, 100) + associated("d1", "EH111111", "p-00001") + "{broken\n"
	d.refused(t, h, unreadable, codes.FailedPrecondition, fault.MassWithdrawal)
	if d.get(t, records.Persons, "p-00000") == nil {
		t.Error("withdrawn unasked")
	}
	h.ConfirmWithdrawals = true
	wants(t, d.take(t, h, unreadable), 0, 1, 99, 1, 1)
}

func TestDeletionHoldOutlivesACompleteFile(t *testing.T) {
	d := belgium(t)
	held := strings.Replace(person("held"), `"person":`, `"stewardship":{"deletionHold":true},"person":`, 1)
	d.take(t, persons(), many("p", 0, 40)+held)
	h := persons()
	h.Complete = true
	r := d.take(t, h, many("p", 0, 39))
	wants(t, r, 0, 0, 39, 1, 0)
	if d.get(t, records.Persons, "held") == nil {
		t.Error("a record under a deletion hold was withdrawn")
	}
	if !slices.ContainsFunc(r.GetCounts(), func(c *recordv1.ImportCount) bool {
		return c.GetName() == "not_withdrawn_for_deletion_hold" && c.GetCount() == 1
	}) {
		t.Errorf("counts %v", r.GetCounts())
	}
}

func TestOneSourceForTwoFilesIsNotComplete(t *testing.T) {
	d := belgium(t)
	docs := documents()
	docs.Source = "bel-wanted"
	d.take(t, persons(), many("p", 0, 100))
	d.take(t, docs, csvHead+"EH482913,,BEL,passport,stolen\n")
	for name, h := range map[string]*recordv1.ImportHeader{"persons": persons(), "documents": docs} {
		h.Complete, h.ConfirmWithdrawals = true, true
		file := many("p", 0, 100)
		if name == "documents" {
			file = csvHead + "EH482913,,BEL,passport,stolen\n"
		}
		d.refused(t, h, file, codes.InvalidArgument, fault.MalformedRequest)
	}
	if p, q := d.counts(t); p != 100 || q != 1 {
		t.Errorf("%d persons, %d documents", p, q)
	}
}

func TestOnlyTheIssuerReportsADocument(t *testing.T) {
	d := belgium(t)
	r := d.take(t, documents(), csvHead+
		"EH482913,,BEL,passport,stolen\n"+ // 2
		"XDA123456,,ESP,passport,stolen\n"+ // 3
		"EH500000,EH500999,BEL,passport,stolen blank\n"+ // 4
		"EH600999,EH600000,BEL,passport,stolen blank\n"+ // 5
		"AO100,AO199,BEL,passport,stolen blank\n"+ // 6: letters that fold to digits
		"EH700000,EH700000,BEL,passport,stolen blank\n") // 7: a range of one
	badRow(t, r, 3, r.GetBadRows()[0].GetRecordId(), "document.issuer", "only the state that issued")
	if r.GetCreated() != 4 || r.GetBad() != 2 {
		t.Errorf("report %v", r)
	}
	for number, want := range map[string]int{
		"EH482913": 1, "eh-482913": 1, "XDA123456": 0, "EH500000": 1, "EH500500": 1, "EH500999": 1, "EH501000": 0, "EH600500": 0,
		"AO150": 1, "A0150": 1, "AO200": 0, "EH700000": 1, "EH700001": 0,
	} {
		found, err := d.store.FindDocuments(t.Context(), store.DocumentLookup{Keys: match.DocumentKeys(number)})
		if err != nil || len(found) != want {
			t.Errorf("%s: %d found, want %d (%v)", number, len(found), want, err)
		}
	}
}

func TestFitKeys(t *testing.T) {
	f, err := records.NewFitter("BEL")
	if err != nil {
		t.Fatal(err)
	}
	fit := func(d *recordv1.Document) (*recordv1.Document, error) {
		rec, err := f.Fit(&recordv1.Record{RecordId: "d1", Body: &recordv1.Record_Document{Document: d}}, records.Documents, nil)
		return rec.GetDocument(), err
	}
	assoc, stolen := recordv1.DocumentStatus_DOCUMENT_STATUS_ASSOCIATED, recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN
	d, err := fit(&recordv1.Document{Number: "Passport number OA454805, issued on 12 March 2009", Status: assoc, NumberKey: "FORGED", MoreKeys: []string{"FORGED2"}})
	if err != nil || d.GetNumberKey() != match.DocumentKey("OA454805") || slices.Contains(d.GetMoreKeys(), "FORGED2") || d.GetNumber()[:8] != "Passport" {
		t.Errorf("a sentence: %v, %v", d, err)
	}
	var long strings.Builder
	for i := range 40 {
		fmt.Fprintf(&long, "AB%07d; ", i)
	}
	if d, err = fit(&recordv1.Document{Number: long.String(), Status: assoc}); err != nil || len(d.GetMoreKeys()) > 16 {
		t.Errorf("many numbers: %d more keys, %v", len(d.GetMoreKeys()), err)
	}
	// Fifty Arabic letters are a hundred bytes: no key, and the document is kept all the same.
	if d, err = fit(&recordv1.Document{Number: strings.Repeat("ش", 50), Status: assoc}); err != nil || d.GetNumberKey() != "" {
		t.Errorf("a long key: %v, %v", d, err)
	}
	if d, err = fit(&recordv1.Document{Number: "EH1", Issuer: "GBD", Status: assoc}); err != nil || d.GetIssuer() != "GBR" {
		t.Errorf("a British territory: %v, %v", d, err)
	}
	for name, bad := range map[string]*recordv1.Document{
		"a stolen one that cannot be found": {Number: "unknown", Issuer: "BEL", Status: stolen},
		"an unknown issuer":                 {Number: "EH1", Issuer: "QQQ", Status: assoc},
		"a stolen one of nobody":            {Number: "EH1", Status: stolen},
		"a lost one of France":              {Number: "EH1", Issuer: "FRA", Status: recordv1.DocumentStatus_DOCUMENT_STATUS_LOST},
		"a revoked one of France":           {Number: "EH1", Issuer: "FRA", Status: recordv1.DocumentStatus_DOCUMENT_STATUS_REVOKED},
		"an invalid one of France":          {Number: "EH1", Issuer: "FRA", Status: recordv1.DocumentStatus_DOCUMENT_STATUS_INVALID},
		"blanks of France":                  {Number: "EH1", Issuer: "FRA", Status: recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN_BLANK},
		"no day":                            {Number: "EH1", Issuer: "BEL", Status: stolen, Theft: &recordv1.Theft{On: "2026-02-30"}},
		"a range of too many digits":        {Number: "1" + strings.Repeat("0", 19), RangeEnd: "1" + strings.Repeat("9", 19), Issuer: "BEL", Status: stolen},
		"no status":                         {Number: "EH1"},
	} {
		_, err := fit(bad)
		var unfit *records.Unfit
		if !errors.As(err, &unfit) || unfit.Field == "" || unfit.Reason == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Counterfeits and documents of persons of interest may be of any state.
	if _, err := fit(&recordv1.Document{Number: "12AB34567", Issuer: "FRA", Status: recordv1.DocumentStatus_DOCUMENT_STATUS_COUNTERFEIT_SEEN}); err != nil {
		t.Error(err)
	}
	given := &recordv1.Record{RecordId: "p1", Body: &recordv1.Record_Person{Person: &recordv1.Person{Names: []*recordv1.Name{{Parts: []*recordv1.NamePart{{Text: "A"}}}}}}}
	if rec, err := f.Fit(given, records.Persons, nil); err != nil || given.GetStewardship() != nil || rec.GetStewardship().GetAudience() != nil {
		t.Errorf("the record given was changed, or got an audience: %v, %v", rec, err)
	}
	if _, err := f.Fit(given, records.Documents, nil); err == nil {
		t.Error("a person among documents")
	}
}

func TestFormatsAndCollections(t *testing.T) {
	d := belgium(t)
	for _, c := range []struct {
		format, collection string
		reason             fault.Reason
	}{
		{"un-xml", records.Documents, fault.FormatMismatch}, {"csv", records.Persons, fault.FormatMismatch},
		{"un-xml", records.Persons, fault.NotThisFormat}, {"csv", records.Documents, fault.NotThisFormat},
	} {
		h := &recordv1.ImportHeader{Format: c.format, Collection: c.collection, Source: "x"}
		d.refused(t, h, "this is neither\nlist nor table\n", codes.InvalidArgument, c.reason)
	}
	// A list that breaks off in its middle is no list, and nothing of it is kept.
	broken := unList(2)
	d.refused(t, unHeader(), broken[:strings.LastIndex(broken, "<DATAID>")], codes.InvalidArgument, fault.NotThisFormat)
	if p, q := d.counts(t); p != 0 || q != 0 {
		t.Errorf("%d persons, %d documents", p, q)
	}
}

func TestProgressGoesFromNothingToTheWholeFile(t *testing.T) {
	d := belgium(t)
	file := many("p", 0, 3000)
	var last *recordv1.ImportProgress
	_, err := d.Import(t.Context(), persons(), strings.NewReader(file), func(p *recordv1.ImportProgress) {
		if p.GetBytes() < last.GetBytes() || p.GetRows() < last.GetRows() {
			t.Errorf("progress goes back from %v to %v", last, p)
		}
		last = p
	})
	if err != nil || last.GetBytes() != uint64(len(file)) || last.GetRows() != 3000 {
		t.Errorf("last progress %v of %d bytes, %v", last, len(file), err)
	}
}

func TestGivenUpInBetween(t *testing.T) {
	d := belgium(t)
	// Before the second pass nothing is kept.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Import(ctx, persons(), strings.NewReader(person("p1")), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if p, _ := d.counts(t); p != 0 {
		t.Errorf("%d persons", p)
	}
	// In the second pass whole batches are kept, and the same import again completes it.
	ctx, cancel = context.WithCancel(t.Context())
	file := many("p", 0, 3500)
	d.Written = func() { cancel() }
	if _, err := d.Import(ctx, persons(), strings.NewReader(file), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if p, _ := d.counts(t); p != 1000 {
		t.Errorf("%d persons, want one batch", p)
	}
	d.Written = nil
	wants(t, d.take(t, persons(), file), 2500, 0, 1000, 0, 0)
}

func TestImportsWaitForEachOther(t *testing.T) {
	d := belgium(t)
	d.Written = nil
	h := persons()
	h.Complete, h.ConfirmWithdrawals = true, true
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			if _, err := d.Import(t.Context(), h, strings.NewReader(many(fmt.Sprintf("import%d", i), 0, 300)), nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if p, _ := d.counts(t); p != 300 { // the last one is the whole truth, and no mixture is left
		t.Errorf("%d persons", p)
	}
	// Who waits may give up.
	ctx, cancel := context.WithCancel(t.Context())
	block, entered := make(chan struct{}), make(chan struct{}, 1)
	d.Written = func() {
		select {
		case entered <- struct{}{}:
		default:
		}
		<-block
	}
	wg.Go(func() {
		if _, err := d.Import(t.Context(), persons(), strings.NewReader(person("slow")), nil); err != nil {
			t.Error(err)
		}
	})
	<-entered
	cancel()
	if _, err := d.Import(ctx, persons(), strings.NewReader(person("hasty")), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	close(block)
	wg.Wait()
}
