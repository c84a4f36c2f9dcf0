package gate

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/pki/identity"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// carried are the candidates that go through the gate: what was found, as far as the budget goes,
// and decoys for those that are missing to the slots. Their number is the same for none, for one
// and for a few, so that neither work nor time tell whether there is one that may not be told.
func (g *Gate) carried(collection string, found []Found) []Found {
	found = found[:min(len(found), g.cfg.Budget.Candidates)]
	for len(found) < g.cfg.Slots {
		found = append(found[:len(found):len(found)], g.decoys[collection])
	}
	g.work.candidates.Add(uint64(len(found)))
	return found
}

// disclose returns the hit as it may cross the border, and by which rules, or nil. A record that
// is withheld goes the same way as one that is told, to the last byte, and is dropped only then.
func (g *Gate) disclose(ctx context.Context, q *inquiry, f Found) (*hitv1.Hit, []string, error) {
	d := enforced(q.set.Disclose(policy.DiscloseFacts{
		Self:       g.cfg.Self,
		From:       q.from,
		Federation: g.cfg.Federation,
		Collection: q.collection,
		Purpose:    q.ask.GetJustification().GetPurpose(),
		Record:     f.Record,
		Agency:     q.ask.GetRequester().GetAgency(),
		Role:       q.ask.GetRequester().GetRole(),
		HasCase:    q.ask.GetJustification().GetCaseRef() != "",
		Now:        q.now,
	}))
	g.work.decisions.Add(1)
	g.tell(ctx, q.set.Version(), d)
	if f.Untold {
		d.Allow, d.Obligations = false, policy.Obligations{} // whatever policy says of it
	}
	told := cut(f, q.decision.Obligations.With(d.Obligations))
	g.work.cuts.Add(1)
	_, err := proto.Marshal(told)
	g.work.marshalled.Add(1)
	switch {
	case !d.Allow:
		return nil, nil, nil
	case err != nil:
		// One that may be told and cannot be: silence would look like no record.
		return nil, nil, fmt.Errorf("a hit in %s cannot be marshalled: %w", q.collection, err)
	}
	return told, d.Rules, nil
}

// decoyID is the id of every decoy. Nothing of a decoy ever leaves.
const decoyID = "decoy"

// decoys returns, for each collection, a candidate that is as large as a usual record and is
// withheld from everybody. They are shared and never changed.
func decoys(self identity.Bureau) map[string]Found {
	document, person := DecoyDocument(self), DecoyPerson(self)
	evidence := func(features ...hitv1.Feature) (all []*hitv1.LocalEvidence) {
		for _, f := range features {
			all = append(all, &hitv1.LocalEvidence{
				Feature: f, Agreement: hitv1.Agreement_AGREEMENT_SAME, Asked: "decoy", Recorded: "decoy", How: "same", Weight: 0.1,
			})
		}
		return all
	}
	hit := func(r *recordv1.Record) *hitv1.Hit {
		return &hitv1.Hit{
			Bureau: string(self), RecordId: decoyID, Score: proto.Float64(0.9), Band: hitv1.Band_BAND_STRONG,
			Explanation: "a decoy, told to nobody", Stewardship: r.GetStewardship(), Handling: r.GetStewardship().GetHandling(),
		}
	}
	d, p := hit(document), hit(person)
	d.Kind, d.Collection = hitv1.HitKind_HIT_KIND_DOCUMENT, Documents
	d.Evidence = evidence(hitv1.Feature_FEATURE_DOCUMENT_NUMBER, hitv1.Feature_FEATURE_DOCUMENT_ISSUER, hitv1.Feature_FEATURE_DOCUMENT_TYPE)
	d.DocumentStatus, d.Issuer, d.Action = document.GetDocument().GetStatus(), document.GetDocument().GetIssuer(), recordv1.Action_ACTION_SEIZE_DOCUMENT
	d.Subject = &hitv1.Hit_Document{Document: document.GetDocument()}
	p.Kind, p.Collection = hitv1.HitKind_HIT_KIND_PERSON, Persons
	p.Evidence = evidence(hitv1.Feature_FEATURE_NAME, hitv1.Feature_FEATURE_BIRTH_DATE, hitv1.Feature_FEATURE_NATIONALITY, hitv1.Feature_FEATURE_SEX)
	for range person.GetPerson().GetNames()[0].GetParts() {
		p.Evidence[0].Tokens = append(p.Evidence[0].Tokens, &hitv1.TokenPair{
			Kind: hitv1.TokenKind_TOKEN_KIND_SAME, Asked: "decoy", Recorded: "decoy", Weight: 0.05,
		})
	}
	p.PersonRole, p.Action = person.GetPerson().GetRole(), person.GetPerson().GetAction()
	p.Subject = &hitv1.Hit_Person{Person: person.GetPerson()}
	return map[string]Found{Documents: {Record: document, Hit: d, Untold: true}, Persons: {Record: person, Hit: p, Untold: true}}
}

// DecoyDocument is a document that nobody holds, with what a usual record of one has, for a
// Searcher to work on where it finds none. It is told to nobody. The caller may change it.
func DecoyDocument(self identity.Bureau) *recordv1.Record {
	return &recordv1.Record{RecordId: decoyID, Stewardship: decoyStewardship(self), Body: &recordv1.Record_Document{Document: &recordv1.Document{
		Number: "DECOY0000", NumberKey: "DEC0Y0000", Issuer: string(self), Type: recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT,
		Status: recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN, Theft: &recordv1.Theft{Place: "nowhere"},
	}}}
}

// DecoyPerson is the same of a person.
func DecoyPerson(self identity.Bureau) *recordv1.Record {
	name := func(t recordv1.NameType) *recordv1.Name {
		return &recordv1.Name{Type: t, Parts: []*recordv1.NamePart{
			{Kind: recordv1.NamePartKind_NAME_PART_KIND_PRIMARY, Text: "Nemo"},
			{Kind: recordv1.NamePartKind_NAME_PART_KIND_SECONDARY, Text: "Nullus"},
		}}
	}
	return &recordv1.Record{RecordId: decoyID, Stewardship: decoyStewardship(self), Body: &recordv1.Record_Person{Person: &recordv1.Person{
		Names:         []*recordv1.Name{name(recordv1.NameType_NAME_TYPE_PRIMARY), name(recordv1.NameType_NAME_TYPE_ALIAS)},
		Births:        []*recordv1.Birth{{Precision: recordv1.DatePrecision_DATE_PRECISION_DAY, From: "1970-01-01", To: "1970-01-01"}},
		Nationalities: []*recordv1.Nationality{{Code: string(self)}},
		Sex:           recordv1.Sex_SEX_MALE,
		Role:          recordv1.PersonRole_PERSON_ROLE_WANTED,
		Action:        recordv1.Action_ACTION_ARREST,
	}}}
}

func decoyStewardship(self identity.Bureau) *recordv1.Stewardship {
	epoch := timestamppb.New(time.Unix(0, 0))
	return &recordv1.Stewardship{
		OwnerBureau: string(self), OriginAgency: "ncb", NationalRef: decoyID, Version: 1, RecordedAt: epoch,
		Audience:  &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_NONE},
		ReviewDue: timestamppb.New(time.Unix(1<<33, 0)), Provenance: []*recordv1.Provenance{{Source: decoyID}},
	}
}
