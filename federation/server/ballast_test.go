package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/federation/server"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// stow puts bytes that no field is named for into a message.
func stow(m proto.Message, size int) {
	m.ProtoReflect().SetUnknown(protoreflect.RawFields(protowire.AppendBytes(protowire.AppendTag(nil, 5000, protowire.BytesType), make([]byte, size))))
}

// bookkeeper keeps what it was told that gets no answer.
type bookkeeper struct {
	server.Answerer
	unanswered []server.Asked
}

func (b *bookkeeper) Unanswered(ctx context.Context, asked server.Asked, code codes.Code, reason fault.Reason) error {
	b.unanswered = append(b.unanswered, asked)
	return b.Answerer.Unanswered(ctx, asked, code, reason)
}

// TestAsksCarryNoBallast: what nobody can read is neither answered nor kept.
func TestAsksCarryNoBallast(t *testing.T) {
	keeper := &bookkeeper{}
	scene(t, func(c *server.Config) { keeper.Answerer, c.Answerer = c.Answerer, keeper }, func(t *testing.T, s *stage) {
		for name, stowed := range map[string]func(*queryv1.Ask) proto.Message{
			"the ask":           func(a *queryv1.Ask) proto.Message { return a },
			"the requester":     func(a *queryv1.Ask) proto.Message { return a.GetRequester() },
			"the justification": func(a *queryv1.Ask) proto.Message { return a.GetJustification() },
			"a time":            func(a *queryv1.Ask) proto.Message { return a.GetNotAfter() },
			"the document":      func(a *queryv1.Ask) proto.Message { return a.GetDocument() },
		} {
			keeper.unanswered = nil
			ask := question(nil)
			stow(stowed(ask), 4<<10)
			_, err := send(t.Context(), s.bel, s.sign(t, ask))
			wantFault(t, err, codes.InvalidArgument, fault.MalformedRequest)
			if len(keeper.unanswered) != 1 {
				t.Errorf("%s: %d in the books", name, len(keeper.unanswered))
				continue
			}
			booked := keeper.unanswered[0]
			if booked.Signed != nil || proto.Size(booked.Ask) > 1<<10 || booked.Ask.GetAskId() != ask.GetAskId() || booked.Ask.GetRequester().GetAgency() != "border-police" {
				t.Errorf("%s: booked %d bytes: %v", name, proto.Size(booked.Ask), booked.Signed)
			}
		}
		keeper.unanswered = nil
		for name, spoil := range map[string]func(*signedv1.Signed){
			"the frame":     func(s *signedv1.Signed) { stow(s, 4<<10) },
			"the signature": func(s *signedv1.Signed) { stow(s.Signatures[0], 4<<10) },
			"a second signature": func(s *signedv1.Signed) {
				s.Signatures = append(s.Signatures, &signedv1.Signature{KeyId: strings.Repeat("0", 64), Algorithm: "later", Value: make([]byte, 8<<10)})
			},
			"a batch's proof": func(s *signedv1.Signed) {
				s.Signatures = append(s.Signatures, &signedv1.Signature{KeyId: strings.Repeat("0", 64), Algorithm: "later", Value: []byte{1}, BatchProof: make([]byte, 8<<10)})
			},
		} {
			signed := s.sign(t, question(nil))
			spoil(signed)
			_, err := send(t.Context(), s.bel, signed)
			if reason, _ := fault.ReasonOf(err); reason != fault.MalformedRequest {
				t.Errorf("%s: %v", name, err)
			}
		}
		if len(keeper.unanswered) != 0 { // outside of what is signed anybody can put anything
			t.Errorf("%d in the books", len(keeper.unanswered))
		}
		// A second signature of an algorithm to come is none.
		signed := s.sign(t, question(nil))
		signed.Signatures = append(signed.Signatures, &signedv1.Signature{KeyId: strings.Repeat("0", 64), Algorithm: "later", Value: make([]byte, 4627)})
		if _, err := send(t.Context(), s.bel, signed); err != nil {
			t.Error(err)
		}
	})
}

func TestAnAskUnderAnOddIDStandsInTheBooks(t *testing.T) {
	keeper := &bookkeeper{}
	scene(t, func(c *server.Config) { keeper.Answerer, c.Answerer = c.Answerer, keeper }, func(t *testing.T, s *stage) {
		odd := question(func(a *queryv1.Ask) { a.AskId = "0B7B1C1E-6A0C-4A4A-9F0E-5A4FF1E0A001" })
		signed := s.sign(t, odd)
		for range 2 {
			_, err := send(t.Context(), s.bel, signed)
			wantFault(t, err, codes.InvalidArgument, fault.MalformedRequest)
		}
		if len(keeper.unanswered) != 2 {
			t.Fatalf("%d in the books", len(keeper.unanswered))
		}
		first, second := keeper.unanswered[0], keeper.unanswered[1]
		if id := first.Ask.GetAskId(); id == second.Ask.GetAskId() || id != strings.ToLower(id) || strings.EqualFold(id, odd.GetAskId()) || !proto.Equal(first.Signed, signed) {
			t.Errorf("booked as %s and %s", id, second.Ask.GetAskId())
		}
	})
}

// erased remembers asks whose answers it no longer has.
type erased struct{ server.Memory }

func (e erased) RecallAsk(ctx context.Context, asker, askID string) ([]byte, []byte, bool, error) {
	digest, _, found, err := e.Memory.RecallAsk(ctx, asker, askID)
	if found {
		err = errors.New("erased")
	}
	return digest, nil, found, err
}

func TestARetryAfterItsAnswerWasErased(t *testing.T) {
	scene(t, func(c *server.Config) { c.Memory = erased{c.Memory} }, func(t *testing.T, s *stage) {
		signed := s.sign(t, question(nil))
		if _, err := send(t.Context(), s.bel, signed); err != nil {
			t.Fatal(err)
		}
		_, err := send(t.Context(), s.bel, signed)
		wantFault(t, err, codes.Aborted, fault.AskIDReused)
		if diff := cmp.Diff([]string{"Aborted ASK_ID_REUSED"}, s.esp.Memory.Noted()); diff != "" {
			t.Errorf("books:\n%s", diff)
		}
	})
}

// TestRubbishDoesNotFillTheLog: who sends what cannot be verified gets a line a minute.
func TestRubbishDoesNotFillTheLog(t *testing.T) {
	var log bytes.Buffer
	quiet := &slog.HandlerOptions{Level: slog.LevelWarn}
	scene(t, func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, quiet)) }, func(t *testing.T, s *stage) {
		forged := s.sign(t, question(nil))
		forged.Signatures[0].Value[0] ^= 1
		storm := func(conn string, n int) {
			for range n {
				_, err := send(t.Context(), s.bel, forged)
				wantFault(t, err, codes.Unauthenticated, fault.SignatureInvalid)
			}
			if got := strings.Count(log.String(), "could not be verified"); fmt.Sprint(got) != conn {
				t.Errorf("%d lines, want %s:\n%s", got, conn, log.String())
			}
		}
		storm("1", 100)
		<-time.After(time.Minute) // in the bubble
		storm("2", 100)
		if !strings.Contains(log.String(), "omitted=99") {
			t.Errorf("what was left out is not counted:\n%s", log.String())
		}
		// Another bureau's has a line of its own.
		other := s.dial(t, "BGR")
		defer func() { _ = other.Close() }()
		if _, err := send(t.Context(), other, forged); err == nil {
			t.Error("answered")
		}
		if got := strings.Count(log.String(), "could not be verified"); got != 3 {
			t.Errorf("%d lines", got)
		}
	})
}
