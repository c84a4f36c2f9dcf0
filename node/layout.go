package node

import (
	"path/filepath"

	"github.com/entente-mesh/entente/pki/signing/service"
)

// layout is where things lie in a node's folder.
type layout struct{ dir string }

func (l layout) at(parts ...string) string {
	return filepath.Join(append([]string{l.dir}, parts...)...)
}

func (l layout) authority() string  { return l.at("ca") }
func (l layout) rootCert() string   { return l.at("ca", "root.crt") }
func (l layout) messageKey() string { return l.at("keys", "message.key") }
func (l layout) logKey() string     { return l.at("keys", "log.key") }
func (l layout) channel() string    { return l.at("keys", "channel") }
func (l layout) policies() string   { return l.at("policies") }
func (l layout) roster() string     { return l.at("roster") }
func (l layout) store() string      { return l.at("store", "entente.db") }
func (l layout) spool() string      { return l.at("store", "spool") }
func (l layout) index() string      { return l.at("store", "persons.index") }
func (l layout) indexKeys() string  { return l.at("vault", "index.keys") }
func (l layout) recordKeys() string { return l.at("vault", "records.keys") }
func (l layout) bookKeys() string   { return l.at("vault", "journal.keys") }
func (l layout) journal() string    { return l.at("books", "journal") }
func (l layout) log() string        { return l.at("books", "log") }
func (l layout) evidence() string   { return l.at("books", "evidence") }
func (l layout) messagePublic() string {
	return l.at("keys", service.MessagePublicFile)
}
func (l layout) logPublic() string  { return l.at("keys", service.LogPublicFile) }
func (l layout) logState() string   { return l.at("keys", service.LogStateFile) }
func (l layout) governance() string { return l.at(GovernanceDir) }
func (l layout) client(name string) string {
	return l.at("clients", name)
}

// GovernanceDir is the folder of the root and governance keys, in the node's folder until it
// is taken off the machine.
const GovernanceDir = "governance"

// The names of the client identities that init leaves.
const (
	OperatorClient = "operator"
	OfficerClient  = "officer"
	PKIAdminClient = "pki-admin"
	// AuditorClient is where the commands for auditors look for an identity in a node's folder; init
	// leaves none there: who runs the node is not who audits it.
	AuditorClient = "auditor"
)

// PoliciesDir is the folder of the policies of the node in dir.
func PoliciesDir(dir string) string { return layout{dir}.policies() }

// RosterDir is the folder of the pinned rosters of the node in dir.
func RosterDir(dir string) string { return layout{dir}.roster() }

// ClientDir is the folder of a client identity that init left in dir.
func ClientDir(dir, name string) string { return layout{dir}.client(name) }

// GovernanceKey is the governance key in a governance folder.
func GovernanceKey(governance string) string { return filepath.Join(governance, "governance.key") }

// PassphraseFile is where init leaves a passphrase that it had to make itself.
func PassphraseFile(governance string) string { return filepath.Join(governance, "passphrase") }

// GovernanceFolder is the governance folder below a node's folder.
func GovernanceFolder(dir string) string { return layout{dir}.governance() }
