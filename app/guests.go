package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/vmexecutor/config-server/audit"
	"github.com/vmexecutor/config-server/metrics"
	"github.com/vmexecutor/config-server/vm/qemu"
)

// guests gives the options of the driver that serves guests on sockets, by default in a directory.
func (o *Options) guests(log *slog.Logger, dir string) (qemu.Options, error) {
	q := qemu.Options{Software: "config-server/" + version().Version, Logger: log}
	mode, err := strconv.ParseUint(cmp.Or(o.GuestSocketMode, "0600"), 8, 32)
	if err != nil || mode == 0 || mode > 0o777 {
		return q, errors.New("--guest-socket-mode: must be permissions in octal, such as 0660")
	}
	q.Mode = uint32(mode)
	if o.GuestSocketGroup != "" {
		id := o.GuestSocketGroup
		if group, err := user.LookupGroup(id); err == nil {
			id = group.Gid
		}
		gid, err := strconv.ParseUint(id, 10, 31)
		if err != nil {
			return q, fmt.Errorf("--guest-socket-group: there is no group %q", o.GuestSocketGroup)
		}
		q.Group = new(int(gid))
	}
	if q.Dir, err = filepath.Abs(cmp.Or(o.GuestDir, dir)); err != nil {
		return q, fmt.Errorf("--guest-dir: %w", err)
	}
	// A data directory with a long path is good for all but guests: a binding that needs a socket is refused then.
	if err := qemu.CheckDir(q.Dir); err != nil && o.GuestDir != "" {
		return q, fmt.Errorf("--guest-dir: %w", err)
	}
	return q, nil
}

func (o *Options) guestsInData() string { return filepath.Join(o.DataDir, "guests") }

// startGuests makes the driver that serves guests.
func (o *Options) startGuests(ctx context.Context, log *slog.Logger, figures *metrics.Metrics, trail *audit.Trail, closers *closers) (*qemu.Driver, error) {
	dir := o.guestsInData()
	if o.DataDir == noData && o.GuestDir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "config-server"); err != nil {
			return nil, fmt.Errorf("--guest-dir: %w", err)
		}
		closers.add("guest directory", func() error { return os.RemoveAll(dir) })
	}
	options, err := o.guests(log, dir)
	if err != nil {
		return nil, err
	}
	figures.ExpectGuests(qemu.SetResults(), qemu.RefusalReasons())
	options.Observer = guestObserver{figures, trail}
	driver, err := qemu.New(options)
	if err != nil {
		return nil, fmt.Errorf("--guest-dir: %w", err)
	}
	closers.add("guests", func() error { return withLimit(ctx, driver.Close) })
	return driver, nil
}
