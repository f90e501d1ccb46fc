package auth

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
)

// Options say by what callers are known. Files are read again when they change.
type Options struct {
	TokenFile   string // hashes of bearer tokens; empty for none
	CAFile      string // certificates that client certificates must lead to; empty for none
	Certificate string // the server's own certificate, with those between it and its root, in PEM; empty for no TLS
	Key         string // its private key, in PEM
	Logger      *slog.Logger
}

// Callers knows who is calling. It may be used concurrently.
type Callers struct {
	tokens *watched[tokens]
	roots  *watched[*authorities]
	pair   *watched[*tls.Certificate]
	origin http.CrossOriginProtection
}

// Open reads the files that the options name. An error says which is missing or faulty.
func Open(o Options) (*Callers, error) {
	c := &Callers{}
	if o.TokenFile != "" {
		c.tokens = &watched[tokens]{what: "tokens", paths: []string{o.TokenFile}, log: o.Logger, read: func() (tokens, error) { return readTokens(o.TokenFile) }}
		if err := c.tokens.open(); err != nil {
			return nil, fmt.Errorf("--token-file: %w", err)
		}
	}
	if o.CAFile != "" {
		c.roots = &watched[*authorities]{what: "certificate authorities", paths: []string{o.CAFile}, log: o.Logger, read: func() (*authorities, error) { return readAuthorities(o.CAFile) }}
		if err := c.roots.open(); err != nil {
			return nil, fmt.Errorf("--tls-ca: %w", err)
		}
	}
	if o.Certificate != "" {
		c.pair = &watched[*tls.Certificate]{what: "certificate", paths: []string{o.Certificate, o.Key}, log: o.Logger, read: func() (*tls.Certificate, error) { return readPair(o.Certificate, o.Key) }}
		if err := c.pair.open(); err != nil {
			return nil, fmt.Errorf("--tls-certificate, --tls-key: %w", err)
		}
	}
	return c, nil
}

// Told reports whether callers are told from each other: whether there are tokens, or client certificates.
func (c *Callers) Told() bool { return c.tokens != nil || c.roots != nil }

// TLS is what the server speaks: TLS 1.3 with the certificate as it is by then, and a look at the client's when it has one. It is nil
// without a certificate. Sessions are not resumed: each connection is verified anew.
func (c *Callers) TLS() *tls.Config {
	if c.pair == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*c.pair.get()}, NextProtos: []string{"http/1.1"}, SessionTicketsDisabled: true}
		if c.roots != nil {
			now.ClientAuth, now.ClientCAs = tls.VerifyClientCertIfGiven, c.roots.get().pool
		}
		return now, nil
	}}
}

// Identify says who makes a request. What the caller shows counts for more than where it is: first a token, then a certificate, and
// only without both the place. A caller who is known for the place alone could be a browser which a page of somebody else sends here:
// the request must then name this machine in Host, which a page that had its own name resolved to this address cannot
// do. A browser that was sent to change something says so itself. Errors: ErrUnauthenticated, ErrForbidden.
func (c *Callers) Identify(r *http.Request) (Principal, error) {
	if err := c.origin.Check(r); err != nil {
		return Principal{}, fmt.Errorf("%w: a page of another origin sent this request", ErrForbidden)
	}
	if shown := r.Header.Values("Authorization"); len(shown) > 0 {
		return c.bearer(shown)
	}
	if c.roots != nil && r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		return c.roots.get().principal(r.TLS)
	}
	at, _ := r.Context().Value(placeKey{}).(place)
	p, ok := at.principal(c.Told())
	switch {
	case !ok:
		return Principal{}, ErrUnauthenticated
	case !local(r.Host):
		return Principal{}, fmt.Errorf("%w: Host must be localhost or a loopback address, as it is for those who ask from this machine", ErrForbidden)
	}
	return p, nil
}

// bearer reads the Authorization header (RFC 6750, section 2.1).
func (c *Callers) bearer(shown []string) (Principal, error) {
	scheme, token, _ := strings.Cut(shown[0], " ")
	if len(shown) > 1 || !strings.EqualFold(scheme, "Bearer") || c.tokens == nil {
		return Principal{}, ErrBadToken
	}
	return c.tokens.get().find(strings.Trim(token, " "))
}

// local reports whether a Host header names this machine, with any port.
func local(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
