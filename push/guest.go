package push

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/vmexecutor/config-server/audit"
	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/store"
	"github.com/vmexecutor/config-server/vm"
)

// guestReports is how many guests' reports are worked on at once: what guests say, however much it is, leaves the store to clients.
const guestReports = 8

// errMoved says that a client changed a field that a guest sets, in the same moment.
var errMoved = errors.New("a client changes the same field all the time")

// guests are the reports of guests that are under way.
type guests struct {
	mu      sync.Mutex
	turns   chan struct{}
	pending sync.WaitGroup
	stopped bool
}

// begin waits for a turn to work on a report.
func (g *guests) begin(ctx context.Context) (end func(), err error) {
	g.mu.Lock()
	if g.stopped {
		g.mu.Unlock()
		return nil, ErrStopped
	}
	g.pending.Add(1)
	g.mu.Unlock()
	select {
	case g.turns <- struct{}{}:
		return func() { <-g.turns; g.pending.Done() }, nil
	case <-ctx.Done():
		g.pending.Done()
		return nil, ctx.Err()
	}
}

// stop refuses reports from now on, and waits for those that are under way.
func (g *guests) stop() {
	g.mu.Lock()
	g.stopped = true
	g.mu.Unlock()
	g.pending.Wait()
}

// GuestSocket gives the path of the unix socket that the guest of a bound executor is served on; empty for drivers that have none.
func (r *Reconciler) GuestSocket(driver, id string) string {
	host, ok := r.Drivers[driver].(vm.Host)
	if !ok {
		return ""
	}
	path, err := host.Socket(id)
	if err != nil {
		return ""
	}
	return path
}

// CheckBinding gives what a driver holds against a binding, as far as that can be told without looking for the VM: executor.Faults.
func (r *Reconciler) CheckBinding(b *store.Binding, id string) error {
	var faults executor.Faults
	driver := r.Drivers[b.Driver]
	if host, ok := driver.(vm.Host); ok {
		if _, err := host.Socket(cmp.Or(id, "made-by-the-store")); err != nil {
			faults.Add("driver", err.Error())
		}
	}
	if checker, ok := driver.(vm.RefChecker); ok && b.Ref != "" {
		if err := checker.CheckRef(b.Ref); err != nil {
			faults.Add("ref", err.Error())
		}
	}
	return faults.Err()
}

// attach has the guest of an executor served, where that is the driver's business.
func (r *Reconciler) attach(ctx context.Context, driver vm.Driver, key task, e *store.Executor) error {
	host, ok := driver.(vm.Host)
	if !ok {
		return nil
	}
	name, instance := e.Binding.Driver, e.Binding.Instance
	return host.Attach(ctx, instance, vm.Attachment{
		Executor: e.Config.ID, Ref: e.Binding.Ref, SecretKey: e.SecretKey, Epoch: e.Binding.Seen.Epoch,
		Settle: func(ctx context.Context) error { return r.settleGuest(ctx, key) },
		Report: func(ctx context.Context, set []extraconfig.Pair) (uint64, error) {
			return r.guestReport(ctx, host, key, name, instance, set)
		},
	})
}

// settleGuest converges the VM of a guest that waits for it.
func (r *Reconciler) settleGuest(ctx context.Context, key task) error {
	if err := r.queue.wait(ctx, key, fromHint); err != nil {
		return err
	}
	row := r.table.get(key)
	switch {
	case r.queue.stopped():
		return ErrStopped
	case row.LastError != "":
		return errors.New(row.LastError)
	case row.behind || row.PushedRevision == 0:
		return errUnsettled
	}
	return nil
}

// guestReport takes what a guest sets into the store, all or nothing, and has the VM hold it as it is written.
func (r *Reconciler) guestReport(ctx context.Context, host vm.Host, key task, name, instance string, set []extraconfig.Pair) (uint64, error) {
	ctx = audit.From(ctx, audit.GuestChannel)
	said, err := r.readGuest(set)
	if err != nil {
		return 0, err
	}
	end, err := r.guests.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer end()
	defer r.vmLock.lock(name + "/" + instance)()
	for range maxRounds {
		revision, err := r.reportOnce(ctx, host, key, instance, said)
		switch {
		case err == nil:
			return revision, nil
		case errors.Is(err, errMoved) || errors.Is(err, vm.ErrConflict):
			continue
		case !errors.As(err, new(*vm.Refusal)):
			r.queue.add(key, fromHint) // it may have come half way
		}
		return 0, err
	}
	r.queue.add(key, fromHint)
	return 0, errMoved
}

// readGuest finds out which fields a guest sets, and refuses what no guest may set.
func (r *Reconciler) readGuest(set []extraconfig.Pair) (extraconfig.KeySet, error) {
	codec, keys := r.Store.Codec(), make(map[string]string, len(set))
	for _, p := range set {
		known, ours := codec.Parse(map[string]string{p.Key: p.Value}).Get(p.Key)
		refuse := func(reason vm.Reason, text string) (extraconfig.KeySet, error) {
			return extraconfig.KeySet{}, &vm.Refusal{Key: p.Key, Known: ours, Reason: reason, Text: text}
		}
		switch _, twice := keys[p.Key]; {
		case !ours:
			return refuse(vm.ReasonUnknown, "there is no such key")
		case known.Scope() == extraconfig.Hidden:
			return refuse(vm.ReasonHidden, "there is no such key") // a guest has no use for the difference
		case known.Secret():
			return refuse(vm.ReasonSecret, "secrets are read-only")
		case known.Scope() != extraconfig.ReadWrite:
			return refuse(vm.ReasonReadOnly, "the key is read-only")
		case !codec.Canonical(p.Key):
			return refuse(vm.ReasonSpelling, "the key must be spelled exactly as it is read")
		case twice:
			return refuse(vm.ReasonInvalid, "the key is set twice")
		case len(p.Value) > store.MaxValue:
			return refuse(vm.ReasonLimit, fmt.Sprintf("a value may have at most %d bytes", store.MaxValue))
		}
		keys[p.Key] = p.Value
	}
	return codec.Parse(keys), nil
}

// reportOnce reports to the executor as it is now. What clients changed before goes into the VM first: the guest's word is the last.
func (r *Reconciler) reportOnce(ctx context.Context, host vm.Host, key task, instance string, said extraconfig.KeySet) (uint64, error) {
	e, err := r.Store.Executor(ctx, key.executor)
	if err != nil {
		return 0, err
	}
	if e.Binding == nil || e.Binding.Instance != instance {
		return 0, store.ErrUnbound
	}
	l, err := r.observe(ctx, host, e, nil)
	if err != nil {
		return 0, err
	}
	if e.Binding.Base == nil || len(l.ended) > 0 || !l.delta().Empty() || !maps.Equal(l.base(), e.Binding.Base) {
		if _, err := r.settle(ctx, host, job{task: key, class: fromHint}, e); err != nil {
			return 0, err
		}
		return 0, errMoved // and now to the executor as it is then
	}
	held := l.observed
	if err := r.hear(l, said); err != nil || len(l.reported) == 0 {
		return e.Revision, err
	}
	base := maps.Clone(e.Binding.Base)
	taken, err := r.Store.Report(ctx, key.executor, instance, base, l.reportSighting(), func(c *executor.ExecutorConfig) ([]string, error) {
		if err := r.unmoved(c, l); err != nil {
			return nil, err
		}
		return r.takeReports(c, l, base)
	})
	var faults executor.Faults
	switch {
	case errors.As(err, &faults):
		return 0, l.refuse(said, faults[0].Field, vm.ReasonInvalid, faults[0].Message)
	case err != nil:
		return 0, err
	}
	r.Observer.Reported(len(l.reported))
	if err := r.goOn(l, taken, base); err != nil {
		return 0, err
	}
	l.observed = held
	d := l.delta()
	if l.e, err = r.announce(ctx, l, d); err != nil {
		return 0, err
	}
	if err := r.apply(ctx, host, instance, vm.Change{Set: d.Set, Delete: d.Delete, Version: l.state.Version, Revision: taken.Revision}); err != nil {
		return 0, err
	}
	host.Settled(instance, taken.Revision)
	r.table.update(key, func(row *row) { row.PushedRevision, row.inOrder = taken.Revision, nil })
	return taken.Revision, nil
}

// hear puts what a guest says into a look, and refuses what cannot be so.
func (r *Reconciler) hear(l *look, said extraconfig.KeySet) error {
	keys := l.observed.Map()
	maps.Copy(keys, said.Map())
	l.observed = r.Store.Codec().Parse(keys)
	there := map[string]bool{}
	if _, err := r.Store.Codec().DecodeReports(l.delivered.Clone(), nil, func(field string) bool { there[field] = true; return false }); err != nil {
		return err
	}
	now := l.observed.Fields()
	for p := range said.All() {
		field := p.Field()
		switch {
		case !there[field]:
			return l.refuse(said, field, vm.ReasonNoEntry, "there is no such entry")
		case follows(l.e.Config, field):
			return l.refuse(said, field, vm.ReasonNetwork, "the field is the container network's")
		case now[field] != l.fields[field]:
			if l.reported == nil {
				l.reported = map[string]string{}
			}
			l.reported[field] = now[field]
		}
	}
	_, err := r.Store.Codec().DecodeReports(l.delivered.Clone(), keys, func(field string) bool { return l.reported[field] != "" })
	var unparsable extraconfig.Errors
	if errors.As(err, &unparsable) {
		return l.refuse(said, unparsable[0].Field, vm.ReasonInvalid, unparsable[0].Reason)
	}
	return err
}

// refuse refuses a field, by the first key that a guest set of it.
func (l *look) refuse(said extraconfig.KeySet, field string, reason vm.Reason, text string) error {
	for p := range said.All() {
		if own := p.Field(); own == field || strings.HasPrefix(field, own+".") {
			return &vm.Refusal{Key: p.Key, Known: true, Reason: reason, Text: text}
		}
	}
	for p := range said.All() { // a fault of the whole
		return &vm.Refusal{Key: p.Key, Known: true, Reason: reason, Text: strings.TrimPrefix(field+": "+text, ": ")}
	}
	return errors.New(text)
}

// unmoved gives errMoved when a field that a guest sets is not any more what it was when we looked.
func (r *Reconciler) unmoved(c *executor.ExecutorConfig, l *look) error {
	keys, err := r.Store.Codec().Encode(c, extraconfig.WithSecretKey(l.e.SecretKey))
	if err != nil {
		return err
	}
	now := keys.Fields()
	for field := range l.reported {
		if now[field] != l.e.Binding.Base[field] {
			return errMoved
		}
	}
	return nil
}
