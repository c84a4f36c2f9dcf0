package node_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/entente-mesh/entente/node/nodetest"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// listed is what these scenes read of one individual of the list, by a way of their own: not by
// the parser that fills the records.
type listed struct {
	ID     string `xml:"DATAID"`
	First  string `xml:"FIRST_NAME"`
	Second string `xml:"SECOND_NAME"`
	Third  string `xml:"THIRD_NAME"`
	Fourth string `xml:"FOURTH_NAME"`
	Births []struct {
		Date string `xml:"DATE"`
		Year int    `xml:"YEAR"`
		From int    `xml:"FROM_YEAR"`
	} `xml:"INDIVIDUAL_DATE_OF_BIRTH"`
	Documents []struct {
		Number string `xml:"NUMBER"`
	} `xml:"INDIVIDUAL_DOCUMENT"`
}

func (l *listed) name() string {
	return strings.Join(strings.Fields(l.First+" "+l.Second+" "+l.Third+" "+l.Fourth), " ")
}

func (l *listed) born() string {
	for _, b := range l.Births {
		switch {
		case len(b.Date) >= len(time.DateOnly):
			return b.Date[:len(time.DateOnly)]
		case b.Year > 0:
			return fmt.Sprintf("%04d", b.Year)
		case b.From > 0:
			return fmt.Sprintf("%04d", b.From)
		}
	}
	return ""
}

// publicList returns the United Nations list from the folder of public test data.
func publicList(t *testing.T) []byte {
	t.Helper()
	data := os.Getenv("ENTENTE_DATA")
	if data == "" {
		data = filepath.Join("..", "..", "shared", "data")
	}
	text, err := os.ReadFile(filepath.Join(data, "lists", "un_consolidated.xml"))
	if err != nil {
		t.Skipf("the public list is not here (%v): set ENTENTE_DATA to the folder of the test data; TestAnInventedListAcrossABorder goes the same way", err)
	}
	return text
}

// TestTheUNListAcrossABorder imports the whole list in Belgium and looks for everybody in it
// from Bulgaria, which has a permit, and from Lebanon, which has none.
func TestTheUNListAcrossABorder(t *testing.T) {
	every := 1
	if testing.Short() {
		every = 10
	}
	checkList(t, publicList(t), every, map[string]uint64{
		"individuals": 730, "entities": 273, "aliases": 2308, "original_script_names": 336,
		"documents": 454, "documents_without_issuer": 159, "documents_not_alphanumeric": 106,
	}, 53)
}

func TestAnInventedListAcrossABorder(t *testing.T) {
	checkList(t, []byte(inventedList), 1, map[string]uint64{
		"individuals": 4, "entities": 1, "aliases": 3, "original_script_names": 1,
		"documents": 4, "documents_without_issuer": 2, "documents_not_alphanumeric": 3,
	}, 1)
}

// checkList is the scene: want are the figures of the import's report, undated is how many
// individuals have no birth date.
func checkList(t *testing.T, text []byte, every int, want map[string]uint64, undated int) {
	var list struct {
		Individuals []listed `xml:"INDIVIDUALS>INDIVIDUAL"`
	}
	if err := xml.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	m := nodetest.Found(t, "BEL", "BGR", "LBN")
	bel := m.Bureau("BEL")
	report := bel.Import(nodetest.Persons, "un-xml", bytes.NewReader(text))
	got := map[string]uint64{}
	for _, c := range report.GetCounts() {
		if _, asked := want[c.GetName()]; asked {
			got[c.GetName()] = c.GetCount()
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("the import counts %v, want %v", got, want)
	}
	if wantRecords := want["individuals"] + want["entities"] + want["documents"]; report.GetCreated() != wantRecords || report.GetBad() != 0 {
		t.Errorf("%d records created and %d rows bad, want %d and 0", report.GetCreated(), report.GetBad(), wantRecords)
	}
	if again := bel.Import(nodetest.Persons, "un-xml", bytes.NewReader(text)); again.GetCreated()+again.GetUpdated()+again.GetWithdrawn() != 0 {
		t.Errorf("the same list again: %v", again)
	}
	m.WaitConnected()
	bel.Generous("BGR") // who finds a whole list in a minute empties it, by default
	m.PermitBoth("BEL", "BGR", nodetest.Persons, nodetest.Border)
	m.PermitBoth("BEL", "BGR", nodetest.Documents, nodetest.Border)

	documents, persons, without := requests(list.Individuals, every)
	if every == 1 && without != undated {
		t.Errorf("%d individuals without a birth date, want %d", without, undated)
	}
	t.Run("from Bulgaria, with a permit", func(t *testing.T) {
		before := m.Traffic()
		// By a common name alone nobody is told of, nor asked; nor told of by one with a year, once the node has
		// measured the thresholds of the list, a minute and more after its start.
		unsure := map[string]bool{}
		for _, p := range persons {
			if len(p.GetPerson().GetBirthDate()) < len(time.DateOnly) {
				unsure[p.GetReference()] = true
			}
		}
		found, first, firstThree, common, unasked := 0, 0, 0, 0, 0
		asked := map[string]bool{}
		for ref, resp := range m.Bureau("BGR").CheckBatch(slices.Concat(documents, persons)) {
			id, _, _ := strings.Cut(ref, "/")
			kind := strings.HasPrefix(ref[len(id):], "/doc")
			if slices.ContainsFunc(resp.GetProblems(), func(p *screeningv1.Problem) bool { return p.GetCode() == "COMMON_NAME" }) {
				if !unsure[ref] || len(resp.GetBureaus()) != 1 || len(resp.GetHits()) != 0 {
					t.Errorf("%s: a common name: %v, concerned %v", ref, resp.GetVerdict(), resp.GetBureaus())
				}
				unasked++
				continue
			}
			asked[nodetest.Status(resp, "BEL").GetAskId()] = true
			rank := rankOf(resp, id, kind)
			switch {
			case rank < 0 && unsure[ref]:
				common++
				continue
			case rank < 0:
				t.Errorf("%s: not found: %v %v", ref, resp.GetVerdict(), nodetest.Status(resp, "BEL"))
				continue
			case !kind && rank > 2:
				t.Errorf("%s: found at place %d, want one of the first three", ref, rank+1)
			}
			found++
			if !kind && rank == 0 {
				first++
			}
			if !kind && rank <= 2 {
				firstThree++
			}
		}
		all := len(documents) + len(persons)
		if found+common+unasked != all || common+unasked > len(unsure)/10 {
			t.Errorf("found %d of %d, and %d of %d without a day of birth are not told of by their names", found, all, common+unasked, len(unsure))
		}
		// Asks of eight checks at a time share records on the wire, so there they are fewer.
		asks := m.Traffic().Since(before).Asks
		if wanted := all - unasked; len(asked) != wanted || asks < int64(wanted)/8 || asks > int64(wanted) {
			t.Errorf("%d asks and %d records with asks on the wire, want one ask for each of %d checks", len(asked), asks, wanted)
		}
		t.Logf("found %d of %d: %d documents, %d persons (%d without a day of birth, of whom %d not told of, and of %d nobody was asked), %d of them first and %d among the first three; %d asks in %d records on the wire",
			found, all, len(documents), len(persons), len(unsure), common, unasked, first, firstThree, len(asked), asks)
	})
	t.Run("from Lebanon, without one", func(t *testing.T) {
		silent(t, m, func() {
			for ref, resp := range m.Bureau("LBN").CheckBatch(slices.Concat(documents, persons)) {
				if resp.GetVerdict() != screeningv1.Verdict_VERDICT_NO_HIT || len(resp.GetBureaus()) != 1 || len(resp.GetHits()) != 0 {
					t.Errorf("%s: %v, concerned %v", ref, resp.GetVerdict(), resp.GetBureaus())
				}
			}
		})
	})
}

// requests are the checks that look for everybody and everything in the list, a check's
// reference beginning with the individual's id.
func requests(list []listed, every int) (documents, persons []*screeningv1.CheckRequest, undated int) {
	n := 0
	for i := range list {
		in := &list[i]
		for k, d := range in.Documents {
			if strings.TrimSpace(d.Number) == "" {
				continue
			}
			if n++; n%every != 0 {
				continue
			}
			documents = append(documents, &screeningv1.CheckRequest{ // as the list writes it, be it a sentence
				Reference: fmt.Sprintf("%s/doc:%d", in.ID, k), Document: &queryv1.DocumentQuery{Number: d.Number},
			})
		}
		if in.born() == "" {
			undated++
		}
		if i%every == 0 {
			persons = append(persons, &screeningv1.CheckRequest{
				Reference: in.ID + "/person", Person: &queryv1.PersonQuery{Name: in.name(), BirthDate: in.born()},
			})
		}
	}
	return documents, persons, undated
}

// rankOf is the place of an individual's record, or of one of their documents, among the hits
// from Belgium; -1 if it is not there.
func rankOf(resp *screeningv1.CheckResponse, id string, document bool) int {
	for i, h := range resp.GetHits() {
		if h.GetBureau() != "BEL" {
			continue
		}
		if document && strings.HasPrefix(h.GetRecordId(), "un:"+id+":doc:") || !document && h.GetRecordId() == "un:"+id {
			return i
		}
	}
	return -1
}

// silent does something, and proves that not a byte of it went to a peer. Connections that
// stand send a ping now and then, so it is done again if one fell into it; an ask would be there
// every time.
func silent(t *testing.T, m *nodetest.Mesh, do func()) {
	t.Helper()
	const attempts = 40 // witnesses go on proving to each other what was booked before
	var passed nodetest.Traffic
	for range attempts {
		before := m.Traffic()
		do()
		passed = m.Traffic().Since(before)
		if passed.Asks != 0 {
			t.Errorf("%d asks on the wire, want none", passed.Asks)
		}
		if passed.Bytes() == 0 && passed.Connections == 0 {
			t.Logf("no ask and not a byte on the wire")
			return
		}
	}
	t.Errorf("each of %d times something was on the wire, the last time %+v", attempts, passed)
}

// inventedList has the shape of the United Nations list. All persons are invented.
const inventedList = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<CONSOLIDATED_LIST dateGenerated="2026-02-27T00:00:09.554Z">
<INDIVIDUALS>
<INDIVIDUAL><DATAID>910001</DATAID><FIRST_NAME>KARIM</FIRST_NAME><SECOND_NAME>BELHADJ</SECOND_NAME><THIRD_NAME>OMAR</THIRD_NAME><FOURTH_NAME>ZEROUALI</FOURTH_NAME>
 <UN_LIST_TYPE>Al-Qaida</UN_LIST_TYPE><REFERENCE_NUMBER>QDi.991</REFERENCE_NUMBER><LISTED_ON>2014-09-23</LISTED_ON>
 <NAME_ORIGINAL_SCRIPT>كريم بلحاج عمر زروالي</NAME_ORIGINAL_SCRIPT>
 <INDIVIDUAL_ALIAS><QUALITY>Low</QUALITY><ALIAS_NAME>Abu Zaki</ALIAS_NAME></INDIVIDUAL_ALIAS>
 <INDIVIDUAL_DATE_OF_BIRTH><TYPE_OF_DATE>EXACT</TYPE_OF_DATE><DATE>1989-04-17</DATE></INDIVIDUAL_DATE_OF_BIRTH>
 <INDIVIDUAL_DOCUMENT><TYPE_OF_DOCUMENT>Passport</TYPE_OF_DOCUMENT><NUMBER>Lebanese passport number OA454805, issued on 12 March 2009 in the city of Tripoli</NUMBER></INDIVIDUAL_DOCUMENT>
 <INDIVIDUAL_DOCUMENT><TYPE_OF_DOCUMENT>Passport</TYPE_OF_DOCUMENT><NUMBER>A-1234567 (expired 2012)</NUMBER><ISSUING_COUNTRY>Lebanon</ISSUING_COUNTRY></INDIVIDUAL_DOCUMENT>
</INDIVIDUAL>
<INDIVIDUAL><DATAID>910002</DATAID><FIRST_NAME>KARIM BELHADJ</FIRST_NAME><SECOND_NAME>ZEROUALI</SECOND_NAME>
 <UN_LIST_TYPE>Al-Qaida</UN_LIST_TYPE><REFERENCE_NUMBER>QDi.992</REFERENCE_NUMBER><LISTED_ON>2014-09-23</LISTED_ON>
 <INDIVIDUAL_DATE_OF_BIRTH><TYPE_OF_DATE>APPROXIMATELY</TYPE_OF_DATE><YEAR>1961</YEAR></INDIVIDUAL_DATE_OF_BIRTH>
 <INDIVIDUAL_DOCUMENT><TYPE_OF_DOCUMENT>Passport</TYPE_OF_DOCUMENT><NUMBER>Q77310958</NUMBER><ISSUING_COUNTRY>Morocco</ISSUING_COUNTRY></INDIVIDUAL_DOCUMENT>
</INDIVIDUAL>
<INDIVIDUAL><DATAID>910003</DATAID><FIRST_NAME>ABD AL-RAHMAN</FIRST_NAME><SECOND_NAME>MUHAMMAD</SECOND_NAME><THIRD_NAME>AL-HABU</THIRD_NAME>
 <UN_LIST_TYPE>Al-Qaida</UN_LIST_TYPE><REFERENCE_NUMBER>QDi.993</REFERENCE_NUMBER><LISTED_ON>2014-09-23</LISTED_ON>
 <INDIVIDUAL_ALIAS><QUALITY>Good</QUALITY><ALIAS_NAME>Abdurrahman Mohamed Alhabu</ALIAS_NAME></INDIVIDUAL_ALIAS>
 <INDIVIDUAL_DATE_OF_BIRTH><TYPE_OF_DATE>BETWEEN</TYPE_OF_DATE><FROM_YEAR>1961</FROM_YEAR><TO_YEAR>1965</TO_YEAR></INDIVIDUAL_DATE_OF_BIRTH>
 <INDIVIDUAL_DOCUMENT><TYPE_OF_DOCUMENT>National Identification Number</TYPE_OF_DOCUMENT><NUMBER>96 03 464086</NUMBER></INDIVIDUAL_DOCUMENT>
</INDIVIDUAL>
<INDIVIDUAL><DATAID>910004</DATAID><FIRST_NAME>YORICK</FIRST_NAME><SECOND_NAME>VANDERSMISSEN</SECOND_NAME>
 <UN_LIST_TYPE>Al-Qaida</UN_LIST_TYPE><REFERENCE_NUMBER>QDi.994</REFERENCE_NUMBER><LISTED_ON>2014-09-23</LISTED_ON>
 <INDIVIDUAL_ALIAS><QUALITY/><ALIAS_NAME/></INDIVIDUAL_ALIAS><INDIVIDUAL_DATE_OF_BIRTH/><INDIVIDUAL_DOCUMENT/>
</INDIVIDUAL>
</INDIVIDUALS>
<ENTITIES>
<ENTITY><DATAID>910009</DATAID><FIRST_NAME>THE INVENTED TRADING COMPANY</FIRST_NAME>
 <UN_LIST_TYPE>Al-Qaida</UN_LIST_TYPE><REFERENCE_NUMBER>QDe.991</REFERENCE_NUMBER><LISTED_ON>2014-09-23</LISTED_ON>
</ENTITY>
</ENTITIES>
</CONSOLIDATED_LIST>`
