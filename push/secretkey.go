package push

import (
	"errors"
	"slices"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm"
)

// The key that opens an executor's secrets is in the VM beside them, where nobody but the guest can see it. So it is never compared: it
// is written together with every secret, all or nothing, which makes it be wherever they are, and once more when the VM may have
// gone back to what it was before.

// change is a delta with what becomes of the secret key.
func (l *look) change(d extraconfig.Delta) vm.Change {
	c := vm.Change{Set: d.Set, Delete: d.Delete, Version: l.state.Version}
	if l.hosted {
		return c // the guest is given it when it says hello
	}
	switch {
	case slices.ContainsFunc(d.Set, extraconfig.Pair.Secret), (l.e.Binding.Base == nil || l.fresh()) && hasSecret(l.desired):
		c.SecretKey = l.e.SecretKey
	case forgets(l.state, l.observed, d):
		c.Forget = !hasSecret(l.desired)
	}
	return c
}

// forgets reports whether a delta takes secrets out of a VM that was given the key to them.
func forgets(s vm.State, observed extraconfig.KeySet, d extraconfig.Delta) bool {
	return s.NoSecrets == "" && slices.ContainsFunc(d.Delete, func(key string) bool {
		p, ok := observed.Get(key)
		return ok && p.Secret()
	})
}

// refuseSecrets is why a VM cannot be given the executor's secrets.
func (l *look) refuseSecrets() error {
	if l.state.NoSecrets == "" || l.hosted || !hasSecret(l.desired) {
		return nil
	}
	return errors.New(l.state.NoSecrets)
}

func hasSecret(keys extraconfig.KeySet) bool {
	for p := range keys.All() {
		if p.Secret() {
			return true
		}
	}
	return false
}
