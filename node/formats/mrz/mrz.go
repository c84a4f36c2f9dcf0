// Package mrz reads and writes the machine readable zone of travel documents: TD1, TD2, TD3,
// MRV-A and MRV-B of ICAO Doc 9303 parts 3 to 7, eighth edition.
//
// It reads text. It knows no images, no chips and no lists, decides nothing about the traveller,
// and does not map issuers to bureaus (pki/identity does). A name in a zone has no check digit of
// its own, so a name is never verified here, whatever the digits say.
//
// One flow: an officer's reader sends two or three lines, Parse finds the format by their
// lengths, repairs what optical readers are known to mistake (a letter O in a date), computes
// every check digit, and returns the document together with each thing that is wrong with it.
// Only text that is no machine readable zone at all is an error: a damaged passport still has
// to be checked. Encode is the way back.
package mrz

import (
	"time"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Format is one of the five layouts.
type Format string

// The formats.
const (
	TD1  Format = "TD1"   // three lines of 30: cards of credit card size (Doc 9303-5)
	TD2  Format = "TD2"   // two lines of 36: larger cards (Doc 9303-6)
	TD3  Format = "TD3"   // two lines of 44: passport booklets (Doc 9303-4)
	MRVA Format = "MRV-A" // two lines of 44: visas (Doc 9303-7)
	MRVB Format = "MRV-B" // two lines of 36: small visas (Doc 9303-7)
)

// Document is what a machine readable zone says.
type Document struct {
	// Format is the layout.
	Format Format
	// Type is the document code without filler: "P", "PD", "ID", "V".
	Type string
	// Issuer is the issuing state or organisation as printed, without filler: "UTO", "D".
	Issuer string
	// Number is the document number without trailing filler, the long ones of TD1 and TD2 put
	// together. A filler inside the number, which stands for a blank or a sign, is kept. In a
	// visa it is the visa's number or the passport's, as the issuing state chooses.
	Number string
	// Nationality is as printed, without filler.
	Nationality string
	// BirthDate is "YYYY-MM-DD", or "YYYY-MM" or "YYYY" where the rest is not known, or empty.
	// A zone has two digits for the year. The century is the later one that does not put the
	// birth into the future: who is over a hundred years old is read a hundred years too young.
	BirthDate string
	// Sex is as Doc 9303 has it; the filler, and the X that some states print, are SEX_OTHER.
	Sex recordv1.Sex
	// Expiry is the day of expiry, partial as BirthDate, or empty if the document says none. The
	// century is the one that puts it nearest to today: from 50 years ago to 49 years ahead.
	Expiry string
	// Primary is the primary identifier (the surname, where there is one), its parts separated
	// by blanks.
	Primary string
	// Secondary is the secondary identifier (the given names), or empty.
	Secondary string
	// Truncated says that the name fills its field to the last letter, so that more of it may
	// stand in the visual zone (Doc 9303-3 section 4.6).
	Truncated bool
	// Optional is the optional data without trailing filler: the personal number in TD3.
	Optional string
	// Optional2 is the optional data of the second line of TD1.
	Optional2 string
}

// DocumentType is the kind of document that the document code means (Doc 9303-4 to -7).
func (d *Document) DocumentType() recordv1.DocumentType {
	if d.Type == "" {
		return recordv1.DocumentType_DOCUMENT_TYPE_UNSPECIFIED
	}
	// Doc 9303-5 and -6 keep "AC" for crew member certificates.
	if d.Type == "AC" {
		return recordv1.DocumentType_DOCUMENT_TYPE_CREW_DOCUMENT
	}
	switch d.Type[0] {
	case 'P':
		return recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT
	case 'A', 'C', 'I':
		return recordv1.DocumentType_DOCUMENT_TYPE_IDENTITY_CARD
	case 'V':
		return recordv1.DocumentType_DOCUMENT_TYPE_VISA
	default:
		return recordv1.DocumentType_DOCUMENT_TYPE_OTHER
	}
}

// Code says for programs what is wrong.
type Code string

// The codes of problems. They are part of what agencies see; none is ever renamed.
const (
	// CodeCheckDigit: a check digit does not fit its field.
	CodeCheckDigit Code = "CHECK_DIGIT"
	// CodeInvalidCharacter: a character outside A to Z, 0 to 9 and the filler, read as filler.
	CodeInvalidCharacter Code = "INVALID_CHARACTER"
	// CodeLowerCase: small letters, read as capitals.
	CodeLowerCase Code = "LOWER_CASE"
	// CodeConfusion: a letter where only a digit can stand, or the reverse, read as the one that
	// optical readers take for it (O for 0).
	CodeConfusion Code = "OCR_CONFUSION"
	// CodeUnexpectedCharacter: a character that the field does not allow and that no known
	// confusion explains.
	CodeUnexpectedCharacter Code = "UNEXPECTED_CHARACTER"
	// CodeInvalidDate: no such day, month or order of unknown parts.
	CodeInvalidDate Code = "INVALID_DATE"
	// CodeInvalidSex: neither M, F, X nor the filler.
	CodeInvalidSex Code = "INVALID_SEX"
	// CodeUnknownIssuer: an issuer that neither ISO 3166-1 nor Doc 9303-3 lists.
	CodeUnknownIssuer Code = "UNKNOWN_ISSUER"
	// CodeUnknownNationality: the same for a nationality.
	CodeUnknownNationality Code = "UNKNOWN_NATIONALITY"
	// CodeUnknownType: a document code that does not belong to the format.
	CodeUnknownType Code = "UNKNOWN_TYPE"
	// CodeMissing: a field that must be filled is empty.
	CodeMissing Code = "MISSING"
	// CodeNameFormat: fillers in the name that separate nothing.
	CodeNameFormat Code = "NAME_FORMAT"
)

// Field names a field of the zone, as officers know it.
type Field string

// The fields.
const (
	FieldZone        Field = "machine readable zone"
	FieldType        Field = "document code"
	FieldIssuer      Field = "issuing state"
	FieldNumber      Field = "document number"
	FieldNationality Field = "nationality"
	FieldBirthDate   Field = "birth date"
	FieldSex         Field = "sex"
	FieldExpiry      Field = "expiry date"
	FieldName        Field = "name"
	FieldOptional    Field = "optional data"
	FieldComposite   Field = "composite check digit"
)

// Problem is one thing that is wrong with a zone. Its text names places and characters, never
// the content of the field, so that it may be logged and sent on.
type Problem struct {
	Code  Code
	Field Field
	Text  string
}

// Parser reads zones. The zero value reads them as of now.
type Parser struct {
	// Now is the clock by which two digits become a year. Nil means time.Now.
	Now func() time.Time
}

// Parse reads a machine readable zone as of today. See Parser.Parse.
func Parse(s string) (*Document, []Problem, error) {
	return Parser{}.Parse(s)
}
