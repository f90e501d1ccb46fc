package auth

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// roleURI begins the name in a client certificate that tells the caller's role: urn:config-server:role:operator. It is a URI among the
// subject alternative names (RFC 5280, section 4.2.1.6) and not a word of the subject, so that no certificate which an authority
// issued for something else has a role here by accident, and because a subject's words end at 64 characters, where an
// executor's id does not.
const roleURI = "urn:config-server:role:"

// authorities are the certificates that may stand at the root of a client's.
type authorities struct {
	pool  *x509.CertPool
	known map[string]bool // by their DER
}

func readAuthorities(path string) (*authorities, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	a := &authorities{pool: x509.NewCertPool(), known: map[string]bool{}}
	certificates, err := parseCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, c := range certificates {
		a.pool.AddCert(c)
		a.known[string(c.Raw)] = true
	}
	return a, nil
}

// principal gives the caller of a connection whose handshake verified a certificate. That was then: a connection may last
// longer than the certificate, or than the trust in who issued it.
func (a *authorities) principal(state *tls.ConnectionState) (Principal, error) {
	for _, chain := range state.VerifiedChains {
		if a.known[string(chain[len(chain)-1].Raw)] && valid(chain, time.Now()) {
			return principalOf(chain[0])
		}
	}
	return Principal{}, fmt.Errorf("%w: the client certificate counts no more", ErrUnauthenticated)
}

func valid(chain []*x509.Certificate, now time.Time) bool {
	for _, c := range chain {
		if now.After(c.NotAfter) || now.Before(c.NotBefore) {
			return false
		}
	}
	return true
}

// principalOf reads a client certificate: the common name of its subject is the caller's, the role is among its URIs.
func principalOf(c *x509.Certificate) (Principal, error) {
	var roles []string
	for _, u := range c.URIs {
		if role, ok := strings.CutPrefix(u.String(), roleURI); ok {
			roles = append(roles, role)
		}
	}
	if len(roles) != 1 {
		return Principal{}, fmt.Errorf("%w: the client certificate must have one URI that begins with %s", ErrUnauthenticated, roleURI)
	}
	p, err := NewPrincipal(c.Subject.CommonName, roles[0])
	if err != nil {
		return Principal{}, fmt.Errorf("%w: of the client certificate, %w", ErrUnauthenticated, err)
	}
	return p, nil
}

// readPair reads the server's own certificate. The key has to be the certificate's.
func readPair(certificate, key string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", certificate, key, err)
	}
	return &pair, nil
}

// parseCertificates reads PEM. Something that is no certificate is an error: a pool would be silent about it.
func parseCertificates(text []byte) (list []*x509.Certificate, err error) {
	for len(text) > 0 {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("must have certificates alone")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, errors.New("has no certificate in PEM")
	}
	return list, nil
}
