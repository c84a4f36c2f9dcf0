package signing

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

const pemPublic = "PUBLIC KEY" // SubjectPublicKeyInfo, RFC 7468 section 13

// WritePublicKey writes the public half of a key as PEM, for a node whose private keys lie with
// its signer: by it the node describes itself, and knows its signer again. It refuses to
// overwrite.
func WritePublicKey(path string, public ed25519.PublicKey) error {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("write key %s: %w", path, err)
	}
	return writeNew(path, pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: der}))
}

// ReadPublicKey reads a key that WritePublicKey wrote.
func ReadPublicKey(path string) (ed25519.PublicKey, error) {
	block, err := readBlock(path)
	if err != nil {
		return nil, err
	}
	if block.Type != pemPublic {
		return nil, fmt.Errorf("read key %s: PEM block %q, expected %q", path, block.Type, pemPublic)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("read key %s: key of type %T, expected Ed25519", path, key)
	}
	return public, nil
}
