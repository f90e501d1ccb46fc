package store

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
)

// Limits of what can travel into a VM, in bytes.
const (
	MaxValue  = 64 << 10 // of one value
	MaxKeySet = 1 << 20  // of all keys and values of an executor
	// MaxNetwork is the part of it that following one container network may take. An executor is counted with that much
	// for each endpoint that follows one: so no change of a network can make an executor on it too large.
	MaxNetwork = 32 << 10
)

// MaxRef is the longest reference to a VM, in bytes.
const MaxRef = 1024

// checkSize refuses what cannot travel: a value or a key set that is too large, and whatever the codec refuses.
// The configuration is one as it is stored, without what follows container networks.
func (s *Store) checkSize(stored *executor.ExecutorConfig, secretKey []byte) error {
	faults, size, err := s.measure(stored, secretKey)
	if err != nil {
		return err
	}
	for _, endpoint := range stored.Networks {
		if endpoint.NetworkRef != "" {
			size += MaxNetwork
		}
	}
	if size > MaxKeySet {
		faults.Add("", fmt.Sprintf("the executor takes %d bytes in the VM, and may take no more than %d", size, MaxKeySet))
	}
	return faults.Err()
}

// measure encodes a configuration. The faults are values that are too large.
func (s *Store) measure(c *executor.ExecutorConfig, secretKey []byte) (faults executor.Faults, size int, err error) {
	keys, err := s.codec.Encode(c, extraconfig.WithSecretKey(secretKey))
	var refused *extraconfig.Error
	if errors.As(err, &refused) {
		return executor.Faults{{Field: refused.Field, Message: refused.Reason}}, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	for p := range keys.All() {
		if len(p.Value) > MaxValue {
			faults.Add(p.Field(), fmt.Sprintf("takes %d bytes in the VM, and no value may take more than %d", len(p.Value), MaxValue))
		}
	}
	return faults, keys.Size(), nil
}

// checkNetwork checks a container network as it will be encoded in endpoints that follow it, whatever their names.
func (s *Store) checkNetwork(n *networkRecord) error {
	carrier := &executor.ExecutorConfig{Common: executor.Common{ID: "x"}, Annotations: n.Annotations}
	faults, err := faultsOf(n.Config.Validate())
	if err != nil {
		return err
	}
	more, err := faultsOf(carrier.Validate())
	if err != nil {
		return err
	}
	faults = append(faults, more...)
	if y := n.CreateTime.Year(); y < 0 || y > 9999 {
		faults.Add("createTime", "must be in the years 0 to 9999")
	}
	if err := faults.Err(); err != nil {
		return err
	}
	if err := s.checkSize(carrier, nil); err != nil {
		return err
	}
	endpoint := strings.Repeat("x", executor.MaxName)
	carrier.Annotations = nil
	carrier.Networks = map[string]*executor.NetworkEndpoint{endpoint: {Network: *n.Config}}
	faults, size, err := s.measure(carrier, nil)
	if err != nil {
		return err
	}
	for i := range faults {
		faults[i].Field = strings.TrimPrefix(faults[i].Field, executor.Path("networks", endpoint, "network")+".")
	}
	if size > MaxNetwork {
		faults.Add("", fmt.Sprintf("the container network takes %d bytes in a VM, and may take no more than %d", size, MaxNetwork))
	}
	return faults.Err()
}

// faultsOf takes the faults out of the error of a validation.
func faultsOf(err error) (executor.Faults, error) {
	var faults executor.Faults
	if err == nil || errors.As(err, &faults) {
		return faults, nil
	}
	return nil, err
}
