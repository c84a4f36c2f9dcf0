//go:build unix

package service_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	"github.com/entente-mesh/entente/pki/signing/remote"
	"github.com/entente-mesh/entente/pki/signing/service"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
	signerv1 "github.com/entente-mesh/entente/proto/gen/entente/signer/v1"
)

const fed = identity.Federation("demo.entente")

// The test binary is also the signer's process, and a stranger's who knocks.
func TestMain(m *testing.M) {
	switch os.Getenv("PLAY") {
	case "signer":
		os.Exit(playSigner(os.Getenv("KEYS"), os.Getenv("SOCKET")))
	case "stranger":
		os.Exit(playStranger(os.Getenv("SOCKET")))
	}
	goleak.VerifyTestMain(m)
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// shelf is a signer's folder, and a folder for its socket, with a path that is short enough.
type shelf struct{ keys, socket string }

func newShelf(t testing.TB) shelf {
	t.Helper()
	dir := t.TempDir()
	short := must[string](t)(os.MkdirTemp("", "ent"))
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	s := shelf{keys: filepath.Join(dir, "signer"), socket: filepath.Join(short, "s")}
	node := filepath.Join(dir, "node")
	if err := os.Mkdir(node, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{service.MessageKeyFile, service.LogKeyFile} {
		key := must[ed25519.PrivateKey](t)(signing.GenerateKey(nil))
		if err := signing.WriteKey(filepath.Join(node, name), key); err != nil {
			t.Fatal(err)
		}
	}
	if err := service.Split(node, s.keys, settings()); err != nil {
		t.Fatal(err)
	}
	return s
}

func settings() service.Settings {
	return service.Settings{Bureau: "BEL", Federation: fed, Replicas: []string{"1"}}
}

// start has the signer serve in this process until the test or the returned function ends it.
func (s shelf) start(t testing.TB, log *slog.Logger, allow ...uint32) (stop func()) {
	t.Helper()
	read := must[service.Settings](t)(service.ReadSettings(s.keys))
	messages, logs, err := service.OpenKeys(s.keys, read)
	if err != nil {
		t.Fatal(err)
	}
	svc := must[*service.Service](t)(service.New(service.Config{Messages: messages, Logs: logs, Replicas: read.Replicas, Allow: allow, Logger: log}))
	l := must[net.Listener](t)(service.Listen(s.socket))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- svc.Serve(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, logs.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func (s shelf) dial(t testing.TB) *remote.Signer {
	t.Helper()
	r := must[*remote.Signer](t)(remote.Dial(t.Context(), remote.Config{Socket: s.socket, Federation: fed, Bureau: "BEL", Timeout: time.Minute}))
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// raw is what somebody has who has taken over the node's process: the socket.
func (s shelf) raw(t testing.TB) *grpc.ClientConn {
	t.Helper()
	conn := must[*grpc.ClientConn](t)(grpc.NewClient("unix:"+s.socket, grpc.WithTransportCredentials(insecure.NewCredentials())))
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func anAsk() *queryv1.Ask {
	now := time.Now()
	return &queryv1.Ask{
		AskId: "0193c0de-0000-7000-8000-000000000001", Nonce: make([]byte, 16), Audience: "ESP",
		IssuedAt: timestamppb.New(now), NotAfter: timestamppb.New(now.Add(time.Minute)),
		Requester:     &queryv1.Requester{Bureau: "BEL", Agency: "border-police", Role: "officer"},
		Justification: &queryv1.Justification{Purpose: recordv1.Purpose_PURPOSE_BORDER_CONTROL},
		MaxCandidates: 10,
		Document:      &queryv1.DocumentQuery{Number: "XA0000001", Issuer: "ESP"},
	}
}

func anAnswer() *queryv1.Answer {
	return &queryv1.Answer{
		InReplyTo: make([]byte, 32), AskId: anAsk().GetAskId(), Bureau: "BEL", Audience: "ESP",
		Results:    []*queryv1.CollectionAnswer{{Collection: "documents", Status: queryv1.Status_STATUS_NO_HIT}},
		AnsweredAt: timestamppb.Now(),
	}
}

func anOffer() *queryv1.Offer {
	return &queryv1.Offer{Bureau: "BEL", Audience: "ESP", IssuedAt: timestamppb.Now(), NotAfter: timestamppb.New(time.Now().Add(10 * time.Minute))}
}

func aMeta() *gossipv1.MemberMeta {
	return &gossipv1.MemberMeta{Name: "BEL/1", Address: "ncb.bel.example:7443", Sequence: 7, RosterVersion: 1, IssuedAt: time.Now().Unix()}
}

// one is a roster that lists BEL's message key alone.
type one struct{ key signing.PublicKey }

func (o one) Key(b identity.Bureau, id string, usage rosterv1.KeyUsage, _ time.Time) (signing.PublicKey, error) {
	if b != o.key.Bureau || usage != o.key.Usage || id != o.key.ID() && id != signing.KeyHint(o.key.ID()) {
		return signing.PublicKey{}, errors.New("no such key")
	}
	return o.key, nil
}

// history is a log as its node keeps it.
type history []tlog.Hash

func (h history) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = h[x]
	}
	return out, nil
}

func grown(t testing.TB, kind string, n int) (h history) {
	t.Helper()
	for i := range n {
		h = append(h, must[[]tlog.Hash](t)(tlog.StoredHashes(int64(i), fmt.Appendf(nil, "%s %d", kind, i), h))...)
	}
	return h
}

func (h history) root(t testing.TB, n int) []byte {
	t.Helper()
	root := must[tlog.Hash](t)(tlog.TreeHash(int64(n), h))
	return root[:]
}

func (h history) proof(t testing.TB, from, to int) (out [][]byte) {
	t.Helper()
	for _, hash := range must[tlog.TreeProof](t)(tlog.ProveTree(int64(to), int64(from), h)) {
		out = append(out, bytes.Clone(hash[:]))
	}
	return out
}

// TestTheNodeSpeaksThroughItsSigner: what comes out of the socket is what a signer in the node
// would have made.
func TestTheNodeSpeaksThroughItsSigner(t *testing.T) {
	s := newShelf(t)
	s.start(t, nil)
	r := s.dial(t)
	if r.Bureau() != "BEL" || r.Federation() != fed || r.KeyID() != r.PublicKey().ID() || r.LogKey().Usage != rosterv1.KeyUsage_KEY_USAGE_LOG {
		t.Error("whose signer it is")
	}
	v := signing.NewVerifier(fed, one{r.PublicKey()}, nil)
	ask := anAsk()
	if got := must[*queryv1.Ask](t)(v.Ask(must[*signedv1.Signed](t)(r.Ask(ask)), "BEL")); !proto.Equal(got, ask) {
		t.Errorf("ask: %v", got)
	}
	answer := anAnswer()
	got := must[*queryv1.Answer](t)(v.Answer(must[*signedv1.Signed](t)(r.Answer(answer)), "BEL"))
	if answer.KeyId = r.KeyID(); !proto.Equal(got, answer) {
		t.Errorf("answer: %v", got)
	}
	if offer := anOffer(); !proto.Equal(must[*queryv1.Offer](t)(v.Offer(must[*signedv1.Signed](t)(r.Offer(offer)), "BEL")), offer) {
		t.Error("offer")
	}
	if meta := aMeta(); !proto.Equal(must[*gossipv1.MemberMeta](t)(v.MemberMeta(must[*gossipv1.SignedMeta](t)(r.MemberMeta(meta)), "BEL")), meta) {
		t.Error("meta")
	}
	h := grown(t, "true", 9)
	checkpoint := must[[]byte](t)(r.Checkpoint(t.Context(), "1", 7, h.root(t, 7), nil))
	if !strings.HasPrefix(string(checkpoint), "bel.demo.entente/log/1\n7\n") {
		t.Errorf("checkpoint:\n%s", checkpoint)
	}
	if _, err := r.Checkpoint(t.Context(), "1", 9, h.root(t, 9), h.proof(t, 7, 9)); err != nil {
		t.Error(err)
	}
}

// TestTakenOverNode: somebody sits in the node's process and has its socket. He tries every
// method with whatever he would like to have signed.
func TestTakenOverNode(t *testing.T) {
	s := newShelf(t)
	var log bytes.Buffer
	stop := s.start(t, slog.New(slog.NewTextHandler(&log, nil)))
	conn := s.raw(t)
	c := signerv1.NewSignerServiceClient(conn)
	ctx := t.Context()
	ask := func(change func(*queryv1.Ask)) error {
		m := anAsk()
		change(m)
		_, err := c.SignAsk(ctx, &signerv1.SignAskRequest{Ask: m})
		return err
	}
	answer := func(change func(*queryv1.Answer)) error {
		m := anAnswer()
		change(m)
		_, err := c.SignAnswer(ctx, &signerv1.SignAnswerRequest{Answer: m})
		return err
	}
	offer := func(change func(*queryv1.Offer)) error {
		m := anOffer()
		change(m)
		_, err := c.SignOffer(ctx, &signerv1.SignOfferRequest{Offer: m})
		return err
	}
	meta := func(change func(*gossipv1.MemberMeta)) error {
		m := aMeta()
		change(m)
		_, err := c.SignMemberMeta(ctx, &signerv1.SignMemberMetaRequest{Meta: m})
		return err
	}
	later := timestamppb.New(time.Now().Add(2 * time.Hour))
	stranger := must[ed25519.PrivateKey](t)(signing.GenerateKey(nil))
	for name, err := range map[string]error{
		"an ask of ESP":    ask(func(m *queryv1.Ask) { m.Requester.Bureau = "ESP"; m.Audience = "BGR" }),
		"an ask of nobody": ask(func(m *queryv1.Ask) { m.Requester.Bureau = "" }),
		"an ask to itself": ask(func(m *queryv1.Ask) { m.Audience = "BEL" }),
		"an ask to nobody": ask(func(m *queryv1.Ask) { m.Audience = "" }),
		"an ask for later": ask(func(m *queryv1.Ask) { m.IssuedAt, m.NotAfter = later, timestamppb.New(later.AsTime().Add(time.Minute)) }),
		"an ask of long ago": ask(func(m *queryv1.Ask) {
			m.IssuedAt, m.NotAfter = timestamppb.New(time.Unix(0, 0)), timestamppb.New(time.Unix(60, 0))
		}),
		"an ask that lives long":    ask(func(m *queryv1.Ask) { m.NotAfter = later }),
		"an ask that never lives":   ask(func(m *queryv1.Ask) { m.NotAfter = m.IssuedAt }),
		"an ask against the schema": ask(func(m *queryv1.Ask) { m.Nonce = nil }),
		"an ask with an unknown field": ask(func(m *queryv1.Ask) {
			m.Requester.ProtoReflect().SetUnknown([]byte{0xfa, 0x3f, 1, 'x'})
		}),
		"an answer of ESP":          answer(func(m *queryv1.Answer) { m.Bureau = "ESP"; m.Audience = "BGR" }),
		"an answer under ESP's key": answer(func(m *queryv1.Answer) { m.KeyId = strings.Repeat("ab", 32) }),
		"an answer to itself":       answer(func(m *queryv1.Answer) { m.Audience = "BEL" }),
		"an answer for later":       answer(func(m *queryv1.Answer) { m.AnsweredAt = later }),
		"an answer with an unknown field": answer(func(m *queryv1.Answer) {
			m.Results[0].ProtoReflect().SetUnknown([]byte{0xfa, 0x3f, 1, 'x'})
		}),
		"an offer of ESP":       offer(func(m *queryv1.Offer) { m.Bureau = "ESP" }),
		"an offer to itself":    offer(func(m *queryv1.Offer) { m.Audience = "BEL" }),
		"an offer without end":  offer(func(m *queryv1.Offer) { m.NotAfter = timestamppb.New(time.Now().Add(1000 * time.Hour)) }),
		"an offer for later":    offer(func(m *queryv1.Offer) { m.IssuedAt = later }),
		"a statement of ESP":    meta(func(m *gossipv1.MemberMeta) { m.Name = "ESP/1" }),
		"of a made-up replica":  meta(func(m *gossipv1.MemberMeta) { m.Name = "BEL/9" }),
		"of no replica":         meta(func(m *gossipv1.MemberMeta) { m.Name = "BEL" }),
		"a statement for later": meta(func(m *gossipv1.MemberMeta) { m.IssuedAt = later.GetSeconds() }),
		"at the end of time":    meta(func(m *gossipv1.MemberMeta) { m.IssuedAt = 1<<63 - 1 }),
		"nothing, as an ask":    func() error { _, err := c.SignAsk(ctx, &signerv1.SignAskRequest{}); return err }(),
		"nothing, as an answer": func() error { _, err := c.SignAnswer(ctx, &signerv1.SignAnswerRequest{}); return err }(),
		"nothing, as an offer":  func() error { _, err := c.SignOffer(ctx, &signerv1.SignOfferRequest{}); return err }(),
		"nothing, as a state":   func() error { _, err := c.SignMemberMeta(ctx, &signerv1.SignMemberMetaRequest{}); return err }(),
		"nothing, as a log":     func() error { _, err := c.SignCheckpoint(ctx, &signerv1.SignCheckpointRequest{}); return err }(),
	} {
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: got %v, want INVALID_ARGUMENT", name, err)
		}
	}

	// A roster, a join request, and bytes, in place of every request there is.
	bureau := &rosterv1.Bureau{
		Bureau: "BEL", Address: "evil.example:7443", CaRoots: [][]byte{make([]byte, 64)},
		Keys: []*rosterv1.Key{{Usage: rosterv1.KeyUsage_KEY_USAGE_GOVERNANCE, Algorithm: "ed25519", Key: stranger.Public().(ed25519.PublicKey)}},
	}
	roster := &rosterv1.Roster{Federation: string(fed), Version: 2, Threshold: 1, Bureaus: []*rosterv1.Bureau{bureau}, IssuedAt: timestamppb.Now(), ExpiresAt: later}
	join := &rosterv1.JoinRequest{Federation: string(fed), Bureau: bureau, IssuedAt: timestamppb.Now()}
	wrapped := func(m proto.Message) []byte { // as field 1, where every request has its message
		inner := must[[]byte](t)(proto.Marshal(m))
		return append(append([]byte{0x0a}, varint(len(inner))...), inner...)
	}
	tries := map[string][]byte{
		"a roster":              must[[]byte](t)(proto.Marshal(roster)),
		"a join request":        must[[]byte](t)(proto.Marshal(join)),
		"a wrapped roster":      wrapped(roster),
		"a wrapped join":        wrapped(join),
		"a wrapped signed":      wrapped(&signedv1.Signed{PayloadType: signing.PayloadType(signing.KindRoster, fed), Payload: []byte("x")}),
		"bytes":                 []byte("DSSEv1 29 http://example.com/HelloWorld 11 hello world"),
		"a checkpoint as bytes": []byte("esp.demo.entente/log/1\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"),
	}
	for _, method := range signerv1.SignerService_ServiceDesc.Methods {
		if method.MethodName == "Describe" {
			continue
		}
		for name, b := range tries {
			req := &emptypb.Empty{}
			req.ProtoReflect().SetUnknown(b)
			if err := conn.Invoke(ctx, "/entente.signer.v1.SignerService/"+method.MethodName, req, &emptypb.Empty{}); err == nil {
				t.Errorf("%s is signed by %s", name, method.MethodName)
			}
		}
	}
	for _, method := range []string{"Sign", "SignRoster", "SignJoinRequest", "SignBytes"} {
		if err := conn.Invoke(ctx, "/entente.signer.v1.SignerService/"+method, &emptypb.Empty{}, &emptypb.Empty{}); status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: %v", method, err)
		}
	}

	// Nothing of all that stands in the log but how often.
	stop()
	for _, secret := range []string{"XA0000001", "border-police", "ESP", "0193c0de"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %q:\n%s", secret, log.String())
		}
	}
	if !strings.Contains(log.String(), "SignAsk refused InvalidArgument") {
		t.Errorf("the log counts nothing:\n%s", log.String())
	}
}

func varint(n int) (b []byte) {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// TestTakenOverLog: he would like to have told another history.
func TestTakenOverLog(t *testing.T) {
	s := newShelf(t)
	stop := s.start(t, nil)
	r := s.dial(t)
	h, other := grown(t, "true", 40), grown(t, "false", 40)
	sign := func(replica string, size int, root []byte, proof [][]byte) error {
		_, err := r.Checkpoint(t.Context(), replica, uint64(size), root, proof)
		return err
	}
	if err := sign("1", 20, h.root(t, 20), nil); err != nil {
		t.Fatal(err)
	}
	attempts := func() {
		t.Helper()
		forged := other.proof(t, 20, 33)
		forged[0] = h.root(t, 20)
		for name, x := range map[string]struct {
			err  error
			want signing.Refusal
		}{
			"a shrunk log":        {sign("1", 19, h.root(t, 19), nil), signing.LogShrunk},
			"a fork at one size":  {sign("1", 20, other.root(t, 20), nil), signing.LogForked},
			"a fork at a larger":  {sign("1", 33, other.root(t, 33), other.proof(t, 20, 33)), signing.LogUnproven},
			"with the true proof": {sign("1", 33, other.root(t, 33), h.proof(t, 20, 33)), signing.LogUnproven},
			"with a forged proof": {sign("1", 33, other.root(t, 33), forged), signing.LogUnproven},
			"without a proof":     {sign("1", 33, other.root(t, 33), nil), signing.LogUnproven},
		} {
			var follows *signing.NotFollowingError
			if !errors.As(x.err, &follows) || follows.Refusal != x.want || follows.Last != 20 || follows.Origin != "bel.demo.entente/log/1" {
				t.Errorf("%s: got %v, want %s", name, x.err, x.want)
			}
		}
		if err := sign("2", 1, h.root(t, 1), nil); err == nil || !strings.Contains(err.Error(), "replicas") {
			t.Errorf("a log of a made-up replica: %v", err)
		}
	}
	attempts()
	// Nor after the signer was started again.
	stop()
	s.start(t, nil)
	r = s.dial(t)
	attempts()
	if err := sign("1", 40, h.root(t, 40), h.proof(t, 20, 40)); err != nil {
		t.Error(err)
	}
}

func TestManyAtOnce(t *testing.T) {
	s := newShelf(t)
	s.start(t, nil)
	r := s.dial(t)
	v := signing.NewVerifier(fed, one{r.PublicKey()}, nil)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range 5 {
				signed, err := r.Ask(anAsk())
				if err == nil {
					_, err = v.Ask(signed, "BEL")
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkAsk(b *testing.B) {
	s := newShelf(b)
	s.start(b, nil)
	messages := signing.NewSigner(fed, "BEL", must[ed25519.PrivateKey](b)(signing.ReadKey(filepath.Join(s.keys, service.MessageKeyFile))))
	for _, by := range []struct {
		name   string
		signer interface {
			Ask(*queryv1.Ask) (*signedv1.Signed, error)
		}
	}{{"local", messages}, {"socket", s.dial(b)}} {
		m := anAsk()
		b.Run(by.name+"/alone", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := by.signer.Ask(m); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(by.name+"/64", func(b *testing.B) {
			b.SetParallelism(32)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := by.signer.Ask(m); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
