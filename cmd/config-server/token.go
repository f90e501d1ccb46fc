package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/jessevdk/go-flags"

	"github.com/vmexecutor/config-server/app"
	"github.com/vmexecutor/config-server/auth"
)

// newTokenCommand is the command that makes a token.
type newTokenCommand struct {
	Role string `long:"role" value-name:"ROLE" required:"yes" description:"What the caller may do: viewer, operator, admin, or vm:<id of an executor>"`
	Name string `long:"name" value-name:"NAME" required:"yes" description:"Whom the token is for, as logs and events show it"`
}

// addTokenCommand adds config-server token new. It has the server's own --token-file.
func addTokenCommand(parser *flags.Parser, made *newTokenCommand) error {
	token, err := parser.AddCommand("token", "Manage bearer tokens", "Manages the file of token hashes that --token-file names.", &struct{}{})
	if err != nil {
		return err
	}
	_, err = token.AddCommand("new", "Make a token and print it",
		"Makes a token, adds its hash to the file that --token-file names, and prints the token: once, as nothing keeps it. A running server knows it from its next request on.", made)
	return err
}

// run prints the token alone, so that a shell can take it.
func (c *newTokenCommand) run(_ context.Context, server app.Options) error {
	if server.TokenFile == "" {
		return &app.UsageError{Err: errors.New("--token-file: must name the file that the token's hash is added to")}
	}
	p, err := auth.NewPrincipal(c.Name, c.Role)
	if err != nil {
		return &app.UsageError{Err: err}
	}
	token, err := auth.NewToken(server.TokenFile, p)
	if err != nil {
		return fmt.Errorf("--token-file: %w", err)
	}
	if _, err := fmt.Fprintln(os.Stdout, token); err != nil {
		return fmt.Errorf("the token was made but could not be printed: remove the last line of %s: %w", server.TokenFile, err)
	}
	return nil
}
