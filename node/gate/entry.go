package gate

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

// The short names of what stands in every entry.
const (
	kindCheck     = auditv1.EntryKind_ENTRY_KIND_CHECK
	kindAsk       = auditv1.EntryKind_ENTRY_KIND_ASK
	kindAnswer    = auditv1.EntryKind_ENTRY_KIND_ANSWER
	kindNoAnswer  = auditv1.EntryKind_ENTRY_KIND_NO_ANSWER
	kindOperation = auditv1.EntryKind_ENTRY_KIND_OPERATION

	in    = auditv1.EntryDirection_ENTRY_DIRECTION_IN
	out   = auditv1.EntryDirection_ENTRY_DIRECTION_OUT
	local = auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL

	allowed = auditv1.Decision_DECISION_ALLOW
	denied  = auditv1.Decision_DECISION_DENY
	failed  = auditv1.Decision_DECISION_FAILED
)

// The bounds of an entry's lists, from audit.proto.
const (
	maxRules        = 512
	maxOutcomes     = 600
	maxOutcomeRules = 64
	maxReason       = 64
	maxClient       = 512
)

func decided(allow bool) auditv1.Decision {
	if allow {
		return allowed
	}
	return denied
}

// entry is what stands in every entry. It holds nothing of a person or a document: who needs the
// question itself opens the evidence beside it.
func (g *Gate) entry(kind auditv1.EntryKind, direction auditv1.EntryDirection, bureau identity.Bureau, messageID string) *auditv1.Entry {
	return &auditv1.Entry{
		MessageId: messageID, Kind: kind, Direction: direction, Bureau: string(bureau), At: timestamppb.New(g.cfg.Now()),
	}
}

// who is the client whom the own country can name: the certificate's identity, and whom the client
// says to be where several share one.
func who(client identity.Identity, officer string) string {
	id := client.String()
	if officer == "" {
		return id
	}
	return cutText(id+"#"+officer, maxClient)
}

// cutText cuts a text to a number of characters.
func cutText(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	runes := []rune(s)
	return string(runes[:min(limit, len(runes))])
}

func ruleList(rules []string, limit int) []string { return rules[:min(len(rules), limit)] }

// add adds the rules that are not there yet.
func add(rules []string, more []string) []string {
	for _, r := range more {
		if !slices.Contains(rules, r) {
			rules = append(rules, r)
		}
	}
	return rules
}

// outcome is what became of a question at a bureau, or in a collection.
func outcome(bureau identity.Bureau, collection string, status queryv1.Status) *auditv1.Outcome {
	return &auditv1.Outcome{Bureau: string(bureau), Collection: collection, Status: status}
}

// lasted is how long something took, to the millisecond: more of it serves nobody, and tells.
func lasted(d time.Duration) *durationpb.Duration {
	return durationpb.New(max(0, d).Round(time.Millisecond))
}
