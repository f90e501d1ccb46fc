package app

import (
	"errors"
	"fmt"
)

// validateCallers refuses to serve where it is not known who calls: an address that others can reach needs TLS, so that nobody listens in,
// and a way to tell callers from each other.
func (o *Options) validateCallers() error {
	var errs []error
	told := o.TokenFile != "" || o.TLSCA != ""
	if (o.TLSCertificate == "") != (o.TLSKey == "") {
		errs = append(errs, errors.New("--tls-certificate, --tls-key: go together"))
	}
	switch {
	case o.TLSCertificate != "" && !told:
		errs = append(errs, errors.New("--tls-certificate: needs --token-file or --tls-ca, or both: TLS by itself does not say who is calling"))
	case o.TLSCertificate == "" && o.TLSCA != "":
		errs = append(errs, errors.New("--tls-ca: needs --tls-certificate and --tls-key"))
	}
	if o.TLSCertificate == "" || !told {
		if err := loopback(o.Host); err != nil {
			errs = append(errs, fmt.Errorf("--host: %w: see --tls-certificate, --token-file and --tls-ca", err))
		}
	}
	if o.SocketMode > 0o777 || o.Explicit && o.SocketMode == 0 {
		errs = append(errs, errors.New("--socket-mode: must be such as 0660"))
	}
	return errors.Join(errs...)
}
