package app

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/vmexecutor/config-server/audit"
	"github.com/vmexecutor/config-server/metrics"
	"github.com/vmexecutor/config-server/vm"
	"github.com/vmexecutor/config-server/vm/qemu"
)

// Audit says where the audit trail is written. Zero is the default.
type Audit struct {
	File  string `long:"audit-file" value-name:"PATH" description:"File of the audit trail, one JSON document a line; without it the trail is in the log, at level info"`
	Size  int    `long:"audit-file-size" value-name:"MIB" default:"100" description:"Size at which that file is renamed and begun anew, in MiB"`
	Files int    `long:"audit-files" value-name:"N" default:"10" description:"Renamed files that are kept beside it"`
}

func (a Audit) orDefault() Audit {
	return Audit{a.File, cmp.Or(a.Size, 100), cmp.Or(a.Files, 10)}
}

func (a Audit) validate() error {
	var errs []error
	if a.Size < 1 || a.Size > maxAuditSize {
		errs = append(errs, fmt.Errorf("--audit-file-size: must be between 1 and %d", maxAuditSize))
	}
	if a.Files < 1 || a.Files > maxAuditFiles {
		errs = append(errs, fmt.Errorf("--audit-files: must be between 1 and %d", maxAuditFiles))
	}
	return errors.Join(errs...)
}

const (
	maxAuditSize  = 1 << 20
	maxAuditFiles = 10_000
)

// open begins the trail.
func (a Audit) open(log *slog.Logger, figures *metrics.Metrics, closers *closers) (*audit.Trail, error) {
	o := audit.Options{Log: log, Failed: figures.AuditFailed}
	if a = a.orDefault(); a.File != "" {
		file, err := audit.OpenFile(a.File, a.Size, a.Files)
		if err != nil {
			return nil, fmt.Errorf("--audit-file: %w", err)
		}
		closers.add("audit file", file.Close)
		o.File = file
	}
	trail := audit.New(o)
	closers.add("audit trail", func() error { trail.Close(); return nil })
	return trail, nil
}

// guestObserver counts what guests do, and has what they are refused in the trail. What they set is there by its commit.
type guestObserver struct {
	*metrics.Metrics
	trail *audit.Trail
}

var _ qemu.Observer = guestObserver{}

// GuestRefused implements qemu.Observer.
func (o guestObserver) GuestRefused(r qemu.Refusal) {
	o.Metrics.GuestRefused(r.Reason)
	if r.Reason == qemu.Garbage {
		return
	}
	operation := "request" // of any kind
	if slices.Contains(vm.Reasons, vm.Reason(r.Reason)) {
		operation = "set"
	}
	o.trail.Write(&audit.Entry{
		Actor: r.Executor, Role: audit.GuestRole(r.Executor), Source: audit.GuestChannel, Operation: operation, Resource: audit.Executor(r.Executor),
		Outcome: audit.Refused, Reason: r.Reason, Key: r.Key, Client: audit.GuestRole(r.Executor),
	})
}
