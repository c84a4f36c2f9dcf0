package witness_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/witness"
	"github.com/entente-mesh/entente/pki/evidence"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	hitv1 "github.com/entente-mesh/entente/proto/gen/entente/hit/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	federation identity.Federation = "test.entente"

	forkAlarm     = adminv1.AlarmKind_ALARM_KIND_LOG_FORK
	shrinkAlarm   = adminv1.AlarmKind_ALARM_KIND_LOG_SHRINK
	unprovenAlarm = adminv1.AlarmKind_ALARM_KIND_LOG_UNPROVEN
)

// chronicle is a log in memory, and whatever its bureau makes of it: it may be put in the place of
// another one at any time.
type chronicle struct {
	mu     sync.Mutex
	origin string
	key    ed25519.PrivateKey
	tree   *testonly.Tree
	newest []byte
	proofs map[string][]*auditv1.LogProof // by caller and message id
}

func keyOf(seed string) ed25519.PrivateKey {
	s := sha256.Sum256([]byte(seed))
	return ed25519.NewKeyFromSeed(s[:])
}

// newChronicle begins the log of a bureau's replica.
func newChronicle(b identity.Bureau, replica string) *chronicle {
	return &chronicle{
		origin: evidence.Origin(federation, b, replica), key: keyOf(string(b)),
		tree: testonly.New(rfc6962.DefaultHasher), proofs: make(map[string][]*auditv1.LogProof),
	}
}

// grow appends entries and returns the checkpoint that is published then.
func (c *chronicle) grow(entries ...string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		c.tree.AppendData([]byte(e))
	}
	c.newest = c.sign(c.tree.Size(), c.tree.Hash())
	return c.newest
}

// growTo appends entries until there are n.
func (c *chronicle) growTo(n uint64, mark string) []byte {
	c.mu.Lock()
	var entries []string
	for i := c.tree.Size(); i < n; i++ {
		entries = append(entries, fmt.Sprintf("%s %d", mark, i))
	}
	c.mu.Unlock()
	return c.grow(entries...)
}

// at returns the checkpoint of an earlier size, signed now.
func (c *chronicle) at(size uint64) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sign(size, c.tree.HashAt(size))
}

// sign signs any claim.
func (c *chronicle) sign(size uint64, root []byte) []byte {
	text := evidence.Checkpoint{Origin: c.origin, Size: size, Root: [32]byte(root)}.Text()
	signed, err := note.Sign(&note.Note{Text: text}, noteSigner{c.origin, c.key})
	if err != nil {
		panic(err)
	}
	return signed
}

func (c *chronicle) Newest() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newest
}

func (c *chronicle) Consistency(_ context.Context, from, to uint64) (*auditv1.Consistency, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	path, err := c.tree.ConsistencyProof(from, to)
	return &auditv1.Consistency{From: from, To: to, Proof: path}, err
}

func (c *chronicle) ProofsFor(_ context.Context, peer identity.Bureau, messageID string) ([]*auditv1.LogProof, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.proofs[string(peer)+messageID], nil
}

// noteSigner signs notes with a raw key.
type noteSigner struct {
	name string
	key  ed25519.PrivateKey
}

func (s noteSigner) Name() string { return s.name }
func (s noteSigner) KeyHash() uint32 {
	text, err := note.NewEd25519VerifierKey(s.name, s.key.Public().(ed25519.PublicKey))
	if err != nil {
		panic(err)
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		panic(err)
	}
	return v.KeyHash()
}
func (s noteSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

// roster is who has which log keys, in this scene.
type roster struct {
	mu     sync.Mutex
	keys   map[identity.Bureau][]ed25519.PrivateKey
	looked int // how often somebody's keys were looked for
}

func (r *roster) KeysOf(of identity.Bureau, usage rosterv1.KeyUsage, _ time.Time) ([]signing.PublicKey, error) {
	if usage != rosterv1.KeyUsage_KEY_USAGE_LOG {
		return nil, errors.New("only log keys sign logs")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looked++
	var all []signing.PublicKey
	for _, k := range r.keys[of] {
		all = append(all, signing.PublicKey{Bureau: of, Usage: usage, Algorithm: signing.AlgorithmEd25519, Key: k.Public().(ed25519.PublicKey)})
	}
	if all == nil {
		return nil, errors.New("not in the roster")
	}
	return all, nil
}

func (r *roster) list(of identity.Bureau, keys ...ed25519.PrivateKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys[of] = keys
}

// line is the way to one other bureau: what answers there, and how.
type line struct {
	mu     sync.Mutex
	served []grpcService // one for each replica; they answer in turns
	down   error
	calls  []time.Time
	change func(method string, reply any, err error) error // the bureau's last word
}

type grpcService struct {
	desc *grpc.ServiceDesc
	impl any
}

func (g *grpcService) RegisterService(desc *grpc.ServiceDesc, impl any) { g.desc, g.impl = desc, impl }

type callerKey struct{}

func caller(ctx context.Context) (identity.Identity, bool) {
	id, ok := ctx.Value(callerKey{}).(identity.Identity)
	return id, ok
}

// conn is a connection to one replica. Requests and replies go over it as bytes.
type conn struct {
	line *line
	to   grpcService
}

func (c *conn) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	c.line.mu.Lock()
	c.line.calls = append(c.line.calls, time.Now())
	change := c.line.change
	c.line.mu.Unlock()
	raw, err := proto.Marshal(args.(proto.Message))
	if err != nil {
		return err
	}
	name := method[strings.LastIndex(method, "/")+1:]
	for _, m := range c.to.desc.Methods {
		if m.MethodName != name {
			continue
		}
		answer, err := m.Handler(c.to.impl, ctx, func(into any) error { return proto.Unmarshal(raw, into.(proto.Message)) }, nil)
		if err == nil {
			raw, _ := proto.Marshal(answer.(proto.Message))
			err = proto.Unmarshal(raw, reply.(proto.Message))
		}
		if change != nil {
			err = change(name, reply, err)
		}
		if ctx.Err() != nil {
			return status.FromContextError(ctx.Err()).Err()
		}
		return err
	}
	return status.Error(codes.Unimplemented, method)
}

func (c *conn) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, errors.New("no streams here")
}

// lines are a bureau's ways to the others.
type lines struct {
	self identity.Bureau
	mu   sync.Mutex
	to   map[identity.Bureau]*line
	turn int
}

func (l *lines) Do(ctx context.Context, bureau identity.Bureau, call func(context.Context, grpc.ClientConnInterface) error) error {
	l.mu.Lock()
	to := l.to[bureau]
	l.turn++
	turn := l.turn
	l.mu.Unlock()
	if to == nil {
		return fmt.Errorf("%s is not a peer", bureau)
	}
	to.mu.Lock()
	down, served := to.down, to.served
	to.mu.Unlock()
	if down != nil {
		return down
	}
	ctx = context.WithValue(ctx, callerKey{}, identity.Node(federation, l.self, "1"))
	return call(ctx, &conn{to, served[turn%len(served)]})
}

// shelf is the durable state: what was put there before a crash is there after it.
type shelf struct {
	mu   sync.Mutex
	kept map[string][]byte
	puts int
	fail error
}

func (s *shelf) PutState(_ context.Context, room, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.puts++
	s.kept[room+"|"+key] = slices.Clone(value)
	return nil
}

func (s *shelf) ListState(_ context.Context, room string) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string][]byte)
	for k, v := range s.kept {
		if key, ok := strings.CutPrefix(k, room+"|"); ok {
			all[key] = slices.Clone(v)
		}
	}
	return all, nil
}

// writes returns how often something was made durable.
func (s *shelf) writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.puts
}

// siren keeps the alarms that were raised.
type siren struct {
	mu     sync.Mutex
	raised []witness.Alarm
	fail   error
}

func (s *siren) Raise(_ context.Context, a witness.Alarm) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.raised = append(s.raised, a)
	return nil
}

func (s *siren) all() []witness.Alarm {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.raised)
}

// node is an honest bureau with its witness.
type node struct {
	bureau identity.Bureau
	roster *roster
	lines  *lines
	shelf  *shelf
	siren  *siren
	log    *chronicle
	files  struct {
		sync.Mutex
		byName map[string][]byte
		fail   error
	}
	*witness.Witness
	rosters  []*signedv1.Signed
	exchange time.Duration // 0: as by default
	says     *slog.Logger
	stop     func()
}

// stage is a scene of one federation. Everything in it happens in a bubble of time.
type stage struct {
	t      *testing.T
	roster *roster
	nodes  []*node
	logs   map[identity.Bureau]*chronicle // of those who are watched
	lines  map[identity.Bureau]*line
}

// scene plays in a bubble of time. ESP and BGR have logs, BEL watches.
func scene(t *testing.T, play func(t *testing.T, s *stage, bel *node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{
			t: t, roster: &roster{keys: make(map[identity.Bureau][]ed25519.PrivateKey)},
			logs: make(map[identity.Bureau]*chronicle), lines: make(map[identity.Bureau]*line),
		}
		for _, b := range []identity.Bureau{"ESP", "BGR"} {
			s.roster.list(b, keyOf(string(b)))
			s.logs[b] = newChronicle(b, "1")
			s.lines[b] = &line{served: []grpcService{serve(t, s.logs[b])}}
		}
		bel := s.join("BEL")
		defer func() {
			for _, n := range s.nodes {
				n.stop()
			}
		}()
		s.pass(3 * time.Second) // BEL has asked everybody, and nobody had a log yet
		play(t, s, bel)
	})
}

// serve is the product's own service over a log.
func serve(t *testing.T, log witness.Log) grpcService {
	w, err := witness.New(t.Context(), witness.Config{
		Self: "ZZZ", Federation: federation, Keys: &roster{}, Peers: &lines{}, Bureaus: func() []identity.Bureau { return nil },
		State: &shelf{}, Alarms: &siren{}, Log: log, Caller: caller,
		WriteEvidence: func(string, []byte) (string, error) { return "", nil },
		Rosters:       func() []*signedv1.Signed { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	var g grpcService
	w.Register(&g)
	return g
}

// join makes an honest bureau that watches.
func (s *stage) join(b identity.Bureau) *node {
	n := &node{bureau: b, roster: s.roster, lines: &lines{self: b, to: maps.Clone(s.lines)}, shelf: &shelf{kept: make(map[string][]byte)}, siren: &siren{}, log: newChronicle(b, "1"), says: slog.New(upright{s.t})}
	n.files.byName = make(map[string][]byte)
	n.rosters = []*signedv1.Signed{{PayloadType: "a roster", Payload: []byte("roster"), Signatures: []*signedv1.Signature{
		{KeyId: strings.Repeat("0", 64), Algorithm: "ed25519", Value: []byte{1}}}}}
	s.nodes = append(s.nodes, n)
	s.start(n)
	return n
}

func (s *stage) start(n *node) {
	w, err := witness.New(s.t.Context(), n.config())
	if err != nil {
		s.t.Fatal(err)
	}
	n.Witness = w
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	n.stop = func() { cancel(); <-done }
}

func (n *node) config() witness.Config {
	return witness.Config{
		Self: n.bureau, Federation: federation, Keys: n.roster, Peers: n.lines, State: n.shelf, Alarms: n.siren, Log: n.log, Caller: caller, Logger: n.says,
		Exchange: n.exchange,
		Bureaus: func() []identity.Bureau {
			n.lines.mu.Lock()
			defer n.lines.mu.Unlock()
			return slices.Sorted(maps.Keys(n.lines.to))
		},
		WriteEvidence: func(name string, data []byte) (string, error) {
			n.files.Lock()
			defer n.files.Unlock()
			if n.files.fail != nil {
				return "", n.files.fail
			}
			n.files.byName[name] = data
			return "evidence/" + name, nil
		},
		Rosters: func() []*signedv1.Signed { return n.rosters },
	}
}

// restart stops the node and starts it again, from what was durable.
func (s *stage) restart(n *node) {
	n.stop()
	s.start(n)
}

// alone restarts a node that asks nobody in turn: what it learns, it learns from messages, and from
// asking who is quiet.
func (s *stage) alone(n *node) {
	n.exchange = 10000 * time.Hour
	s.restart(n)
	s.pass(3 * time.Second)
}

// meet has two nodes serve each other, and list each other's log keys.
func (s *stage) meet(one, other *node) {
	for _, p := range [][2]*node{{one, other}, {other, one}} {
		from, to := p[0], p[1]
		var g grpcService
		to.Register(&g)
		s.roster.list(to.bureau, to.log.key)
		from.lines.mu.Lock()
		from.lines.to[to.bureau] = &line{served: []grpcService{g}}
		from.lines.mu.Unlock()
	}
}

// pass lets time go by, and all that happens in it happen.
func (s *stage) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// later lets time go by, without waiting for what happens.
func (s *stage) later(d time.Duration) { time.Sleep(d) }

// messageID is the id of a message of the scene.
func messageID(name string) string { return uuid.NewSHA1(uuid.NameSpaceURL, []byte(name)).String() }

// answer is a signed answer of a bureau that carries a checkpoint. What is in it besides matters
// to nobody here.
func answer(from identity.Bureau, id string, checkpoint []byte, at time.Time, hits ...*hitv1.Hit) *signedv1.Signed {
	a := &queryv1.Answer{
		InReplyTo: make([]byte, 32), AskId: messageID(id), Bureau: string(from), Audience: "BEL", AnsweredAt: timestamppb.New(at), LogCheckpoint: checkpoint,
		Results: []*queryv1.CollectionAnswer{{Collection: "persons", Status: queryv1.Status_STATUS_NO_HIT}},
	}
	if len(hits) > 0 {
		a.Results[0].Status, a.Results[0].Hits = queryv1.Status_STATUS_HIT, hits
	}
	return signed(signing.KindAnswer, a)
}

// asked is a signed ask of a bureau.
func asked(from identity.Bureau, id, name string, checkpoint []byte, at time.Time) *signedv1.Signed {
	return signed(signing.KindAsk, &queryv1.Ask{
		AskId: messageID(id), Nonce: make([]byte, 16), Audience: "BEL", IssuedAt: timestamppb.New(at), NotAfter: timestamppb.New(at.Add(time.Minute)),
		Requester: &queryv1.Requester{Bureau: string(from)}, LogCheckpoint: checkpoint, Person: &queryv1.PersonQuery{Name: name},
	})
}

func signed(kind signing.Kind, m proto.Message) *signedv1.Signed {
	raw, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return &signedv1.Signed{PayloadType: signing.PayloadType(kind, federation), Payload: raw,
		Signatures: []*signedv1.Signature{{KeyId: strings.Repeat("a", 64), Algorithm: "ed25519", Value: []byte{1}}}}
}

// hears gives a node an answer of a bureau, dated and received now.
func (n *node) hears(from identity.Bureau, checkpoint []byte) {
	now := time.Now()
	n.Saw(from, checkpoint, answer(from, now.String(), checkpoint, now), now)
}

// knows checks the newest proven size of a bureau's first log.
func (s *stage) knows(n *node, of identity.Bureau, want uint64) {
	s.t.Helper()
	for _, k := range n.Known() {
		if k.Bureau == of && k.Replica == "1" {
			if k.Checkpoint.Size != want {
				s.t.Fatalf("%s knows %d leaves of %s, want %d", n.bureau, k.Checkpoint.Size, of, want)
			}
			return
		}
	}
	if want != 0 {
		s.t.Fatalf("%s knows nothing of %s, want %d leaves", n.bureau, of, want)
	}
}

// quiet checks that no alarm was raised.
func (s *stage) quiet(n *node) {
	s.t.Helper()
	if a := n.siren.all(); len(a) > 0 {
		s.t.Fatalf("%s raised a false alarm: %+v", n.bureau, a)
	}
}

// alarmed checks that one alarm of a kind over a bureau was raised, and returns its evidence.
func (s *stage) alarmed(n *node, kind adminv1.AlarmKind, of identity.Bureau) *auditv1.LogEvidence {
	s.t.Helper()
	all := n.siren.all()
	if len(all) != 1 || all[0].Kind != kind || all[0].Subject != string(of) {
		s.t.Fatalf("%s raised %+v, want one %s over %s", n.bureau, all, kind, of)
	}
	return s.read(n, all[0])
}

// read reads an alarm's evidence as an outsider does.
func (s *stage) read(n *node, a witness.Alarm) *auditv1.LogEvidence {
	s.t.Helper()
	n.files.Lock()
	text := n.files.byName[strings.TrimPrefix(a.Evidence, "evidence/")]
	n.files.Unlock()
	e, err := evidence.DecodeLogEvidence(text)
	if err != nil {
		s.t.Fatalf("evidence of %+v: %v", a, err)
	}
	if e.GetFoundBy() != string(n.bureau) || e.GetBureau() != a.Subject || len(e.GetRosters()) != 1 || !e.GetFoundAt().IsValid() {
		s.t.Fatalf("evidence: %v", e)
	}
	return e
}

// open opens one of a bureau's checkpoints, as an outsider with the roster does.
func (s *stage) open(of identity.Bureau, signed []byte) evidence.Checkpoint {
	s.t.Helper()
	keys, err := s.roster.KeysOf(of, rosterv1.KeyUsage_KEY_USAGE_LOG, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := evidence.VerifyCheckpoint(signed, federation, of, keys)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// asks returns how often a bureau was called.
func (l *line) asks() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.calls)
}

// set changes how a bureau answers.
func (l *line) set(down error, change func(method string, reply any, err error) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down, l.change = down, change
}
