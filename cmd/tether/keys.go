package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/vmexecutor/config-server/guest"
)

func (t *tether) get(ctx context.Context, args []string) error {
	return t.with(ctx, func(ctx context.Context, c *guest.Client) error {
		v, err := c.Get(ctx, args[0])
		if err != nil {
			return err
		}
		values, err := v.Values()
		if err != nil {
			return err
		}
		if len(values) == 0 {
			return fmt.Errorf("no such key: %s", args[0])
		}
		_, err = fmt.Fprintln(t.stdout, values[0].Text)
		return err
	})
}

func (t *tether) list(ctx context.Context, _ []string) error {
	return t.with(ctx, func(ctx context.Context, c *guest.Client) error {
		v, err := c.Snapshot(ctx)
		if err != nil {
			return err
		}
		values, faults := v.Values()
		for _, value := range values {
			if err := t.print(value); err != nil {
				return err
			}
		}
		return faults
	})
}

func (t *tether) set(ctx context.Context, args []string) error {
	return t.with(ctx, func(ctx context.Context, c *guest.Client) error {
		_, err := c.Set(ctx, guest.Pair{Key: args[0], Value: args[1]})
		return err
	})
}

// watch prints what differs from what it printed before. It ends with a signal, which is no failure.
func (t *tether) watch(ctx context.Context, _ []string) error {
	c, err := t.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	printed := map[string]guest.Value{}
	for _, err := range c.Watch(ctx) {
		if err == nil {
			printed, err = t.news(ctx, c, printed)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// news prints what differs, and gives what is there now.
func (t *tether) news(ctx context.Context, c *guest.Client, printed map[string]guest.Value) (map[string]guest.Value, error) {
	v, err := c.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	values, faults := v.Values()
	if faults != nil {
		t.say("tether:", faults)
	}
	now := make(map[string]guest.Value, len(values))
	var errs []error
	for _, value := range values {
		now[value.Key] = value
		if old, ok := printed[value.Key]; !ok || old != value {
			errs = append(errs, t.print(value))
		}
	}
	for _, key := range sortedKeys(printed) {
		if _, ok := now[key]; !ok {
			_, err := fmt.Fprintln(t.stdout, key, "deleted")
			errs = append(errs, err)
		}
	}
	return now, errors.Join(errs...)
}

// print prints a key and its value on one line. A secret is printed only when it is asked for by name.
func (t *tether) print(v guest.Value) error {
	text := v.Text
	switch {
	case v.Secret:
		text = "(secret)"
	case strings.ContainsAny(text, "\r\n"):
		text = strconv.Quote(text)
	}
	_, err := fmt.Fprintln(t.stdout, v.Key, "=", text)
	return err
}
