package unlist

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// names gathers the names of an entry: the primary one in the parts that the list gives, the
// same in its original script, then the aliases. The list does not say which part is a surname
// (FIRST_NAME is a given name in one entry and a clan in the next), so the parts have no kind.
func (r *reading) names(s *subject) []*recordv1.Name {
	n := naming{reading: r}
	var parts []string
	for _, text := range []string{s.FirstName, s.SecondName, s.ThirdName, s.FourthName} {
		if text = tidy(text); text != "" {
			parts = append(parts, text)
		}
	}
	if len(parts) > 0 {
		n.add(recordv1.NameType_NAME_TYPE_PRIMARY, parts...)
	}
	if text := tidy(s.OriginalScriptName); text != "" {
		n.add(recordv1.NameType_NAME_TYPE_ALIAS, text)
	}
	if len(n.names) == 0 {
		return nil // an alias alone names nobody
	}
	for _, a := range append(slices.Clone(s.Aliases), s.EntityAliases...) {
		n.alias(a)
	}
	return few(r, "ALIAS_NAME", n.names, maxNames)
}

// naming collects names, each text once.
type naming struct {
	*reading
	names []*recordv1.Name
}

func (n *naming) add(kind recordv1.NameType, texts ...string) {
	name := &recordv1.Name{Type: kind}
	for _, text := range texts {
		part := &recordv1.NamePart{Text: n.cut("ALIAS_NAME", text, maxName), Script: script(text)}
		if len(texts) == 1 {
			part.Kind = recordv1.NamePartKind_NAME_PART_KIND_FULL
		}
		name.Parts = append(name.Parts, part)
	}
	whole := strings.Join(texts, " ")
	for _, other := range n.names {
		if !strings.EqualFold(wholeName(other), whole) {
			continue
		}
		// Named twice: the better opinion of it stands.
		if other.GetType() == recordv1.NameType_NAME_TYPE_LOW_QUALITY {
			other.Type = kind
		}
		return
	}
	n.names = append(n.names, name)
}

func wholeName(n *recordv1.Name) string {
	texts := make([]string, len(n.GetParts()))
	for i, p := range n.GetParts() {
		texts[i] = p.GetText()
	}
	return strings.Join(texts, " ")
}

// alias adds the names of one alias element, and what its note says of them.
func (n *naming) alias(a alias) {
	text := tidy(a.Name)
	if text == "" {
		return
	}
	kind := recordv1.NameType_NAME_TYPE_ALIAS
	switch q := strings.ToLower(tidy(a.Quality)); q {
	case "good", "a.k.a.", "f.k.a.", "":
		if q == "f.k.a." {
			n.remark("Formerly known as: %s", text)
		}
	case "low":
		kind = recordv1.NameType_NAME_TYPE_LOW_QUALITY
	default:
		n.note("QUALITY", "none of Good, Low, a.k.a. and f.k.a.: the name is taken as an alias")
	}
	texts, comments := splitAlias(text)
	note := tidy(a.Note)
	more, rest := splitNote(note)
	texts = append(texts, more...)
	if rest != "" {
		comments = append(comments, rest)
	}
	for _, c := range comments {
		if t, ok := nameTypes[strings.ToLower(c)]; ok {
			kind = t
		}
	}
	for _, t := range texts {
		n.add(kind, t)
	}
	for _, c := range comments {
		n.remark("Alias %s: %s", text, c)
	}
}

// nameTypes are the comments that tell what kind of name a name is.
var nameTypes = map[string]recordv1.NameType{
	"nom de guerre": recordv1.NameType_NAME_TYPE_NOM_DE_GUERRE,
	"combat name":   recordv1.NameType_NAME_TYPE_NOM_DE_GUERRE,
	"birth name":    recordv1.NameType_NAME_TYPE_AT_BIRTH,
	"name at birth": recordv1.NameType_NAME_TYPE_AT_BIRTH,
}

var (
	// enumeration is the mark between names in one element: a semicolon, or the letter of an
	// enumeration that was left in ("... b) ...").
	enumeration = regexp.MustCompile(`;|\s[a-z]\)\s`)
	// clause begins what is no name any more.
	clause = regexp.MustCompile(`, born\b`)
	// originalScript introduces the name in its own script.
	originalScript = regexp.MustCompile(`(?i)^(?:.*,?\s)?(?:original script|in arabic(?: script)?)\s*:\s*(.+)$`)
)

// splitAlias divides the text of an alias into names and comments. The list writes several
// names into one element, separated by semicolons, and in brackets behind a name: the same in
// another script, its transcriptions, what kind of name it is, or a whole story. What stands in
// brackets is a name of its own if its script is another than that of the name before it, or if
// it is an enumeration; a comment if it says a kind of name or holds digits; and otherwise it
// stays where it is, as an acronym or a part of the name would.
func splitAlias(text string) (names, comments []string) {
	if at := clause.FindStringIndex(text); at != nil {
		comments = append(comments, strings.TrimSpace(text[at[0]+1:]))
		text = text[:at[0]]
	}
	outside, inside := brackets(text)
	keep := strings.TrimSpace(outside) == ""
	for _, in := range inside {
		if m := originalScript.FindStringSubmatch(in); m != nil {
			names = append(names, m[1])
			continue
		}
		_, isKind := nameTypes[strings.ToLower(in)]
		switch {
		case isKind || strings.ContainsFunc(in, unicode.IsDigit) || strings.EqualFold(in, "previously listed as"):
			comments = append(comments, in)
		case enumeration.MatchString(in) || script(in) != script(outside) && script(outside) != "":
			for _, name := range enumeration.Split(in, -1) {
				if bare, nested := brackets(name); len(nested) == 1 && strings.EqualFold(nested[0], "original script") {
					name = bare
				}
				names = append(names, name)
			}
		default:
			keep = true
		}
	}
	if keep && len(names)+len(comments) == 0 {
		outside = text
	}
	names = append(enumeration.Split(outside, -1), names...)
	for i, name := range names {
		if latin, other, ok := twoScripts(name); ok {
			names[i] = latin
			names = append(names, other)
		}
	}
	for i, name := range names {
		names[i] = strings.TrimLeft(strings.TrimRight(strings.TrimSpace(name), " ,;"), " ,;)")
	}
	return slices.DeleteFunc(names, func(s string) bool { return !strings.ContainsFunc(s, unicode.IsLetter) }), comments
}

// twoScripts divides a name that is followed, with nothing between, by the same in another
// script.
func twoScripts(text string) (first, second string, ok bool) {
	if script(text) != "" {
		return "", "", false
	}
	for at := range text {
		if at == 0 || text[at-1] != ' ' {
			continue
		}
		first, second = strings.TrimSpace(text[:at]), text[at:]
		if a, b := script(first), script(second); a != "" && b != "" && a != b {
			return first, second, true
		}
	}
	return "", "", false
}

// brackets takes the outermost brackets out of a text. A bracket that is not closed is text.
func brackets(text string) (outside string, inside []string) {
	var out strings.Builder
	depth, open := 0, 0
	for i, r := range text {
		switch {
		case r == '(' && strings.ContainsRune(text[i:], ')'):
			if depth++; depth == 1 {
				open = i + 1
			}
		case r == ')' && depth > 0:
			if depth--; depth == 0 {
				inside = append(inside, strings.TrimSpace(text[open:i]))
				out.WriteByte(' ')
			}
		case depth == 0:
			out.WriteRune(r)
		}
	}
	if depth > 0 {
		return text, nil
	}
	return strings.Join(strings.Fields(out.String()), " "), inside
}

// splitNote finds names in the note of an alias: in the original script, or an enumeration that
// holds nothing but names. The rest is a comment.
func splitNote(note string) (names []string, rest string) {
	if m := originalScript.FindStringSubmatchIndex(note); m != nil {
		name := strings.TrimSpace(note[m[2]:m[3]])
		return []string{name}, strings.TrimRight(strings.TrimSpace(strings.TrimSuffix(note[:m[2]], note[lead(note, m[2]):m[2]])), ".,")
	}
	outside, inside := brackets(note)
	for _, part := range append([]string{outside}, inside...) {
		if !onlyNames(part) {
			continue
		}
		for name := range strings.SplitSeq(part, ";") {
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
		}
		if part == note {
			return names, ""
		}
	}
	return names, note
}

// onlyNames tells an enumeration of names from a sentence: it has semicolons and nothing else
// but letters and what belongs to names.
func onlyNames(text string) bool {
	text = strings.ReplaceAll(text, "Dr.", "Dr")
	return strings.Contains(text, ";") && !strings.ContainsFunc(text, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsSpace(r) && !unicode.Is(unicode.Mn, r) && !strings.ContainsRune(";'’‘-", r)
	})
}

// lead is where the words begin that introduce a name in its original script.
func lead(note string, name int) int {
	before := strings.ToLower(note[:name])
	return max(strings.LastIndex(before, "original script"), strings.LastIndex(before, "in arabic"), 0)
}

// scripts are the scripts in which lists write names, by ISO 15924.
var scripts = []struct {
	code  string
	table *unicode.RangeTable
}{
	{"Latn", unicode.Latin}, {"Arab", unicode.Arabic}, {"Cyrl", unicode.Cyrillic}, {"Hani", unicode.Han},
	{"Hang", unicode.Hangul}, {"Hira", unicode.Hiragana}, {"Kana", unicode.Katakana}, {"Grek", unicode.Greek},
	{"Hebr", unicode.Hebrew}, {"Deva", unicode.Devanagari}, {"Beng", unicode.Bengali}, {"Thai", unicode.Thai},
	{"Mymr", unicode.Myanmar}, {"Geor", unicode.Georgian}, {"Armn", unicode.Armenian}, {"Ethi", unicode.Ethiopic},
	{"Taml", unicode.Tamil}, {"Syrc", unicode.Syriac}, {"Khmr", unicode.Khmer}, {"Sinh", unicode.Sinhala},
}

// script is the ISO 15924 code of the script of a text, or nothing if it is in several or in
// one that is not in the table.
func script(text string) string {
	found := ""
	for _, r := range text {
		if !unicode.IsLetter(r) {
			continue
		}
		code := ""
		for _, s := range scripts {
			if unicode.Is(s.table, r) {
				code = s.code
				break
			}
		}
		// Modifier letters such as the half ring of a transcription belong to no script.
		if code == "" && unicode.Is(unicode.Common, r) {
			continue
		}
		if code == "" || found != "" && found != code {
			return ""
		}
		found = code
	}
	return found
}
