package ask

import (
	"strings"
	"unicode"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// makeSafe takes out of every text of a message, at any depth, what a screen would obey and not
// show: control characters, and those that change the direction of writing, with which a text
// reads otherwise than it is. It also drops fields that this program does not know, so that
// nothing is passed on unseen.
func makeSafe(m proto.Message) { safeMessage(m.ProtoReflect()) }

func safeMessage(m protoreflect.Message) {
	if len(m.GetUnknown()) > 0 {
		m.SetUnknown(nil)
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap():
			safeMap(field, value.Map())
		case field.IsList():
			safeList(field, value.List())
		case field.Message() != nil:
			safeMessage(value.Message())
		case field.Kind() == protoreflect.StringKind:
			if old := value.String(); stripped(old) != old {
				m.Set(field, protoreflect.ValueOfString(stripped(old)))
			}
		}
		return true
	})
}

func safeList(field protoreflect.FieldDescriptor, list protoreflect.List) {
	for i := range list.Len() {
		switch {
		case field.Message() != nil:
			safeMessage(list.Get(i).Message())
		case field.Kind() == protoreflect.StringKind:
			list.Set(i, protoreflect.ValueOfString(stripped(list.Get(i).String())))
		}
	}
}

func safeMap(field protoreflect.FieldDescriptor, entries protoreflect.Map) {
	// Keys can be text too, and cannot be changed in place.
	type entry struct {
		key   protoreflect.MapKey
		value protoreflect.Value
	}
	var all []entry
	entries.Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
		all = append(all, entry{key, value})
		return true
	})
	for _, e := range all {
		entries.Clear(e.key)
	}
	for _, e := range all {
		if field.MapKey().Kind() == protoreflect.StringKind {
			e.key = protoreflect.ValueOfString(stripped(e.key.String())).MapKey()
		}
		switch {
		case field.MapValue().Message() != nil:
			safeMessage(e.value.Message())
		case field.MapValue().Kind() == protoreflect.StringKind:
			e.value = protoreflect.ValueOfString(stripped(e.value.String()))
		}
		entries.Set(e.key, e.value)
	}
}

// stripped returns a text without what a screen would obey. Breaks become spaces, so that words
// stay apart.
func stripped(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == '\v' || r == '\f' || r == '\u0085' || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.IsControl(r):
			return -1
		case unicode.Is(unicode.Cf, r) && !visibleFormat(r):
			return -1
		default:
			return r
		}
	}, text)
}

// visibleFormat reports whether a character of the category "format" belongs to the writing of a
// language: the joiners of Persian and of the Indic scripts, and the signs that stand over or
// before Arabic, Syriac and Kaithi numbers. All others, the marks, embeddings, overrides and
// isolates of direction (Unicode Standard Annex 9) among them, are taken out.
func visibleFormat(r rune) bool {
	switch {
	case r == '\u200C', r == '\u200D':
		return true
	case r >= '\u0600' && r <= '\u0605', r == '\u06DD', r == '\u070F', r == '\u0890', r == '\u0891', r == '\u08E2':
		return true
	case r == '\U000110BD', r == '\U000110CD':
		return true
	default:
		return false
	}
}
