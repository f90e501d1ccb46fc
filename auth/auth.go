// Package auth says who is calling and what they may do: tokens, client certificates and the peers of unix sockets become
// principals, and one table says which operations of the API each role has.
//
// It knows of HTTP requests and connections, and of nothing that the server keeps: whether a resource exists is asked only
// after this package has said yes. Package app opens its files, package handlers asks it; cmd/config-server makes tokens with it.
package auth

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Role is what a caller may do, in one word.
type Role string

// The roles. Each of the first three may do what the one before it may.
const (
	Viewer   Role = "viewer"   // reads
	Operator Role = "operator" // changes configuration, too
	Admin    Role = "admin"    // all
	VM       Role = "vm"       // one executor's guest: sees and sets what that guest may see and set, and nothing else
)

// Principal is a caller who is known. The zero value is nobody, and may do nothing.
type Principal struct {
	Name     string // of the token, in the certificate, or for the place that the caller is at; never empty
	Role     Role
	Executor string // with role VM, the id of its executor
}

// Names are what an executor's id can be.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`)

// NewPrincipal makes a principal of its name, in which letters, digits, ".", "_" and "-" can stand, and of its role as people
// write it: viewer, operator, admin or vm:<executor>. Errors name neither: they may be something else, pasted by mistake.
func NewPrincipal(name, role string) (Principal, error) {
	if !namePattern.MatchString(name) {
		return Principal{}, errors.New("the name must be a letter or digit, then up to 127 letters, digits, '.', '_' or '-'")
	}
	p := Principal{Name: name, Role: Role(role)}
	if executor, ok := strings.CutPrefix(role, string(VM)+":"); ok && namePattern.MatchString(executor) {
		p.Role, p.Executor = VM, executor
		return p, nil
	}
	if !slices.Contains([]Role{Viewer, Operator, Admin}, p.Role) {
		return Principal{}, errors.New("the role must be viewer, operator, admin or vm:<id of an executor>")
	}
	return p, nil
}

// RoleText is the role as people write it: operator, or vm:web-1.
func (p Principal) RoleText() string {
	if p.Role == VM {
		return string(VM) + ":" + p.Executor
	}
	return string(p.Role)
}

// String is the name with the role, for logs: ci (operator).
func (p Principal) String() string { return fmt.Sprintf("%s (%s)", p.Name, p.RoleText()) }

type principalKey struct{}

// WithPrincipal notes whose request a context belongs to.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalOf gives whose request a context belongs to; nobody's when that was never said.
func PrincipalOf(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

// ErrUnauthenticated: the caller has not shown who it is, or what it has shown is worth nothing.
var ErrUnauthenticated = errors.New("who is calling must be shown, by a bearer token or a client certificate")

// ErrBadToken is an ErrUnauthenticated for a token that was shown.
var ErrBadToken error = badToken{}

type badToken struct{}

func (badToken) Error() string        { return "the bearer token is not one that this server knows" }
func (badToken) Is(target error) bool { return target == ErrUnauthenticated }

// ErrForbidden: the caller may not do this.
var ErrForbidden = errors.New("forbidden")
