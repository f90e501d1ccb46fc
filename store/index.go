package store

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/vmexecutor/config-server/executor"
)

// Keys of the engine. Names have no slash.
func executorKey(id string) string       { return "executor/" + id }
func networkKey(name string) string      { return "network/" + name }
func bindingKey(id string) string        { return "vm/" + id }
func bootsKey(id string) string          { return "boots/" + id }
func memoryKey(id string) string         { return "earlier/" + id }
func claimKey(driver, ref string) string { return "claim/" + driver + "/" + canonicalRef(ref) }
func unbindingKey(driver, inst string) string {
	return "unbinding/" + driver + "/" + canonicalRef(inst)
}

// cleanedKey is where an unbinding is whose VM was seen clean while it ran: they may be many, and nothing is to be done about most.
func cleanedKey(driver, inst string) string { return "cleaned/" + driver + "/" + canonicalRef(inst) }

// Keys that executors are found by begin so. What is stored under each is the id of the executor, and of the endpoint where it
// is one: id/endpoint.
func followersKey(network string) string { return "ref/" + network + "/" } // then id/endpoint
func addressKey(network string, a netip.Addr) string {
	return "address/" + network + "/" + a.String()
}

// namesKey has a digest: a name may be any text, and longer than a key can be.
func namesKey(name string) string { // then the id
	digest := sha256.Sum256([]byte(name))
	return "name/" + hex.EncodeToString(digest[:]) + "/"
}

// index gives the keys that an executor is found by, beside its id, and what is stored under each. *AddressError when two
// of its endpoints have one static address.
func index(c *executor.ExecutorConfig) (map[string]string, error) {
	keys := map[string]string{}
	if c.Name != "" {
		keys[namesKey(c.Name)+c.ID] = c.ID
	}
	for _, name := range slices.Sorted(maps.Keys(c.Networks)) {
		endpoint, holder := c.Networks[name], c.ID+"/"+name
		if endpoint.NetworkRef != "" {
			keys[followersKey(endpoint.NetworkRef)+holder] = holder
		}
		if a, ok := staticAddress(endpoint); ok {
			key := addressKey(endpoint.NetworkRef, a)
			if other, taken := keys[key]; taken {
				return nil, &AddressError{Network: endpoint.NetworkRef, Address: a, Holder: other}
			}
			keys[key] = holder
		}
	}
	return keys, nil
}

// staticAddress gives the address that an endpoint must be alone with on the container network that it follows.
func staticAddress(e *executor.NetworkEndpoint) (netip.Addr, bool) {
	if e.NetworkRef == "" || !e.Static || e.IP == nil {
		return netip.Addr{}, false
	}
	return e.IP.Addr(), true
}

// reindex makes an executor be found as it is next, and no more as it was. Either may be nil. *AddressError when a
// static address is that of another one.
func (t *txn) reindex(old, next *executor.ExecutorConfig) error {
	var was, is map[string]string
	var err error
	if old != nil {
		if was, err = index(old); err != nil {
			return err
		}
	}
	if next != nil {
		if is, err = index(next); err != nil {
			return err
		}
		if err := t.checkAddresses(next, was); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(was)) {
		if _, stays := is[key]; !stays {
			t.delete(key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(is)) {
		if was[key] != is[key] {
			t.put(key, []byte(is[key]))
		}
	}
	return nil
}

// checkAddresses looks whether others have the static addresses that an executor did not have before.
func (t *txn) checkAddresses(next *executor.ExecutorConfig, was map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(next.Networks)) {
		endpoint := next.Networks[name]
		a, ok := staticAddress(endpoint)
		if !ok {
			continue
		}
		key := addressKey(endpoint.NetworkRef, a)
		if _, had := was[key]; had {
			continue
		}
		kv, found, err := t.get(key)
		if err != nil {
			return err
		}
		if found {
			return &AddressError{Network: endpoint.NetworkRef, Address: a, Holder: string(kv.Value)}
		}
	}
	return nil
}

// checkName looks whether another executor has a name.
func (t *txn) checkName(name, id string) error {
	if name == "" {
		return nil
	}
	keys, err := t.below(namesKey(name))
	if err != nil {
		return err
	}
	for _, holder := range holders(keys) {
		if holder != id {
			return &NameError{Name: name, Holder: holder}
		}
	}
	return nil
}

// holders gives what is stored under index keys.
func holders(keys []KV) []string {
	list := make([]string, len(keys))
	for i, kv := range keys {
		list[i] = string(kv.Value)
	}
	return list
}

// executorsBelow gives the ids of the executors that are found below prefixes, each once: those of the first prefix, by id, then
// those of the next.
func executorsBelow(snap Snapshot, prefixes ...string) (ids []string, err error) {
	seen := map[string]bool{}
	for _, prefix := range prefixes {
		begin := len(ids)
		for kv, err := range snap.Range(prefix) {
			if err != nil {
				return nil, err
			}
			id, itself := strings.CutPrefix(kv.Key, executorKey(""))
			if !itself {
				id, _, _ = strings.Cut(string(kv.Value), "/")
			}
			if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
		slices.Sort(ids[begin:])
	}
	return ids, nil
}
