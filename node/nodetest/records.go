package nodetest

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protojson"

	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// Everybody is the audience of all whom policy permits.
func Everybody() *recordv1.Audience {
	return &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_ALL_PERMITTED}
}

// Person is the record of an invented person who is wanted for arrest, told to all whom policy
// permits.
func Person(id, primary, secondary, born string) *recordv1.Record {
	return &recordv1.Record{
		RecordId:    id,
		Stewardship: &recordv1.Stewardship{Audience: Everybody(), Exercise: true},
		Body: &recordv1.Record_Person{Person: &recordv1.Person{
			Names: []*recordv1.Name{{Type: recordv1.NameType_NAME_TYPE_PRIMARY, Parts: []*recordv1.NamePart{
				{Kind: recordv1.NamePartKind_NAME_PART_KIND_PRIMARY, Text: primary},
				{Kind: recordv1.NamePartKind_NAME_PART_KIND_SECONDARY, Text: secondary},
			}}},
			Births: []*recordv1.Birth{{Precision: recordv1.DatePrecision_DATE_PRECISION_DAY, From: born, To: born}},
			Role:   recordv1.PersonRole_PERSON_ROLE_WANTED,
			Action: recordv1.Action_ACTION_ARREST,
		}},
	}
}

// Stolen is the record of a stolen passport, told to all whom policy permits.
func Stolen(id, number, issuer string) *recordv1.Record {
	return &recordv1.Record{
		RecordId:    id,
		Stewardship: &recordv1.Stewardship{Audience: Everybody(), Exercise: true},
		Body: &recordv1.Record_Document{Document: &recordv1.Document{
			Number: number, Issuer: issuer, Type: recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT,
			Status: recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN,
		}},
	}
}

// CheckPerson is a check of a person.
func CheckPerson(primary, secondary, born string) *screeningv1.CheckRequest {
	return &screeningv1.CheckRequest{Person: &queryv1.PersonQuery{Primary: primary, Secondary: secondary, BirthDate: born}}
}

// CheckDocument is a check of a document.
func CheckDocument(number, issuer string) *screeningv1.CheckRequest {
	return &screeningv1.CheckRequest{Document: &queryv1.DocumentQuery{Number: number, Issuer: issuer}}
}

// Lines are records as a file of the format entente-json.
func Lines(records ...*recordv1.Record) []byte {
	var b bytes.Buffer
	for _, r := range records {
		line, err := protojson.Marshal(r)
		if err != nil {
			panic(err) // the test's own invented records
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// Status is what became of a check at one bureau; nil if that bureau was not concerned.
func Status(resp *screeningv1.CheckResponse, bureau string) *screeningv1.BureauStatus {
	for _, b := range resp.GetBureaus() {
		if b.GetBureau() == bureau {
			return b
		}
	}
	return nil
}
