package memory

import (
	"testing"

	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/store/storetest"
)

func TestConformance(t *testing.T) {
	stores := map[string]*Engine{} // by directory
	storetest.Run(t, func(_ testing.TB, dir string, h store.History) store.Engine {
		if stores[dir] == nil {
			stores[dir] = New(h)
		} else {
			stores[dir] = stores[dir].Reopen()
		}
		return stores[dir]
	})
}
