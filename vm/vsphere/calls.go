package vsphere

import (
	"context"
	"maps"
	"reflect"
	"strings"
	"sync"

	"github.com/vmware/govmomi/vim25/soap"
)

// calls counts the calls made, by SOAP method.
type calls struct {
	mu sync.Mutex
	n  map[string]uint64
}

func (c *calls) add(method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[string]uint64)
	}
	c.n[method]++
}

// Calls is how many calls the driver has made since it was made, by SOAP method, failed ones too.
func (d *Driver) Calls() map[string]uint64 {
	d.calls.mu.Lock()
	defer d.calls.mu.Unlock()
	return maps.Clone(d.calls.n)
}

// counted is a connection whose calls are counted.
type counted struct {
	soap.RoundTripper
	calls *calls
}

func (c counted) RoundTrip(ctx context.Context, req, res soap.HasFault) error {
	c.calls.add(strings.TrimSuffix(reflect.TypeOf(req).Elem().Name(), "Body"))
	return c.RoundTripper.RoundTrip(ctx, req, res)
}
