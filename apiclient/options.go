package apiclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// Option says how a client shows who it is, and which servers it trusts.
type Option func(*options)

type options struct {
	token            func() (string, error) // nil for none
	certificate, key string
	authorities      string
}

// WithToken shows a bearer token with each request. A program had better read it from a file or its environment than from its command
// line, which everybody on the machine can read.
func WithToken(token string) Option {
	return func(o *options) { o.token = func() (string, error) { return token, nil } }
}

// WithTokenFile shows the bearer token that is a file's only line. It is read for each request: a token can be replaced while the client
// is in use.
func WithTokenFile(file string) Option {
	return func(o *options) {
		o.token = func() (string, error) {
			text, err := os.ReadFile(file) //nolint:gosec // the program names it
			if err != nil {
				return "", fmt.Errorf("token file: %w", err)
			}
			return strings.TrimSpace(string(text)), nil
		}
	}
}

// WithCertificate shows a client certificate, from files in PEM. They are read for each connection: a certificate can be
// replaced while the client is in use.
func WithCertificate(certificate, key string) Option {
	return func(o *options) { o.certificate, o.key = certificate, key }
}

// WithCA trusts servers whose certificate leads to one of those in a file in PEM, instead of those that the system trusts.
func WithCA(file string) Option {
	return func(o *options) { o.authorities = file }
}

var (
	errPlain = errors.New("a token is sent to https, to this machine, or to a unix socket alone: others could read it on its way")
	errToken = errors.New("the token must be one word")
)

// tls is what connections are made with; nil for what net/http does by itself.
func (o *options) tls() (*tls.Config, error) {
	if o.authorities == "" && o.certificate == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13}
	if o.authorities != "" {
		text, err := os.ReadFile(o.authorities)
		if err != nil {
			return nil, fmt.Errorf("certificate authorities: %w", err)
		}
		if config.RootCAs = x509.NewCertPool(); !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("certificate authorities: %s has no certificate", o.authorities)
		}
	}
	if o.certificate != "" {
		load := func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(o.certificate, o.key)
			if err != nil {
				return nil, fmt.Errorf("client certificate: %w", err)
			}
			return &pair, nil
		}
		if _, err := load(); err != nil {
			return nil, err
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	}
	return config, nil
}

// bearer adds the token to what goes to the server, and to nobody whom that may redirect to.
type bearer struct {
	http.RoundTripper
	scheme, host string
	token        func() (string, error)
}

// RoundTrip implements http.RoundTripper. It changes a copy of the request.
func (b *bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != b.scheme || r.URL.Host != b.host {
		return b.RoundTripper.RoundTrip(r)
	}
	token, err := b.token()
	if err == nil && (token == "" || strings.ContainsAny(token, " \t\r\n")) {
		err = errToken
	}
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return b.RoundTripper.RoundTrip(r)
}

// private reports whether nobody can listen in on what is sent to an address.
func private(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "unix" || u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
