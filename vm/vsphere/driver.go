package vsphere

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm"
)

const (
	// fillLimit is how long a VM that is listed may take to come; then it is read.
	fillLimit = 20 * time.Second
	// refusedLimit is how long a version that vSphere refused is waited upon to change; then the
	// VM is read.
	refusedLimit = 500 * time.Millisecond
)

// Observe implements vm.Driver without a call, where the VM is followed already.
func (d *Driver) Observe(ctx context.Context, instance string) (vm.State, error) {
	var state vm.State
	err := d.doLive(ctx, func(f *feed) error {
		var err error
		state, err = f.observe(ctx, strings.ToLower(instance))
		return err
	})
	if err != nil {
		return vm.State{}, err
	}
	return state, nil
}

// doLive is do for what needs the feed.
func (d *Driver) doLive(ctx context.Context, call func(f *feed) error) error {
	return d.retry(ctx, func() (*session, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := d.live(ctx)
		if err != nil {
			return nil, err
		}
		return f.s, call(f)
	})
}

// await gives the entry of a VM once its image is there.
func (f *feed) await(ctx context.Context, instance string) (*entry, error) {
	limit := time.NewTimer(fillLimit)
	defer limit.Stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for e := f.follow(instance); ; {
		switch {
		case f.ended:
			return nil, f.err
		case e.err != nil:
			return nil, e.err
		case e.gone:
			e = f.follow(instance)
			continue
		case e.seen:
			return e, nil
		}
		if err := f.waitChange(ctx, e, limit.C); err != nil {
			if !errors.Is(err, errLimit) {
				return nil, err
			}
			f.mu.Unlock()
			err := f.read(ctx, e)
			f.mu.Lock()
			if err != nil && !e.gone {
				return nil, err
			}
		}
	}
}

var errLimit = errors.New("waited long enough")

// waitChange waits for a change of an entry, without the mutex, which is held before and after.
func (f *feed) waitChange(ctx context.Context, e *entry, limit <-chan time.Time) error {
	changed := e.changed
	f.mu.Unlock()
	defer f.mu.Lock()
	select {
	case <-changed:
	case <-f.done:
	case <-limit:
		return errLimit
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (f *feed) observe(ctx context.Context, instance string) (vm.State, error) {
	for again := true; ; again = false {
		e, err := f.await(ctx, instance)
		if err != nil {
			return vm.State{}, err
		}
		if err = f.freshen(ctx, e); err != nil {
			return vm.State{}, err
		}
		f.mu.Lock()
		ended, left, shown, state := f.ended, e.gone, e.image.instance != "", e.image.state()
		f.mu.Unlock()
		switch {
		case ended:
			return vm.State{}, f.err
		case left && again:
		case left:
			return vm.State{}, noMore(instance)
		case !shown:
			// Not an empty VM: that would be a reason to push everything.
			return vm.State{}, &failure{text: fmt.Sprintf("vSphere does not show the configuration of VM %s: it is not accessible, or the account lacks a privilege", instance)}
		default:
			return state, nil
		}
	}
}

// freshen sees to it that the image of a VM holds what is known to have happened to it.
func (f *feed) freshen(ctx context.Context, e *entry) error {
	f.mu.Lock()
	if e.refused != "" && e.refused == e.image.version {
		limit := time.NewTimer(refusedLimit)
		defer limit.Stop()
		for e.refused != "" && !e.gone && !f.ended {
			if err := f.waitChange(ctx, e, limit.C); errors.Is(err, errLimit) {
				e.stale, e.refused = true, ""
			} else if err != nil {
				f.mu.Unlock()
				return err
			}
		}
	}
	read, ended, err := e.stale || e.owed != nil, f.ended, f.err
	f.mu.Unlock()
	switch {
	case ended:
		return err
	case read:
		return f.read(ctx, e)
	}
	return nil
}

// read reads a VM itself into its image. What comes meanwhile may be older than what was read, or
// newer: then it is read again.
func (f *feed) read(ctx context.Context, e *entry) error {
	for try := 0; ; try++ {
		f.mu.Lock()
		ref, updates, left := e.ref, e.updates, e.gone
		f.mu.Unlock()
		if left {
			return nil
		}
		objects, err := f.s.retrieve(ctx, types.PropertyFilterSpec{
			ObjectSet: []types.ObjectSpec{{Obj: ref}},
			PropSet:   []types.PropertySpec{{Type: kindVM, PathSet: imaged}},
		})
		if err == nil && len(objects) == 0 {
			err = soap.WrapVimFault(&types.ManagedObjectNotFound{Obj: ref})
		}
		if gone(err, ref) {
			f.mu.Lock()
			f.leave(e, nil)
			f.hint(e.instance)
			f.mu.Unlock()
			return nil
		}
		if err != nil {
			return err
		}
		var i image
		for _, p := range objects[0].PropSet {
			i.set(types.PropertyChange{Name: p.Name, Val: p.Val})
		}
		f.mu.Lock()
		fits := f.ended || e.updates == updates || try == 2
		switch {
		case !fits || f.ended:
		case i.instance != "" && i.instance != e.instance:
			f.leave(e, nil)
		default:
			e.read = f.rounds.begun
			if e.fill(i) {
				f.hint(e.instance)
			}
		}
		f.mu.Unlock()
		if fits {
			return nil
		}
	}
}

// Apply implements vm.Driver with one ReconfigVM_Task.
func (d *Driver) Apply(ctx context.Context, instance string, c vm.Change) error {
	if c.Empty() {
		return nil
	}
	spec := types.VirtualMachineConfigSpec{ChangeVersion: c.Version}
	for _, p := range c.Set {
		if !travels(p.Value) {
			return fmt.Errorf("the value of %s has characters that vSphere does not carry", p.Key)
		}
		spec.ExtraConfig = append(spec.ExtraConfig, &types.OptionValue{Key: p.Key, Value: extraconfig.Escape(p.Value)})
	}
	for _, key := range c.Delete {
		spec.ExtraConfig = append(spec.ExtraConfig, &types.OptionValue{Key: key, Value: ""})
	}
	if option := secretKeyOption(c); option != nil {
		spec.ExtraConfig = append(spec.ExtraConfig, option)
	}
	err := d.doLive(ctx, func(f *feed) error { return f.apply(ctx, strings.ToLower(instance), &c, spec) })
	return withoutValues(err, c)
}

// apply makes a change. A VM that turns out to have another reference by now is looked for once more.
func (f *feed) apply(ctx context.Context, instance string, c *vm.Change, spec types.VirtualMachineConfigSpec) error {
	for again := true; ; again = false {
		e, err := f.await(ctx, instance)
		if err != nil {
			return err
		}
		f.mu.Lock()
		ref := e.ref
		f.mu.Unlock()
		err = f.reconfigure(ctx, e, ref, c, spec)
		if !gone(err, ref) {
			return err
		}
		f.mu.Lock()
		f.leave(e, nil)
		f.mu.Unlock()
		if !again {
			return noMore(instance)
		}
	}
}

func (f *feed) reconfigure(ctx context.Context, e *entry, ref types.ManagedObjectReference, c *vm.Change, spec types.VirtualMachineConfigSpec) error {
	p := f.begin(e, c)
	known := false
	defer func() { f.finish(p, known) }()
	res, err := methods.ReconfigVM_Task(ctx, f.s, &types.ReconfigVM_Task{This: ref, Spec: spec})
	if err == nil {
		f.started(p, res.Returnval)
		select {
		case <-p.done:
			err, known = p.err, !isUnavailable(p.err)
		case <-f.done:
			err = unavailable("vSphere at %s stopped telling what comes of changes while one was under way", f.d.endpoint.Host)
		case <-ctx.Done():
			err = ctx.Err()
		}
	} else {
		_, known = faultName(err)
	}
	if c.Version != "" && fault.Is(err, &types.ConcurrentAccess{}) {
		f.mu.Lock()
		e.refused = c.Version
		f.mu.Unlock()
	}
	return err
}

// travels reports whether XML can carry a value. It replaces what it cannot, silently, and the VM
// would differ from what was asked for ever after.
func travels(value string) bool {
	if !utf8.ValidString(value) {
		return false
	}
	for _, r := range value {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return false
		}
	}
	return true
}

// withoutValues blanks what a refusal quotes of the values that it refuses.
func withoutValues(err error, c vm.Change) error {
	f, ok := errors.AsType[*failure](err)
	if !ok || f.kind != nil {
		return err
	}
	quiet := *f
	if option := secretKeyOption(c); option != nil && option.Value != "" {
		quiet.text = strings.ReplaceAll(quiet.text, text(option.Value), "...")
	}
	for _, p := range c.Set {
		if len(p.Value) >= 4 || p.Value != "" && p.Secret() {
			quiet.text = strings.ReplaceAll(quiet.text, p.Value, "...")
		}
	}
	return &quiet
}
