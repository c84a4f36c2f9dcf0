package policy

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/entente-mesh/entente/pki/identity"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// Everybody stands in PermitOptions for every bureau of the roster. It is good for documents
// alone.
const Everybody = "ALL"

// Directions says which way a permit works.
type Directions int

// The directions. The zero value is both: what a country may ask of another, it grants.
const (
	Both     Directions = iota
	Inbound             // the other bureau may use ours
	Outbound            // we may use the other bureau's
)

// PermitOptions say what a permit permits.
type PermitOptions struct {
	// Self is the own bureau.
	Self identity.Bureau
	// Bureau is the other one, or Everybody.
	Bureau string
	// Collection is CollectionPersons or CollectionDocuments.
	Collection string
	// Mode is ModeAsk (also if empty), ModePointer or ModePush.
	Mode string
	// Purposes are what for. An empty list is refused, but for documents and Everybody: there it
	// means the purposes of the counters.
	Purposes []recordv1.Purpose
	// Optional says that a check is complete without the other bureau.
	Optional bool
	// Until is when the permit ends; zero: when it is taken back.
	Until time.Time
	// Directions says which way it works.
	Directions Directions
}

// Permit writes a permit that a lawyer can read, and the name of its file. The same options
// give the same text, so writing it again changes nothing. It does no I/O; WritePermit does.
func Permit(o PermitOptions) (filename string, cedar []byte, err error) {
	if err := o.complete(); err != nil {
		return "", nil, fmt.Errorf("permit: %w", err)
	}
	name := fmt.Sprintf("permit-%s-%s-%s", o.Bureau, o.Collection, o.Mode)
	quoted := make([]string, 0, len(o.Purposes))
	plain := make([]string, 0, len(o.Purposes))
	for _, p := range o.Purposes {
		plain = append(plain, identity.PurposeName(p))
		quoted = append(quoted, fmt.Sprintf("Purpose::%q", identity.PurposeName(p)))
	}
	purposes := "context.purpose == " + quoted[0]
	if len(quoted) > 1 {
		purposes = "[\n    " + strings.Join(quoted, ",\n    ") + "\n  ].contains(context.purpose)"
	}
	until := ""
	if !o.Until.IsZero() {
		until = o.Until.UTC().Format(time.RFC3339)
	}
	var text bytes.Buffer
	err = permitTemplate.Execute(&text, map[string]any{
		"Name": name, "Self": o.Self, "Bureau": o.Bureau, "Collection": o.Collection, "Mode": o.Mode,
		"All": o.Bureau == Everybody, "Optional": o.Optional, "Until": until,
		"In": o.Directions != Outbound, "Out": o.Directions != Inbound,
		"Words": strings.Join(plain, ", "), "Purposes": purposes,
	})
	if err != nil {
		return "", nil, fmt.Errorf("permit: %w", err)
	}
	return name + Extension, text.Bytes(), nil
}

// complete fills in what has a default, and says what is wrong with the rest.
func (o *PermitOptions) complete() error {
	if _, err := identity.ParseBureau(string(o.Self)); err != nil {
		return fmt.Errorf("own %w", err)
	}
	if !slices.Contains(Collections(), o.Collection) {
		return fmt.Errorf("collection %q: give one of %s", o.Collection, strings.Join(Collections(), ", "))
	}
	if o.Mode == "" {
		o.Mode = ModeAsk
	}
	if !slices.Contains([]string{ModeAsk, ModePointer, ModePush}, o.Mode) {
		return fmt.Errorf("mode %q: give %s, %s or %s", o.Mode, ModeAsk, ModePointer, ModePush)
	}
	if o.Directions < Both || o.Directions > Outbound {
		return errors.New("directions: give both, inbound or outbound")
	}
	switch {
	case o.Bureau == Everybody:
		if err := o.everybody(); err != nil {
			return err
		}
	case o.Bureau == string(o.Self):
		return fmt.Errorf("bureau %s is the own one, which needs no permit: name the other", o.Bureau)
	default:
		if _, err := identity.ParseBureau(o.Bureau); err != nil {
			return fmt.Errorf("%w; or %s for documents", err, Everybody)
		}
	}
	if len(o.Purposes) == 0 {
		return errors.New("purposes: none given, and none means nobody; name at least one, for example border-control")
	}
	if o.Optional && (o.Mode != ModeAsk || o.Directions == Inbound) {
		return errors.New("optional: only a bureau that we ask can be one without which a check is complete")
	}
	if y := o.Until.UTC().Year(); !o.Until.IsZero() && (y < 1970 || y > 9999) {
		return errors.New("until: give a date between 1970 and 9999")
	}
	// One order, so that one permit has one text.
	purposes := slices.Clone(o.Purposes)
	slices.Sort(purposes)
	o.Purposes = slices.Compact(purposes)
	for _, p := range o.Purposes {
		if _, ok := purposeUID(p); !ok {
			return fmt.Errorf("purposes: %v is none; name one, for example border-control", p)
		}
	}
	return nil
}

func (o *PermitOptions) everybody() error {
	if o.Collection != CollectionDocuments {
		return fmt.Errorf("bureau %s with collection %s: nobody is asked about everybody, and nobody may ask everything; write one permit for each bureau (%s is good for documents alone)",
			Everybody, o.Collection, Everybody)
	}
	if o.Mode != ModeAsk {
		return fmt.Errorf("bureau %s with mode %s: give mode %s, or one permit for each bureau", Everybody, o.Mode, ModeAsk)
	}
	if o.Directions == Inbound {
		return fmt.Errorf("bureau %s inbound: every bureau may ask about documents of the own state without a permit; name the bureau that may ask about those of other states too", Everybody)
	}
	o.Directions = Outbound
	if len(o.Purposes) == 0 {
		o.Purposes = CounterPurposes()
	}
	return nil
}

// permitTemplate is the text of a permit. Cedar's blanks and line ends are chosen for the eye.
var permitTemplate = template.Must(template.New("permit").Parse(
	`{{define "limits"}}
when {
  {{.Purposes}}
}{{if .Until}}
when { context.now < datetime("{{.Until}}") }{{end}};
{{end -}}
// A permit of {{.Self}}: {{.Collection}}, {{if .All}}every bureau{{else}}{{.Bureau}}{{end}}.
//
// Mode: {{.Mode}}. For: {{.Words}}.
// {{if .Until}}Until {{.Until}}.{{else}}Until it is taken back: delete this file, then entente policy reload.{{end}}
// Written by entente policy permit; the same command with other purposes writes it anew.
{{if and .In (eq .Mode "ask")}}
// {{.Bureau}} may ask {{.Self}} about {{.Collection}}{{if eq .Collection "documents"}}, whichever state issued them{{end}}.
// Which records it is told of, each record's own audience decides.
@id("{{.Name}}/answer")
permit (
  principal in Bureau::"{{.Bureau}}",
  action == Action::"answer",
  resource == Collection::"{{.Self}}/{{.Collection}}"
){{template "limits" .}}{{end -}}
{{if and .Out (eq .Mode "ask")}}{{if .All}}
// In a check of a document, {{.Self}} may ask the bureau of the state that issued it.
{{- else}}
// {{.Self}} may ask {{.Bureau}} about {{.Collection}}{{if eq .Collection "documents"}}, whichever state issued them{{end}}.
{{- end}}{{if .Optional}}
// A check is complete without its answer.{{end}}
@id("{{.Name}}/ask"){{if .Optional}}
@optional{{end}}
permit (
  principal in Bureau::"{{.Self}}",
  action == Action::"ask",
  resource{{if not .All}} == Collection::"{{.Bureau}}/{{.Collection}}"{{end}}
){{if .All}}
when { resource.holds == Subject::"{{.Collection}}" && context.issuing_state == resource.bureau }
{{- end}}{{template "limits" .}}{{end -}}
{{if and .In (ne .Mode "ask")}}
// {{.Bureau}} may hold {{if eq .Mode "pointer"}}a pointer over{{else}}copies of{{end}} {{.Collection}} of {{.Self}}.
@id("{{.Name}}/send")
permit (
  principal in Bureau::"{{.Bureau}}",
  action == Action::"{{if eq .Mode "pointer"}}point{{else}}push{{end}}",
  resource == Collection::"{{.Self}}/{{.Collection}}"
){{template "limits" .}}{{end -}}
{{if and .Out (ne .Mode "ask")}}
// {{.Self}} takes {{if eq .Mode "pointer"}}pointers over{{else}}copies of{{end}} {{.Collection}} from {{.Bureau}}.
@id("{{.Name}}/accept")
permit (
  principal in Bureau::"{{.Bureau}}",
  action == Action::"accept",
  resource == Collection::"{{.Bureau}}/{{.Collection}}"
)
when { context.mode == Mode::"{{.Mode}}" }{{if .Until}}
when { context.now < datetime("{{.Until}}") }{{end}};
{{end}}`))
