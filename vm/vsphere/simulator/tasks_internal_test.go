package simulator

import (
	"context"
	"fmt"
	"testing"

	"github.com/vmware/govmomi/vim25/types"
)

// TestTasksArePruned: a simulator that is changed for long does not grow.
func TestTasksArePruned(t *testing.T) {
	s, err := Start(t.Context(), Options{Listen: "127.0.0.1:0", VMs: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close(context.Background()) }()
	s.limits.tasks = 10
	before := len(s.model.Map().AllReference("Task"))
	vms := s.model.Map().All("VirtualMachine")
	a := &annex{sim: s}
	for i := range 50 {
		ctx := s.context()
		res := a.ReconfigVMTask(ctx, &types.ReconfigVM_Task{This: vms[0].Reference(), Spec: types.VirtualMachineConfigSpec{
			ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "a/b", Value: fmt.Sprint(i)}},
		}})
		if res.Fault() != nil {
			t.Fatal(res.Fault().String)
		}
	}
	s.running.Wait()
	if n := len(s.model.Map().AllReference("Task")); n > before+10 {
		t.Errorf("%d tasks are kept", n)
	}
}
