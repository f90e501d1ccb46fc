// Package authtest makes certificate authorities and certificates for tests: those of package auth, and of the server as a whole. Only
// tests import it.
package authtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority issues certificates.
type Authority struct {
	File string // its own certificate, in PEM

	t           testing.TB
	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// New makes an authority whose files are in a directory of the test's.
func New(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir()}
	a.certificate = &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = newKey(t)
	text := a.sign(a.certificate, a.key)
	a.File = filepath.Join(a.dir, "ca.pem")
	write(t, a.File, text)
	return a
}

// Pair are the files of a certificate and of its private key, in PEM.
type Pair struct{ Certificate, Key string }

// Server issues the certificate of a server on this machine.
func (a *Authority) Server() Pair {
	a.t.Helper()
	return a.Issue(func(c *x509.Certificate) {
		c.Subject.CommonName = "server"
		c.DNSNames, c.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
}

// Client issues the certificate of a client that has some URIs, of which one tells its role.
func (a *Authority) Client(name string, uris ...string) Pair {
	a.t.Helper()
	return a.Issue(func(c *x509.Certificate) {
		c.Subject.CommonName = name
		for _, text := range uris {
			u, err := url.Parse(text)
			if err != nil {
				a.t.Fatal(err)
			}
			c.URIs = append(c.URIs, u)
		}
	})
}

// Issue issues a client's certificate, which change makes another.
func (a *Authority) Issue(change func(*x509.Certificate)) Pair {
	a.t.Helper()
	key := newKey(a.t)
	c := &x509.Certificate{
		SerialNumber: serial(a.t), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(c)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	name := filepath.Join(a.dir, c.SerialNumber.String())
	pair := Pair{Certificate: name + ".pem", Key: name + ".key"}
	write(a.t, pair.Certificate, a.sign(c, key))
	write(a.t, pair.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return pair
}

func (a *Authority) sign(c *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func write(t testing.TB, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil { //nolint:gosec // a test's own file
		t.Fatal(err)
	}
}

// Replace puts another file in the place of one, at once, as those do who rotate what is in it.
func Replace(t testing.TB, file, by string) {
	t.Helper()
	text, err := os.ReadFile(by) //nolint:gosec // a test's own file
	if err != nil {
		t.Fatal(err)
	}
	write(t, file+".new", text)
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}
