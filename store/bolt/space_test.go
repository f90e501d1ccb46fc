package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/vmexecutor/config-server/store"
)

// smallDisk tells the process that runs TestDiskFull inside where its small disk is to be, and of which kind.
const smallDisk = "BOLT_TEST_SMALL_DISK"

// TestDiskFull runs in a process of its own, which has a file system of a few MiB or, where it may not mount one, a limit on the
// size of files.
func TestDiskFull(t *testing.T) {
	switch os.Getenv(smallDisk) {
	case "tmpfs":
		diskFull(t, mountSmall(t))
		return
	case "limit":
		diskFull(t, limitFiles(t))
		return
	}
	inside := func(kind string, attr *syscall.SysProcAttr) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestDiskFull$", "-test.v")
		cmd.Env = append(os.Environ(), smallDisk+"="+kind)
		cmd.SysProcAttr = attr
		return cmd.CombinedOutput()
	}
	out, err := inside("tmpfs", &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	})
	if errors.Is(err, os.ErrPermission) || bytes.Contains(out, []byte(mayNotMount)) {
		out, err = inside("limit", nil)
	}
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestDiskFull")) {
		t.Errorf("%v\n%s", err, out)
	}
}

const mayNotMount = "this process may not mount"

// disk is a small one. room makes it larger.
type disk struct {
	dir  string
	room func() error
}

func mountSmall(t *testing.T) disk {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=6m"); err != nil {
		t.Fatal(mayNotMount, err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return disk{filepath.Join(dir, "data"), func() error { return syscall.Mount("none", dir, "tmpfs", syscall.MS_REMOUNT, "size=60m") }}
}

func limitFiles(t *testing.T) disk {
	signal.Ignore(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := syscall.Rlimit{Cur: 20 << 20, Max: before.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	return disk{t.TempDir(), func() error { return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before) }}
}

// diskFull: writes fail for want of room and change nothing, reads go on, and so does all else once there is room.
func diskFull(t *testing.T, d disk) {
	ctx := context.Background()
	e := opened(t, d.dir)
	large := func(i int) store.Txn {
		return store.Txn{Ops: []store.Op{{Key: fmt.Sprintf("key/%d", i), Value: bytes.Repeat([]byte("x"), 100_000)}}, Event: []byte("large")}
	}
	written := 0
	for {
		_, err := e.Commit(ctx, large(written))
		if errors.Is(err, store.ErrNoSpace) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		written++
	}
	expect := func(revision int) {
		t.Helper()
		if got := dump(t, e); got[0] != fmt.Sprint(revision) {
			t.Errorf("the store is at %s, want %d", got[0], revision)
		}
		if err := e.Check(); err != nil {
			t.Error(err)
		}
	}
	expect(written)

	// In a group, too, each has its own outcome: some may fit into what is free inside the file.
	outcomes := make([]error, 8)
	var all sync.WaitGroup
	e.turn <- struct{}{}
	for i := range outcomes {
		txn := put("small", "1")
		if i%2 == 0 {
			txn = large(1000 + i)
		}
		all.Go(func() { _, outcomes[i] = e.Commit(ctx, txn) })
		for e.queue.length() <= i {
			runtime.Gosched()
		}
	}
	<-e.turn
	all.Wait()
	full := written
	for i, err := range outcomes {
		switch {
		case err == nil:
			written++
		case !errors.Is(err, store.ErrNoSpace):
			t.Errorf("write %d: %v", i, err)
		}
	}
	if written == full || written == full+len(outcomes) {
		t.Errorf("of some small and some large writes %d had room", written-full)
	}
	expect(written)
	if err := e.compact(ctx); !noSpace(err) && !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("a compaction without room: %v", err)
	}
	expect(written)
	if err := d.room(); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if _, err := e.Commit(ctx, large(i)); err != nil {
			t.Error(err)
		}
	}
	if err := e.compact(ctx); err != nil {
		t.Error(err)
	}
	expect(written + 5)
	want := dump(t, e)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, opened(t, d.dir)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Error("opened again the store has something else")
	}
}
