// Command demo shows the main job from end to end, with checks at every step: it starts a server on
// embedded defaults, creates an executor with the generated client, has it delivered to a simulated
// VM, reads that VM back over the vSphere API, plays the guest of a VM without vSphere with the tether, and cleans up. It is a client like any other: what it
// knows of the server is its API, and what it knows of the VM comes from the hypervisor.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/vmexecutor/config-server/cmd/internal/stage"
)

// limit is how long all of it may take. It is there for what hangs: the demo is done in a few seconds.
const limit = time.Minute

func main() {
	binary := flag.String("server", "bin/config-server", "the server's binary; the tether's is beside it")
	flag.Parse()
	// The closed pipe of `make demo | head`, too, is for the server to hear of: it would be left behind.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	err := run(ctx, *binary)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "config-server-demo")
	if err != nil {
		return fmt.Errorf("make a data directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	stage.Step("Start the server: its store is a file, and its vSphere a simulator that speaks the real API.")
	server, err := stage.Start(ctx, binary, dir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, server.Stop(), fmt.Errorf("the server logged:\n%s", server.Log()))
		}
	}()
	stage.Table([]string{"API", server.API}, []string{"vSphere simulator", server.Simulator})

	if err := tell(ctx, server, filepath.Join(filepath.Dir(binary), "tether")); err != nil {
		return err
	}

	stage.Step("Stop the server with SIGTERM.")
	if err := server.Stop(); err != nil {
		return err
	}
	stage.Say("It ended cleanly. All of the above was checked, not only shown.")
	return nil
}

// tell is the story between the server's start and its end.
func tell(ctx context.Context, server *stage.Server, tether string) (err error) {
	s, err := newStory(ctx, server)
	if err != nil {
		return err
	}
	s.tether = tether
	defer func() { err = errors.Join(err, s.driver.Close(context.WithoutCancel(ctx))) }()
	for _, part := range []func(context.Context) error{s.create, s.bind, s.show, s.change, s.beGuest, s.remove} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}
