package register

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"

	"github.com/entente-mesh/entente/pki/identity"
)

// pseudonymPrefix begins a pseudonym, so that one is told from a service number at sight.
const pseudonymPrefix = "o-"

// pseudonymLength is in base32 characters of 5 bits: 130 bits, of which nobody finds two alike.
const pseudonymLength = 26

// Pseudonym is how an officer is named to another bureau: "o-" and 26 characters of base32 in
// small letters. client is whose certificate was presented; given is what the agency's system
// says of the officer behind it, empty if it says nothing. The same officer has the same name at
// one bureau for as long as the node's master key lives, so that the bureau can see a pattern, and
// another at every other, so that two bureaus cannot compare. Without the key it says nothing; at
// home the books say which client stood behind it.
func (r *Register) Pseudonym(client identity.Identity, given string, peer identity.Bureau) string {
	m := hmac.New(sha256.New, r.pseudonymKey)
	// Lengths before the parts: no two officers' parts run together to the same bytes.
	for _, part := range []string{string(peer), client.String(), strings.TrimSpace(given)} {
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(len(part)))
		m.Write(length[:])
		m.Write([]byte(part))
	}
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(m.Sum(nil))
	return pseudonymPrefix + strings.ToLower(text[:pseudonymLength])
}
