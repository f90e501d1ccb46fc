//go:build !linux

package main

import "errors"

func runAgent([]string) error { return errors.New("the agent runs on Linux only") }
