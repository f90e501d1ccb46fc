//go:build !linux

package main

import (
	"context"
	"errors"
)

func (t *tether) agent(context.Context, []string) error {
	return errors.New("the agent runs on Linux only")
}
