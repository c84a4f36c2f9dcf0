package signing

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"go.step.sm/crypto/pemutil"
)

const (
	pemPrivate   = "PRIVATE KEY"           // PKCS#8, RFC 7468 section 10
	pemEncrypted = "ENCRYPTED PRIVATE KEY" // PKCS#8 with PBES2, RFC 7468 section 11
	maxKeyFile   = 64 << 10
	// A key file says how many rounds of PBKDF2 to make: a bound keeps a doctored one from
	// holding the reader for hours. Ours are written with 600,000.
	maxIterations = 10_000_000
	aesBlock      = 16
	maxSalt       = 1024
	maxPassphrase = 1024
)

// ErrPassphrase is returned for an encrypted key that the passphrase does not open. The format
// cannot tell a wrong passphrase from a damaged file.
var ErrPassphrase = errors.New("wrong passphrase, or the key file is damaged")

// GenerateKey makes a new Ed25519 key. r nil means the system's source, which is what every
// caller but a test wants.
func GenerateKey(r io.Reader) (ed25519.PrivateKey, error) {
	_, private, err := ed25519.GenerateKey(r)
	if err != nil {
		return nil, fmt.Errorf("generate key: %w", err)
	}
	return private, nil
}

// WriteKey writes a private key as PKCS#8 PEM, readable by its owner alone (0600). It is on disk
// when WriteKey returns. It refuses to overwrite: a key that is gone cannot be had again.
func WriteKey(path string, private ed25519.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("write key %s: %w", path, err)
	}
	return writeNew(path, pem.EncodeToMemory(&pem.Block{Type: pemPrivate, Bytes: der}))
}

// ReadKey reads a private key that WriteKey wrote. It refuses a file that others than its owner
// may read, as ssh does.
func ReadKey(path string) (ed25519.PrivateKey, error) {
	block, err := readBlock(path)
	if err != nil {
		return nil, err
	}
	switch {
	case block.Type == pemEncrypted:
		return nil, fmt.Errorf("read key %s: it is encrypted, a passphrase is needed", path)
	case block.Type != pemPrivate:
		return nil, fmt.Errorf("read key %s: PEM block %q, expected %q", path, block.Type, pemPrivate)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("read key %s: mode %04o lets others than its owner read it: chmod 600 it, and replace the key if others may have", path, mode)
	}
	private, err := parsePrivate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	return private, nil
}

// WriteEncryptedKey writes a private key as PKCS#8 PEM under a passphrase (PBES2: PBKDF2 with
// HMAC-SHA-256, AES-256-CBC). Otherwise as WriteKey.
func WriteEncryptedKey(path string, private ed25519.PrivateKey, passphrase []byte) error {
	if len(passphrase) == 0 || len(passphrase) > maxPassphrase {
		return fmt.Errorf("write key %s: passphrase of %d bytes, give 1 to %d", path, len(passphrase), maxPassphrase)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("write key %s: %w", path, err)
	}
	block, err := pemutil.EncryptPKCS8PrivateKey(rand.Reader, der, passphrase, x509.PEMCipherAES256)
	if err != nil {
		return fmt.Errorf("write key %s: %w", path, err)
	}
	return writeNew(path, pem.EncodeToMemory(block))
}

// ReadEncryptedKey reads a private key that WriteEncryptedKey wrote. It fails with ErrPassphrase
// if the passphrase does not open it. The file's mode is not asked after: the encryption protects
// it, and the memory stick on which it lies may know no modes.
func ReadEncryptedKey(path string, passphrase []byte) (ed25519.PrivateKey, error) {
	block, err := readBlock(path)
	if err != nil {
		return nil, err
	}
	if block.Type != pemEncrypted {
		return nil, fmt.Errorf("read key %s: PEM block %q, expected %q", path, block.Type, pemEncrypted)
	}
	private, err := decryptPrivate(block.Bytes, passphrase)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	return private, nil
}

func decryptPrivate(der, passphrase []byte) (ed25519.PrivateKey, error) {
	if err := checkEncrypted(der); err != nil {
		return nil, err
	}
	plain, err := pemutil.DecryptPKCS8PrivateKey(der, passphrase)
	if err != nil {
		return nil, ErrPassphrase
	}
	private, err := parsePrivate(plain)
	if err != nil {
		return nil, ErrPassphrase
	}
	return private, nil
}

func parsePrivate(der []byte) (ed25519.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("not a PKCS#8 private key") // the library's error quotes key material
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key of type %T, expected Ed25519", key)
	}
	return private, nil
}

// The ASN.1 of an encrypted PKCS#8 key (RFC 5958 section 3, RFC 8018 appendix A).
type encryptedKeyInfo struct {
	Algorithm struct {
		OID        asn1.ObjectIdentifier
		Parameters struct {
			KDF struct {
				OID        asn1.ObjectIdentifier
				Parameters struct {
					Salt       []byte
					Iterations int
					PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
				}
			}
			Cipher struct {
				OID asn1.ObjectIdentifier
				IV  []byte
			}
		}
	}
	Data []byte
}

// checkEncrypted holds a file to what WriteEncryptedKey writes, before the decrypter sees it:
// that one trusts the file's iteration count, would use DES, and panics on a bad length.
func checkEncrypted(der []byte) error {
	var (
		pbes2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
		pbkdf2    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
		hmac256   = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
		aes256CBC = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
	)
	var info encryptedKeyInfo
	rest, err := asn1.Unmarshal(der, &info)
	if err != nil || len(rest) != 0 {
		return errors.New("not an encrypted PKCS#8 key")
	}
	kdf, cipher := info.Algorithm.Parameters.KDF, info.Algorithm.Parameters.Cipher
	switch {
	case !info.Algorithm.OID.Equal(pbes2), !kdf.OID.Equal(pbkdf2), !kdf.Parameters.PRF.Algorithm.Equal(hmac256), !cipher.OID.Equal(aes256CBC):
		return errors.New("encrypted otherwise than with PBES2, PBKDF2, HMAC-SHA-256 and AES-256-CBC: encrypt it again with these")
	case kdf.Parameters.Iterations < 1 || kdf.Parameters.Iterations > maxIterations, len(kdf.Parameters.Salt) > maxSalt:
		return fmt.Errorf("%d rounds of PBKDF2, expected 1 to %d", kdf.Parameters.Iterations, maxIterations)
	case len(cipher.IV) != aesBlock || len(info.Data) == 0 || len(info.Data)%aesBlock != 0:
		return errors.New("encrypted data is cut off")
	}
	return nil
}

func readBlock(path string) (*pem.Block, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	defer func() { _ = f.Close() }() // read only: nothing to lose
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if len(b) > maxKeyFile {
		return nil, fmt.Errorf("read key %s: over %d bytes, no key file", path, maxKeyFile)
	}
	block, rest := pem.Decode(b)
	if block == nil || len(bytes.TrimSpace(rest)) != 0 {
		return nil, fmt.Errorf("read key %s: expected one PEM block", path)
	}
	return block, nil
}

// writeNew writes a new file so that it is whole and on disk, or not there.
func writeNew(path string, b []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(path) // best effort: the error says that the key was not kept
		}
	}()
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	return nil
}

// syncDir makes a new name in a folder durable. Windows has no such call, and needs none.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
