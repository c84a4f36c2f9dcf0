// Package records keeps the bureau's own records: it takes files in, checks what may be held
// here, makes the keys by which documents are found, and withdraws what a newer file no longer
// holds.
//
// It parses nothing (node/formats does), stores nothing itself (node/store does) and does not
// search. One flow, an import: the file is read once to check every row and to count what would
// be withdrawn; only if that stands (strict, mass withdrawal) is it read again and written in
// durable batches. A crash in between leaves a part of the file, and the same import again
// completes it: nothing is written twice.
package records

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// The collections.
const (
	Documents = "documents"
	Persons   = "persons"
)

// Unfit says why a record may not be held here: which field, why, and what to do.
type Unfit struct {
	Field  string
	Reason string
}

// Error implements error.
func (u *Unfit) Error() string {
	if u.Field == "" {
		return u.Reason
	}
	return u.Field + ": " + u.Reason
}

// Fitter prepares records for the store.
type Fitter struct {
	self      identity.Bureau
	validator protovalidate.Validator
}

// NewFitter returns a fitter for the records of one bureau.
func NewFitter(self identity.Bureau) (*Fitter, error) {
	v, err := protovalidate.New()
	if err != nil {
		return nil, fmt.Errorf("record validation: %w", err)
	}
	return &Fitter{self: self, validator: v}, nil
}

// Fit checks that a record may be held in a collection of this bureau and returns it with its
// owner, its audience and the document's keys set. The record given is not changed. Errors are
// of type *Unfit.
func (f *Fitter) Fit(rec *recordv1.Record, collection string, audience *recordv1.Audience) (*recordv1.Record, error) {
	if err := f.validator.Validate(rec); err != nil {
		return nil, unfitOf(err)
	}
	rec = proto.Clone(rec).(*recordv1.Record)
	if rec.GetStewardship() == nil {
		rec.Stewardship = &recordv1.Stewardship{}
	}
	s := rec.GetStewardship()
	switch identity.Bureau(s.GetOwnerBureau()) {
	case "", f.self:
		s.OwnerBureau = string(f.self)
	default:
		return nil, &Unfit{Field: "stewardship.owner_bureau", Reason: fmt.Sprintf(
			"the record belongs to %s; only records of %s are kept here: leave the field empty or ask the owner", s.GetOwnerBureau(), f.self)}
	}
	if s.GetAudience() == nil && audience != nil && !forNobody(rec) {
		s.Audience = proto.Clone(audience).(*recordv1.Audience)
	}
	switch body := rec.GetBody().(type) {
	case *recordv1.Record_Person:
		if collection != Persons {
			return nil, &Unfit{Field: "person", Reason: "a person belongs in the collection persons: import it with --collection persons"}
		}
		if err := f.fitPerson(body.Person); err != nil {
			return nil, err
		}
	case *recordv1.Record_Document:
		// The documents of a list's persons come in the same file as the persons.
		if err := f.fitDocument(body.Document); err != nil {
			return nil, err
		}
	}
	return rec, nil
}

// forNobody are the roles whose records default to nobody abroad, whatever the import says.
func forNobody(rec *recordv1.Record) bool {
	role := rec.GetPerson().GetRole()
	return role == recordv1.PersonRole_PERSON_ROLE_VICTIM || role == recordv1.PersonRole_PERSON_ROLE_WITNESS
}

func (f *Fitter) fitPerson(p *recordv1.Person) error {
	for i, a := range p.GetImages() {
		if err := fitAttachment(fmt.Sprintf("person.images[%d]", i), a); err != nil {
			return err
		}
	}
	for i, a := range p.GetBiometrics() {
		if err := fitAttachment(fmt.Sprintf("person.biometrics[%d]", i), a); err != nil {
			return err
		}
	}
	for i, b := range p.GetBirths() {
		field := fmt.Sprintf("person.births[%d]", i)
		if b.GetFrom() == "" && b.GetTo() != "" || b.GetTo() == "" && b.GetFrom() != "" {
			return &Unfit{Field: field, Reason: "give both from and to, or neither"}
		}
		if err := checkDay(field+".from", b.GetFrom()); err != nil {
			return err
		}
		if err := checkDay(field+".to", b.GetTo()); err != nil {
			return err
		}
		if b.GetFrom() > b.GetTo() {
			return &Unfit{Field: field, Reason: "from lies after to: swap them"}
		}
	}
	for i, n := range p.GetNationalities() {
		if !identity.KnownCode(n.GetCode()) {
			return &Unfit{Field: fmt.Sprintf("person.nationalities[%d].code", i), Reason: fmt.Sprintf(
				"%q is neither an ISO 3166-1 alpha-3 code nor one of Doc 9303-3", n.GetCode())}
		}
	}
	return nil
}

// fitAttachment gives a file its digest, by which it is told where its content is not.
func fitAttachment(field string, a *recordv1.Attachment) error {
	if len(a.GetContent()) == 0 {
		return nil
	}
	digest := sha256.Sum256(a.GetContent())
	if len(a.GetDigest()) > 0 && !bytes.Equal(a.GetDigest(), digest[:]) {
		return &Unfit{Field: field + ".digest", Reason: "it is not the SHA-256 of the content: leave it out, or fetch the file again"}
	}
	a.Digest = digest[:]
	return nil
}

func (f *Fitter) fitDocument(d *recordv1.Document) error {
	if d.GetIssuer() != "" {
		if !identity.KnownCode(d.GetIssuer()) {
			return &Unfit{Field: "document.issuer", Reason: fmt.Sprintf(
				"%q is neither an ISO 3166-1 alpha-3 code nor one of Doc 9303-3", d.GetIssuer())}
		}
		if b, ok := identity.BureauOfIssuer(d.GetIssuer()); ok {
			d.Issuer = string(b)
		}
	}
	if OnlyIssuerMaySay(d.GetStatus()) && d.GetIssuer() != string(f.self) {
		return &Unfit{Field: "document.issuer", Reason: fmt.Sprintf(
			"only the state that issued a document may list it as %s: this is a document of %s, this bureau is %s",
			statusWord(d.GetStatus()), orUnknown(d.GetIssuer()), f.self)}
	}
	for _, day := range [][2]string{
		{"document.issue_date", d.GetIssueDate()}, {"document.expiry_date", d.GetExpiryDate()}, {"document.theft.on", d.GetTheft().GetOn()},
	} {
		if err := checkDay(day[0], day[1]); err != nil {
			return err
		}
	}
	return fitNumber(d)
}

// The bounds of a document's keys (record/v1/document.proto), and of the digits by which the
// numbers of a range count.
const (
	maxKeyBytes    = 64
	maxMoreKeys    = 16
	maxRangeDigits = 18
)

// fitNumber makes the keys by which a document is found.
func fitNumber(d *recordv1.Document) error {
	d.NumberKey, d.MoreKeys = "", nil
	if d.GetRangeEnd() != "" {
		low, high, ok := match.RangeKeys(d.GetNumber(), d.GetRangeEnd())
		switch digits := len(low) - len(strings.TrimRight(low, "0123456789")); {
		case !ok:
			return &Unfit{Field: "document.range_end", Reason: "the two numbers are no range: write both with the same letters and as many digits, the lower one first"}
		case low == high:
			d.RangeEnd = "" // one document
		case digits > maxRangeDigits || len(low) > maxKeyBytes:
			return &Unfit{Field: "document.range_end", Reason: fmt.Sprintf("the numbers of a range end in at most %d digits", maxRangeDigits)}
		default:
			d.NumberKey = low
			return nil
		}
	}
	keys := slices.DeleteFunc(match.DocumentKeys(d.GetNumber()), func(k string) bool { return len(k) > maxKeyBytes })
	switch {
	case len(keys) > 0:
		d.NumberKey = keys[0]
		d.MoreKeys = slices.Clone(keys[1:min(len(keys), maxMoreKeys+1)])
	case OnlyIssuerMaySay(d.GetStatus()):
		// One of a list's persons is kept as the list has it; one that is reported so that it be
		// found and cannot be is a gap that nobody would notice.
		return &Unfit{Field: "document.number", Reason: "it holds nothing by which the document could be found: write the number as the document has it"}
	}
	return nil
}

// OnlyIssuerMaySay tells the statuses that are the issuing state's alone to give.
func OnlyIssuerMaySay(s recordv1.DocumentStatus) bool {
	switch s {
	case recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN_BLANK, recordv1.DocumentStatus_DOCUMENT_STATUS_STOLEN,
		recordv1.DocumentStatus_DOCUMENT_STATUS_LOST, recordv1.DocumentStatus_DOCUMENT_STATUS_REVOKED,
		recordv1.DocumentStatus_DOCUMENT_STATUS_INVALID:
		return true
	default:
		return false
	}
}

func statusWord(s recordv1.DocumentStatus) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(s.String(), "DOCUMENT_STATUS_"), "_", " "))
}

func orUnknown(issuer string) string {
	if issuer == "" {
		return "an unknown issuer"
	}
	return issuer
}

func checkDay(field, day string) error {
	if day == "" {
		return nil
	}
	if !validDay(day) {
		return &Unfit{Field: field, Reason: fmt.Sprintf("%q is no day of the calendar: write YYYY-MM-DD", day)}
	}
	return nil
}

// unfitOf turns the first violation of the schema into field and reason.
func unfitOf(err error) *Unfit {
	var ve *protovalidate.ValidationError
	if errors.As(err, &ve) && len(ve.Violations) > 0 {
		v := ve.Violations[0]
		return &Unfit{Field: protovalidate.FieldPathString(v.Proto.GetField()), Reason: v.Proto.GetMessage()}
	}
	return &Unfit{Reason: err.Error()}
}

// validDay tells whether a text is a day of the calendar, written YYYY-MM-DD.
func validDay(day string) bool {
	_, err := time.Parse(time.DateOnly, day)
	return err == nil
}
