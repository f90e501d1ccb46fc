package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

func TestAValueThatIsTooLarge(t *testing.T) {
	f := open(t)
	fits, over := strings.Repeat("x", store.MaxValue), strings.Repeat("x", store.MaxValue+1)
	cfg := &executor.ExecutorConfig{Common: executor.Common{ID: "web", Notes: fits}}
	f.create(cfg)
	cfg.Notes, cfg.Hostname = over, over
	_, err := f.CreateExecutor(t.Context(), &executor.ExecutorConfig{Common: executor.Common{ID: "db", Notes: over}, Hostname: over}, nil)
	f.faults(err, "notes", "hostname") // in the order of keys
	_, _, err = f.PutExecutor(t.Context(), cfg)
	f.faults(err, "notes", "hostname") // in the order of keys

	// The limit is that of what travels: a list travels as one value, bytes in base64.
	list := &executor.ExecutorConfig{Sessions: map[string]*executor.SessionConfig{"a.b": {Cmd: executor.Cmd{Args: []string{fits, ""}}}}}
	_, err = f.CreateExecutor(t.Context(), list, nil)
	f.faults(err, "sessions.a.b.cmd.args")
	_, err = f.CreateExecutor(t.Context(), &executor.ExecutorConfig{Key: []byte(fits)}, nil)
	f.faults(err, "key")
}

func TestAKeySetThatIsTooLarge(t *testing.T) {
	f := open(t)
	annotations := map[string]string{}
	for i := range store.MaxKeySet/store.MaxValue - 1 {
		annotations[fmt.Sprint("a", i)] = strings.Repeat("x", store.MaxValue-100)
	}
	cfg := &executor.ExecutorConfig{Common: executor.Common{ID: "web"}, Annotations: annotations}
	f.create(cfg)
	annotations["last"], annotations["least"] = strings.Repeat("x", store.MaxValue), strings.Repeat("x", 2000)
	_, _, err := f.PutExecutor(t.Context(), cfg)
	f.faults(err, "")
	if !strings.Contains(err.Error(), fmt.Sprint(store.MaxKeySet)) {
		t.Errorf("the fault does not name the limit: %v", err)
	}
}

// TestANetworkNeverMakesAFollowerTooLarge: room is kept for the largest that it can become, by whatever name it is followed.
func TestANetworkNeverMakesAFollowerTooLarge(t *testing.T) {
	f := open(t)
	large := func(n *executor.ContainerNetwork) { n.Notes = strings.Repeat("x", store.MaxNetwork-8000) }
	_, err := f.CreateNetwork(t.Context(), store.Network{Config: bridge("net", func(n *executor.ContainerNetwork) { n.Notes = strings.Repeat("x", store.MaxNetwork) })})
	f.faults(err, "")
	f.network("net", nil)
	name := strings.Repeat("e", executor.MaxName)
	cfg := &executor.ExecutorConfig{Common: executor.Common{ID: "web"}, Annotations: map[string]string{}}
	cfg.Networks = map[string]*executor.NetworkEndpoint{name: {NetworkRef: "net"}}
	for i := range store.MaxKeySet/store.MaxValue - 1 {
		cfg.Annotations[fmt.Sprint("a", i)] = strings.Repeat("x", store.MaxValue-100)
	}
	rest := store.MaxKeySet - store.MaxNetwork - len(cfg.Annotations)*store.MaxValue
	cfg.Annotations["last"] = strings.Repeat("x", rest)
	_, err = f.CreateExecutor(t.Context(), cfg, nil)
	f.faults(err, "")
	cfg.Annotations["last"] = strings.Repeat("x", rest-8000)
	f.create(cfg)
	_, _, err = f.PutNetwork(t.Context(), store.Network{Config: bridge("net", large)})
	f.must(err)
	keys, err := f.KeySet(f.get("web"))
	if err != nil || keys.Size() > store.MaxKeySet || keys.Size() < store.MaxKeySet-20000 {
		t.Errorf("the follower takes %d bytes: %v", keys.Size(), err)
	}
}
