package auth

import (
	"net"
	"syscall"
)

// peerIDs gives the user and the process at the other end of a unix socket, as the kernel noted them when the socket was connected (SO_PEERCRED).
func peerIDs(c *net.UnixConn) (uid uint32, pid int32, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, err
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
		return 0, 0, err
	}
	return peer.Uid, peer.Pid, nil
}
