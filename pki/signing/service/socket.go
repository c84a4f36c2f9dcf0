package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"

	"google.golang.org/grpc/credentials"
)

// maxSocketPath is the longest path that every system takes for a socket (sun_path has 104 bytes
// on the BSDs and 108 on Linux, with a zero at the end).
const maxSocketPath = 103

// Listen makes the signer's socket. Its folder must belong to the own user or to root, and nobody
// else may write to it: whoever could would put a socket of his own in its place. Where the system
// does not say who connects, nobody else may even enter the folder. A socket that a dead signer
// left is replaced, one that still answers is not.
//
// The socket can be used by the own user and by its group (0660): give the folder or the process
// the group of the node's user.
func Listen(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("socket %s: %d bytes, a socket's path has at most %d: choose a shorter one", path, len(path), maxSocketPath)
	}
	if err := checkSocketFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("socket %s: %w", path, err), l.Close())
	}
	return l, nil
}

func checkSocketFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("the socket's folder: %w", err)
	}
	uid, ok := owner(info)
	switch mode := info.Mode().Perm(); {
	case !ok:
		return errors.New("this system has no sockets whose users are known: run the node without a signer of its own (leave signer_socket empty)")
	case !info.IsDir():
		return fmt.Errorf("the socket's folder %s is no folder", dir)
	case uid != 0 && int(uid) != os.Getuid():
		return fmt.Errorf("the socket's folder %s belongs to user %d: let it belong to user %d, who runs the signer, or to root", dir, uid, os.Getuid())
	case mode&0o022 != 0:
		return fmt.Errorf("the socket's folder %s has mode %04o, others may write to it: chmod 0750", dir, mode)
	case !knowsPeers && mode&0o077 != 0:
		return fmt.Errorf("the socket's folder %s has mode %04o, and this system does not say who connects: chmod 0700, and run node and signer under one user", dir, mode)
	}
	return nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("socket %s: %w", path, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("socket %s: there is something else: remove it, or choose another path", path)
	}
	if c, err := net.Dial("unix", path); err == nil {
		return errors.Join(fmt.Errorf("socket %s: a signer is serving on it: stop that one first", path), c.Close())
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("socket %s: %w", path, err)
	}
	return nil
}

// peers are the transport credentials of the socket: who may connect, by what the kernel says.
type peers struct {
	allow []uint32
	log   *slog.Logger
}

// peer is who connected.
type peer struct {
	credentials.CommonAuthInfo
	uid uint32
}

func (peer) AuthType() string { return "unix user" }

var errNotAdmitted = errors.New("signer: this user may not connect")

func (p *peers) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, nil, errNotAdmitted
	}
	who := peer{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
	if !knowsPeers {
		return c, who, nil // Listen has made sure that only the own user comes this far
	}
	uid, err := peerUID(u)
	if err != nil {
		p.log.Error("signer: who connects is not known: refused", "err", err)
		return nil, nil, errNotAdmitted
	}
	if int(uid) != os.Getuid() && !slices.Contains(p.allow, uid) {
		p.log.Warn("signer: a user that is not on the list was refused", "uid", uid)
		return nil, nil, errNotAdmitted
	}
	who.uid = uid
	return c, who, nil
}

func (p *peers) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("signer: these credentials are a server's")
}

func (p *peers) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "unix user"}
}

func (p *peers) Clone() credentials.TransportCredentials { return p }

func (p *peers) OverrideServerName(string) error { return nil }
