// Command demo-vm shows the main job on a real machine: it starts a server, creates an executor, and boots a VM under
// QEMU whose init is the guest's agent. The VM reads its configuration over a virtio-serial port, runs its session, and
// reports; then something changes while it runs. Every step is checked. It is a client like any other: what it knows of the
// server is its API, and what it knows of the guest is what that writes to its console.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/vmexecutor/config-server/cmd/internal/stage"
)

// limit is how long all of it may take. It is there for what hangs: emulation takes its time on a busy machine.
const limit = 10 * time.Minute

func main() {
	binary := flag.String("server", "bin/config-server", "the server's binary")
	tether := flag.String("tether", "bin/tether", "the agent's binary, static, for Linux on amd64")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	err := run(ctx, *binary, *tether)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo-vm:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary, tether string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stage.Step("Find QEMU and a kernel, and make an initramfs whose init is the agent.")
	s, err := newSite(binary, tether)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	stage.Table([]string{"kernel", s.kernel.Image}, []string{"initramfs", size(s.initramfs) + ", of which the agent is " + size(tether)})

	stage.Step("Start the server.")
	if err := s.serve(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.server.Stop(), fmt.Errorf("the server logged:\n%s", s.server.Log()))
		}
	}()
	stage.Table([]string{"API", s.server.API})
	if err := s.tell(ctx); err != nil {
		return err
	}

	stage.Step("Stop the server with SIGTERM.")
	if err := s.server.Stop(); err != nil {
		return err
	}
	stage.Say("It ended cleanly. All of the above was checked, not only shown.")
	return nil
}

// size is that of a file, for people.
func size(file string) string {
	info, err := os.Stat(file)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%.1f MB", float64(info.Size())/1e6)
}
