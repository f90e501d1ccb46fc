//go:build linux

package process

import (
	"fmt"
	"syscall"

	"github.com/moby/sys/user"
)

// identity is who a process runs as.
type identity struct {
	credential *syscall.Credential // nil: as the agent does
	home       string
}

// lookUp reads the system's lists of users and groups; numbers need not be in them.
func lookUp(name, group string) (identity, error) {
	if name == "" && group == "" {
		return identity{home: ownHome()}, nil
	}
	spec := name
	if group != "" {
		spec += ":" + group
	}
	found, err := user.GetExecUserPath(spec, &user.ExecUser{Home: "/"}, "/etc/passwd", "/etc/group")
	if err != nil {
		return identity{}, fmt.Errorf("user %q, group %q: %w", name, group, err)
	}
	c := &syscall.Credential{Uid: uint32(found.Uid), Gid: uint32(found.Gid)} //nolint:gosec // the library has checked their range
	for _, id := range found.Sgids {
		c.Groups = append(c.Groups, uint32(id)) //nolint:gosec // as above
	}
	return identity{c, found.Home}, nil
}

// ownHome is where a process without a user of its own is at home.
func ownHome() string {
	if me, err := user.CurrentUser(); err == nil && me.Home != "" {
		return me.Home
	}
	return "/"
}
