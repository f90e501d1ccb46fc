package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vmexecutor/config-server/guest"
)

// What vmware-rpctool says, and the hypervisor behind it: results on standard output, all else on standard error, with a newline;
// exit status 1 for any failure (open-vm-tools, rpctool/rpctool.c, lib/rpcOut).
const (
	rpcNoValue   = "No value found"
	rpcDenied    = "Permission denied"
	rpcUnknown   = "Unknown command"
	rpcNoChannel = "RpcOut: Unable to open the communication channel"
)

// rpc does what vmware-rpctool does with the same text. Values are as they travel: an empty one is <nil>, a secret one sealed.
func (t *tether) rpc(ctx context.Context, args []string) error {
	name, rest, _ := strings.Cut(args[0], " ")
	key, value, _ := strings.Cut(rest, " ")
	if name != "info-get" && name != "info-set" {
		return t.rpcFailed(rpcUnknown, nil)
	}
	c, err := t.open(ctx)
	if err != nil {
		return t.rpcFailed(rpcNoChannel, err)
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := t.limited(ctx)
	defer cancel()
	if name == "info-get" {
		return t.infoGet(ctx, c, strings.TrimSpace(rest))
	}
	return t.infoSet(ctx, c, key, value)
}

func (t *tether) infoGet(ctx context.Context, c *guest.Client, key string) error {
	v, err := c.Get(ctx, key)
	switch {
	case err != nil:
		return t.rpcFailed(rpcNoChannel, err)
	case len(v.Keys) == 0:
		return t.rpcFailed(rpcNoValue, nil)
	}
	_, err = fmt.Fprintln(t.stdout, v.Keys[0].Value)
	return err
}

func (t *tether) infoSet(ctx context.Context, c *guest.Client, key, value string) error {
	if value == "" { // there it deletes the key, which a guest cannot do here
		return t.rpcFailed(rpcDenied, errors.New("a key cannot be deleted; an empty value is <nil>"))
	}
	_, err := c.Set(ctx, guest.Pair{Key: key, Value: value})
	if refusal, ok := errors.AsType[*guest.Refusal](err); ok {
		return t.rpcFailed(rpcDenied, refusal)
	}
	if err != nil {
		return t.rpcFailed(rpcNoChannel, err)
	}
	_, err = fmt.Fprintln(t.stdout)
	return err
}

// rpcFailed says what vmware-rpctool would, and then why.
func (t *tether) rpcFailed(message string, why error) error {
	t.say(message)
	if why != nil {
		t.say("tether:", why)
	}
	return status(failed)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
