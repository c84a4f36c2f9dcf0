package members

import (
	"crypto/sha256"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/entente-mesh/entente/pki/identity"
)

const (
	// maxName is the longest name that MemberMeta carries.
	maxName = 64
	// gossipPort stands in gossip where memberlist expects a port. Nobody listens on it.
	gossipPort = 1
)

// nodeName is a member's name: "BEL/1".
func nodeName(b identity.Bureau, replica string) string { return string(b) + "/" + replica }

// parseName returns whose name it is.
func parseName(name string, f identity.Federation) (identity.Bureau, string, error) {
	bureau, replica, ok := strings.Cut(name, "/")
	if !ok || len(name) > maxName {
		return "", "", fmt.Errorf("a member's name is <BUREAU>/<replica>, at most %d bytes", maxName)
	}
	id := identity.Node(f, identity.Bureau(bureau), replica)
	if err := id.Validate(); err != nil {
		return "", "", err
	}
	return id.Bureau, replica, nil
}

// placeholder is what stands in gossip where memberlist expects an IP address: a unique local
// IPv6 address (RFC 4193) made of the bureau's name. It leads nowhere. The address that counts is
// the roster's, so a message that gives a member another one cannot be true.
func placeholder(f identity.Federation, b identity.Bureau) net.IP {
	sum := sha256.Sum256([]byte(string(f) + "\x00" + string(b)))
	ip := make(net.IP, net.IPv6len)
	copy(ip, sum[:])
	ip[0] = 0xfd
	return ip
}

// joinAddress is a bureau as memberlist's Join takes it. Which replica answers is not known
// before it does.
func joinAddress(f identity.Federation, b identity.Bureau) string {
	return fmt.Sprintf("%s/[%s]:%d", b, placeholder(f, b), gossipPort)
}

// bureauOf returns the bureau to which memberlist wants to speak.
func bureauOf(a memberlist.Address) identity.Bureau {
	bureau, _, _ := strings.Cut(a.Name, "/")
	return identity.Bureau(bureau)
}

// gossipAddr is a member as a net.Addr, for memberlist's log.
type gossipAddr string

// Network is the name of what is no network.
func (gossipAddr) Network() string { return "gossip" }

// String is the member's name.
func (a gossipAddr) String() string { return string(a) }

// directoryAge is how long a directory is used: a roster changes with its version, but which of
// its bureaus are listed may change without.
const directoryAge = time.Second

// directory is the roster as gossip needs it: kept, because it is asked for every packet.
type directory struct {
	list    func() []Member
	version func() uint64
	now     func() time.Time

	mu     sync.Mutex // guards what follows
	of     uint64
	at     time.Time
	member map[identity.Bureau]string
}

func (d *directory) members() map[identity.Bureau]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	version, now := d.version(), d.now()
	if age := now.Sub(d.at); d.member == nil || d.of != version || age < 0 || age > directoryAge {
		fresh := make(map[identity.Bureau]string)
		for _, m := range d.list() {
			fresh[m.Bureau] = m.Address
		}
		d.member, d.of, d.at = fresh, version, now
	}
	return d.member // never changed once made
}

// address returns the roster's address of a bureau; false if it is not in the roster.
func (d *directory) address(b identity.Bureau) (string, bool) {
	address, ok := d.members()[b]
	return address, ok
}

func (d *directory) size() int { return len(d.members()) }
