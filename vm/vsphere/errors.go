package vsphere

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/vm"
)

// failure is an error that reads as a sentence and is one of vm's kinds (or none of them).
type failure struct {
	text    string
	kind    error
	refusal bool // a log-in that will not succeed by being tried again
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

func unavailable(format string, args ...any) error {
	return &failure{text: fmt.Sprintf(format, args...), kind: vm.ErrUnavailable}
}

func notFound(format string, args ...any) error {
	return &failure{text: fmt.Sprintf(format, args...), kind: vm.ErrNotFound}
}

func isUnavailable(err error) bool { return errors.Is(err, vm.ErrUnavailable) }

func isRefusal(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.refusal
}

// explain turns what govmomi answers into a sentence of a kind that callers know. What is not an
// answer of vSphere's is a sign that it is away.
func (d *Driver) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*failure](err); ok {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("vSphere: %w", ctx.Err())
	}
	switch name, ok := faultName(err); {
	case !ok:
		return unavailable("vSphere at %s cannot be reached: %v", d.endpoint.Host, reason(err))
	case name == "NotAuthenticated":
		return unavailable("vSphere at %s ends the session as soon as it has begun", d.endpoint.Host)
	case name == "ConcurrentAccess":
		return &failure{text: "the VM was changed by somebody else meanwhile", kind: vm.ErrConflict}
	default:
		return &failure{text: "vSphere refuses: " + describe(name, err)}
	}
}

// explainLogin is explain for a log-in.
func (d *Driver) explainLogin(err error) error {
	if err == nil {
		return nil
	}
	name, ok := faultName(err)
	switch {
	case !ok:
		return unavailable("vSphere at %s cannot be reached: %v", d.endpoint.Host, reason(err))
	case name == "InvalidLogin":
		return &failure{text: fmt.Sprintf("vSphere at %s does not accept the user name and password", d.endpoint.Host), kind: vm.ErrUnavailable, refusal: true}
	default:
		return &failure{text: fmt.Sprintf("vSphere at %s refuses to log in: %s", d.endpoint.Host, describe(name, err)), kind: vm.ErrUnavailable, refusal: true}
	}
}

// faultName is the type of the fault with which vSphere answered; false when it did not answer.
func faultName(err error) (string, bool) {
	f, ok := errors.AsType[interface {
		error
		Fault() types.BaseMethodFault
	}](err)
	if !ok {
		return "", false
	}
	t := reflect.TypeOf(f.Fault())
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return "", true // a SOAP fault without detail
	}
	return t.Name(), true
}

// describe is a fault's name, and what vSphere says of it where it says more than that.
func describe(name string, err error) string {
	text := strings.TrimPrefix(err.Error(), "ServerFaultCode: ")
	switch {
	case text == "" || text == "*types."+name || text == name:
		return name
	case name == "":
		return text
	}
	return name + ": " + text
}

// reason is a network error without the URL in front of it, which says nothing new.
func reason(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// gone reports whether err says that ref is no longer there. The same fault about another object
// (a collector, a task) says nothing about the VM.
func gone(err error, ref types.ManagedObjectReference) bool {
	var f *types.ManagedObjectNotFound
	_, ok := fault.As(err, &f)
	return ok && f.Obj == ref
}
