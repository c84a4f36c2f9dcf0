package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/entente-mesh/entente/node/match"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// inventor makes persons and documents that do not exist, the same in every run. Names are made
// of syllables, and some are borne by many and most by few, as names are.
type inventor struct {
	random            *rand.Rand
	surnames, givens  []string
	surname, givenOne *rand.Zipf
}

func newInventor(seed uint64) *inventor {
	in := &inventor{random: rand.New(rand.NewPCG(seed, 2014))}
	begins := strings.Fields("Ba Bel Cor Dar El Fa Gar Ha Ib Jo Ka Lo Mar Na Or Pe Qua Ra Sa Ta Ul Va Wi Ya Zo Bren Drag Kru Stan Hov")
	middles := strings.Fields("ba da di fa ga ha ka la lo ma mi na ni po ra ri sa so ta ti va vi za ne re che dou gra")
	ends := strings.Fields("ni ric dan lek mov sen tar zin bert dou far ghi kov lan mir nos per quin rad sha tis vic wan yeb zar eva ides oglu ski")
	word := func(syllables int) string {
		var b strings.Builder
		b.WriteString(begins[in.random.IntN(len(begins))])
		for range syllables - 2 {
			b.WriteString(middles[in.random.IntN(len(middles))])
		}
		b.WriteString(ends[in.random.IntN(len(ends))])
		return b.String()
	}
	for range 4000 {
		in.surnames = append(in.surnames, word(2+in.random.IntN(3)))
	}
	for range 600 {
		in.givens = append(in.givens, word(2+in.random.IntN(2)))
	}
	in.surname = rand.NewZipf(in.random, 1.1, 20, uint64(len(in.surnames)-1))
	in.givenOne = rand.NewZipf(in.random, 1.2, 8, uint64(len(in.givens)-1))
	return in
}

func (in *inventor) name() (primary, secondary string) {
	primary = in.surnames[in.surname.Uint64()]
	if in.random.IntN(5) == 0 {
		primary += " " + in.surnames[in.surname.Uint64()]
	}
	secondary = in.givens[in.givenOne.Uint64()]
	if in.random.IntN(3) == 0 {
		secondary += " " + in.givens[in.givenOne.Uint64()]
	}
	return primary, secondary
}

func (in *inventor) birth() string {
	return fmt.Sprintf("%d-%02d-%02d", 1945+in.random.IntN(60), 1+in.random.IntN(12), 1+in.random.IntN(28))
}

// states are nationalities of the invented.
var states = strings.Fields("ESP BEL BGR LBN GRC FRA DEU ITA MAR TUN TUR EGY ROU POL GBR SRB")

func (in *inventor) state() string { return states[in.random.IntN(len(states))] }

// person makes a record with one name, or with an alias too.
func (in *inventor) person(n int) *recordv1.Record {
	name := func(t recordv1.NameType) *recordv1.Name {
		primary, secondary := in.name()
		return &recordv1.Name{Type: t, Parts: []*recordv1.NamePart{
			{Kind: recordv1.NamePartKind_NAME_PART_KIND_PRIMARY, Text: primary},
			{Kind: recordv1.NamePartKind_NAME_PART_KIND_SECONDARY, Text: secondary},
		}}
	}
	names := []*recordv1.Name{name(recordv1.NameType_NAME_TYPE_PRIMARY)}
	if in.random.IntN(2) == 0 {
		names = append(names, name(recordv1.NameType_NAME_TYPE_ALIAS))
	}
	born := in.birth()
	return &recordv1.Record{
		RecordId: fmt.Sprintf("invented:%d", n),
		Stewardship: &recordv1.Stewardship{
			Audience: &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_ALL_PERMITTED},
			Exercise: true,
		},
		Body: &recordv1.Record_Person{Person: &recordv1.Person{
			Names:         names,
			Births:        []*recordv1.Birth{{Precision: recordv1.DatePrecision_DATE_PRECISION_DAY, From: born, To: born}},
			Nationalities: []*recordv1.Nationality{{Code: in.state()}},
			Sex:           recordv1.Sex_SEX_MALE,
			Role:          recordv1.PersonRole_PERSON_ROLE_WANTED,
			Action:        recordv1.Action_ACTION_ARREST,
		}},
	}
}

func (in *inventor) persons(n int) []*recordv1.Record {
	all := make([]*recordv1.Record, n)
	for i := range all {
		all[i] = in.person(i)
	}
	return all
}

// strangers are travellers with names like those of the persons, whom the matcher does not find
// among them.
func (in *inventor) strangers(n int, index *match.Persons) []*queryv1.PersonQuery {
	all := make([]*queryv1.PersonQuery, 0, n)
	for len(all) < n {
		primary, secondary := in.name()
		q := &queryv1.PersonQuery{Primary: primary, Secondary: secondary, BirthDate: in.birth(), Nationality: in.state(), Sex: recordv1.Sex_SEX_FEMALE}
		if len(index.Search(q, 1)) == 0 {
			all = append(all, q)
		}
	}
	return all
}

// personsFile is persons in the form in which they are imported.
func personsFile(all []*recordv1.Record) ([]byte, error) {
	var b bytes.Buffer
	for _, r := range all {
		line, err := protojson.Marshal(r)
		if err != nil {
			return nil, err
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}

// documentNumber scatters the numbers over their whole space, which is the worst order for an
// index. No number of a held document begins with X or Z.
func documentNumber(n int) string {
	return fmt.Sprintf("%c%c%07d", 'A'+n%23, 'A'+n/23%23, uint64(n)*7_919_131%10_000_000)
}

// unheldNumber is a number that nobody holds.
func unheldNumber(n int) string { return fmt.Sprintf("XZ%07d", uint64(n)*7_919_131%10_000_000) }

// writeDocuments writes a list of stolen passports of one state.
func writeDocuments(w io.Writer, issuer string, n int) error {
	if _, err := io.WriteString(w, "number,issuing_country,type,status,theft_date,theft_country,issue_date,expiry_date,national_reference\n"); err != nil {
		return err
	}
	for i := range n {
		_, err := fmt.Fprintf(w, "%s,%s,passport,stolen,2014-%02d-%02d,TUR,2012-05-04,2022-05-03,%s-%d\n",
			documentNumber(i), issuer, 1+i%12, 1+i%28, issuer, i)
		if err != nil {
			return err
		}
	}
	return nil
}
