package bolt

import (
	"context"
	"errors"
	"testing"

	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/storetest"
)

// TestCrash kills processes that write, and compact the file all the time.
func TestCrash(t *testing.T) {
	storetest.Crash(t, 10, func(t testing.TB, dir string, h store.History) store.Engine {
		e, err := Open(dir, WithHistory(h))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		e.background.Go(func() {
			<-e.closed
			cancel()
		})
		e.background.Go(func() {
			for ctx.Err() == nil {
				err := e.compact(ctx)
				if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrClosed) {
					t.Error(err)
				}
			}
		})
		return e
	})
}
