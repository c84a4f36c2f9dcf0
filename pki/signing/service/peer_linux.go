package service

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// knowsPeers: the kernel says who connected.
const knowsPeers = true

// peerUID is the user that connected, as the kernel noted him then (unix(7), SO_PEERCRED).
func peerUID(c *net.UnixConn) (uint32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, failed); err != nil {
		return 0, err
	}
	return cred.Uid, nil
}
