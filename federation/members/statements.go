package members

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/pki/identity"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
)

const (
	// statementLife is how old a statement may be: a bureau that is gone for long must not be
	// raised by whoever has kept what it said.
	statementLife = 24 * time.Hour
	// restateEvery leaves three attempts before a statement is too old.
	restateEvery = 6 * time.Hour
	// clockSkew is how far a clock may be ahead; as much as certificates are back-dated.
	clockSkew = 2 * time.Hour
	// maxReplicas is how many replicas of one bureau may be alive at once: a bureau can sign
	// names without end, and every member would keep them all.
	maxReplicas = 8
	// maxRemembered is how many replicas' last statements are remembered for each bureau.
	maxRemembered = 4 * maxReplicas
)

// statements makes what this replica says of itself, and verifies what others say of themselves.
// It is memberlist's Delegate and AliveDelegate.
type statements struct {
	cfg    Config
	name   string
	roster *directory
	watch  *watch
	living *living

	mu    sync.Mutex // guards what follows
	own   []byte     // the newest own statement, signed
	meta  *gossipv1.MemberMeta
	heard map[identity.Bureau]map[string]*statement // by replica
}

// statement is the newest that a replica has said.
type statement struct {
	bytes    []byte // the whole signed statement
	content  []byte // what is signed
	meta     *gossipv1.MemberMeta
	verified uint64 // the roster version under which its signature was verified
}

func newStatements(cfg Config, name string, roster *directory, w *watch, l *living) *statements {
	return &statements{cfg: cfg, name: name, roster: roster, watch: w, living: l,
		heard: make(map[identity.Bureau]map[string]*statement)}
}

// renew makes and signs a new statement. Its number rises over restarts too, because it is the
// time in milliseconds.
func (s *statements) renew() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	meta := &gossipv1.MemberMeta{
		Name:          s.name,
		Address:       s.cfg.Advertise,
		Sequence:      max(uint64(max(now.UnixMilli(), 0)), s.meta.GetSequence()+1),
		RosterVersion: s.cfg.RosterVersion(),
		IssuedAt:      now.Unix(),
	}
	signed, err := s.cfg.Sign(meta)
	if err != nil {
		return nil, fmt.Errorf("members: sign the own statement: %w", err)
	}
	b, err := proto.Marshal(signed)
	if err != nil {
		return nil, fmt.Errorf("members: the own statement: %w", err)
	}
	if len(b) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("members: the own statement has %d bytes, at most %d: advertise a shorter address", len(b), memberlist.MetaMaxSize)
	}
	s.own, s.meta = b, meta
	return b, nil
}

// due says whether the own statement must be made anew: another roster, or it grows old.
func (s *statements) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	age := s.cfg.Now().Sub(time.Unix(s.meta.GetIssuedAt(), 0))
	return s.meta.GetRosterVersion() != s.cfg.RosterVersion() || age >= restateEvery || age < 0
}

// NodeMeta returns what this replica says of itself. If it cannot be signed now, the last
// statement stands: an old one is better than a node that stops.
func (s *statements) NodeMeta(limit int) []byte {
	b, err := s.renew()
	if err != nil {
		s.cfg.Logger.Warn("gossip: the last statement stands", "error", err)
		s.mu.Lock()
		b = s.own
		s.mu.Unlock()
	}
	if len(b) > limit {
		return nil
	}
	return b
}

// NotifyMsg does nothing: no user messages are spoken.
func (s *statements) NotifyMsg([]byte) {}

// GetBroadcasts returns nothing: no user messages are spoken.
func (s *statements) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState returns nothing: comparisons carry members alone.
func (s *statements) LocalState(bool) []byte { return nil }

// MergeRemoteState does nothing: comparisons carry members alone.
func (s *statements) MergeRemoteState([]byte, bool) {}

// NotifyAlive is asked about every member that a message calls alive, whoever sent it. An error
// refuses this one member and nothing else.
func (s *statements) NotifyAlive(n *memberlist.Node) error {
	if n.Name == s.name {
		// memberlist refutes by itself whatever of this is not its own. It must see it, or it
		// never learns the number that it has to exceed.
		return nil
	}
	cause, bureau, err := s.verify(n)
	if err != nil {
		s.watch.refuse(cause, bureau, err)
	}
	return err
}

func (s *statements) verify(n *memberlist.Node) (Cause, identity.Bureau, error) {
	bureau, replica, err := parseName(n.Name, s.cfg.Federation)
	if err != nil {
		return CauseMalformed, "", err
	}
	address, ok := s.roster.address(bureau)
	if !ok {
		return CauseNotMember, "", errors.New("a member of a bureau that is not in the roster")
	}
	if !n.Addr.Equal(placeholder(s.cfg.Federation, bureau)) || n.Port != gossipPort {
		return CauseAddress, bureau, errors.New("a member at an address that is not its bureau's")
	}
	// One member that claims versions that the others do not speak would make memberlist refuse
	// every comparison with anybody.
	if n.PMin > memberlist.ProtocolVersion2Compatible || n.PMax < memberlist.ProtocolVersion2Compatible ||
		n.PCur != memberlist.ProtocolVersion2Compatible || n.DMin != 0 || n.DCur != 0 {
		return CauseVersion, bureau, errors.New("a member that speaks other versions")
	}
	return s.hear(bureau, replica, address, n)
}

// hear verifies a statement and remembers it, if it is the newest.
func (s *statements) hear(bureau identity.Bureau, replica, address string, n *memberlist.Node) (Cause, identity.Bureau, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.heard[bureau][replica]
	now := s.cfg.Now()
	if last != nil && last.verified == s.cfg.RosterVersion() && bytes.Equal(last.bytes, n.Meta) {
		return s.timely(bureau, last.meta, now)
	}
	signed, err := unmarshalSigned(n.Meta)
	if err != nil {
		return CauseMalformed, bureau, err
	}
	meta, err := s.cfg.Verify(signed, bureau)
	if err != nil {
		return CauseSignature, bureau, fmt.Errorf("a statement that its bureau has not signed: %w", err)
	}
	if meta.GetName() != n.Name {
		return CauseName, bureau, errors.New("a statement of another member")
	}
	if meta.GetAddress() != address {
		return CauseAddress, bureau, errors.New("a statement for another address than the roster's: if the bureau has moved, the roster must say so")
	}
	if cause, bureau, err := s.timely(bureau, meta, now); err != nil {
		return cause, bureau, err
	}
	if last != nil && (meta.GetSequence() < last.meta.GetSequence() ||
		meta.GetSequence() == last.meta.GetSequence() && !bytes.Equal(signed.GetMeta(), last.content)) {
		return CauseSequence, bureau, errors.New("a statement older than the last, or another under its number")
	}
	if !s.living.room(bureau, n.Name) {
		return CauseReplicas, bureau, fmt.Errorf("a replica more than %d", maxReplicas)
	}
	s.remember(bureau, replica, &statement{
		bytes: bytes.Clone(n.Meta), content: signed.GetMeta(), meta: meta, verified: s.cfg.RosterVersion()})
	return "", "", nil
}

func (s *statements) timely(bureau identity.Bureau, meta *gossipv1.MemberMeta, now time.Time) (Cause, identity.Bureau, error) {
	age := now.Sub(time.Unix(meta.GetIssuedAt(), 0))
	if age > statementLife || age < -clockSkew {
		return CauseTime, bureau, errors.New("a statement too old, or dated in the future: compare the clocks")
	}
	return "", "", nil
}

// remember keeps the newest statement of a replica, and at most maxRemembered for its bureau.
func (s *statements) remember(bureau identity.Bureau, replica string, st *statement) {
	of := s.heard[bureau]
	if of == nil {
		of = make(map[string]*statement)
		s.heard[bureau] = of
	}
	if _, known := of[replica]; !known && len(of) >= maxRemembered {
		var oldest string
		for r, other := range of {
			if oldest == "" || other.meta.GetSequence() < of[oldest].meta.GetSequence() {
				oldest = r
			}
		}
		delete(of, oldest)
	}
	of[replica] = st
}

func (s *statements) rosterVersion(b identity.Bureau) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var newest *gossipv1.MemberMeta
	for _, st := range s.heard[b] {
		if newest == nil || st.meta.GetSequence() > newest.GetSequence() {
			newest = st.meta
		}
	}
	return newest.GetRosterVersion()
}
