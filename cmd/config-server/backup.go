package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/vmexecutor/config-server/apiclient"
	"github.com/vmexecutor/config-server/app"
	"github.com/vmexecutor/config-server/client/system"
	"github.com/vmexecutor/config-server/internal/durable"
)

// backupCommand copies the store of a server that runs.
type backupCommand struct {
	Address string `long:"address" value-name:"URL" description:"The server, http://host:port or unix:///path; without it the one that --host, --port, --tls-certificate and --socket-path of this command line would start"`
	Bearer  string `long:"bearer-file" value-name:"FILE" description:"A file whose only line is the token of an administrator"`
	CA      string `long:"ca" value-name:"FILE" description:"Certificates of the authorities to trust, in PEM, instead of those that the system trusts"`
	Args    struct {
		File string `positional-arg-name:"FILE" description:"Where the copy goes. A file that is there is replaced once the copy is whole"`
	} `positional-args:"yes" required:"yes"`
}

func (c *backupCommand) run(ctx context.Context, o app.Options) error {
	address := c.Address
	switch {
	case address != "":
		if _, err := apiclient.New(address); err != nil {
			return &app.UsageError{Err: fmt.Errorf("--address: %w", err)}
		}
	case o.SocketPath != "":
		path, err := filepath.Abs(o.SocketPath)
		if err != nil {
			return err
		}
		address = "unix://" + path
	default:
		scheme := "http://"
		if o.TLSCertificate != "" {
			scheme = "https://"
		}
		host := o.Host
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "localhost" // all addresses: no certificate names them, and this machine's is one
		}
		address = scheme + net.JoinHostPort(host, strconv.Itoa(int(o.Port)))
	}
	var opts []apiclient.Option
	if c.Bearer != "" {
		opts = append(opts, apiclient.WithTokenFile(c.Bearer))
	}
	if c.CA != "" {
		opts = append(opts, apiclient.WithCA(c.CA))
	}
	contents, err := save(ctx, address, c.Args.File, opts...)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	fmt.Printf("%s: %s\n", c.Args.File, contents)
	return nil
}

// save copies a server's store to a file, which only this user can read. It has that name only once it is whole and on disk.
func save(ctx context.Context, address, file string, opts ...apiclient.Option) (contents app.Contents, err error) {
	server, err := apiclient.New(address, opts...)
	if err != nil {
		return contents, err
	}
	defer server.Close()
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*") // mode 0600
	if err != nil {
		return contents, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = server.System.GetBackupContext(ctx, system.NewGetBackupParams().WithTimeout(0), f)
	if err == nil {
		err = f.Sync()
	} else {
		err = errors.New(apiclient.Describe(err))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return contents, err
	}
	if contents, err = app.CheckBackup(f.Name()); err != nil {
		return contents, fmt.Errorf("what came is no backup: %w", err)
	}
	if err = os.Rename(f.Name(), file); err != nil {
		return contents, err
	}
	return contents, durable.SyncDir(filepath.Dir(file))
}

// restoreCommand makes a backup the store.
type restoreCommand struct {
	Replace bool `long:"replace" description:"Replace the store that is in the data directory"`
	Args    struct {
		File string `positional-arg-name:"FILE" description:"What the backup command wrote"`
	} `positional-args:"yes" required:"yes"`
}

func (c *restoreCommand) run(_ context.Context, o app.Options) error {
	contents, err := o.Restore(c.Args.File, c.Replace)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %s\n", o.DataDir, contents)
	return nil
}
