package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

// conflicts is an engine that counts how often somebody else was quicker.
type conflicts struct {
	store.Engine
	n atomic.Int64
}

func (e *conflicts) Commit(ctx context.Context, t store.Txn) (uint64, error) {
	revision, err := e.Engine.Commit(ctx, t)
	if errors.Is(err, store.ErrConflict) {
		e.n.Add(1)
	}
	return revision, err
}

// TestWritersOfDifferentExecutors are not in each other's way: on one network, each with a name that must be its own, an address of its own and a VM.
func TestWritersOfDifferentExecutors(t *testing.T) {
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			f.network("net", nil)
			counted := &conflicts{Engine: f.engine}
			st, err := store.New(counted, f.options)
			f.must(err)
			const writers = 64
			var all sync.WaitGroup
			for w := range writers {
				all.Go(func() {
					if err := write(st, w); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if n := counted.n.Load(); n > 0 {
				t.Errorf("%d commits were made again", n)
			}
		})
	}
}

// write is the life of an executor.
func write(st *store.Store, w int) error {
	ctx, id := context.Background(), fmt.Sprintf("x%d", w)
	ip := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, 1, byte(w)}), 16)
	cfg := &executor.ExecutorConfig{
		Common:   executor.Common{ID: id, Name: id + "-name"},
		Networks: map[string]*executor.NetworkEndpoint{"eth0": {NetworkRef: "net", Static: true, IP: &ip}},
	}
	_, err := st.CreateExecutor(ctx, cfg, &store.Binding{Driver: "vsphere", Ref: "vm-" + id}, store.UniqueName())
	for i := range 5 {
		if err == nil {
			_, err = st.UpdateExecutor(ctx, id, func(c *executor.ExecutorConfig) error {
				c.Hostname = fmt.Sprint("h", i)
				return nil
			}, store.UniqueName())
		}
	}
	if err == nil && w%2 == 0 {
		err = st.DeleteExecutor(ctx, id)
	}
	return err
}
