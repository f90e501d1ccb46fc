package push

import (
	"testing"

	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/vm/vmfake"
)

// TestRebindingWhileTheReferenceIsResolved: what the old reference was found to be never gets this executor's data.
func TestRebindingWhileTheReferenceIsResolved(t *testing.T) {
	tell(t, func(s *story) {
		old, next := s.driver.Add("vm1"), s.driver.Add("vm2")
		s.driver.during(func(op vmfake.Op, _ string) {
			if op != "resolve" {
				return
			}
			s.driver.failing(nil)
			if _, _, err := s.store.Bind(s.ctx, "web", store.Binding{Driver: "vsphere", Ref: "vm2"}); err != nil {
				t.Error(err)
			}
		})
		s.create("web", "vm1", nil)
		s.expect("web", StateSynced)
		s.expectKeys("web", next)
		if got := s.driver.keys(old); len(got) != 1 {
			t.Errorf("the VM of the old reference holds %v", got)
		}
	})
}
