// Package simulator is a vSphere for machines that have none: govmomi's simulator, in process,
// spoken to over its own SOAP endpoint by the same driver that speaks to a real one.
package simulator

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
)

// The account that may log in.
const (
	Username = "user"
	Password = "pass"
)

// Options of a simulator.
type Options struct {
	// Listen is host:port. Port 0 picks a free one.
	Listen string
	// VMs is how many there are at the start, named vm1, vm2 and so on.
	VMs int
	// Logger hears of what the simulator itself has to say. Nil: nobody does.
	Logger *slog.Logger
}

// Simulator is one that runs.
type Simulator struct{}

// Start builds the inventory and serves it.
func Start(ctx context.Context, o Options) (*Simulator, error) { return nil, errors.ErrUnsupported }

// URL is that of the SDK endpoint, without credentials.
func (s *Simulator) URL() *url.URL { return nil }

// Close stops it. It does not wait for clients that wait for updates.
func (s *Simulator) Close(ctx context.Context) error { return nil }
