package store

import (
	"maps"
	"slices"
	"strings"

	"github.com/vmexecutor/config-server/executor"
)

// Keys of the engine. Names have no slash.
func executorKey(id string) string       { return "executor/" + id }
func networkKey(name string) string      { return "network/" + name }
func bindingKey(id string) string        { return "vm/" + id }
func claimKey(driver, ref string) string { return "claim/" + driver + "/" + canonicalRef(ref) }
func unbindingKey(driver, inst string) string {
	return "unbinding/" + driver + "/" + canonicalRef(inst)
}

// Keys that executors are found by. What is stored under each is the id of the executor, and of its endpoint.
func followersKey(network string) string { return "ref/" + network + "/" }
func referenceKey(network, id, endpoint string) string {
	return followersKey(network) + id + "/" + endpoint
}

// index gives the keys that an executor is found by, beside its id, and what is stored under each.
func index(c *executor.ExecutorConfig) map[string]string {
	keys := map[string]string{}
	for name, endpoint := range c.Networks {
		if endpoint.NetworkRef != "" {
			keys[referenceKey(endpoint.NetworkRef, c.ID, name)] = c.ID + "/" + name
		}
	}
	return keys
}

// reindex makes an executor be found as it is next, and no more as it was. Either may be nil.
func (t *txn) reindex(old, next *executor.ExecutorConfig) {
	var was, is map[string]string
	if old != nil {
		was = index(old)
	}
	if next != nil {
		is = index(next)
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
}

// holders gives what is stored under index keys.
func holders(keys []KV) []string {
	list := make([]string, len(keys))
	for i, kv := range keys {
		list[i] = string(kv.Value)
	}
	return list
}

// executorOf gives the executor of a holder, id/endpoint.
func executorOf(holder string) string {
	id, _, _ := strings.Cut(holder, "/")
	return id
}
