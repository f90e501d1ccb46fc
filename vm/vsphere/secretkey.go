package vsphere

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/vm"
)

// secretKeyName is the key in which a guest is given what opens its secrets, in base64. vSphere shows its value to the guest alone:
// whoever reads the VM finds none, and neither does the driver.
const secretKeyName = "guestinfo.ovfEnv" //nolint:gosec // a name

const (
	// transports are the ways in which vSphere gives a VM its OVF environment.
	transports = "config.vAppConfig.ovfEnvironmentTransport"
	// guestinfoTransport is the one that vSphere writes into secretKeyName, with every start of the VM.
	guestinfoTransport = "com.vmware.guestInfo"
)

// noSecrets is what vm.State says of a VM whose OVF environment is where the key would be.
const noSecrets = "the VM has its OVF environment in " + secretKeyName + ", where the key to secrets would be: remove the transport " +
	guestinfoTransport + " from its vApp options, or the secrets from the executor"

// isSecretKey tells the key apart, as a VMX compares keys.
func isSecretKey(key string) bool { return strings.EqualFold(key, secretKeyName) }

// secretKeyOption is what a change does about the key: nil when it does nothing.
func secretKeyOption(c vm.Change) *types.OptionValue {
	switch {
	case len(c.SecretKey) > 0:
		return &types.OptionValue{Key: secretKeyName, Value: base64.StdEncoding.EncodeToString(c.SecretKey)}
	case c.Forget:
		return &types.OptionValue{Key: secretKeyName, Value: ""}
	}
	return nil
}

// setTransports takes the ways of the OVF environment in.
func (i *image) setTransports(value any) (ok bool) {
	var list types.ArrayOfString
	if value != nil {
		list, ok = value.(types.ArrayOfString)
	}
	i.ovf = slices.Contains(list.String, guestinfoTransport)
	return ok || value == nil
}
