// Package unlist reads the consolidated list of the United Nations Security Council (the XML
// file of scsanctions.un.org) into records.
//
// It is a parser: it stores nothing, makes no keys (node/match does) and does not say which
// bureau owns what it reads (the importer does). It guesses no issuer and no date that the list
// does not give; what it cannot map it keeps in words.
//
// One flow: the importer hands it the file, Read calls back once for each individual or entity
// with one person record and one document record for each of its document numbers, and at the
// end returns what it counted. An entry that cannot be used is reported with its line and its
// reason, and the others go on. A file that is not well-formed, too large, or not this list
// ends with an error: what was called back until then is a part of the list, and must not be
// taken for the whole.
//
// Ids are stable. A subject is "un:<DATAID>". A document is "un:<DATAID>:doc:<hash>", where the
// hash is over its number, the words for its type, and its issuer, not over its place in the
// file: an entry that is added, removed or reordered elsewhere changes no id. If the list
// corrects a number, a type or an issuer, the id changes, since it then is another document.
package unlist

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"time"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Header is what was read in all.
type Header struct {
	// Generated is when the list was made; zero if the file does not say.
	Generated time.Time
	// Individuals and Entities are the entries, the refused ones included.
	Individuals, Entities int
	// Refused are the entries that were not taken.
	Refused int
	// Aliases are the alias elements of individuals; AliasesEmpty those among them that hold no
	// name, as the list writes where it knows no alias.
	Aliases, AliasesEmpty int
	// EntityAliases and EntityAliasesEmpty are the same for entities.
	EntityAliases, EntityAliasesEmpty int
	// OriginalScriptNames are the individuals' names in their original script,
	// EntityOriginalScriptNames the entities'.
	OriginalScriptNames, EntityOriginalScriptNames int
	// Documents are the document numbers.
	Documents int
	// DocumentsWithoutIssuer name no issuing country, or none that is recognised.
	DocumentsWithoutIssuer int
	// DocumentsNotAlphanumeric hold more than letters and digits, some whole sentences.
	DocumentsNotAlphanumeric int
	// DocumentsWithoutNumber are documents with a note and no number. They become a remark on
	// their person.
	DocumentsWithoutNumber int
	// UnknownCountries are names of countries, in any field, that were not recognised.
	UnknownCountries int
}

// Counts are the figures by the words that an import's report uses for them.
func (h Header) Counts() map[string]uint64 {
	counts := map[string]uint64{}
	for name, n := range map[string]int{
		"individuals": h.Individuals, "entities": h.Entities,
		"aliases": h.Aliases, "aliases_empty": h.AliasesEmpty,
		"entity_aliases": h.EntityAliases, "entity_aliases_empty": h.EntityAliasesEmpty,
		"original_script_names": h.OriginalScriptNames, "entity_original_script_names": h.EntityOriginalScriptNames,
		"documents": h.Documents, "documents_without_issuer": h.DocumentsWithoutIssuer,
		"documents_not_alphanumeric": h.DocumentsNotAlphanumeric, "documents_without_number": h.DocumentsWithoutNumber,
		"unknown_countries": h.UnknownCountries,
	} {
		counts[name] = uint64(n)
	}
	return counts
}

// Entry is one entry of the list.
type Entry struct {
	// Line is where it begins, from 1.
	Line int
	// ID is the id of its person record; empty if the entry has none.
	ID string
	// Records are the person first, then the documents. None: the entry was refused.
	Records []*recordv1.Record
	// Problems are what is wrong with it, or could not be taken over as it is.
	Problems []Problem
}

// Problem is one thing that is wrong with an entry.
type Problem struct {
	// Field is the element of the list.
	Field string
	// Reason says what is wrong and what was done, without the content of the field.
	Reason string
	// Refused says that the entry was not taken because of it.
	Refused bool
}

// Bounds of what is read. The list of 2026 has 2 MB and 1,003 entries, the largest of 8 kB.
const (
	maxFileBytes  = 256 << 20
	maxEntryBytes = 1 << 20
	maxEntries    = 200_000
)

// ErrNotTheList is returned for a file that is another one.
var ErrNotTheList = errors.New("not the consolidated list of the United Nations Security Council: expected an XML file with the root CONSOLIDATED_LIST")

// errTooLarge stops a file that no consolidated list comes near.
var errTooLarge = errors.New("the file is larger than any consolidated list: check that it is the right one")

// Read reads the list and calls back for each entry, in the order of the file. An error of the
// callback stops it and is returned as it is.
func Read(r io.Reader, each func(Entry) error) (Header, error) {
	in := &bounded{r: r}
	l := &list{dec: xml.NewDecoder(in), in: in, seen: map[string]bool{}, each: each}
	if err := l.read(); err != nil {
		return l.header, err
	}
	return l.header, nil
}

// bounded is the file with a limit to what may be read for one entry, so that a text or a tag
// without an end does not fill the memory.
type bounded struct {
	r     io.Reader
	read  int64
	entry int64 // where the current entry begins
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.read > maxFileBytes || b.read-b.entry > maxEntryBytes {
		return 0, errTooLarge
	}
	n, err := b.r.Read(p)
	b.read += int64(n)
	return n, err
}

// list is one file while it is read.
type list struct {
	dec     *xml.Decoder
	in      *bounded
	header  Header
	seen    map[string]bool // ids
	entries int
	each    func(Entry) error
}

func (l *list) read() error {
	root := false
	for depth := 0; ; {
		l.in.entry = l.dec.InputOffset()
		token, err := l.dec.Token()
		line, _ := l.dec.InputPos()
		if errors.Is(err, io.EOF) {
			if !root {
				return ErrNotTheList
			}
			return nil
		}
		if err != nil {
			return l.broken(err)
		}
		switch token := token.(type) {
		case xml.Directive:
			// The list declares no document type. With one come entities that expand, and files
			// that are fetched.
			return fmt.Errorf("line %d: a document type declaration, which the list does not have: %w", line, ErrNotTheList)
		case xml.EndElement:
			depth--
		case xml.StartElement:
			name := token.Name.Local
			switch {
			case depth == 0:
				if root || name != "CONSOLIDATED_LIST" {
					return ErrNotTheList
				}
				root = true
				l.header.Generated = generated(token)
				depth++
			case depth == 1 && (name == "INDIVIDUALS" || name == "ENTITIES"):
				depth++
			case depth == 2 && (name == "INDIVIDUAL" || name == "ENTITY"):
				if err := l.entry(token, line); err != nil {
					return err
				}
			default:
				if err := l.dec.Skip(); err != nil {
					return l.broken(err)
				}
			}
		}
	}
}

// broken words an error of the XML, in which the file cannot be read on.
func (l *list) broken(err error) error {
	line, _ := l.dec.InputPos()
	return fmt.Errorf("line %d: the file cannot be read on, what came before is not the whole list: %w", line, err)
}

func generated(root xml.StartElement) time.Time {
	for _, a := range root.Attr {
		if a.Name.Local == "dateGenerated" {
			if t, err := time.Parse(time.RFC3339, a.Value); err == nil {
				return t
			}
		}
	}
	return time.Time{}
}

// entry reads one entry and hands it on.
func (l *list) entry(start xml.StartElement, line int) error {
	if l.entries++; l.entries > maxEntries {
		return fmt.Errorf("line %d: %w", line, errTooLarge)
	}
	var s subject
	if err := l.dec.DecodeElement(&s, &start); err != nil {
		return l.broken(err)
	}
	r := &reading{header: &l.header, entry: Entry{Line: line}, entity: start.Name.Local == "ENTITY"}
	r.subject(&s)
	if id := r.entry.ID; id != "" {
		if l.seen[id] {
			r.refuse("DATAID", "another entry of the file has the same id: the first is kept, check the file")
		}
		l.seen[id] = true
	}
	if r.refused() {
		r.entry.Records = nil
		l.header.Refused++
	}
	return l.each(r.entry)
}
