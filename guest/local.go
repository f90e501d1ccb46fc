package guest

import (
	"context"
	"errors"
	"net"
	"sync"
)

// LocalSocket is where the agent of a guest serves the other programs of that guest, which cannot have the port of
// which there is one.
const LocalSocket = "/run/tether.sock"

// ServeLocal lets other programs of the guest use this client's connection: it serves what connects to l until ctx ends, and closes l.
// Whoever may connect may do what the guest may.
func (c *Client) ServeLocal(ctx context.Context, l net.Listener) error {
	s := NewServer(relay{c}, Options{Log: c.log})
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	all.Go(func() {
		for change, err := range c.Watch(ctx) {
			if err != nil {
				cancel() // or the client is closed
				return
			}
			s.Changed(change.Revision, change.Keys...)
		}
	})
	for {
		conn, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return context.Cause(ctx)
			}
			return err
		}
		all.Go(func() { _ = s.Serve(ctx, conn) }) // a program that goes away is none of ours
	}
}

// relay is the VM as its guest knows it.
type relay struct{ c *Client }

func (r relay) Hello(ctx context.Context, _ Hello) (Welcome, error) {
	if _, _, err := r.c.wait(ctx); err != nil {
		return Welcome{}, err
	}
	return r.c.Welcome(), nil
}

func (r relay) Snapshot(ctx context.Context) (s Snapshot, err error) {
	_, err = r.c.call(ctx, methodSnapshot, nil, &s)
	return s, err
}

func (r relay) Set(ctx context.Context, keys []Pair) (uint64, error) {
	var result revisionResult
	_, err := r.c.call(ctx, methodSet, pairsParams{keys}, &result)
	return result.Revision, err
}
