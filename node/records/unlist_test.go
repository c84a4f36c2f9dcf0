package records_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/entente-mesh/entente/node/records"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

func unHeader() *recordv1.ImportHeader {
	return &recordv1.ImportHeader{Collection: records.Persons, Format: "un-xml", Source: "un"}
}

// unList is an invented consolidated list of n individuals with a passport each.
func unList(n int) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0"?><CONSOLIDATED_LIST dateGenerated="2026-01-01T00:00:00Z"><INDIVIDUALS>` + "\n")
	for i := range n {
		fmt.Fprintf(&b, `<INDIVIDUAL><DATAID>%d</DATAID><FIRST_NAME>INVENTED</FIRST_NAME><SECOND_NAME>NUMBER%d</SECOND_NAME>`+
			`<INDIVIDUAL_DOCUMENT><TYPE_OF_DOCUMENT>Passport</TYPE_OF_DOCUMENT><NUMBER>XX%06d</NUMBER></INDIVIDUAL_DOCUMENT></INDIVIDUAL>`+"\n", 100+i, i, i)
	}
	b.WriteString(`</INDIVIDUALS><ENTITIES></ENTITIES></CONSOLIDATED_LIST>`)
	return b.String()
}

func TestUnitedNationsList(t *testing.T) {
	d := belgium(t)
	wants(t, d.take(t, unHeader(), unList(40)), 80, 0, 0, 0, 0)
	wants(t, d.take(t, unHeader(), unList(40)), 0, 0, 80, 0, 0)
	h := unHeader()
	h.Complete = true
	wants(t, d.take(t, h, unList(39)), 0, 0, 78, 2, 0) // a delisted person goes with the document
	if got := d.get(t, records.Persons, "un:100").GetStewardship(); got.GetOwnerBureau() != "BEL" || got.GetAudience().GetMode() != recordv1.AudienceMode_AUDIENCE_MODE_ALL_PERMITTED {
		t.Errorf("stewardship %v", got)
	}
	// Somebody else holds one of the persons: neither the person nor the document is taken.
	d2 := belgium(t)
	other := persons()
	d2.take(t, other, person("un:100"))
	r := d2.take(t, unHeader(), unList(3))
	wants(t, r, 4, 0, 0, 0, 2)
	if _, q := d2.counts(t); q != 2 {
		t.Errorf("%d documents", q)
	}
}

func TestRealUnitedNationsList(t *testing.T) {
	file := filepath.Join(data(t), "lists")
	var path string
	for _, pattern := range []string{"*.xml", "*/*.xml"} {
		found, err := filepath.Glob(filepath.Join(file, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if strings.Contains(strings.ToLower(f), "consolidated") || strings.Contains(strings.ToLower(f), "un") {
				path = f
			}
		}
	}
	if path == "" {
		t.Skip("no consolidated list in", file)
	}
	src, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	d := belgium(t)
	h := unHeader()
	h.Strict = true
	r, err := d.Import(t.Context(), h, src, nil)
	if err != nil {
		t.Fatalf("%v: %v", err, r.GetBadRows())
	}
	counts := map[string]uint64{}
	for _, c := range r.GetCounts() {
		counts[c.GetName()] = c.GetCount()
	}
	for name, want := range map[string]uint64{"individuals": 730, "entities": 273, "documents": 454, "documents_without_issuer": 159, "documents_not_alphanumeric": 106} {
		if counts[name] != want {
			t.Errorf("%s: %d, want %d", name, counts[name], want)
		}
	}
	if r.GetBad() != 0 || r.GetRows() != 1003 {
		t.Errorf("report %v", r)
	}
	again, err := d.Import(t.Context(), h, src, nil)
	if err != nil || again.GetUnchanged() != r.GetCreated() || again.GetCreated()+again.GetUpdated() != 0 {
		t.Errorf("the same again: %v, %v", again, err)
	}
}

// data is the folder of the test data beside the repository.
func data(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("ENTENTE_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no test data: set ENTENTE_DATA; TestUnitedNationsList covers the code")
	}
	return dir
}
