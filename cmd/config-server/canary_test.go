package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

// canary is a value of 32 bytes that stands in a field, and is looked for wherever the server writes something.
type canary struct {
	field string
	value string
	kind  canaryKind
}

type canaryKind string

const (
	secretKind canaryKind = "secret" // only administrators see it, and the guest where the field is for the guest
	hiddenKind canaryKind = "hidden" // no guest sees it
	sentKind   canaryKind = "sent"   // somebody sent it in a request that was refused: nobody sees it
)

// canaries are all of a test.
type canaries struct {
	*testing.T
	all map[string]*canary // by field
}

// of gives the value that stands in a field.
func (c *canaries) of(kind canaryKind, field string) string {
	if known := c.all[field]; known != nil {
		return known.value
	}
	raw := make([]byte, 16)
	rand.Read(raw)
	made := &canary{field: field, value: hex.EncodeToString(raw), kind: kind} // lower case and digits: no encoding of text changes it
	c.all[field] = made
	return made.value
}

func (c *canaries) base64(kind canaryKind, field string) string {
	return base64.StdEncoding.EncodeToString([]byte(c.of(kind, field)))
}

// in gives the canaries that a text has, in whatever form.
func (c *canaries) in(text string) (found []*canary) {
	for _, x := range c.all {
		if x.shows(text) {
			found = append(found, x)
		}
	}
	return found
}

func (x *canary) shows(text string) bool {
	if strings.Contains(text, x.value) || strings.Contains(strings.ToLower(text), hex.EncodeToString([]byte(x.value))) {
		return true
	}
	for shift := range 3 { // wherever it begins in what was encoded
		encoded := base64.StdEncoding.EncodeToString(append(make([]byte, shift), x.value...))
		inner := encoded[4 : len(encoded)-4]
		if strings.Contains(text, inner) || strings.Contains(text, strings.NewReplacer("+", "-", "/", "_").Replace(inner)) {
			return true
		}
	}
	return false
}

// absent wants none of the canaries of some kinds in a text, but for those that stand in fields where it may have them.
func (c *canaries) absent(where, text string, kinds []canaryKind, but ...string) {
	c.Helper()
	for _, x := range c.in(text) {
		if slices.Contains(kinds, x.kind) && !slices.Contains(but, x.field) {
			c.Errorf("%s shows what stands in %s", where, x.field)
		}
	}
}

// present wants canaries in a text: a test that looks in the wrong place would find none anywhere.
func (c *canaries) present(where, text string, fields ...string) {
	c.Helper()
	for _, field := range fields {
		if x := c.all[field]; x == nil || !x.shows(text) {
			c.Errorf("%s does not show what stands in %s", where, field)
		}
	}
}
