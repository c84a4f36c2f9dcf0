package unlist

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/entente-mesh/entente/node/formats/country"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// The bounds of a document (record/v1/document.proto).
const (
	maxNumber          = 1024
	maxDocumentRemarks = 4096
)

// identified is a document with the id of its record.
type identified struct {
	id       string
	document *recordv1.Document
}

// documents turns the document numbers of an entry into documents of status ASSOCIATED: valid
// ones, as far as the list says, of a person of interest.
func (r *reading) documents(s *subject) []identified {
	var all []identified
	byID := map[string]*recordv1.Document{}
	for _, text := range s.Documents {
		number := tidy(text.Number)
		if number == "" {
			r.withoutNumber(text)
			continue
		}
		d := r.document(text, number)
		id := documentID(r.entry.ID, text, d)
		if first := byID[id]; first != nil {
			r.note("INDIVIDUAL_DOCUMENT", "the same document twice: taken once, with the notes of both")
			first.Remarks = r.cut("NOTE", strings.TrimSpace(first.GetRemarks()+"\n"+d.GetRemarks()), maxDocumentRemarks)
			continue
		}
		byID[id] = d
		all = append(all, identified{id, d})
	}
	return all
}

// withoutNumber keeps what the list says of a document whose number it does not give in the
// element for it: sometimes the note holds it.
func (r *reading) withoutNumber(text documentText) {
	var words []string
	for _, w := range []string{text.Type, text.Type2, text.Note} {
		if w = tidy(w); w != "" {
			words = append(words, w)
		}
	}
	if len(words) > 0 {
		r.header.DocumentsWithoutNumber++
		r.remark("Document: %s", strings.Join(words, ", "))
	}
}

func (r *reading) document(text documentText, number string) *recordv1.Document {
	r.header.Documents++
	if !alphanumeric(number) {
		r.header.DocumentsNotAlphanumeric++
	}
	d := &recordv1.Document{
		Number:    r.cut("NUMBER", number, maxNumber),
		Type:      documentType(text.Type, text.Type2, number),
		Status:    recordv1.DocumentStatus_DOCUMENT_STATUS_ASSOCIATED,
		PersonRef: r.entry.ID,
	}
	var remarks []string
	if t := tidy(text.Type2); t != "" && !strings.EqualFold(t, tidy(text.Type)) {
		remarks = append(remarks, t)
	}
	issuer, words := r.issuer(text)
	d.Issuer = issuer
	remarks = append(remarks, words...)
	if issuer == "" {
		r.header.DocumentsWithoutIssuer++
	}
	if tidy(text.DateOfIssue) != "" {
		on, ok := day(text.DateOfIssue)
		if ok {
			d.IssueDate = on
		} else {
			r.note("DATE_OF_ISSUE", "no day YYYY-MM-DD: kept in words")
			remarks = append(remarks, "Issued: "+tidy(text.DateOfIssue))
		}
	}
	if note := tidy(text.Note); note != "" {
		// A document holds no names; its person's record does.
		if namesHolder.MatchString(note) {
			r.remark("Document %s: %s", number, note)
		} else {
			remarks = append(remarks, note)
		}
	}
	d.Remarks = r.cut("NOTE", strings.Join(remarks, "\n"), maxDocumentRemarks)
	return d
}

var (
	// namesHolder finds a note that may say in whose name a document is.
	namesHolder = regexp.MustCompile(`(?i)\bname\b|\bmade out\b|\bissued (?:to|for)\b|\bholder\b`)
	// mission finds a document that a state issued through its mission in another.
	mission = regexp.MustCompile(`(?i)\b(?:consulate(?: general)?|embassy) of (?:the )?([^,;.]+)`)
)

// issuer finds the state that issued a document. ISSUING_COUNTRY names it. COUNTRY_OF_ISSUE is
// where it was issued: where the list has both and they differ, as in a Tunisian passport issued
// in Italy, the first is the state and the second the place. Where it has the second alone, that
// is the state too, unless the note says that a mission of another state issued it there.
func (r *reading) issuer(text documentText) (code string, remarks []string) {
	state, place := tidy(text.IssuingCountry), tidy(text.CountryOfIssue)
	at := address{City: text.CityOfIssue}
	switch {
	case state != "":
		code = r.country("ISSUING_COUNTRY", state)
		if code == "" {
			remarks = append(remarks, "Issuing country as listed: "+state)
		}
		if place != state {
			at.Country = place
		}
	case place != "":
		if m := mission.FindStringSubmatch(tidy(text.Note)); m != nil {
			code, _ = country.Alpha3(m[1])
			at.Country = place
			break
		}
		if code = r.country("COUNTRY_OF_ISSUE", place); code == "" {
			at.Country = place
		}
	}
	if where := at.text(true); where != "" {
		remarks = append(remarks, "Issued in "+where)
	}
	return code, remarks
}

// typeWords map the words of the list, in the languages in which it writes them, to types. The
// first that occurs decides.
var typeWords = []struct {
	pattern *regexp.Regexp
	kind    recordv1.DocumentType
}{
	{regexp.MustCompile(`laissez.passer`), recordv1.DocumentType_DOCUMENT_TYPE_LAISSEZ_PASSER},
	{regexp.MustCompile(`pass?[ae]?port`), recordv1.DocumentType_DOCUMENT_TYPE_PASSPORT},
	{regexp.MustCompile(`driv(?:ing|er)|birth|nationality|ration|voter|student|serviceman|military|fiscal|social security|other id|alien registration|fardc`), recordv1.DocumentType_DOCUMENT_TYPE_OTHER},
	{regexp.MustCompile(`residen`), recordv1.DocumentType_DOCUMENT_TYPE_RESIDENCE_PERMIT},
	{regexp.MustCompile(`\bvisa\b`), recordv1.DocumentType_DOCUMENT_TYPE_VISA},
	{regexp.MustCompile(`seam[ae]n|seafarer`), recordv1.DocumentType_DOCUMENT_TYPE_CREW_DOCUMENT},
	{regexp.MustCompile(`identi|national number|tazkira|personalausweis|civil`), recordv1.DocumentType_DOCUMENT_TYPE_IDENTITY_CARD},
}

// documentType maps TYPE_OF_DOCUMENT and TYPE_OF_DOCUMENT2, of which the second is the narrower
// and the first the one that is always there. Where the number is a sentence that names another
// kind than a passport or an identity card, the sentence is believed.
func documentType(first, second, number string) recordv1.DocumentType {
	sentence := wordsType(number)
	if sentence == recordv1.DocumentType_DOCUMENT_TYPE_LAISSEZ_PASSER || sentence == recordv1.DocumentType_DOCUMENT_TYPE_OTHER {
		return sentence
	}
	for _, words := range []string{second, first} {
		if t := wordsType(words); t != recordv1.DocumentType_DOCUMENT_TYPE_UNSPECIFIED {
			return t
		}
	}
	if tidy(first)+tidy(second) == "" {
		return recordv1.DocumentType_DOCUMENT_TYPE_UNSPECIFIED
	}
	return recordv1.DocumentType_DOCUMENT_TYPE_OTHER
}

func wordsType(words string) recordv1.DocumentType {
	words = strings.ToLower(tidy(words))
	for _, w := range typeWords {
		if w.pattern.MatchString(words) {
			return w.kind
		}
	}
	return recordv1.DocumentType_DOCUMENT_TYPE_UNSPECIFIED
}

// documentID is the id of a document: its person's, and a hash over what makes it this
// document: the number, the words by which the list names its type, and the issuer. The words
// and not the type that they are mapped to, so that a better mapping is an update of the record
// and no other record; and because the list has one passport three times, in three languages,
// which are three statements of the list. Eight bytes keep the documents of one person apart;
// two persons' never meet.
func documentID(person string, text documentText, d *recordv1.Document) string {
	key := strings.Join([]string{d.GetNumber(), tidy(text.Type), tidy(text.Type2), d.GetIssuer()}, "\x00")
	sum := sha256.Sum256([]byte(strings.ToUpper(key)))
	return person + ":doc:" + hex.EncodeToString(sum[:8])
}

func alphanumeric(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}
