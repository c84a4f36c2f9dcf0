package signing

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.step.sm/crypto/pemutil"
)

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	private := newKey(t)
	plain, sealed := filepath.Join(dir, "message.key"), filepath.Join(dir, "governance.key")
	pass := []byte("correct horse")
	if err := WriteKey(plain, private); err != nil {
		t.Fatal(err)
	}
	if err := WriteEncryptedKey(sealed, private, pass); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadKey(plain); err != nil || !got.Equal(private) {
		t.Errorf("plain: %v", err)
	}
	if got, err := ReadEncryptedKey(sealed, pass); err != nil || !got.Equal(private) {
		t.Errorf("encrypted: %v", err)
	}
	for _, path := range []string{plain, sealed} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
	}
	if b, err := os.ReadFile(sealed); err != nil || bytes.Contains(b, private.Seed()) || !bytes.Contains(b, []byte("ENCRYPTED PRIVATE KEY")) {
		t.Errorf("the encrypted file: %v", err)
	}
	// Keys cannot be had again: nothing overwrites one.
	for _, err := range []error{WriteKey(plain, newKey(t)), WriteKey(sealed, newKey(t))} {
		if !errors.Is(err, fs.ErrExist) {
			t.Errorf("overwriting: got %v, want fs.ErrExist", err)
		}
	}
	if got, err := ReadKey(plain); err != nil || !got.Equal(private) {
		t.Errorf("after the attempt: %v", err)
	}
	if _, err := ReadKey(sealed); err == nil || !strings.Contains(err.Error(), "passphrase is needed") {
		t.Errorf("encrypted read as plain: %v", err)
	}
	if _, err := ReadEncryptedKey(plain, pass); err == nil {
		t.Error("plain read as encrypted")
	}
	for _, wrong := range []string{"", "correct hors"} {
		if _, err := ReadEncryptedKey(sealed, []byte(wrong)); !errors.Is(err, ErrPassphrase) {
			t.Errorf("passphrase %q: got %v, want ErrPassphrase", wrong, err)
		}
	}
	if err := WriteEncryptedKey(filepath.Join(dir, "x"), private, nil); err == nil {
		t.Error("encrypted under no passphrase")
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(plain, 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKey(plain); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("readable by a group: %v", err)
		}
	}
}

func TestKeyFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	ecPEM := pem.EncodeToMemory(&pem.Block{Type: pemPrivate, Bytes: der})
	for name, b := range map[string][]byte{
		"empty":         nil,
		"no PEM":        []byte("hello"),
		"another key":   ecPEM,
		"two keys":      append(ecPEM, ecPEM...),
		"a certificate": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		"noise":         pem.EncodeToMemory(&pem.Block{Type: pemPrivate, Bytes: []byte("noise")}),
		"huge":          bytes.Repeat([]byte("x"), maxKeyFile+1),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKey(path); err == nil {
			t.Errorf("%s is read", name)
		}
		if _, err := ReadEncryptedKey(path, []byte("x")); err == nil {
			t.Errorf("%s is read as encrypted", name)
		}
	}
	if _, err := ReadKey(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	legacy, err := pemutil.EncryptPKCS8PrivateKey(rand.Reader, der, []byte("x"), x509.PEMCipherDES)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "des")
	if err := os.WriteFile(path, pem.EncodeToMemory(legacy), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadEncryptedKey(path, []byte("x")); err == nil || !strings.Contains(err.Error(), "AES-256") {
		t.Errorf("DES: %v", err)
	}
}

func TestGenerateKeyReadsItsSource(t *testing.T) {
	if _, err := GenerateKey(strings.NewReader("short")); err == nil {
		t.Error("a key from a source that ran dry")
	}
	if newKey(t).Equal(newKey(t)) {
		t.Error("two equal keys")
	}
}

// FuzzEncryptedKey: a doctored key file neither panics nor keeps the reader busy.
func FuzzEncryptedKey(f *testing.F) {
	der, err := x509.MarshalPKCS8PrivateKey(newKey(f))
	if err != nil {
		f.Fatal(err)
	}
	block, err := pemutil.EncryptPKCS8PrivateKey(rand.Reader, der, []byte("x"), x509.PEMCipherAES256)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(block.Bytes)
	var quick encryptedKeyInfo // the same with one round, so that an input takes no second
	if _, err := asn1.Unmarshal(block.Bytes, &quick); err != nil {
		f.Fatal(err)
	}
	quick.Algorithm.Parameters.KDF.Parameters.Iterations = 1
	seed, err := asn1.Marshal(quick)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, der []byte) {
		var info encryptedKeyInfo
		if _, err := asn1.Unmarshal(der, &info); err == nil && info.Algorithm.Parameters.KDF.Parameters.Iterations > 1000 {
			if checkEncrypted(der) == nil && info.Algorithm.Parameters.KDF.Parameters.Iterations > maxIterations {
				t.Error("more rounds than may be asked for")
			}
			return
		}
		_, _ = decryptPrivate(der, []byte("x"))
	})
}
