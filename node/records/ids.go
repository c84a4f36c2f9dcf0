package records

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"hash"
	"strings"
	"sync"

	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// idKeySize is the size of Importer.IDKey.
const idKeySize = 32

// idBytes is how many bytes of an HMAC-SHA256 an id has: two of ten million agree by chance in one
// of 10^22 stores.
const idBytes = 15

// opaqueIDs makes of the ids that parsers derive from document numbers others that are as stable
// and tell nothing: who has one cannot try numbers against it without the key.
type opaqueIDs struct {
	mu  sync.Mutex
	mac hash.Hash // guarded by mu
}

func newOpaqueIDs(key []byte) (*opaqueIDs, error) {
	if len(key) != idKeySize {
		return nil, fmt.Errorf("import: the key of record ids has %d bytes, expected %d", len(key), idKeySize)
	}
	return &opaqueIDs{mac: hmac.New(sha256.New, key)}, nil
}

var idText = base32.StdEncoding.WithPadding(base32.NoPadding)

// of is the opaque form of an id: 24 lower-case letters and digits.
func (o *opaqueIDs) of(id string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mac.Reset()
	o.mac.Write([]byte(id))
	return strings.ToLower(idText.EncodeToString(o.mac.Sum(nil)[:idBytes]))
}

// ofSLTD gives a document of a list its id: "sltd:" and the opaque form of issuer, type and number.
func (o *opaqueIDs) ofSLTD(rec *recordv1.Record) { rec.RecordId = "sltd:" + o.of(rec.GetRecordId()) }

// ofUN gives a document of the United Nations' list its id: the person's, and the opaque form of
// what the parser made of the number. The persons keep theirs, which tell nothing that the list
// does not publish.
func (o *opaqueIDs) ofUN(rec *recordv1.Record) {
	if d := rec.GetDocument(); d != nil {
		rec.RecordId = d.GetPersonRef() + ":doc:" + o.of(rec.GetRecordId())
	}
}
