package node

import (
	"context"
	"errors"
	"fmt"
	"os"

	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/pki/signing"
	"github.com/entente-mesh/entente/pki/signing/remote"
	gossipv1 "github.com/entente-mesh/entente/proto/gen/entente/gossip/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// signer signs what the node says, here or in a process of its own.
type signer interface {
	KeyID() string
	Ask(*queryv1.Ask) (*signedv1.Signed, error)
	Answer(*queryv1.Answer) (*signedv1.Signed, error)
	Offer(*queryv1.Offer) (*signedv1.Signed, error)
	MemberMeta(*gossipv1.MemberMeta) (*gossipv1.SignedMeta, error)
	Checkpoint(ctx context.Context, replica string, size uint64, root []byte, consistency [][]byte) ([]byte, error)
	LogKey() signing.PublicKey
	Close() error
}

// inHouse is a signer whose keys the node holds itself.
type inHouse struct {
	*signing.Signer
	*signing.LogSigner
}

// openSigner opens the signer that the configuration names.
func openSigner(ctx context.Context, cfg Config) (signer, error) {
	l := layout{cfg.Dir}
	if cfg.SignerSocket != "" {
		// Pinned: whoever puts another signer behind the socket signs for nobody.
		message, err := signing.ReadPublicKey(l.messagePublic())
		if err != nil {
			return nil, fmt.Errorf("signer_socket: the public message key that entente signer split left: %w", err)
		}
		logKey, err := signing.ReadPublicKey(l.logPublic())
		if err != nil {
			return nil, fmt.Errorf("signer_socket: the public log key that entente signer split left: %w", err)
		}
		s, err := remote.Dial(ctx, remote.Config{
			Socket: cfg.SignerSocket, Federation: cfg.Federation, Bureau: cfg.Bureau, MessageKey: message, LogKey: logKey,
		})
		if err != nil {
			return nil, fmt.Errorf("signer_socket: %w", err)
		}
		return elsewhere{s}, nil
	}
	message, err := signing.ReadKey(l.messageKey())
	if errors.Is(err, os.ErrNotExist) {
		if _, there := os.Stat(l.messagePublic()); there == nil {
			return nil, errors.New("message key: a signer holds it (entente signer split): say where it listens, signer_socket in " + ConfigFile)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("message key: %w", err)
	}
	logKey, err := signing.ReadKey(l.logKey())
	if err != nil {
		return nil, fmt.Errorf("log key: %w", err)
	}
	logs, err := signing.OpenLogSigner(signing.LogConfig{
		Federation: cfg.Federation, Bureau: cfg.Bureau, Private: logKey, Replicas: []string{cfg.Replica}, State: l.logState(),
	})
	if err != nil {
		return nil, fmt.Errorf("log key: %w", err)
	}
	return inHouse{signing.NewSigner(cfg.Federation, cfg.Bureau, message).Batched(), logs}, nil
}

// elsewhere is a signer in a process of its own. That it is away is told as such: it is no fault of
// who asks.
type elsewhere struct{ *remote.Signer }

func away(err error) error {
	if !errors.Is(err, remote.ErrUnavailable) {
		return err
	}
	return errors.Join(fault.New(codes.Unavailable, fault.SignerUnavailable, "",
		"the node's signer is away, so nothing can be signed and nothing leaves: try again, and tell the node's operator if it lasts"), err)
}

// Ask implements ask.Signer.
func (e elsewhere) Ask(m *queryv1.Ask) (*signedv1.Signed, error) {
	s, err := e.Signer.Ask(m)
	return s, away(err)
}

// Answer implements server.Signer.
func (e elsewhere) Answer(m *queryv1.Answer) (*signedv1.Signed, error) {
	s, err := e.Signer.Answer(m)
	return s, away(err)
}

// Offer implements server.Signer.
func (e elsewhere) Offer(m *queryv1.Offer) (*signedv1.Signed, error) {
	s, err := e.Signer.Offer(m)
	return s, away(err)
}
