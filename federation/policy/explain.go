package policy

import (
	"fmt"
	"strings"
)

// Explain says in words why a request was decided as it was, with the policies that decided as
// they are written and where. For the own side alone: it tells rules, which a stranger must not
// learn. The decision must come from the set.
func Explain(d Decision, s *Set) string {
	var b strings.Builder
	verdict := "DENIED"
	if d.Allow {
		verdict = "ALLOWED"
	}
	switch {
	case d.Err != nil:
		fmt.Fprintf(&b, "%s: %s. The request could not be decided, and what cannot be decided is denied:\n  %s\n",
			verdict, d.Action, strings.ReplaceAll(d.Err.Error(), "\n", "\n  "))
	case d.Allow:
		fmt.Fprintf(&b, "%s: %s. %s, and no policy forbids it.\n", verdict, d.Action, count(len(d.Rules), "policy permits it", "policies permit it"))
	case len(d.Rules) > 0:
		fmt.Fprintf(&b, "%s: %s. %s; a forbid stands above every permit.\n", verdict, d.Action, count(len(d.Rules), "policy forbids it", "policies forbid it"))
	default:
		fmt.Fprintf(&b, "%s: %s. No policy permits it. Of the %d policies in force, %d can concern such a request; none of these permits applies to it.\n",
			verdict, d.Action, s.Len(), d.Considered)
	}
	if d.Allow || d.Obligations.Advice != "" {
		b.WriteString(d.Obligations.text())
	}
	for _, id := range d.Rules {
		r := s.rules[id]
		if r == nil {
			fmt.Fprintf(&b, "\n%s: not in the policies in force any more\n", id)
			continue
		}
		fmt.Fprintf(&b, "\n%s (%s:%d)\n", id, r.source.File, r.source.Line)
		if r.obligations.legal != "" {
			fmt.Fprintf(&b, "  by law: %s\n", r.obligations.legal)
		}
		for line := range strings.SplitSeq(r.source.Text, "\n") {
			fmt.Fprintf(&b, "  | %s\n", line)
		}
	}
	return b.String()
}

// text lists the obligations, one a line.
func (o Obligations) text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "  - "+format+"\n", args...) }
	if len(o.Redact) > 0 {
		line("taken out: %s", strings.Join(o.Redact, ", "))
	}
	if o.RetentionDays > 0 {
		line("to be erased after %d days", o.RetentionDays)
	}
	if o.Handling != "" {
		line("to be handled at least as %s", o.Handling)
	}
	if o.Hold {
		line("held until a person has looked")
	}
	if o.FullEvidence {
		line("whole evidence may go")
	}
	if o.Optional {
		line("a check is complete without this bureau")
	}
	if o.Advice != "" {
		line("advice: %s", o.Advice)
	}
	return b.String()
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
