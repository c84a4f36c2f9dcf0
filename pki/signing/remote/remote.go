// Package remote is a bureau's signer that lives in another process: the same methods as
// pki/signing's Signer and LogSigner, over the socket that pki/signing/service serves.
//
// It holds no key, and it makes nothing that the other process has not signed. When that process
// is away, every method fails with ErrUnavailable: nothing is signed, so nothing leaves. It
// connects again by itself.
//
// One flow: the node dials the socket, learns whose keys are behind it and compares them with
// what it was told; from then on it calls Ask, Answer or Checkpoint as if the keys were its own.
package remote

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/mod/sumdb/note"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/pki/identity"
	"github.com/entente-mesh/entente/pki/signing"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
	signerv1 "github.com/entente-mesh/entente/proto/gen/entente/signer/v1"
)

// ErrUnavailable is returned when the signer's process does not answer. Nothing was signed.
var ErrUnavailable = errors.New("the signer is unavailable: nothing is signed")

// Config is where the signer is, and whose it must be.
type Config struct {
	// Socket is the path of the signer's socket. Required.
	Socket string
	// Federation and Bureau are those for which it must sign. Required.
	Federation identity.Federation
	Bureau     identity.Bureau
	// MessageKey and LogKey are the public keys that it must hold (signing.ReadPublicKey).
	// Optional: whatever keys it describes are taken.
	MessageKey, LogKey ed25519.PublicKey
	// Timeout bounds a call. Optional: DefaultTimeout.
	Timeout time.Duration
}

// DefaultTimeout bounds a call: an officer waits two seconds for the whole check.
const DefaultTimeout = time.Second

const (
	// The pause before the next attempt to connect: a signer that was restarted is back at once.
	firstPause = 20 * time.Millisecond
	maxPause   = 500 * time.Millisecond
	// maxResponse is the largest response: a payload of 4 MiB and what is around it.
	maxResponse = 4<<20 + 64<<10
)

// Signer signs through the signer's process. It is safe for concurrent use.
type Signer struct {
	cfg     Config
	conn    *grpc.ClientConn
	client  signerv1.SignerServiceClient
	message signing.PublicKey
	log     signing.PublicKey
	keyID   string
	hint    string
}

// Dial connects to a signer and learns whose keys it holds. It fails at once with
// ErrUnavailable if nobody serves on the socket, and fails if the signer is another's. Close must
// be called.
func Dial(ctx context.Context, cfg Config) (*Signer, error) {
	if cfg.Socket == "" || cfg.Bureau == "" || cfg.Federation == "" {
		return nil, errors.New("signer: socket, bureau and federation are needed")
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	conn, err := grpc.NewClient("passthrough:///signer",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", cfg.Socket)
		}),
		// The kernel carries it, and tells the other side who we are.
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("signer"),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstPause, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxPause},
			MinConnectTimeout: cfg.Timeout,
		}),
		grpc.WithIdleTimeout(0),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponse)),
	)
	if err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	s := &Signer{cfg: cfg, conn: conn, client: signerv1.NewSignerServiceClient(conn)}
	if err := s.describe(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}

// Close ends the connection.
func (s *Signer) Close() error { return s.conn.Close() }

// describe learns whose keys they are.
func (s *Signer) describe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	d, err := s.client.Describe(ctx, &signerv1.DescribeRequest{})
	if err != nil {
		return s.explain(err)
	}
	if d.GetFederation() != string(s.cfg.Federation) || d.GetBureau() != string(s.cfg.Bureau) {
		return fmt.Errorf("signer at %s: it signs for %.3q in %.200q, this node is %s in %s: name the right socket", s.cfg.Socket, d.GetBureau(), d.GetFederation(), s.cfg.Bureau, s.cfg.Federation)
	}
	for _, k := range []struct {
		name      string
		got, want []byte
	}{{"message", d.GetMessageKey(), s.cfg.MessageKey}, {"log", d.GetLogKey(), s.cfg.LogKey}} {
		if len(k.got) != ed25519.PublicKeySize {
			return fmt.Errorf("signer at %s: its %s key has %d bytes, expected %d", s.cfg.Socket, k.name, len(k.got), ed25519.PublicKeySize)
		}
		if k.want != nil && !ed25519.PublicKey(k.got).Equal(ed25519.PublicKey(k.want)) {
			return fmt.Errorf("signer at %s: it holds another %s key than this node knows: if the key was changed, replace %[2]s.pub in the node's keys folder", s.cfg.Socket, k.name)
		}
	}
	s.message = signing.PublicKey{Bureau: s.cfg.Bureau, Usage: rosterv1.KeyUsage_KEY_USAGE_MESSAGE, Algorithm: signing.AlgorithmEd25519, Key: d.GetMessageKey()}
	s.log = signing.PublicKey{Bureau: s.cfg.Bureau, Usage: rosterv1.KeyUsage_KEY_USAGE_LOG, Algorithm: signing.AlgorithmEd25519, Key: d.GetLogKey()}
	s.keyID = s.message.ID()
	s.hint = signing.KeyHint(s.keyID)
	return nil
}

// KeyID is the id of the message key.
func (s *Signer) KeyID() string { return s.keyID }

// Bureau is in whose name it signs.
func (s *Signer) Bureau() identity.Bureau { return s.cfg.Bureau }

// Federation is the federation in which it signs.
func (s *Signer) Federation() identity.Federation { return s.cfg.Federation }

// PublicKey is the public half of the message key, as a roster lists it.
func (s *Signer) PublicKey() signing.PublicKey { return s.message }

// LogKey is the public half of the log key, as a roster lists it.
func (s *Signer) LogKey() signing.PublicKey { return s.log }

// Ask signs a question, as signing.Signer does.
func (s *Signer) Ask(m *queryv1.Ask) (*signedv1.Signed, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
	defer cancel()
	resp, err := s.client.SignAsk(ctx, &signerv1.SignAskRequest{Ask: m})
	return s.signed(signing.KindAsk, resp.GetSigned(), err)
}

// Answer signs a reply, as signing.Signer does.
func (s *Signer) Answer(m *queryv1.Answer) (*signedv1.Signed, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
	defer cancel()
	resp, err := s.client.SignAnswer(ctx, &signerv1.SignAnswerRequest{Answer: m})
	return s.signed(signing.KindAnswer, resp.GetSigned(), err)
}

// Offer signs what the bureau offers to another, as signing.Signer does.
func (s *Signer) Offer(m *queryv1.Offer) (*signedv1.Signed, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
	defer cancel()
	resp, err := s.client.SignOffer(ctx, &signerv1.SignOfferRequest{Offer: m})
	return s.signed(signing.KindOffer, resp.GetSigned(), err)
}

// MemberMeta signs what a replica says of itself in gossip, as signing.Signer does.
func (s *Signer) MemberMeta(m *gossipv1.MemberMeta) (*gossipv1.SignedMeta, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
	defer cancel()
	resp, err := s.client.SignMemberMeta(ctx, &signerv1.SignMemberMetaRequest{Meta: m})
	if err != nil {
		return nil, s.explain(err)
	}
	if hex.EncodeToString(resp.GetSigned().GetKeyHint()) != s.hint {
		return nil, s.changed()
	}
	return resp.GetSigned(), nil
}

// Checkpoint signs the state of a replica's log, as signing.LogSigner does, with the same
// signing.NotFollowingError.
func (s *Signer) Checkpoint(ctx context.Context, replica string, size uint64, root []byte, consistency [][]byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	resp, err := s.client.SignCheckpoint(ctx, &signerv1.SignCheckpointRequest{Replica: replica, Size: size, Root: root, Consistency: consistency})
	if err != nil {
		return nil, s.explain(err)
	}
	name, err := note.NewEd25519VerifierKey(signing.LogOrigin(s.cfg.Federation, s.cfg.Bureau, replica), s.log.Key)
	if err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	v, err := note.NewVerifier(name)
	if err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	if _, err := note.Open(resp.GetCheckpoint(), note.VerifierList(v)); err != nil {
		return nil, s.changed()
	}
	return resp.GetCheckpoint(), nil
}

// signed holds a response to the kind that was asked for and to the key that is known. The
// signature itself is for those to check who receive it.
func (s *Signer) signed(k signing.Kind, m *signedv1.Signed, err error) (*signedv1.Signed, error) {
	if err != nil {
		return nil, s.explain(err)
	}
	if m.GetPayloadType() != signing.PayloadType(k, s.cfg.Federation) || len(m.GetSignatures()) == 0 || m.GetSignatures()[0].GetKeyId() != s.keyID {
		return nil, s.changed()
	}
	return m, nil
}

func (s *Signer) changed() error {
	return fmt.Errorf("signer at %s: it signed with another key than it described at first: restart the node, and see that the roster lists the key", s.cfg.Socket)
}

// explain turns a call's error into the one that a local signer would have given, or into
// ErrUnavailable.
func (s *Signer) explain(err error) error {
	st := status.Convert(err)
	switch st.Code() {
	case codes.Unavailable:
		return fmt.Errorf("%w: %s: start it (entente signer), and see that it admits user %d: %s", ErrUnavailable, s.cfg.Socket, os.Getuid(), st.Message())
	case codes.DeadlineExceeded:
		return fmt.Errorf("%w: %s: no reply within %s: %w", ErrUnavailable, s.cfg.Socket, s.cfg.Timeout, context.DeadlineExceeded)
	case codes.Canceled:
		return fmt.Errorf("signer at %s: %w", s.cfg.Socket, context.Canceled)
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			if follows, ok := signing.ParseNotFollowing(info.GetReason(), info.GetMetadata()); ok {
				return follows
			}
		}
	}
	return fmt.Errorf("signer at %s: %s", s.cfg.Socket, st.Message())
}
