package node_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/server"
	"github.com/entente-mesh/entente/federation/server/meshtest"
	"github.com/entente-mesh/entente/node/nodetest"
	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// sendAsk sends a signed ask as it is.
func sendAsk(t *testing.T, conn *grpc.ClientConn, signed *signedv1.Signed) (*signedv1.Signed, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	defer cancel()
	resp, err := queryv1.NewQueryServiceClient(conn).Ask(ctx, &queryv1.AskRequest{Ask: signed})
	return resp.GetAnswer(), err
}

func sign(t *testing.T, by *signing.Signer, ask *queryv1.Ask) *signedv1.Signed {
	t.Helper()
	signed, err := by.Ask(ask)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// askYorick is BGR's ask of BEL about a person that BEL holds.
func askYorick(from *nodetest.Bureau, to identity.Bureau) *queryv1.Ask {
	a := from.Ask(to)
	a.Person = &queryv1.PersonQuery{Primary: "Vandersmissen", Secondary: "Yorick", BirthDate: "1990-07-21"}
	return a
}

// belgium is a mesh in which BEL holds a person that BGR may ask about, and ESP may not.
func belgium(t *testing.T, bureaus ...identity.Bureau) *nodetest.Mesh {
	t.Helper()
	m := nodetest.Found(t, bureaus...)
	m.Bureau("BEL").Create(nodetest.Person("bel:1", "Vandersmissen", "Yorick", "1990-07-21"))
	m.PermitBoth("BEL", "BGR", nodetest.Persons, nodetest.Border)
	return m
}

// read verifies an answer of BEL to BGR.
func read(t *testing.T, m *nodetest.Mesh, answer *signedv1.Signed) *queryv1.Answer {
	t.Helper()
	a, err := signing.NewVerifier(nodetest.Federation, m.Bureau("BGR").Book(), nil).Answer(answer, "BEL")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestAnAskIsGoodOnce replays an ask, also after the answerer has been started again.
func TestAnAskIsGoodOnce(t *testing.T) {
	m := belgium(t, "BEL", "BGR")
	bel, bgr := m.Bureau("BEL"), m.Bureau("BGR")
	ask := askYorick(bgr, "BEL")
	signed := sign(t, bgr.Signer(), ask)
	other := proto.CloneOf(ask)
	other.Person.Secondary = "Somebody"
	conn := bgr.DialMesh(bel)
	first, err := sendAsk(t, conn, signed)
	if err != nil {
		t.Fatal(err)
	}
	if a := read(t, m, first); a.GetResults()[0].GetStatus() != queryv1.Status_STATUS_HIT {
		t.Fatalf("the first answer: %v", a.GetResults())
	}
	replay := func(when string, conn *grpc.ClientConn) {
		t.Helper()
		again, err := sendAsk(t, conn, signed)
		if err != nil || !proto.Equal(again, first) {
			t.Errorf("%s, the same bytes again: %v, want the same answer to the byte", when, err)
		}
		_, err = sendAsk(t, conn, sign(t, bgr.Signer(), other))
		if reason, _ := fault.ReasonOf(err); status.Code(err) != codes.Aborted || reason != fault.AskIDReused {
			t.Errorf("%s, another question under the same id: %v", when, err)
		}
	}
	replay("at once", conn)
	// What was asked and told stays as it was, also when the record is gone.
	if _, err := bel.Records().Delete(t.Context(), &recordv1.DeleteRequest{Collection: nodetest.Persons, RecordId: "bel:1"}); err != nil {
		t.Fatal(err)
	}
	replay("after the record is withdrawn", conn)
	bel.Restart()
	replay("after BEL was started again", bgr.DialMesh(bel))
	bel.Clock.Set(10 * time.Minute)
	_, err = sendAsk(t, bgr.DialMesh(bel), signed)
	if reason, _ := fault.ReasonOf(err); status.Code(err) != codes.Unauthenticated || reason != fault.AskExpired {
		t.Errorf("ten minutes later: %v", err)
	}
}

// TestAsksThatAreNotAnswered are signed by somebody, and not what BGR may send BEL now.
func TestAsksThatAreNotAnswered(t *testing.T) {
	m := belgium(t, "BEL", "BGR", "ESP")
	bel, bgr, esp := m.Bureau("BEL"), m.Bureau("BGR"), m.Bureau("ESP")
	conn := bgr.DialMesh(bel)
	at := func(issued, until time.Duration) func(*queryv1.Ask) {
		return func(a *queryv1.Ask) {
			now := time.Now()
			a.IssuedAt, a.NotAfter = timestamppb.New(now.Add(issued)), timestamppb.New(now.Add(until))
		}
	}
	otherFederation := signing.NewSigner("other.entente", "BGR", keyOf(t))
	for name, c := range map[string]struct {
		edit   func(*queryv1.Ask)
		signer *signing.Signer
		change func(*signedv1.Signed)
		code   codes.Code
		reason fault.Reason
	}{
		"meant for another bureau":        {edit: func(a *queryv1.Ask) { a.Audience = "ESP" }, code: codes.Unauthenticated, reason: fault.WrongAudience},
		"expired":                         {edit: at(-5*time.Minute, -4*time.Minute), code: codes.Unauthenticated, reason: fault.AskExpired},
		"from the future":                 {edit: at(5*time.Minute, 6*time.Minute), code: codes.Unauthenticated, reason: fault.AskFromFuture},
		"good for an hour":                {edit: at(0, time.Hour), code: codes.Unauthenticated, reason: fault.AskLifetime},
		"over before it began":            {edit: at(0, -time.Second), code: codes.Unauthenticated, reason: fault.AskLifetime},
		"about nothing":                   {edit: func(a *queryv1.Ask) { a.Person = nil }, code: codes.InvalidArgument, reason: fault.NothingAsked},
		"another requester":               {edit: func(a *queryv1.Ask) { a.Requester.Bureau = "ESP" }, signer: esp.Signer(), code: codes.Unauthenticated, reason: fault.SignatureInvalid},
		"signed by another bureau":        {edit: func(a *queryv1.Ask) { a.Requester.Bureau = "ESP" }, signer: esp.Signer(), code: codes.Unauthenticated, reason: fault.SignatureInvalid},
		"signed by a key in no roster":    {signer: signing.NewSigner(nodetest.Federation, "BGR", keyOf(t)), code: codes.Unauthenticated, reason: fault.SignatureInvalid},
		"of another federation":           {signer: otherFederation, code: codes.Unauthenticated, reason: fault.SignatureInvalid},
		"one byte of it changed":          {change: func(s *signedv1.Signed) { s.Payload[len(s.Payload)/2] ^= 1 }, code: codes.Unauthenticated, reason: fault.SignatureInvalid},
		"one byte of its signature":       {change: func(s *signedv1.Signed) { s.Signatures[0].Value[7] ^= 1 }, code: codes.Unauthenticated, reason: fault.SignatureInvalid},
		"as another kind of message":      {change: func(s *signedv1.Signed) { s.PayloadType = signing.PayloadType(signing.KindAnswer, nodetest.Federation) }, code: codes.Unauthenticated, reason: fault.SignatureInvalid},
		"an algorithm that nobody knows":  {change: func(s *signedv1.Signed) { s.Signatures[0].Algorithm = "none" }, code: codes.Unauthenticated, reason: fault.SignatureInvalid},
		"without a signature at all":      {change: func(s *signedv1.Signed) { s.Signatures = nil }, code: codes.InvalidArgument, reason: fault.MalformedRequest},
		"without a purpose, as it is cut": {change: func(s *signedv1.Signed) { s.Payload = nil }, code: codes.InvalidArgument, reason: fault.MalformedRequest},
	} {
		ask := askYorick(bgr, "BEL")
		if c.edit != nil {
			c.edit(ask)
		}
		if c.signer == nil {
			c.signer = bgr.Signer()
		}
		signed := sign(t, c.signer, ask)
		if c.change != nil {
			c.change(signed)
		}
		answer, err := sendAsk(t, conn, signed)
		reason, _ := fault.ReasonOf(err)
		if answer != nil || status.Code(err) != c.code || reason != c.reason {
			t.Errorf("%s: %v (%s), want %v %s", name, err, reason, c.code, c.reason)
		}
	}
	if _, err := sendAsk(t, conn, sign(t, bgr.Signer(), askYorick(bgr, "BEL"))); err != nil {
		t.Errorf("the same as it should be: %v", err)
	}
	// ESP's ask, carried by BGR, is BGR's word and not ESP's.
	if _, err := sendAsk(t, conn, sign(t, esp.Signer(), askYorick(esp, "BEL"))); status.Code(err) != codes.Unauthenticated {
		t.Errorf("an ask of ESP's sent by BGR: %v", err)
	}
}

func keyOf(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// tampering changes an answer before or after it is signed.
type tampering struct {
	before func(*queryv1.Answer)
	after  func(*signedv1.Signed) *signedv1.Signed
}

// hands are a signer in BEL's place that tampers with its answers.
type hands struct {
	*signing.Signer
	now atomic.Pointer[tampering]
}

func (h *hands) Answer(a *queryv1.Answer) (*signedv1.Signed, error) {
	with := h.now.Load()
	if with.before != nil {
		with.before(a)
	}
	signed, err := h.Signer.Answer(a)
	if err == nil && with.after != nil {
		signed = with.after(signed)
	}
	return signed, err
}

// TestAnswersThatAreNotBelieved has BGR ask a BEL that answers badly.
func TestAnswersThatAreNotBelieved(t *testing.T) {
	m := belgium(t, "BEL", "BGR", "ESP")
	bel, bgr, esp := m.Bureau("BEL"), m.Bureau("BGR"), m.Bureau("ESP")
	yes := nodetest.Answers(func(ctx context.Context, ask *queryv1.Ask) (*queryv1.Answer, error) {
		return meshtest.Every(queryv1.Status_STATUS_HIT, meshtest.Wanted("BEL"))(ctx, identity.Identity{}, ask)
	})
	hand := &hands{Signer: bel.Signer()}
	bel.Impersonate(func(cfg *server.Config) { cfg.Signer, cfg.Answerer = hand, yes })
	m.Eventually("BGR is connected with what stands in BEL's place", func() bool { return bgr.Connected("BEL") })
	flip := func(b []byte) { b[len(b)/2] ^= 1 }
	var kept *signedv1.Signed
	for _, c := range []struct {
		name string
		tampering
		believed bool
	}{
		{name: "as it should be", believed: true, tampering: tampering{after: func(s *signedv1.Signed) *signedv1.Signed {
			kept = proto.CloneOf(s)
			return s
		}}},
		{name: "one byte changed", tampering: tampering{after: func(s *signedv1.Signed) *signedv1.Signed { flip(s.Payload); return s }}},
		{name: "one byte of the signature changed", tampering: tampering{after: func(s *signedv1.Signed) *signedv1.Signed { flip(s.Signatures[0].Value); return s }}},
		{name: "not signed", tampering: tampering{after: func(s *signedv1.Signed) *signedv1.Signed { s.Signatures = nil; return s }}},
		{name: "an answer that was given before", tampering: tampering{after: func(*signedv1.Signed) *signedv1.Signed { return kept }}},
		{name: "the reply to another ask", tampering: tampering{before: func(a *queryv1.Answer) {
			other := sha256.Sum256([]byte("another ask"))
			a.InReplyTo = other[:]
		}}},
		{name: "another ask's id", tampering: tampering{before: func(a *queryv1.Answer) { a.AskId = uuid.NewString() }}},
		{name: "meant for another bureau", tampering: tampering{before: func(a *queryv1.Answer) { a.Audience = "ESP" }}},
		{name: "of another collection", tampering: tampering{before: func(a *queryv1.Answer) { a.Results[0].Collection = nodetest.Documents }}},
		{name: "a hit as another bureau's", tampering: tampering{before: func(a *queryv1.Answer) { a.Results[0].Hits[0].Bureau = "ESP" }}},
		{name: "a hit without hits", tampering: tampering{before: func(a *queryv1.Answer) { a.Results[0].Hits = nil }}},
		{name: "signed by another bureau", tampering: tampering{after: func(s *signedv1.Signed) *signedv1.Signed {
			a := &queryv1.Answer{}
			if err := proto.Unmarshal(s.GetPayload(), a); err != nil {
				return nil
			}
			a.Bureau, a.KeyId = "ESP", esp.Signer().KeyID()
			forged, err := esp.Signer().Answer(a)
			if err != nil {
				return nil
			}
			return forged
		}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			hand.now.Store(&c.tampering)
			resp := bgr.Check(nodetest.CheckPerson("Vandersmissen", "Yorick", "1990-07-21"))
			s := nodetest.Status(resp, "BEL")
			if c.believed {
				if resp.GetVerdict() != screeningv1.Verdict_VERDICT_HIT {
					t.Errorf("%v %v", resp.GetVerdict(), s)
				}
				return
			}
			if resp.GetVerdict() != screeningv1.Verdict_VERDICT_INCOMPLETE || len(resp.GetHits()) != 0 {
				t.Errorf("verdict %v with %d hits, want INCOMPLETE and none", resp.GetVerdict(), len(resp.GetHits()))
			}
			if s.GetStatus() != queryv1.Status_STATUS_UNAVAILABLE || s.GetReason() != "its answer could not be verified" {
				t.Errorf("status %v, reason %q", s.GetStatus(), s.GetReason())
			}
			if resp.GetAdvice() == "" {
				t.Error("the officer is not told what to do")
			}
		})
	}
}

// TestAStateSpeaksOfItsOwnDocumentsAlone: ESP says that BEL's passport is stolen.
func TestAStateSpeaksOfItsOwnDocumentsAlone(t *testing.T) {
	m := nodetest.Found(t, "BEL", "ESP", "BGR")
	esp, bgr := m.Bureau("ESP"), m.Bureau("BGR")
	bgr.Permit(nodetest.PermitOptions{Bureau: "ESP", Collection: nodetest.Documents, Purposes: []nodetest.Purpose{nodetest.Border}})

	// An honest node does not even take such a record in.
	_, err := esp.Records().Create(t.Context(), &recordv1.CreateRequest{Record: nodetest.Stolen("esp:doc-1", "EH482913", "BEL")})
	if reason, _ := fault.ReasonOf(err); status.Code(err) != codes.FailedPrecondition || reason != fault.RecordUnfit {
		t.Errorf("a stolen passport of BEL's recorded at ESP: %v", err)
	}
	report, err := esp.TryImport(&recordv1.ImportHeader{Collection: nodetest.Documents, Format: "entente-json", Source: "scene"},
		bytes.NewReader(nodetest.Lines(nodetest.Stolen("esp:doc-1", "EH482913", "BEL"), nodetest.Stolen("esp:doc-2", "PAB220417", "ESP"))))
	if err != nil || report.GetCreated() != 1 || report.GetBad() != 1 {
		t.Errorf("imported: %v %v", report, err)
	}

	var issuer atomic.Pointer[string] // of the document that ESP claims
	esp.Impersonate(func(cfg *server.Config) {
		cfg.Answerer = nodetest.Answers(func(ctx context.Context, ask *queryv1.Ask) (*queryv1.Answer, error) {
			return meshtest.Every(queryv1.Status_STATUS_HIT, meshtest.Stolen("ESP", *issuer.Load()))(ctx, identity.Identity{}, ask)
		})
	})
	m.Eventually("BGR is connected with ESP", func() bool { return bgr.Connected("ESP") })
	for name, c := range map[string]struct {
		issuer   string
		believed bool
	}{
		"of BEL": {"BEL", false}, "of nobody": {"", false}, "of ESP itself": {"ESP", true},
	} {
		issuer.Store(&c.issuer)
		resp := bgr.Check(nodetest.CheckDocument("EH482913", c.issuer))
		s := nodetest.Status(resp, "ESP")
		switch {
		case c.believed && resp.GetVerdict() != screeningv1.Verdict_VERDICT_HIT:
			t.Errorf("%s: %v %v", name, resp.GetVerdict(), s)
		case !c.believed && (resp.GetVerdict() != screeningv1.Verdict_VERDICT_NO_HIT || len(resp.GetHits()) != 0 || s.GetReason() == ""):
			t.Errorf("%s: %v with %d hits, ESP %v: want no hit, and a word on what was not believed", name, resp.GetVerdict(), len(resp.GetHits()), s)
		}
	}
}
