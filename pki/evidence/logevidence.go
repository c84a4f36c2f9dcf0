package evidence

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"buf.build/go/protovalidate"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/roster"
	"github.com/entente-mesh/entente/pki/signing"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// The findings about a log.
const (
	// Fork: two histories of one log.
	Fork = "fork"
	// Shrink: a log that had lost leaves when it was asked again.
	Shrink = "shrink"
	// Unproven: no proof that the older checkpoint is the beginning of the newer one.
	Unproven = "unproven"
)

// ShrinkMargin is how much later a message must be signed than another for its older checkpoint to
// show that the log shrank: messages that are made at one time may leave in another order than
// that in which they took their checkpoints.
const ShrinkMargin = 10 * time.Second

// LogReport is what VerifyLogEvidence found.
type LogReport struct {
	Report
	// Bureau and Origin say whose log it is, once its checkpoints hold.
	Bureau identity.Bureau `json:"bureau"`
	Origin string          `json:"origin"`
	// Proven is what the file alone proves against the bureau: Fork, Shrink, or nothing.
	Proven string `json:"proven"`
}

// VerifyLogEvidence says what evidence about a log proves, from the file alone: whoever found it,
// and whatever they say it shows.
//
// A fork is proven by two checkpoints of one size with two roots; or of two sizes, by a proof that
// leads to the newer root from another beginning than the older checkpoint's. A shrink is proven
// by two messages that the bureau signed, of which the later carries the older checkpoint. That no
// proof was given cannot be proven by who did not get it; such a file says what to ask the bureau.
//
// It takes the file for a stranger's.
func VerifyLogEvidence(e *auditv1.LogEvidence, t Trust) LogReport {
	r := LogReport{}
	if err := protovalidate.Validate(e); err != nil {
		r.add(Fails, "evidence", "%v", err)
		return r
	}
	chain := r.chain(e.GetRosters(), e.GetFederation(), t)
	if chain == nil {
		return r
	}
	r.Bureau = identity.Bureau(e.GetBureau())
	carriers := r.carriers(e, chain)
	known, ok := r.checkpoint("known checkpoint", e.GetKnown(), carriers, chain)
	presented, ok2 := r.checkpoint("presented checkpoint", e.GetPresented(), carriers, chain)
	if !ok || !ok2 {
		return r
	}
	if known.Origin != presented.Origin {
		r.add(Fails, "one log", "the checkpoints are of two logs, %s and %s: two replicas have a log each", known.Origin, presented.Origin)
		return r
	}
	r.Origin = known.Origin
	r.later(chain)
	r.judge(e, known, presented, carriers)
	return r
}

// carrier is a message of the accused bureau that carries a checkpoint.
type carrier struct {
	checkpoint []byte
	at         time.Time
}

func (r *LogReport) carriers(e *auditv1.LogEvidence, chain *roster.Chain) []carrier {
	var out []carrier
	for i, s := range e.GetCarriers() {
		c, err := openCarrier(s, r.Bureau, chain)
		if r.check(fmt.Sprintf("message %d", i+1), err, "%s signed it on %s", r.Bureau, stamp(c.at)) {
			out = append(out, c)
		}
	}
	return out
}

// openCarrier verifies an ask or an answer of a bureau as of its own day.
func openCarrier(s *signedv1.Signed, b identity.Bureau, chain *roster.Chain) (carrier, error) {
	f := chain.Newest().Federation()
	switch s.GetPayloadType() {
	case signing.PayloadType(signing.KindAsk, f):
		var m queryv1.Ask
		if _, err := signer(s, &m, func() string { return m.GetRequester().GetBureau() }); err != nil {
			return carrier{}, err
		}
		at := m.GetIssuedAt().AsTime()
		_, err := verifierOf(chain, m.GetRosterVersion(), at).Ask(s, b)
		return carrier{m.GetLogCheckpoint(), at}, err
	case signing.PayloadType(signing.KindAnswer, f):
		var m queryv1.Answer
		if _, err := signer(s, &m, m.GetBureau); err != nil {
			return carrier{}, err
		}
		at := m.GetAnsweredAt().AsTime()
		_, err := verifierOf(chain, 0, at).Answer(s, b)
		return carrier{m.GetLogCheckpoint(), at}, err
	default:
		return carrier{}, errors.New("it is neither an ask nor an answer of this federation")
	}
}

// checkpoint verifies one of the two checkpoints. If a message carries it, the log key must have
// been good then; else it must not have been revoked at all, because an undated checkpoint may be
// the work of who has stolen the key.
func (r *LogReport) checkpoint(name string, signed []byte, carriers []carrier, chain *roster.Chain) (Checkpoint, bool) {
	var since time.Time
	carried := false
	for _, c := range carriers {
		if bytes.Equal(c.checkpoint, signed) {
			since, carried = c.at, true
		}
	}
	keys := chain.KeysSince(r.Bureau, rosterv1.KeyUsage_KEY_USAGE_LOG, since)
	if !carried {
		keys = slices.DeleteFunc(keys, chain.Revoked)
	}
	c, err := VerifyCheckpoint(signed, chain.Newest().Federation(), r.Bureau, keys)
	where := "in no message of the file"
	if carried {
		where = "carried by its message of " + stamp(since)
	}
	return c, r.check(name, err, "%s, %d leaves, signed by %s, %s", c.Origin, c.Size, r.Bureau, where)
}

func (r *LogReport) judge(e *auditv1.LogEvidence, known, presented Checkpoint, carriers []carrier) {
	older, newer := known, presented
	if older.Size > newer.Size {
		older, newer = newer, older
	}
	switch {
	case known.Size == presented.Size && known.Root == presented.Root:
		r.add(Fails, Fork, "the two checkpoints say the same of the log")
		return
	case known.Size == presented.Size:
		r.Proven = Fork
		r.add(Holds, Fork, "%s signed two histories of %d leaves", r.Bureau, known.Size)
		return
	case r.other(e.GetGiven(), older, newer):
		return
	}
	if known.Size > presented.Size {
		r.shrink(e, known, presented, carriers)
		return
	}
	r.add(Open, Unproven, "the file does not decide whether the log of %d leaves begins with the one of %d: ask %s for the consistency proof; if it cannot give one, it has rewritten its log",
		newer.Size, older.Size, r.Bureau)
}

// other judges a proof that was given, and says whether that decides it.
func (r *LogReport) other(given *auditv1.Consistency, older, newer Checkpoint) bool {
	if given == nil || given.GetFrom() != older.Size || given.GetTo() != newer.Size {
		return false
	}
	err := VerifyConsistency(older, newer, given.GetProof())
	if err == nil {
		r.add(Fails, Fork, "the proof in the file shows that the log of %d leaves begins with the one of %d: there are no two histories", newer.Size, older.Size)
		return true
	}
	var mismatch proof.RootMismatchError
	if older.Size == 0 || !errors.As(err, &mismatch) {
		return false
	}
	// The proof leads to a root for the older size. If it leads to the newer checkpoint's root
	// as well, then that log had another beginning, whoever made the proof: nobody can make up
	// hashes that lead to a given root.
	beginning := mismatch.CalculatedRoot
	if proof.VerifyConsistency(rfc6962.DefaultHasher, older.Size, newer.Size, given.GetProof(), beginning, newer.Root[:]) != nil ||
		bytes.Equal(beginning, older.Root[:]) {
		return false
	}
	r.Proven = Fork
	r.add(Holds, Fork, "%s signed a log of %d leaves, and one of %d that begins with others: the proof in the file leads from them to what it signed", r.Bureau, older.Size, newer.Size)
	return true
}

func (r *LogReport) shrink(e *auditv1.LogEvidence, known, presented Checkpoint, carriers []carrier) {
	var first, last time.Time // of the larger log, and of the smaller
	for _, c := range carriers {
		if bytes.Equal(c.checkpoint, e.GetKnown()) && (first.IsZero() || c.at.Before(first)) {
			first = c.at
		}
		if bytes.Equal(c.checkpoint, e.GetPresented()) && c.at.After(last) {
			last = c.at
		}
	}
	switch {
	case first.IsZero() || last.IsZero():
		r.add(Open, Shrink, "a checkpoint of %d leaves and one of %d: without the messages that carried them the file does not say which came last", known.Size, presented.Size)
	case last.Sub(first) < ShrinkMargin:
		r.add(Open, Shrink, "the message with %d leaves is signed %s after the one with %d: less than %s may be their order on the way", presented.Size, last.Sub(first), known.Size, ShrinkMargin)
	default:
		r.Proven = Shrink
		r.add(Holds, Shrink, "%s signed on %s that its log had %d leaves, and on %s that it had %d", r.Bureau, stamp(first), known.Size, stamp(last), presented.Size)
	}
}
