package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
)

// Obligations are what a decision that allows binds the gate to.
type Obligations struct {
	// Redact are paths of fields of a hit (entente.hit.v1.Hit) that are taken out before it is
	// marshalled, sorted.
	Redact []string
	// RetentionDays is after how many days the receiver must have erased what it is given.
	// 0: what its own policy says.
	RetentionDays uint32
	// Handling is the least handling that goes with it, as "scheme/code". See ParseHandling.
	Handling string
	// Hold says that a person must look before it goes on.
	Hold bool
	// FullEvidence says that whole evidence may go instead of bands.
	FullEvidence bool
	// Optional says that a check is complete without the bureau asked.
	Optional bool
	// Advice is what the officer is advised to do when the check is not complete.
	Advice string
}

// With adds the obligations of a further decision on the same passage: those of disclosing a
// record to those of answering the question. Whole evidence is the answer's alone to grant.
func (o Obligations) With(further Obligations) Obligations {
	o.Redact = union(o.Redact, further.Redact)
	o.RetentionDays = shorter(o.RetentionDays, further.RetentionDays)
	o.Handling = stricter(o.Handling, further.Handling)
	o.Hold = o.Hold || further.Hold
	o.Optional = o.Optional && further.Optional
	o.Advice = joinAdvice(o.Advice, further.Advice)
	return o
}

// ruleObligations are one policy's.
type ruleObligations struct {
	Obligations
	legal string
}

// maxRetentionDays is ten years: the longest period of any class of data (travel documents).
const maxRetentionDays = 3660

// maxAdvice is what CheckResponse.advice may hold.
const maxAdvice = 1024

var retentionPattern = regexp.MustCompile(`^P([1-9][0-9]{0,3})D$`)

// bearers says on which actions an annotation has an effect. Elsewhere it is refused: an
// obligation that its author believes in and nobody enforces is worse than none. Those without
// actions are for every policy.
var bearers = map[string][]string{
	"id":        nil,
	"legal":     nil,
	"redact":    {actionAnswer, actionDisclose, actionPush},
	"retention": {actionAnswer, actionDisclose, actionPush},
	"handling":  {actionAnswer, actionDisclose, actionPush},
	"hold":      {actionAccept},
	"evidence":  {actionAnswer},
	"optional":  {actionAsk},
	"advice":    {actionCheck, actionAsk},
}

// essential are the fields without which a hit is none; they cannot be redacted.
var essential = []string{"bureau", "collection", "record_id", "kind", "band", "confirmed"}

// parseObligations reads the annotations of one policy.
func parseObligations(annotations []ast.AnnotationType, permit bool, actions []string) (ruleObligations, []error) {
	var o ruleObligations
	var errs []error
	for _, a := range annotations {
		key, value := string(a.Key), string(a.Value)
		where, known := bearers[key]
		if !known {
			errs = append(errs, fmt.Errorf("the annotation @%s is not known: give one of @id, @legal, @redact, @retention, @handling, @hold, @evidence, @optional, @advice", key))
			continue
		}
		if where != nil {
			if !permit && key != "advice" {
				errs = append(errs, fmt.Errorf("@%s has no effect on a forbid: what is forbidden carries no obligation", key))
				continue
			}
			if slices.ContainsFunc(actions, func(action string) bool { return !slices.Contains(where, action) }) || len(actions) == 0 {
				errs = append(errs, fmt.Errorf("@%s has an effect on %s alone", key, strings.Join(where, ", ")))
				continue
			}
		}
		if err := o.set(key, value); err != nil {
			errs = append(errs, fmt.Errorf("@%s: %w", key, err))
		}
	}
	return o, errs
}

func (o *ruleObligations) set(key, value string) error {
	switch key {
	case "legal":
		o.legal = value
		if value == "" {
			return errors.New("cite the law")
		}
	case "redact":
		return o.setRedact(value)
	case "retention":
		m := retentionPattern.FindStringSubmatch(value)
		if m == nil {
			return fmt.Errorf(`%q: give days as "P90D"`, value)
		}
		days, err := strconv.ParseUint(m[1], 10, 32)
		if err != nil || days > maxRetentionDays {
			return fmt.Errorf("%q: give 1 to %d days", value, maxRetentionDays)
		}
		o.RetentionDays = uint32(days)
	case "handling":
		if _, err := ParseHandling(value); err != nil {
			return err
		}
		o.Handling = value
	case "hold", "optional":
		if value != "" {
			return fmt.Errorf("%q: it stands alone, without a value", value)
		}
		if key == "hold" {
			o.Hold = true
		} else {
			o.Optional = true
		}
	case "evidence":
		if value != "full" && value != "band" {
			return fmt.Errorf(`%q: give "full" or "band"`, value)
		}
		o.FullEvidence = value == "full"
	case "advice":
		if value == "" || len(value) > maxAdvice {
			return fmt.Errorf("give a sentence of at most %d bytes", maxAdvice)
		}
		o.Advice = value
	}
	return nil
}

func (o *ruleObligations) setRedact(value string) error {
	for path := range strings.SplitSeq(value, ",") {
		path = strings.TrimSpace(path)
		if _, err := fieldmaskpb.New(&hitv1.Hit{}, path); err != nil || path == "" {
			return fmt.Errorf("%q is not a field of a hit: give paths such as \"warnings, person.images\"", path)
		}
		if slices.Contains(essential, path) {
			return fmt.Errorf("%q cannot be taken out of a hit; forbid to disclose the record instead", path)
		}
		o.Redact = append(o.Redact, path)
	}
	o.Redact = union(o.Redact, nil)
	return nil
}

// combine adds up the obligations of the permits that decided together.
func combine(deciding []*rule) Obligations {
	if len(deciding) == 1 { // by far the most frequent
		o := deciding[0].obligations.Obligations
		o.Redact = slices.Clone(o.Redact)
		return o
	}
	all := Obligations{FullEvidence: len(deciding) > 0, Optional: len(deciding) > 0}
	for _, r := range deciding {
		o := r.obligations
		full := all.FullEvidence && o.FullEvidence
		all = all.With(o.Obligations)
		all.FullEvidence = full
	}
	return all
}

func union(a, b []string) []string {
	if len(a)+len(b) == 0 {
		return nil
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// shorter is the shorter of two periods, of which 0 is none.
func shorter(a, b uint32) uint32 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

func joinAdvice(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "" || strings.Contains(a, b) || len(a)+1+len(b) > maxAdvice:
		return a
	default:
		return a + " " + b
	}
}
