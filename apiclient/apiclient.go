// Package apiclient makes the generated client ready to use: over TCP or a unix socket, with the media types that the
// API speaks, with errors as one type, with changes that are made again when somebody else was quicker, and with watches
// that go on when a connection is cut.
//
// It is for programs outside this module, and for the demo and the tests. It adds no operation: those are the
// generated client's, which a Client embeds.
package apiclient

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"

	"github.com/go-openapi/runtime"
	httptransport "github.com/go-openapi/runtime/client"

	"github.com/vmexecutor/config-server/client"
)

// Media types of the API that go-openapi does not know by itself.
const (
	mergePatchType = "application/merge-patch+json"
	problemType    = "application/problem+json"
	linesType      = "application/x-ndjson"
)

var errAddress = errors.New("address of the server: must be such as http://127.0.0.1:8080 or unix:///run/config-server.sock")

// Client is the generated client, ready to use. It may be used concurrently.
type Client struct {
	*client.Config
	transport *http.Transport
}

// New makes a client of a server, which is named by a URL (http://127.0.0.1:8080, https://config.example.com) or by a
// unix socket (unix:///run/config-server.sock). It does not connect yet. Without options it shows no token and no
// certificate. Errors show neither.
func New(address string, opts ...Option) (*Client, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errAddress // what url.Parse says would show a password
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	host, scheme := u.Host, u.Scheme
	switch {
	case scheme == "unix" && u.Host == "" && u.Path != "":
		// The host is what the Host header says: a server on a socket has no other name.
		host, scheme = "localhost", "http"
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", u.Path)
		}
	case (scheme == "http" || scheme == "https") && u.Host != "" && (u.Path == "" || u.Path == "/"):
	default:
		return nil, errAddress
	}
	config, err := o.tls()
	if err != nil {
		return nil, err
	}
	if config != nil {
		transport.TLSClientConfig = config
	}
	rt := httptransport.New(host, client.DefaultBasePath, []string{scheme})
	rt.Transport = heeding{transport}
	if o.token != nil {
		if !private(u) {
			return nil, errPlain
		}
		rt.Transport = &bearer{RoundTripper: rt.Transport, scheme: scheme, host: host, token: o.token}
	}
	rt.Consumers[problemType] = runtime.JSONConsumer()
	rt.Consumers[linesType] = runtime.ByteStreamConsumer()
	rt.Producers[mergePatchType] = runtime.JSONProducer()
	return &Client{Config: client.New(rt, nil), transport: transport}, nil
}

// Close closes connections that are idle.
func (c *Client) Close() { c.transport.CloseIdleConnections() }
