package auth

import (
	"net"
	"syscall"
)

// PeerUID gives the user at the other end of a unix socket, as the kernel noted it when the socket was connected (SO_PEERCRED).
func PeerUID(c *net.UnixConn) (uint32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *syscall.Ucred
	var unknown error
	err = raw.Control(func(fd uintptr) {
		peer, unknown = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err == nil {
		err = unknown
	}
	if err != nil {
		return 0, err
	}
	return peer.Uid, nil
}
