package qemu

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// maxPath is the longest path of a unix socket, in bytes: sun_path of unix(7) less the zero at its end.
const maxPath = 107

// maxPrefix is how much of an executor's id shows in the name of its socket, for people.
const maxPrefix = 12

var socketName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,12}-[a-z2-7]{16}$`)

// nameOf gives the name of an executor's socket: the beginning of the id, and a digest of all of it.
func nameOf(executor string) string {
	sum := sha256.Sum256([]byte(executor))
	digest := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
	return executor[:min(len(executor), maxPrefix)] + "-" + digest
}

// Socket implements vm.Host.
func (d *Driver) Socket(executor string) (string, error) {
	path := filepath.Join(d.o.Dir, nameOf(executor))
	if len(path) > maxPath {
		return "", fmt.Errorf("the socket of its guest would be %s, and a socket's path has at most %d bytes: start the server with a shorter --guest-dir", path, maxPath)
	}
	return path, nil
}

// CheckDir gives the reason why a directory cannot hold the sockets of guests.
func CheckDir(dir string) error {
	longest := len(filepath.Join(dir, nameOf(strings.Repeat("x", maxPrefix))))
	if longest > maxPath {
		return fmt.Errorf("is %d bytes too long: the path of a guest's socket has at most %d", longest-maxPath, maxPath)
	}
	return nil
}

// takeDir makes the directory when it is not there, keeps other servers out of it, and removes what a dead one left.
func takeDir(dir string, group *int) (release func() error, err error) {
	if err := makeDir(dir, group); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another server serves guests in %s", dir)
		}
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if e.Type() == fs.ModeSocket && socketName.MatchString(e.Name()) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return lock.Close, nil
}

// makeDir makes a directory that only this user, and the group if there is one, can enter. One that is there stays as it is.
func makeDir(dir string, group *int) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	err := os.Mkdir(dir, 0o700)
	switch {
	case errors.Is(err, fs.ErrExist):
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is not a directory", dir)
		}
		return err
	case err != nil || group == nil:
		return err
	}
	if err := os.Chown(dir, -1, *group); err != nil {
		return err
	}
	return os.Chmod(dir, 0o750) //nolint:gosec // the group is there to be let in
}

// listen opens a socket with the mode and the group of the options.
func (o *Options) listen(path string) (*net.UnixListener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if o.Group != nil {
		err = os.Chown(path, -1, *o.Group)
	}
	if err = errors.Join(err, os.Chmod(path, fs.FileMode(o.Mode))); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}
