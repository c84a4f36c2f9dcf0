package evidence

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/roster"
	"github.com/entente-mesh/entente/pki/signing"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// tolerance is how far two bureaus' clocks, and a bureau's own moments of one message, may lie
// apart: leaves are dated when they are written, messages when they are made.
const tolerance = 2 * time.Minute

// BundleReport is what VerifyBundle found.
type BundleReport struct {
	Report
	// Asker and Answerer are the two bureaus, as the ask names them. Empty if it does not hold.
	Asker    identity.Bureau `json:"asker"`
	Answerer identity.Bureau `json:"answerer"`
	// AskedAt and AnsweredAt are when, as each signed it. Zero if it did not.
	AskedAt    time.Time `json:"asked_at"`
	AnsweredAt time.Time `json:"answered_at"`
}

// VerifyBundle verifies a bundle from the bundle alone: the rosters from the first on, the ask's
// and the answer's signatures with the keys of their day (whatever has become of the keys since),
// that the answer replies to this very ask, that the leaves commit to exactly these bytes, and that
// they stand in logs whose checkpoints their bureaus signed. It reads no clock. That a roster after
// those in the bundle may revoke a key as of that day is a step that it leaves open.
//
// It takes the bundle for a stranger's.
func VerifyBundle(b *auditv1.Bundle, t Trust) BundleReport {
	r := BundleReport{}
	if err := protovalidate.Validate(b); err != nil {
		r.add(Fails, "bundle", "%v", err)
		return r
	}
	x := r.open(b, t)
	if x == nil {
		return r
	}
	r.later(x.chain)
	r.complete(b, x.proven)
	return r
}

// opened is a bundle whose rosters and whose ask hold.
type opened struct {
	chain    *roster.Chain
	answered bool // there is an answer, and it holds
	proven   map[place]bool
}

// open checks all that a bundle holds, and returns nil if there is no ask that holds.
func (r *BundleReport) open(b *auditv1.Bundle, t Trust) *opened {
	chain := r.chain(b.GetRosters(), b.GetFederation(), t)
	if chain == nil {
		return nil
	}
	ask := r.ask(b, chain)
	if ask == nil {
		return nil
	}
	r.Asker, r.Answerer, r.AskedAt = identity.Bureau(ask.GetRequester().GetBureau()), identity.Bureau(ask.GetAudience()), ask.GetIssuedAt().AsTime()
	x := &opened{chain: chain, answered: r.answer(b, ask, chain), proven: map[place]bool{}}
	for i, p := range b.GetProofs() {
		if at, ok := r.proof(i, p, b, x.answered, chain); ok {
			x.proven[at] = true
		}
	}
	return x
}

// AddProofs adds to a bundle those proofs, of the other bureau, that hold in it: one for each
// passage that the bundle does not prove yet. A bureau may have booked other messages under the
// same id, since the asker chooses it, and may answer with anything: what does not belong to this
// exchange, or does not hold, is left out, so that it spoils nothing. It returns how many it added,
// and fails if the bundle itself does not hold.
func AddProofs(b *auditv1.Bundle, proofs []*auditv1.LogProof) (int, error) {
	r := BundleReport{}
	x := r.open(b, Trust{})
	if err := r.failure(); err != nil {
		return 0, err
	}
	added := 0
	for i, p := range proofs {
		if protovalidate.Validate(p) != nil || len(b.GetProofs()) == maxProofs {
			continue
		}
		if at, ok := r.proof(i, p, b, x.answered, x.chain); ok && !x.proven[at] {
			x.proven[at] = true
			b.Proofs = append(b.Proofs, p)
			added++
		}
	}
	return added, nil
}

// maxProofs is how many proofs a bundle may hold, see the treaty.
const maxProofs = 16

// place is where a passage must stand.
type place struct {
	log       identity.Bureau
	kind      auditv1.EntryKind
	direction auditv1.EntryDirection
}

func (p place) String() string { return passage(p.kind, p.direction) + " of " + string(p.log) }

// passage names a kind and a direction for people: "ASK/out".
func passage(k auditv1.EntryKind, d auditv1.EntryDirection) string {
	kinds := map[auditv1.EntryKind]string{
		auditv1.EntryKind_ENTRY_KIND_ASK: "ASK", auditv1.EntryKind_ENTRY_KIND_ANSWER: "ANSWER", auditv1.EntryKind_ENTRY_KIND_NO_ANSWER: "NO_ANSWER",
	}
	directions := map[auditv1.EntryDirection]string{
		auditv1.EntryDirection_ENTRY_DIRECTION_IN: "in", auditv1.EntryDirection_ENTRY_DIRECTION_OUT: "out", auditv1.EntryDirection_ENTRY_DIRECTION_LOCAL: "local",
	}
	kind, direction := kinds[k], directions[d]
	if kind == "" {
		kind = k.String()
	}
	return kind + "/" + direction
}

// signer reads who a payload says it is of, before the signature is known to hold: to know whose
// key to ask for.
func signer(s *signedv1.Signed, m proto.Message, of func() string) (identity.Bureau, error) {
	if err := proto.Unmarshal(s.GetPayload(), m); err != nil {
		return "", fmt.Errorf("the payload is not what its type says: %w", err)
	}
	return identity.ParseBureau(of())
}

func (r *BundleReport) ask(b *auditv1.Bundle, chain *roster.Chain) *queryv1.Ask {
	const name = "ask's signature"
	if b.GetAsk() == nil {
		r.add(Fails, name, "the bundle holds no ask: it was erased, or somebody took it out")
		return nil
	}
	var claimed queryv1.Ask
	from, err := signer(b.GetAsk(), &claimed, func() string { return claimed.GetRequester().GetBureau() })
	if err == nil {
		at := claimed.GetIssuedAt().AsTime()
		_, err = verifierOf(chain, claimed.GetRosterVersion(), at).Ask(b.GetAsk(), from)
	}
	if err != nil {
		r.add(Fails, name, "%v", err)
		return nil
	}
	if claimed.GetAskId() != b.GetMessageId() {
		r.add(Fails, "ask's id", "the ask is another message than the bundle says it proves")
		return nil
	}
	r.add(Holds, name, "%s asked %s on %s, %s", from, claimed.GetAudience(), stamp(claimed.GetIssuedAt().AsTime()), underRoster(chain, claimed.GetIssuedAt().AsTime()))
	return &claimed
}

// answer returns whether there is an answer, and it holds.
func (r *BundleReport) answer(b *auditv1.Bundle, ask *queryv1.Ask, chain *roster.Chain) bool {
	const name = "answer's signature"
	s := b.GetAnswer()
	if s == nil {
		r.add(Open, name, "the bundle holds no answer: none came, or it was erased")
		return false
	}
	var claimed queryv1.Answer
	from, err := signer(s, &claimed, claimed.GetBureau)
	if err == nil {
		_, err = verifierOf(chain, ask.GetRosterVersion(), claimed.GetAnsweredAt().AsTime()).Answer(s, from)
	}
	if !r.check(name, err, "%s answered on %s, %s", claimed.GetBureau(), stamp(claimed.GetAnsweredAt().AsTime()), underRoster(chain, claimed.GetAnsweredAt().AsTime())) {
		return false
	}
	var reply []error
	if !bytes.Equal(claimed.GetInReplyTo(), signing.PayloadDigest(b.GetAsk())) {
		reply = append(reply, errors.New("in_reply_to is the digest of another ask"))
	}
	if claimed.GetAskId() != ask.GetAskId() {
		reply = append(reply, errors.New("ask_id is another"))
	}
	if from != r.Answerer {
		reply = append(reply, fmt.Errorf("%s answered, %s was asked", from, r.Answerer))
	}
	if claimed.GetAudience() != string(r.Asker) {
		reply = append(reply, fmt.Errorf("it is for %s, %s asked", claimed.GetAudience(), r.Asker))
	}
	r.AnsweredAt = claimed.GetAnsweredAt().AsTime()
	return r.check("answer replies to the ask", errors.Join(reply...), "it names the ask by the digest of its bytes")
}

// proof checks one proof and returns which passage of which log it shows.
func (r *BundleReport) proof(i int, p *auditv1.LogProof, b *auditv1.Bundle, answered bool, chain *roster.Chain) (place, bool) {
	log := identity.Bureau(p.GetBureau())
	leaf, err := ParseLeaf(p.GetLeaf())
	if err != nil {
		r.add(Fails, fmt.Sprintf("proof %d", i+1), "%v", err)
		return place{}, false
	}
	at := place{log, leaf.Kind, leaf.Direction}
	name := "leaf " + at.String()
	about, err := r.about(at, leaf, b, answered)
	if !r.check(name, errors.Join(err, opens(leaf, p.GetOpening(), about)), "leaf %d, of %s, commits to exactly these bytes", p.GetIndex(), stamp(leaf.At)) {
		return place{}, false
	}
	f := chain.Newest().Federation()
	keys := chain.KeysSince(log, rosterv1.KeyUsage_KEY_USAGE_LOG, leaf.At)
	c, err := VerifyCheckpoint(p.GetCheckpoint(), f, log, keys)
	if err == nil {
		err = VerifyInclusion(c, p.GetIndex(), p.GetLeaf(), p.GetInclusion())
	}
	if !r.check("log has "+at.String(), err, "in %s, in a checkpoint of %d leaves that %s signed", c.Origin, c.Size, log) {
		return place{}, false
	}
	return at, true
}

// about checks that a leaf is one of this exchange, and returns the signed bytes that it must be
// about: nil where it may be about none.
func (r *BundleReport) about(at place, leaf Leaf, b *auditv1.Bundle, answered bool) (*signedv1.Signed, error) {
	if leaf.MessageID.String() != b.GetMessageId() {
		return nil, errors.New("the leaf is of another message")
	}
	const in, out = auditv1.EntryDirection_ENTRY_DIRECTION_IN, auditv1.EntryDirection_ENTRY_DIRECTION_OUT
	const ask, answer, none = auditv1.EntryKind_ENTRY_KIND_ASK, auditv1.EntryKind_ENTRY_KIND_ANSWER, auditv1.EntryKind_ENTRY_KIND_NO_ANSWER
	peers := map[identity.Bureau]identity.Bureau{r.Asker: r.Answerer, r.Answerer: r.Asker}
	if peers[at.log] == "" || leaf.Peer != peers[at.log] {
		return nil, fmt.Errorf("a leaf of %s about %s: the exchange is between %s and %s", at.log, leaf.Peer, r.Asker, r.Answerer)
	}
	switch {
	case at == place{r.Asker, ask, out}, at == place{r.Answerer, ask, in}:
		return b.GetAsk(), apart(leaf.At, r.AskedAt)
	case at == place{r.Asker, answer, in}, at == place{r.Answerer, answer, out}:
		if !answered {
			return nil, errors.New("the leaf is of an answer that is not in the bundle, or does not hold")
		}
		return b.GetAnswer(), apart(leaf.At, r.AnsweredAt)
	case at == place{r.Asker, none, in}:
		if answered {
			return nil, errors.New("the asker books that no answer came, and the bundle holds one")
		}
		return nil, nil
	default:
		return nil, errors.New("no passage of an ask and its answer")
	}
}

// apart fails for a leaf that was written at another time than its message. An ask lives two
// minutes, and an answer is booked when it comes.
func apart(leaf, message time.Time) error {
	if d := leaf.Sub(message).Abs(); d > 2*tolerance {
		return fmt.Errorf("the leaf is dated %s away from its message", d.Truncate(time.Second))
	}
	return nil
}

// opens checks that an opening opens a leaf, and is about the signed bytes, if any are given.
func opens(leaf Leaf, o *auditv1.Opening, about *signedv1.Signed) error {
	if o == nil {
		return errors.New("the leaf's opening is missing: without it the leaf says nothing of what it is about")
	}
	c, err := CommitOpening(o)
	switch {
	case err != nil:
		return err
	case c != leaf.Commitment:
		return errors.New("the opening does not open the leaf")
	}
	if about != nil {
		if digest := sha256.Sum256(about.GetPayload()); !bytes.Equal(digest[:], o.GetEvidenceDigest()) {
			return errors.New("the leaf commits to other bytes")
		}
	}
	return nil
}

// complete says which passages of the exchange are proven in no log, or in one alone.
func (r *BundleReport) complete(b *auditv1.Bundle, proven map[place]bool) {
	const in, out = auditv1.EntryDirection_ENTRY_DIRECTION_IN, auditv1.EntryDirection_ENTRY_DIRECTION_OUT
	const ask, answer = auditv1.EntryKind_ENTRY_KIND_ASK, auditv1.EntryKind_ENTRY_KIND_ANSWER
	sides := func(what string, asker, answerer place, given bool) {
		switch {
		case !given:
		case proven[asker] && proven[answerer]:
			r.add(Holds, what+" in both books", "%s and %s", r.Asker, r.Answerer)
		case proven[asker]:
			r.add(Open, what+" in both books", "in the log of %s; the bundle holds no proof from %s", r.Asker, r.Answerer)
		case proven[answerer]:
			r.add(Open, what+" in both books", "in the log of %s; the bundle holds no proof from %s", r.Answerer, r.Asker)
		default:
			r.add(Fails, what+" in both books", "the bundle proves it in no log")
		}
	}
	sides("ask", place{r.Asker, ask, out}, place{r.Answerer, ask, in}, true)
	sides("answer", place{r.Asker, answer, in}, place{r.Answerer, answer, out}, b.GetAnswer() != nil)
}

// verifierOf checks signatures with the keys of one day.
func verifierOf(chain *roster.Chain, floor uint64, at time.Time) *signing.Verifier {
	return signing.NewVerifier(chain.Newest().Federation(), chain.Keys(floor), func() time.Time { return at })
}

func underRoster(chain *roster.Chain, at time.Time) string {
	if v, ok := chain.At(at); ok {
		return fmt.Sprintf("under roster %d", v.Version())
	}
	return "before the first roster"
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
