package authority

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"runtime/debug"

	"github.com/smallstep/certificates/authority"
	"github.com/smallstep/certificates/db"
)

// ErrDamaged is wrapped by errors about a database that is not what was written.
var ErrDamaged = errors.New("the certificate authority's database is damaged: restore the folder from a backup, then revoke again what was revoked since")

// revokedTable is where smallstep's database keeps what was revoked, by serial number.
const revokedTable = "revoked_x509_certs"

// guarded does something with a database. Its engine (bbolt) maps the file into memory and believes
// it: over a damaged one it panics, or touches pages that are not there, which would end the
// process without a word about why.
func guarded(path string, do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if what := recover(); what != nil {
			err = fmt.Errorf("%s: %w: %v", path, ErrDamaged, what)
		}
	}()
	return do()
}

// The beginning of a bbolt file: two pages that describe it, of which the one with the later
// transaction holds. The fields that are read here, by their offsets in a page, are little-endian
// on every machine that Entente is built for.
const (
	metaPageSize = 16 + 8  // after the page's header and the magic number with the version
	metaPages    = 16 + 40 // how many pages there are
	metaTx       = 16 + 48
	metaSum      = 16 + 56 // FNV-1a over the description before it
	metaEnd      = metaSum + 8
)

// wholeFile refuses a database file that is shorter than it says, before its engine maps it, and
// one of whose two descriptions is broken: the other alone may be the older one, and what was
// revoked last is not in it.
func wholeFile(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it is made
	}
	if err != nil {
		return err
	}
	defer f.Close() // only read
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return errors.Join(err, damagedIf(info != nil && info.Size() == 0, path, "empty"))
	}
	var pages, newest uint64
	size := int64(os.Getpagesize()) // of each page, until the first says another
	for i := range int64(2) {
		meta := make([]byte, metaEnd)
		if _, err := f.ReadAt(meta, i*size); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		sum := fnv.New64a()
		sum.Write(meta[16:metaSum]) // a hash takes everything
		if binary.LittleEndian.Uint64(meta[metaSum:]) != sum.Sum64() {
			return damagedIf(true, path, fmt.Sprintf("description %d of 2 is broken", i+1))
		}
		size = int64(binary.LittleEndian.Uint32(meta[metaPageSize:]))
		if tx := binary.LittleEndian.Uint64(meta[metaTx:]); tx >= newest {
			newest, pages = tx, binary.LittleEndian.Uint64(meta[metaPages:])
		}
	}
	return damagedIf(pages > uint64(info.Size()/size), path, fmt.Sprintf("%d bytes, less than its %d pages", info.Size(), pages))
}

func damagedIf(damaged bool, path, what string) error {
	if damaged {
		return fmt.Errorf("%s: %w: %s", path, ErrDamaged, what)
	}
	return nil
}

// readAll reads a database whole: that every certificate in it is one that the issuer signed and
// lies under its serial number, and every revocation under its own.
func readAll(step *authority.Authority, issuer *x509.Certificate, path string) error {
	database, ok := step.GetDatabase().(*db.DB)
	if !ok {
		return errors.New("the authority's database cannot be read")
	}
	certificates, err := database.List([]byte(certificatesTable))
	if err != nil {
		return err
	}
	for _, e := range certificates {
		leaf, err := x509.ParseCertificate(e.Value)
		if err == nil {
			err = leaf.CheckSignatureFrom(issuer)
		}
		if err == nil && !bytes.Equal(e.Key, []byte(leaf.SerialNumber.String())) {
			err = errors.New("it lies under another serial number")
		}
		if err != nil {
			return fmt.Errorf("%s: %w: certificate %q: %w", path, ErrDamaged, e.Key, err)
		}
	}
	revoked, err := database.List([]byte(revokedTable))
	if err != nil {
		return err
	}
	for _, e := range revoked {
		var r db.RevokedCertificateInfo
		if err := json.Unmarshal(e.Value, &r); err != nil || r.Serial != string(e.Key) {
			return fmt.Errorf("%s: %w: revocation %q: %w", path, ErrDamaged, e.Key, errors.Join(err, damagedIf(err == nil, path, "of another serial number")))
		}
	}
	return nil
}
