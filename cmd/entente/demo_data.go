package main

import (
	"time"

	"github.com/entente-mesh/entente/node/formats/mrz"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// All persons below are invented. Birth dates of adults are fixed; the boy's moves with the
// clock, so that he is fifteen whenever the story is told.

// demoPerson is a person of the stories, with the document they carry.
type demoPerson struct {
	surname, given string
	born           string
	country        string
	sex            recordv1.Sex
	number         string
}

func (p demoPerson) zone(issuer string, expires time.Time) (string, error) {
	return mrz.EncodeTD3(mrz.Document{
		Type: "P", Issuer: issuer, Number: p.number, Nationality: p.country, BirthDate: p.born,
		Sex: p.sex, Expiry: expires.Format(time.DateOnly), Primary: p.surname, Secondary: p.given,
	})
}

// boyBorn is the birth date of somebody who is fifteen and some months at a moment.
func boyBorn(now time.Time) string { return now.AddDate(-15, -4, 0).Format(time.DateOnly) }

// spanishPersons are the three whom Spain holds.
func spanishPersons(now time.Time) []*recordv1.Record {
	return []*recordv1.Record{
		wantedPerson("esp:2014-1", "Belhadj Soriano", "Karim", "1989-03-14", "ESP", recordv1.PersonRole_PERSON_ROLE_WANTED, recordv1.Action_ACTION_ARREST,
			"Arrest for extradition to Spain. Warrant of the Audiencia Nacional."),
		wantedPerson("esp:2014-2", "Ouldarbi Taleb", "Hicham", "1991-11-02", "MAR", recordv1.PersonRole_PERSON_ROLE_WANTED, recordv1.Action_ACTION_ARREST,
			"Arrest for extradition to Spain. Warrant of the Audiencia Nacional."),
		wantedPerson("esp:2014-3", "Belhadj Luque", "Adam", boyBorn(now), "ESP", recordv1.PersonRole_PERSON_ROLE_MISSING, recordv1.Action_ACTION_PROTECT,
			"A child of fifteen, recruited: bring him to safety, inform the child protection service and the Spanish consulate."),
	}
}

// belgianFighter is the profile that Belgium holds.
func belgianFighter() *recordv1.Record {
	return wantedPerson("bel:ftf-77", "Vandersmissen", "Yorick Ilyas", "1990-07-21", "BEL", recordv1.PersonRole_PERSON_ROLE_SUSPECT, recordv1.Action_ACTION_DISCREET,
		"Note the crossing, the companions and the next ticket. The person must not notice.")
}

func wantedPerson(id, primary, secondary, born, nationality string, role recordv1.PersonRole, action recordv1.Action, text string) *recordv1.Record {
	return &recordv1.Record{
		RecordId: id,
		Stewardship: &recordv1.Stewardship{
			Audience: &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_ALL_PERMITTED},
			Handling: &recordv1.Handling{Scheme: "europol", Code: "H1", Text: "not in court without the provider's permission"},
			Exercise: true,
		},
		Body: &recordv1.Record_Person{Person: &recordv1.Person{
			Names: []*recordv1.Name{{Type: recordv1.NameType_NAME_TYPE_PRIMARY, Parts: []*recordv1.NamePart{
				{Kind: recordv1.NamePartKind_NAME_PART_KIND_PRIMARY, Text: primary},
				{Kind: recordv1.NamePartKind_NAME_PART_KIND_SECONDARY, Text: secondary},
			}}},
			Births:        []*recordv1.Birth{{Precision: recordv1.DatePrecision_DATE_PRECISION_DAY, From: born, To: born}},
			Nationalities: []*recordv1.Nationality{{Code: nationality}},
			Sex:           recordv1.Sex_SEX_MALE,
			Role:          role,
			Action:        action,
			ActionText:    []*recordv1.LocalText{{Language: "en", Text: text}},
		}},
	}
}

// stolenPassport is Belgium's report, as its own system exports it.
const stolenPassport = `number,issuing_country,type,status,theft_date,theft_country,issue_date,expiry_date,national_reference
EH482913,BEL,passport,stolen,2014-08-19,TUR,2012-05-04,2032-05-03,BEL-2014-3391
`

// onTheCoach are the forty on the coach: the three first, then thirty-seven who are on no list.
func onTheCoach(now time.Time) []demoPerson {
	const f, m = recordv1.Sex_SEX_FEMALE, recordv1.Sex_SEX_MALE
	return []demoPerson{
		{"Belhadj Soriano", "Karim", "1989-03-14", "ESP", m, "AAF184402"},
		{"Ouldarbi Taleb", "Hicham", "1991-11-02", "MAR", m, "QK7310958"},
		{"Belhadj Luque", "Adam", boyBorn(now), "ESP", m, "AAH557120"},

		{"Petrova", "Anna Dimitrova", "1980-02-11", "BGR", f, "384410271"},
		{"Ivanov", "Georgi Stefanov", "1974-09-30", "BGR", m, "384410288"},
		{"Dimitrov", "Nikolay", "1996-12-01", "BGR", m, "385120934"},
		{"Stoyanova", "Radka", "1951-06-17", "BGR", f, "386004417"},
		{"Kolev", "Plamen Iliev", "1988-04-25", "BGR", m, "381905512"},
		{"Todorova", "Vesela", "2001-10-08", "BGR", f, "389917730"},
		{"Yilmaz", "Emre", "1992-03-03", "TUR", m, "U21440981"},
		{"Demir", "Zeynep", "1995-07-19", "TUR", f, "U21440990"},
		{"Kaya", "Mustafa Kemal", "1968-11-23", "TUR", m, "U18832014"},
		{"Aydin", "Hatice", "1979-05-05", "TUR", f, "U19004513"},
		{"Celik", "Burak", "2003-01-14", "TUR", m, "U24417760"},
		{"Sahin", "Elif Nur", "1999-08-28", "TUR", f, "U23391025"},
		{"Popescu", "Mihai", "1983-02-27", "ROU", m, "058113940"},
		{"Ionescu", "Elena Maria", "1990-09-12", "ROU", f, "058904471"},
		{"Radu", "Cristian", "1977-12-19", "ROU", m, "054410882"},
		{"Müller", "Jürgen", "1959-04-02", "D", m, "C01X00T47"},
		{"Schäfer", "Katharina", "1986-06-21", "D", f, "C4F8K21ZP"},
		{"Weiß", "Lukas Maximilian", "2000-02-29", "D", m, "C7HJ5WX1L"},
		{"Garcia Navarro", "Lucia", "1994-05-16", "ESP", f, "PAB220417"},
		{"Fernandez Ruiz", "Javier", "1981-10-31", "ESP", m, "PAC900312"},
		{"Rossi", "Giulia", "1997-01-07", "ITA", f, "YB1184402"},
		{"Bianchi", "Marco Antonio", "1970-08-15", "ITA", m, "YA7740193"},
		{"Kowalska", "Agnieszka", "1985-03-22", "POL", f, "EM4410937"},
		{"Nowak", "Piotr", "1993-11-11", "POL", m, "EK8802114"},
		{"Papadopoulou", "Eleni", "1976-07-04", "GRC", f, "AT4417802"},
		{"Georgiou", "Nikos", "1989-12-25", "GRC", m, "AM9033471"},
		{"Jovanovic", "Milica", "1998-04-18", "SRB", f, "011844027"},
		{"Petrovic", "Dragan", "1964-09-09", "SRB", m, "008117730"},
		{"Haddad", "Rima", "1987-02-02", "LBN", f, "LR0447182"},
		{"Khoury", "Antoine Elias", "1972-06-13", "LBN", m, "LR1190347"},
		{"Peeters", "Sofie", "1991-08-06", "BEL", f, "EJ118844"},
		{"Janssens", "Wout", "1984-01-30", "BEL", m, "EJ220191"},
		{"Dubois", "Camille", "2002-05-24", "FRA", f, "19CV44107"},
		{"Moreau", "Henri", "1955-10-10", "FRA", m, "17AL20933"},
		{"Smith", "Oliver James", "1978-03-15", "GBR", m, "533410287"},
		{"Horvath", "Zsofia", "1990-12-03", "HUN", f, "BE4410082"},
		{"Shevchenko", "Oksana", "1982-07-27", "UKR", f, "FE118402"},
	}
}
