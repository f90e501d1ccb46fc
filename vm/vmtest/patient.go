package vmtest

import (
	"context"
	"errors"
	"slices"

	"github.com/vmexecutor/config-server/vm"
)

// Patient is a driver whose calls are made again when they fail, as push does it: at most so many times each, and not when the failure
// is one that stays. With it the suite runs on a hypervisor that misbehaves.
func Patient(d vm.Driver, times int) vm.Driver {
	p := patient{d, times}
	if r, ok := d.(vm.Refresher); ok {
		return patientRefresher{p, r}
	}
	return p
}

type patient struct {
	vm.Driver
	times int
}

type patientRefresher struct {
	patient
	refresher vm.Refresher
}

func (p patient) Resolve(ctx context.Context, ref string) (instance string, err error) {
	err = p.again(func() error { instance, err = p.Driver.Resolve(ctx, ref); return err })
	return instance, err
}

func (p patient) Observe(ctx context.Context, instance string) (state vm.State, err error) {
	err = p.again(func() error { state, err = p.Driver.Observe(ctx, instance); return err })
	return state, err
}

// Apply looks after each failure whether the change was made all the same. What is gone by then is not deleted again.
func (p patient) Apply(ctx context.Context, instance string, c vm.Change) error {
	tried := false
	return p.again(func() error {
		if tried && !c.Empty() {
			state, err := p.Driver.Observe(ctx, instance)
			if err != nil {
				return err
			}
			c.Delete = slices.DeleteFunc(slices.Clone(c.Delete), func(key string) bool { _, there := state.Keys[key]; return !there })
			if len(c.Delete) == 0 && holds(state, c) {
				return nil
			}
		}
		tried = true
		return p.Driver.Apply(ctx, instance, c)
	})
}

// holds reports whether a VM was seen to hold a change. A secret key is never seen.
func holds(state vm.State, c vm.Change) bool {
	if len(c.SecretKey) > 0 || c.Forget {
		return false
	}
	for _, pair := range c.Set {
		if value, there := state.Keys[pair.Key]; !there || value != pair.Value {
			return false
		}
	}
	return true
}

func (p patientRefresher) Refresh(ctx context.Context) error {
	return p.again(func() error { return p.refresher.Refresh(ctx) })
}

func (p patient) again(call func() error) (err error) {
	for range p.times {
		if err = call(); err == nil || stays(err) {
			return err
		}
	}
	return err
}

// stays reports whether an error is one that calling again does not mend.
func stays(err error) bool {
	return slices.ContainsFunc([]error{vm.ErrNotFound, vm.ErrAmbiguous, vm.ErrConflict, context.Canceled, context.DeadlineExceeded},
		func(kind error) bool { return errors.Is(err, kind) })
}
