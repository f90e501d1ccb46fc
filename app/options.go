package app

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// Options are what the server is started with. The tags make them command-line flags; the
// credentials of a vCenter have none, because command lines are for everybody to read.
type Options struct {
	Host       string `long:"host" value-name:"ADDRESS" default:"127.0.0.1" description:"Address to serve the API on; one that is not loopback needs TLS, and tokens or client certificates"`
	Port       uint16 `long:"port" value-name:"PORT" default:"8080" description:"TCP port of the API; 0 picks a free one"`
	SocketPath string `long:"socket-path" value-name:"PATH" description:"Unix socket to serve the API on too"`
	SocketMode uint32 `long:"socket-mode" value-name:"MODE" base:"8" default:"0600" description:"Who can connect to the unix socket, as chmod has it; users other than root and the server's own need a token"`
	DataDir    string `long:"data-dir" value-name:"DIR" default:"./data" description:"Directory of the store; made when it does not exist. none keeps everything in memory, and forgets it at the end"`

	SecretKeyFile string `long:"secret-key-file" value-name:"FILE" description:"Keys that all records are sealed with, of which the first seals; secret.key in the data directory unless given, and made when the store is new. config-server rotate-key changes it; it is read again when it changes"`

	HistoryBytes int64 `long:"history-bytes" value-name:"N" default:"268435456" description:"Most that the kept history of changes takes, in bytes. It goes back 100,000 changes or 15 minutes, whichever is longer, as far as that allows"`

	TLSCertificate string `long:"tls-certificate" value-name:"FILE" description:"The server's certificate, followed by those between it and its root, in PEM; read again when it changes"`
	TLSKey         string `long:"tls-key" value-name:"FILE" description:"The certificate's private key, in PEM"`
	TLSCA          string `long:"tls-ca" value-name:"FILE" description:"Authorities of client certificates, in PEM; read again when it changes"`
	TokenFile      string `long:"token-file" value-name:"FILE" description:"Hashes of bearer tokens, which 'config-server token new' makes; read again when it changes"`

	Bounds Bounds `group:"Bounds"`
	Audit  Audit  `group:"Audit"`

	VSphereURL      string `long:"vsphere-url" value-name:"URL" description:"vCenter to push to, https://host/sdk; without one a simulator is started. Credentials: see VSPHERE_USERNAME, VSPHERE_PASSWORD and VSPHERE_CREDENTIALS_FILE in the README"`
	VSphereInsecure bool   `long:"vsphere-insecure" description:"Do not check the vCenter's certificate"`
	SimulatorListen string `long:"simulator-listen" value-name:"ADDRESS" default:"127.0.0.1:8989" description:"Loopback address of the simulator's vSphere API; port 0 picks a free one"`
	SimulatorVMs    int    `long:"simulator-vms" value-name:"N" default:"4" description:"VMs in the simulator, named vm1 to vmN"`

	GuestDir         string `long:"guest-dir" value-name:"DIR" description:"Directory of the unix sockets that guests are served on; guests in the data directory unless given, or a temporary one with --data-dir none. Made when it does not exist"`
	GuestSocketMode  string `long:"guest-socket-mode" value-name:"MODE" default:"0600" description:"Permissions of these sockets, in octal: whoever can connect to one is that executor's guest"`
	GuestSocketGroup string `long:"guest-socket-group" value-name:"GROUP" description:"Group of these sockets, and of the directory when it is made: a name or a number"`

	PushRate float64       `long:"push-rate" value-name:"N" default:"0" description:"Changes of VMs a second, all together; 0 is no limit"`
	Resync   time.Duration `long:"resync" value-name:"DURATION" default:"10m" description:"Time between two looks at every VM, which repair what no hint told of"`

	LogLevel  string `long:"log-level" choice:"debug" choice:"info" choice:"warn" choice:"error" default:"info" description:"Least severe messages to log"`
	LogFormat string `long:"log-format" choice:"text" choice:"json" default:"text" description:"How to write the log, which goes to standard error"`

	// Ready is called with the addresses once the server answers. It is for programs that start one in process.
	Ready func(Addresses) `no-flag:"true"`
}

// Addresses are where a running server is reached.
type Addresses struct {
	API       string // base URL over TCP, http://127.0.0.1:8080
	Socket    string // path of the unix socket, empty for none
	Simulator string // URL of the simulator's vSphere API, empty when there is a vCenter
}

// UsageError is the refusal of what was asked for, by flags that cannot be as they are. Nothing was opened or changed.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// validate refuses what cannot work, or would not be safe, before anything is opened.
func (o *Options) validate() error {
	var errs []error
	if err := o.validateCallers(); err != nil {
		errs = append(errs, err)
	}
	if err := o.Bounds.validate(); err != nil {
		errs = append(errs, err)
	}
	if err := o.Audit.validate(); err != nil {
		errs = append(errs, err)
	}
	if o.DataDir == "" {
		errs = append(errs, errors.New("--data-dir: must not be empty"))
	}
	if o.HistoryBytes != 0 && o.HistoryBytes < minHistoryBytes {
		errs = append(errs, fmt.Errorf("--history-bytes: must be at least %d", minHistoryBytes))
	}
	if o.PushRate < 0 || math.IsNaN(o.PushRate) || math.IsInf(o.PushRate, 0) {
		errs = append(errs, errors.New("--push-rate: must be a number of changes a second, or 0 for no limit"))
	}
	if o.Resync != 0 && o.Resync < time.Second {
		errs = append(errs, errors.New("--resync: must be at least 1s"))
	}
	if _, err := o.guests(nil, o.guestsInData()); err != nil {
		errs = append(errs, err)
	}
	if o.VSphereURL != "" {
		if _, err := o.vSphereURL(); err != nil {
			errs = append(errs, err)
		}
	} else {
		host, _, err := net.SplitHostPort(o.SimulatorListen)
		if err == nil {
			err = loopback(host)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("--simulator-listen: %w", err))
		}
		if o.SimulatorVMs < 0 || o.SimulatorVMs > maxSimulatorVMs {
			errs = append(errs, fmt.Errorf("--simulator-vms: must be between 0 and %d", maxSimulatorVMs))
		}
	}
	return errors.Join(errs...)
}

const (
	maxSimulatorVMs = 10_000
	minHistoryBytes = 1 << 20
)

// loopback refuses what others can reach without authentication: whoever can connect is an administrator.
func loopback(host string) error {
	if host == "localhost" {
		return nil
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%q is not a loopback address: without TLS and authentication the server may be reached from this machine only", host)
}

// vSphere is a vCenter and how to log in to it.
type vSphere struct {
	url                *url.URL
	username, password string
}

// vSphereURL reads the vCenter's address.
func (o *Options) vSphereURL() (*url.URL, error) {
	u, err := url.Parse(o.VSphereURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, errors.New("--vsphere-url: must be a URL such as https://vcenter.example.com/sdk")
	}
	if _, set := u.User.Password(); set {
		return nil, errors.New("--vsphere-url: must not hold a password, which everybody on this machine could read: set VSPHERE_PASSWORD or VSPHERE_CREDENTIALS_FILE")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/sdk"
	}
	return u, nil
}

// vSphere reads the vCenter's address, and its credentials from the environment or a file.
func (o *Options) vSphere(getenv func(string) string) (*vSphere, error) {
	u, err := o.vSphereURL()
	if err != nil {
		return nil, err
	}
	v := &vSphere{url: u, username: u.User.Username(), password: getenv("VSPHERE_PASSWORD")}
	if name := getenv("VSPHERE_USERNAME"); name != "" {
		v.username = name
	}
	u.User = nil
	if file := getenv("VSPHERE_CREDENTIALS_FILE"); file != "" {
		if v.username, v.password, err = readCredentials(file); err != nil {
			return nil, err
		}
	}
	if v.username == "" || v.password == "" {
		return nil, errors.New("--vsphere-url: needs VSPHERE_USERNAME and VSPHERE_PASSWORD, or VSPHERE_CREDENTIALS_FILE, in the environment")
	}
	return v, nil
}

// readCredentials reads a file of two lines: the user name and the password.
func readCredentials(file string) (username, password string, err error) {
	f, err := os.Open(file) //nolint:gosec // the operator names it
	if err != nil {
		return "", "", fmt.Errorf("VSPHERE_CREDENTIALS_FILE: %w", err)
	}
	defer f.Close()
	var lines []string
	scan := bufio.NewScanner(f)
	for scan.Scan() && len(lines) < 3 {
		lines = append(lines, strings.TrimSuffix(scan.Text(), "\r"))
	}
	if scan.Err() != nil || len(lines) != 2 {
		return "", "", errors.New("VSPHERE_CREDENTIALS_FILE: must have two lines, the user name and the password")
	}
	return lines[0], lines[1], nil
}

// logger writes to standard error as the options say.
func (o *Options) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.LogLevel)); err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	options := &slog.HandlerOptions{Level: level}
	switch o.LogFormat {
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), nil
	case "text", "":
		return slog.New(slog.NewTextHandler(os.Stderr, options)), nil
	}
	return nil, fmt.Errorf("--log-format: %q is not text or json", o.LogFormat)
}
