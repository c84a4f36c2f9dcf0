//go:build !linux

package service

import (
	"errors"
	"net"
)

// knowsPeers: nothing says who connected, so the socket's folder must be private.
const knowsPeers = false

func peerUID(*net.UnixConn) (uint32, error) { return 0, errors.ErrUnsupported }
