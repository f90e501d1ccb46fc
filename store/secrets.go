package store

import (
	"fmt"
	"log/slog"

	"github.com/vmexecutor/config-server/executor"
)

// restore puts the secrets of the binding that there is, which may be nil, in place of the placeholders of b, and checks it.
func (b *Binding) restore(old *Binding) error {
	if old == nil {
		old = &Binding{}
	}
	b.VM = *b.VM.Clone()
	faults := b.VM.Restore(&old.VM, sameVM(old.Driver, old.Ref, old.Instance, b))
	return append(b.check(), faults...).Err()
}

// checkSecrets keeps secrets where they are, when that is asked for. An executor that is not bound is bound to no VM.
func (o *writeOptions) checkSecrets(e *Executor, b *Binding) error {
	if !o.keepSecrets || !e.Config.HoldsSecrets() {
		return nil
	}
	if old := e.Binding; old != nil && sameVM(old.Driver, old.Ref, old.Instance, b) {
		return nil
	}
	return ErrSecrets
}

// Format shows the fields with %v, and otherwise what LogValue does: package fmt shows what a pointer points to where a verb does not fit.
func (e Executor) Format(f fmt.State, verb rune) {
	type fields Executor
	format(f, verb, fields(e), e.LogValue())
}

// LogValue names the executor and where it stands: a log in JSON would have its secrets.
func (e Executor) LogValue() slog.Value {
	config := e.Config
	if config == nil {
		config = &executor.ExecutorConfig{}
	}
	return slog.GroupValue(slog.String("id", config.ID), slog.Uint64("revision", e.Revision))
}

// Format shows the fields with %v, and otherwise what LogValue does.
func (b Binding) Format(f fmt.State, verb rune) {
	type fields Binding
	format(f, verb, fields(b), b.LogValue())
}

// LogValue names the VM.
func (b Binding) LogValue() slog.Value {
	return slog.GroupValue(slog.String("driver", b.Driver), slog.String("ref", b.Ref), slog.String("instance", b.Instance))
}

func format(f fmt.State, verb rune, fields any, short slog.Value) {
	if verb == 'v' {
		_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), fields)
	} else {
		_, _ = fmt.Fprint(f, short)
	}
}
