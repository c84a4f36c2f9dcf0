package screening

import (
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node/formats/mrz"
	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/node/match/script"
	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// subject is who and what is checked, as read.
type subject struct {
	traveller *screeningv1.Traveller
	problems  []*screeningv1.Problem
	// common says that so many bear the name that nobody can be told of by what is known.
	common bool
}

// read makes the subject of a request: from the MRZ, or from what is given in fields.
func (s *Screening) read(req *screeningv1.CheckRequest) (*subject, error) {
	out := &subject{traveller: &screeningv1.Traveller{}}
	if req.GetMrz() != "" {
		if req.GetDocument() != nil || req.GetPerson() != nil {
			return nil, fault.New(codes.InvalidArgument, fault.MalformedRequest, "mrz",
				"give either the MRZ or document and person in fields, not both")
		}
		if err := s.readMRZ(req.GetMrz(), out); err != nil {
			return nil, err
		}
		out.tellCommonName()
		return out, nil
	}
	if d := req.GetDocument(); d != nil {
		d = proto.Clone(d).(*queryv1.DocumentQuery)
		if len(match.DocumentKeys(d.GetNumber())) == 0 {
			// Nothing could be found by it, here or abroad: that must not look like "no hit".
			return nil, fault.New(codes.InvalidArgument, fault.MalformedRequest, "document.number",
				"the document's number holds nothing that can be looked up: give it as the document has it")
		}
		if d.GetIssuer() != "" {
			if !identity.KnownCode(d.GetIssuer()) {
				return nil, fault.New(codes.InvalidArgument, fault.UnknownCountry, "document.issuer",
					fmt.Sprintf("the issuer %s is neither an ISO 3166-1 alpha-3 code nor one of Doc 9303-3: correct it, or leave it out.", d.GetIssuer()))
			}
			if b, ok := identity.BureauOfIssuer(d.GetIssuer()); ok {
				d.Issuer = string(b)
			}
		}
		out.traveller.Document = d
	}
	if p := req.GetPerson(); p != nil {
		if len(script.Zone(p.GetName()+" "+p.GetPrimary()+" "+p.GetSecondary())) == 0 {
			return nil, fault.New(codes.InvalidArgument, fault.MalformedRequest, "person.name",
				"the person has no name that can be compared: give it, in Latin letters where its own script is not known here")
		}
		p = proto.Clone(p).(*queryv1.PersonQuery)
		if p.GetNationality() != "" && !identity.KnownCode(p.GetNationality()) {
			return nil, fault.New(codes.InvalidArgument, fault.UnknownCountry, "person.nationality",
				fmt.Sprintf("the nationality %s is neither an ISO 3166-1 alpha-3 code nor one of Doc 9303-3: correct it, or leave it out.", p.GetNationality()))
		}
		if p.GetBirthCountry() != "" && !identity.KnownCode(p.GetBirthCountry()) {
			return nil, fault.New(codes.InvalidArgument, fault.UnknownCountry, "person.birth_country",
				fmt.Sprintf("the country of birth %s is neither an ISO 3166-1 alpha-3 code nor one of Doc 9303-3: correct it, or leave it out.", p.GetBirthCountry()))
		}
		if err := checkBirthDate(p.GetBirthDate()); err != nil {
			return nil, err
		}
		// One code for one state: rules about a state's nationals must not be missed by another.
		if b, ok := identity.BureauOfIssuer(p.GetNationality()); ok {
			p.Nationality = string(b)
		}
		if b, ok := identity.BureauOfIssuer(p.GetBirthCountry()); ok {
			p.BirthCountry = string(b)
		}
		out.traveller.Person = p
	}
	if out.traveller.GetDocument() == nil && out.traveller.GetPerson() == nil {
		return nil, fault.New(codes.InvalidArgument, fault.NothingAsked, "mrz",
			"there is nothing to check: give the MRZ, a document or a person")
	}
	out.tellCommonName()
	return out, nil
}

// tellCommonName names it where the name is as good as not looked for: silence is not an answer.
func (s *subject) tellCommonName() {
	p := s.traveller.GetPerson()
	if s.common = p != nil && match.CommonName(p); !s.common {
		return
	}
	text := "so many travellers bear this name that nobody is told of by it alone, and no other bureau is asked: give the birth date"
	if p.GetBirthDate() != "" {
		text = "so many travellers bear this name that nobody is told of without the day of birth, and no other bureau is asked: give the whole birth date"
	}
	s.problems = append(s.problems, &screeningv1.Problem{Code: "COMMON_NAME", Field: "birth date", Text: text})
}

func checkBirthDate(date string) error {
	if date == "" {
		return nil
	}
	for _, layout := range []string{"2006", "2006-01", time.DateOnly} {
		if _, err := time.Parse(layout, date); err == nil {
			return nil
		}
	}
	return fault.New(codes.InvalidArgument, fault.MalformedRequest, "person.birth_date",
		"the birth date is no date of the calendar: write YYYY, YYYY-MM or YYYY-MM-DD")
}

// readMRZ fills the subject from a machine-readable zone. What is wrong with it is named and
// does not stop the check: a passport that is read badly belongs to a traveller all the same.
func (s *Screening) readMRZ(text string, out *subject) error {
	doc, problems, err := mrz.Parser{Now: s.cfg.Now}.Parse(text)
	if err != nil {
		return fault.New(codes.InvalidArgument, fault.MRZUnreadable, "mrz", err.Error()+": read the document again, or give number and name by hand")
	}
	for _, p := range problems {
		out.problems = append(out.problems, &screeningv1.Problem{Code: string(p.Code), Field: string(p.Field), Text: p.Text})
	}
	t := out.traveller
	t.Format = string(doc.Format)
	t.ExpiryDate = doc.Expiry
	if today := s.cfg.Now().UTC().Format(time.DateOnly); doc.Expiry != "" && doc.Expiry < today[:len(doc.Expiry)] {
		out.problems = append(out.problems, &screeningv1.Problem{Code: "EXPIRED", Field: "expiry date", Text: "the document expired on " + doc.Expiry})
	}
	if doc.Number != "" && len(match.DocumentKeys(doc.Number)) == 0 {
		out.problems = append(out.problems, &screeningv1.Problem{Code: "NUMBER_NOT_SEARCHABLE", Field: "document number",
			Text: "the document's number holds nothing that can be looked up: the document was not checked"})
		doc.Number = ""
	}
	if doc.Number != "" {
		t.Document = &queryv1.DocumentQuery{Number: doc.Number, Type: doc.DocumentType()}
		if b, ok := identity.BureauOfIssuer(doc.Issuer); ok {
			t.Document.Issuer = string(b)
		}
	}
	if doc.Primary != "" || doc.Secondary != "" {
		t.Person = &queryv1.PersonQuery{
			Primary: doc.Primary, Secondary: doc.Secondary, Truncated: doc.Truncated,
			BirthDate: doc.BirthDate, Sex: doc.Sex,
		}
		if b, ok := identity.BureauOfIssuer(doc.Nationality); ok {
			t.Person.Nationality = string(b)
		} else if identity.KnownCode(doc.Nationality) {
			t.Person.Nationality = doc.Nationality
		}
	}
	if t.GetDocument() == nil && t.GetPerson() == nil {
		return fault.New(codes.InvalidArgument, fault.MRZUnreadable, "mrz", "the MRZ holds neither a document number nor a name: read it again")
	}
	return nil
}
