package node

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/entente-mesh/entente/federation/policy"
	"github.com/entente-mesh/entente/node/dualcontrol"
	"github.com/entente-mesh/entente/pki/identity"
)

// ConfigFile is the name of the configuration in the node's folder.
const ConfigFile = "entente.yaml"

// Config is a node's configuration, one YAML file in its folder. Unknown keys are errors. Every
// key can be overridden by an environment variable ENTENTE_<KEY>, in capitals.
type Config struct {
	// Dir is the node's folder. Not in the file: it is where the file lies.
	Dir string `yaml:"-"`
	// Bureau is whose node this is: ISO 3166-1 alpha-3 or a code of Doc 9303-3. Required.
	Bureau identity.Bureau `yaml:"bureau"`
	// Federation is the federation's name, a DNS name. Required.
	Federation identity.Federation `yaml:"federation"`
	// Replica names this node among the bureau's. Default "1".
	Replica string `yaml:"replica"`
	// MeshListen is where other bureaus' nodes connect, "host:port". Required.
	MeshListen string `yaml:"mesh_listen"`
	// LocalListen is where the own agencies and operators connect, "host:port". Required.
	LocalListen string `yaml:"local_listen"`
	// Advertise is what peers dial, "host:port", as it stands in the join request. Default
	// mesh_listen.
	Advertise string `yaml:"advertise"`
	// AskTimeout is how long a check waits for other bureaus. Default 2s: an officer at a counter
	// waits no longer, and a bureau that needs more has its status.
	AskTimeout time.Duration `yaml:"ask_timeout"`
	// MaxCandidates is how many hits one collection returns at the most, 1 to 50. Default 10.
	MaxCandidates int `yaml:"max_candidates"`
	// ClockSkew is by how much another bureau's measurement of this node's clock may be wrong, 1s to
	// 2m. Default 30s.
	ClockSkew time.Duration `yaml:"clock_skew"`
	// Gossip switches the membership gossip on, a hint about who is reachable. Default true.
	Gossip bool `yaml:"gossip"`
	// LogLevel is debug, info, warn or error. Default info.
	LogLevel string `yaml:"log_level"`
	// NodeKeyFile holds the key under which everything at rest is sealed. It belongs on another
	// medium than the data: who has both has all. A relative path is one in the folder. Default
	// secrets/node.key.
	NodeKeyFile string `yaml:"node_key_file"`
	// SignerSocket is the socket of the process that holds the message and log keys (entente
	// signer). Default none: the node holds them itself.
	SignerSocket string `yaml:"signer_socket"`
	// MetricsListen is where Prometheus metrics are served over plain HTTP, "host:port". Default
	// none: they are not.
	MetricsListen string `yaml:"metrics_listen"`
	// TwoPersons are the operations that need two persons. Default erase-record and unmask-officer.
	TwoPersons []string `yaml:"two_persons"`
	// MassRows is from how many rows on what one person brings, or takes, within 24 hours is a mass:
	// with import-records or delete-record among two_persons it needs a second person. Default 1000.
	MassRows int `yaml:"mass_rows"`
	// BooksDays is after how many days what the books say of a passage is erased, 30 to 36500; that
	// something passed stays. Default 1095: three years, as the logs of the Pruem exchange.
	BooksDays int `yaml:"books_days"`
	// KeyBackupDays is how long backups of the keys live: so long after an erasure it is complete.
	// 0 to 3650. Default 30.
	KeyBackupDays int `yaml:"key_backup_days"`
}

// DefaultConfig are the defaults, without what is required.
func DefaultConfig() Config {
	return Config{
		Replica:       "1",
		AskTimeout:    2 * time.Second,
		MaxCandidates: 10,
		ClockSkew:     30 * time.Second,
		Gossip:        true,
		LogLevel:      "info",
		NodeKeyFile:   filepath.Join("secrets", "node.key"),
		TwoPersons:    []string{policy.OperationEraseRecord, policy.OperationUnmaskOfficer},
		MassRows:      1000,
		BooksDays:     1095,
		KeyBackupDays: 30,
	}
}

// LoadConfig reads the configuration of a node's folder, with overrides from the environment
// (as os.Environ gives it).
func LoadConfig(dir string, environ []string) (Config, error) {
	path := filepath.Join(dir, ConfigFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return Config{}, fmt.Errorf("%s: there is no node in this folder: make one with entente init", path)
	}
	if err != nil {
		return Config{}, err
	}
	c := DefaultConfig()
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	if err := c.override(environ); err != nil {
		return Config{}, err
	}
	c.Dir = dir
	if c.Advertise == "" {
		c.Advertise = c.MeshListen
	}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// envPrefix begins the environment variables that override the configuration.
const envPrefix = "ENTENTE_"

func (c *Config) override(environ []string) error {
	var err error
	set := map[string]func(string){
		"BUREAU":         func(v string) { c.Bureau = identity.Bureau(v) },
		"FEDERATION":     func(v string) { c.Federation = identity.Federation(v) },
		"REPLICA":        func(v string) { c.Replica = v },
		"MESH_LISTEN":    func(v string) { c.MeshListen = v },
		"LOCAL_LISTEN":   func(v string) { c.LocalListen = v },
		"ADVERTISE":      func(v string) { c.Advertise = v },
		"LOG_LEVEL":      func(v string) { c.LogLevel = v },
		"ASK_TIMEOUT":    func(v string) { c.AskTimeout, err = time.ParseDuration(v) },
		"CLOCK_SKEW":     func(v string) { c.ClockSkew, err = time.ParseDuration(v) },
		"MAX_CANDIDATES": func(v string) { c.MaxCandidates, err = strconv.Atoi(v) },
		"GOSSIP":         func(v string) { c.Gossip, err = strconv.ParseBool(v) },
		"NODE_KEY_FILE":  func(v string) { c.NodeKeyFile = v },
		"SIGNER_SOCKET":  func(v string) { c.SignerSocket = v },
		"METRICS_LISTEN": func(v string) { c.MetricsListen = v },
		"TWO_PERSONS": func(v string) {
			c.TwoPersons = strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
		},
		"MASS_ROWS":       func(v string) { c.MassRows, err = strconv.Atoi(v) },
		"BOOKS_DAYS":      func(v string) { c.BooksDays, err = strconv.Atoi(v) },
		"KEY_BACKUP_DAYS": func(v string) { c.KeyBackupDays, err = strconv.Atoi(v) },
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		key, ours := strings.CutPrefix(name, envPrefix)
		apply, known := set[key]
		if !ours || !known {
			continue // ENTENTE_DATA and others are not the node's
		}
		if apply(value); err != nil {
			return fmt.Errorf("environment variable %s: %w", name, err)
		}
	}
	return nil
}

// Validate says which key is wrong, and what to write.
func (c *Config) Validate() error {
	id := identity.Node(c.Federation, c.Bureau, c.Replica)
	if err := id.Validate(); err != nil {
		return err
	}
	if !identity.KnownCode(string(c.Bureau)) {
		return fmt.Errorf("bureau %s: neither an ISO 3166-1 alpha-3 code nor one of Doc 9303-3", c.Bureau)
	}
	for key, address := range map[string]string{"mesh_listen": c.MeshListen, "local_listen": c.LocalListen, "advertise": c.Advertise} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return fmt.Errorf("%s %q: write host:port, for example 127.0.0.1:7441", key, address)
		}
	}
	switch {
	case c.MeshListen == c.LocalListen:
		return errors.New("mesh_listen and local_listen are the same: the two listeners need an address each")
	case c.AskTimeout < 50*time.Millisecond || c.AskTimeout > time.Minute:
		return fmt.Errorf("ask_timeout %s: write a duration from 50ms to 1m", c.AskTimeout)
	case c.MaxCandidates < 1 || c.MaxCandidates > 50:
		return fmt.Errorf("max_candidates %d: write a number from 1 to 50", c.MaxCandidates)
	case c.ClockSkew < time.Second || c.ClockSkew > 2*time.Minute:
		return fmt.Errorf("clock_skew %s: write a duration from 1s to 2m", c.ClockSkew)
	case c.NodeKeyFile == "":
		return errors.New("node_key_file is empty: write the file that holds the node key, for example secrets/node.key")
	case c.MassRows < 1:
		return fmt.Errorf("mass_rows %d: write a number from 1 on", c.MassRows)
	case c.BooksDays < 30 || c.BooksDays > 36500:
		return fmt.Errorf("books_days %d: write a number of days from 30 to 36500", c.BooksDays)
	case c.KeyBackupDays < 0 || c.KeyBackupDays > 3650:
		return fmt.Errorf("key_backup_days %d: write a number of days from 0 to 3650", c.KeyBackupDays)
	}
	for _, operation := range c.TwoPersons {
		if !slices.Contains(dualcontrol.Operations(), operation) {
			return fmt.Errorf("two_persons: %q needs no second person: write some of %s", operation, strings.Join(dualcontrol.Operations(), ", "))
		}
	}
	if c.MetricsListen != "" {
		if _, _, err := net.SplitHostPort(c.MetricsListen); err != nil {
			return fmt.Errorf("metrics_listen %q: write host:port, for example 127.0.0.1:9464, or nothing", c.MetricsListen)
		}
	}
	if _, err := logLevel(c.LogLevel); err != nil {
		return err
	}
	return nil
}

// configText is the file as init writes it: every key with its meaning and default.
const configText = `# Configuration of an Entente node. Unknown keys are errors. Every key can be overridden by an
# environment variable: ENTENTE_ and the key in capitals.

# Whose node this is, and in which federation.
bureau: %s
federation: %s
# Names this node among the bureau's. Default "1".
replica: "%s"

# Where other bureaus' nodes connect, and what they dial (default: mesh_listen).
mesh_listen: %s
advertise: %s
# Where the own agencies and operators connect.
local_listen: %s

# How long a check waits for other bureaus. Default 2s.
ask_timeout: 2s
# How many hits one collection returns at the most, 1 to 50. Default 10.
max_candidates: 10
# By how much another bureau's measurement of this node's clock may be wrong, 1s to 2m. Default 30s.
clock_skew: 30s
# The membership gossip, a hint about who is reachable. Default true.
gossip: true
# debug, info, warn or error. Default info.
log_level: info

# The key under which everything at rest is sealed. Put it on another medium than this folder: who has
# both has all. A relative path is one in this folder. Default secrets/node.key.
node_key_file: secrets/node.key
# The socket of the process that holds the message and log keys (entente signer). Default none: this
# node holds them itself.
signer_socket: ""
# Where Prometheus metrics are served over plain HTTP. Default none: they are not.
metrics_listen: ""

# The operations that need two persons: erase-record, unmask-officer, reload-policy, import-records (of
# mass_rows rows or more), delete-record (an import that withdraws as many), enrol-client,
# set-operating-point. Default the first two.
two_persons: [erase-record, unmask-officer]
# From how many rows on what one person imports and creates, or withdraws, within 24 hours is a mass. Default 1000.
mass_rows: 1000
# After how many days what the books say of a passage is erased; that something passed stays. Default 1095.
books_days: 1095
# How long backups of the keys live: so long after an erasure it is complete. Default 30.
key_backup_days: 30
`

func (c *Config) text() []byte {
	return fmt.Appendf(nil, configText, c.Bureau, c.Federation, c.Replica, c.MeshListen, c.Advertise, c.LocalListen)
}
