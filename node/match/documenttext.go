package match

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxKeys is the most keys that one text gives: the first for Document.number_key, the rest for
// more_keys.
const MaxKeys = 16

// DocumentKeys returns the keys under which a number is found that was written as one, as several
// or in a sentence, most telling first:
//
//	OA-454805                                                 0A454805
//	Afghan passport number OA454805, issued on 12 March 2009  0A454805, and the whole
//	PS 472330208                                              P5472330208, 472330208
//
// The whole text is always among them where a key can hold it, so that a number asked for exactly
// as it was recorded is found. Dates, years and plain words are no keys beside it. A text that
// names no number ("unknown", "passport") gives none, nor does one without letters and digits.
func DocumentKeys(text string) []string {
	var keys []string
	for _, n := range readNumbers(text) {
		if key := foldKey(n.strict); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys[:min(len(keys), MaxKeys)]
}

// DocumentNumbers returns the numbers that DocumentKeys makes its keys of, in the same order and in
// the letters and digits that were written: what a person or a query may be shown or sent.
func DocumentNumbers(text string) []string {
	var out []string
	for _, n := range readNumbers(text) {
		out = append(out, n.strict)
	}
	return out[:min(len(out), MaxKeys)]
}

// reading is how a number was read out of a text.
type reading int

const (
	readNumber reading = iota // the number: the text as a whole, or what stands in a sentence
	readPart                  // a part of it, without the letters that may be a series or a label
)

// number is one number read out of a text, in strict form.
type number struct {
	strict  string
	reading reading
}

var (
	monthWord = `(?:JANUARY|FEBRUARY|MARCH|APRIL|MAY|JUNE|JULY|AUGUST|SEPTEMBER|OCTOBER|NOVEMBER|DECEMBER|` +
		`JAN|FEB|MAR|APR|JUN|JUL|AUG|SEPT|SEP|OCT|NOV|DEC|` +
		`JANVIER|FEVRIER|MARS|AVRIL|MAI|JUIN|JUILLET|AOUT|SEPTEMBRE|OCTOBRE|NOVEMBRE|DECEMBRE)\.?`
	// Dates with a month's name, and numeric ones with a year of four digits. A numeric date with
	// two-digit years is not recognised: too many numbers look like one.
	dateInText = regexp.MustCompile(`\b(?:` +
		`[0-9]{1,2}(?:ST|ND|RD|TH)?[ -]+(?:OF +)?` + monthWord + `[ ,-]*(?:[12][0-9]{3})?` +
		`|` + monthWord + `[ -]+(?:[0-9]{1,2}(?:ST|ND|RD|TH)?[ ,]+)?[12][0-9]{3}` +
		`|(?:0?[1-9]|[12][0-9]|3[01])[./-](?:0?[1-9]|[12][0-9]|3[01])[./-](?:19|20)[0-9]{2}` +
		`|(?:19|20)[0-9]{2}[./-](?:0[1-9]|1[0-2])[./-](?:0[1-9]|[12][0-9]|3[01])` +
		`)\b`)
	yearAlone = regexp.MustCompile(`^(?:19|20)[0-9]{2}$`)
	// A token is letters and digits, joined by single dashes, dots or slashes.
	tokenInText = regexp.MustCompile(`[\p{L}0-9]+(?:[-./][\p{L}0-9]+)*`)
	// What may stand between two tokens of one number.
	withinNumber = regexp.MustCompile(`^(?: *[-.] *| +|/)$`)
)

// labelWords are words that announce or replace a number. A text of nothing else names none.
var labelWords = wordSet(`NUMBER NUMBERS NUMERO NO NOS NR NUM N NUMMER PASSPORT PASSPORTS PASSEPORT PASAPORTE
	TRAVEL DOCUMENT DOCUMENTS IDENTITY IDENTIFICATION ID CARD CARTE CEDULA NATIONAL DIPLOMATIC SERVICE
	OFFICIAL LAISSEZ PASSER VISA TAZKIRA SERIAL SERIES SERIE IN ON OF TO BY AND AS THE
	UNKNOWN NONE NIL NULL NA NOT KNOWN AVAILABLE APPLICABLE UNDETERMINED UNSPECIFIED MISSING ILLEGIBLE TBD`)

func wordSet(words string) map[string]bool {
	set := make(map[string]bool)
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}

const (
	// Shorter numbers inside a sentence are its articles, counts and day numbers.
	minKeyLength = 4
	minKeyDigits = 3
	// Letters before a number may be its series ("SE 012820") or a label ("PS 472330208"); without
	// them a number must still be long enough to stand for one document of a country.
	minPartDigits = 8
	// A block that begins with a letter and has so many digits is a number of its own.
	minSoleDigits = 6
	// More letters than this in a row are a word.
	maxSeriesLetters = 3
)

// readNumbers reads all numbers out of a text, the most telling first.
func readNumbers(text string) []number {
	plain := strings.Join(strings.FieldsFunc(plainNumber(text), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || r == '<'
	}), " ")
	whole := stripNumber(plain)
	if whole == "" || isLabel(plain) {
		return nil
	}
	if plain == whole { // one word, as a zone has it
		return bareNumber(whole)
	}
	inText := numbersInText(plain)
	var out []number
	add := func(n number) {
		if n.strict != "" && utf8.RuneCountInString(n.strict) <= MaxKeyLength &&
			!slices.ContainsFunc(out, func(o number) bool { return o.strict == n.strict }) {
			out = append(out, n)
		}
	}
	wholeNumber := number{whole, readNumber}
	// A sentence's number goes before the sentence; a bare number goes before its parts.
	if isSentence(plain) {
		for _, n := range inText {
			if n.reading == readNumber {
				add(n)
			}
		}
		add(wholeNumber)
	} else {
		add(wholeNumber)
	}
	for _, n := range inText {
		// Without words around it, the whole text is the number and everything in it a part.
		if !isSentence(plain) && len(n.strict) < len(whole) && !standsAlone(n.strict) {
			n.reading = readPart
		}
		add(n)
	}
	return out
}

// bareNumber reads a text that is one word of letters and digits.
func bareNumber(whole string) []number {
	var out []number
	if utf8.RuneCountInString(whole) <= MaxKeyLength {
		out = append(out, number{whole, readNumber})
	}
	if bare, ok := cutLabel(whole); ok && (token{text: bare}).digits() >= minPartDigits {
		out = append(out, number{bare, readPart})
	}
	return out
}

// isLabel reports whether a text is made of label words alone and so names no number.
func isLabel(plain string) bool {
	words := strings.FieldsFunc(plain, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if strings.Join(words, "") == "NA" { // N/A
		return true
	}
	return !slices.ContainsFunc(words, func(w string) bool { return !labelWords[w] })
}

// isSentence reports whether a text holds a word: letters in a row that are more than a series.
func isSentence(plain string) bool {
	for _, w := range strings.FieldsFunc(plain, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if labelWords[w] || !strings.ContainsFunc(w, unicode.IsDigit) && utf8.RuneCountInString(w) > maxSeriesLetters {
			return true
		}
	}
	return strings.ContainsAny(plain, "(),:;")
}

// standsAlone reports whether one block is a number of its own beside another: "A1234567 B7654321".
func standsAlone(strict string) bool {
	letter, _ := utf8.DecodeRuneInString(strict)
	return unicode.IsLetter(letter) && token{text: strict}.digits() >= minSoleDigits && !hasLabel(strict)
}

func hasLabel(strict string) bool {
	_, ok := cutLabel(strict)
	return ok
}

// token is a stretch of letters and digits in a text.
type token struct {
	text       string // with its inner separators
	start, end int
}

func (t token) digits() int {
	n := 0
	for _, r := range t.text {
		if r >= '0' && r <= '9' {
			n++
		}
	}
	return n
}

// isSeries reports whether a token can be the letters before a number.
func (t token) isSeries() bool {
	return t.digits() == 0 && utf8.RuneCountInString(stripNumber(t.text)) <= maxSeriesLetters && !labelWords[t.text]
}

// numbersInText reads the numbers that stand in a text beside its words and dates.
func numbersInText(plain string) []number {
	undated := dateInText.ReplaceAllStringFunc(plain, func(date string) string {
		return strings.Repeat(",", len(date)) // the same length, and nothing joins across it
	})
	var tokens []token
	for _, at := range tokenInText.FindAllStringIndex(undated, -1) {
		tokens = append(tokens, token{undated[at[0]:at[1]], at[0], at[1]})
	}
	joins := func(i int) bool { // whether token i+1 goes on where token i ends
		return i+1 < len(tokens) && withinNumber.MatchString(undated[tokens[i].end:tokens[i+1].start])
	}
	var out []number
	add := func(text string, r reading) {
		s := stripNumber(text)
		digits := token{text: s}.digits()
		if utf8.RuneCountInString(s) < minKeyLength || utf8.RuneCountInString(s) > MaxKeyLength ||
			digits < minKeyDigits || r == readPart && digits < minPartDigits || yearAlone.MatchString(s) {
			return
		}
		out = append(out, number{s, r})
	}
	for i := 0; i < len(tokens); i++ {
		if tokens[i].digits() == 0 && !tokens[i].isSeries() {
			continue
		}
		// A run: an optional series, then blocks with digits. A label inside ("8208 No. 555627")
		// ends it, and both numbers are read as well as the two together.
		start := i
		if tokens[i].isSeries() {
			if !joins(i) || tokens[i+1].digits() == 0 {
				continue
			}
			i++
		}
		first := i
		for joins(i) && tokens[i+1].digits() > 0 {
			i++
		}
		run := undated[tokens[start].start:tokens[i].end]
		add(run, readNumber)
		if start < first { // without the series, which may be a label
			add(undated[tokens[first].start:tokens[i].end], readPart)
		}
		if bare, ok := cutLabel(stripNumber(tokens[first].text)); ok {
			add(bare+stripNumber(undated[tokens[first].end:tokens[i].end]), readNumber)
		}
		if i > first { // the blocks one by one: two numbers may stand side by side
			for _, t := range tokens[first : i+1] {
				if standsAlone(stripNumber(t.text)) {
					add(t.text, readNumber)
				} else {
					add(t.text, readPart)
				}
			}
		}
	}
	series, serial := acrossLabel(tokens)
	if serial == "" {
		return out
	}
	out = slices.DeleteFunc(out, func(n number) bool { return n.strict == series || n.strict == serial })
	out = append([]number{{series + serial, readNumber}}, out...)
	if len(serial) >= minSoleDigits {
		out = append(out, number{serial, readPart})
	}
	return out
}

// cutLabel takes a label from the front of a token that it was written onto: "No34409" is 34409.
func cutLabel(s string) (string, bool) {
	for _, label := range []string{"NUMBER", "NUMERO", "NO", "NR"} {
		if rest, ok := strings.CutPrefix(s, label); ok && rest != "" && rest[0] >= '0' && rest[0] <= '9' {
			return rest, true
		}
	}
	return "", false
}

// acrossLabel finds "8208 No. 555627": series and serial of one document with a label between.
func acrossLabel(tokens []token) (series, serial string) {
	for i := 0; i+2 < len(tokens); i++ {
		if tokens[i].digits() > 0 && tokens[i+2].digits() > 0 && (tokens[i+1].text == "NO" || tokens[i+1].text == "N") {
			return stripNumber(tokens[i].text), stripNumber(tokens[i+2].text)
		}
	}
	return "", ""
}
