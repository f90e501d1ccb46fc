package app

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/jessevdk/go-flags"
)

// TestZeroFlags: who asks for zero of what has another default does not get the default. In a program zero is that.
func TestZeroFlags(t *testing.T) {
	meanings := []string{"port", "simulator-vms"} // of which zero has one
	o := Options{Explicit: true}
	parser := flags.NewParser(&o, flags.None)
	if _, err := parser.ParseArgs(nil); err != nil {
		t.Fatal(err)
	}
	if err := o.validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	var tried []string
	for _, group := range append(parser.Groups(), parser.Groups()[0].Groups()...) {
		for _, flag := range group.Options() {
			value := reflect.ValueOf(flag.Value())
			if (!value.CanInt() && !value.CanUint() && !value.CanFloat()) || value.IsZero() || slices.Contains(meanings, flag.LongName) {
				continue
			}
			tried = append(tried, flag.LongName)
			o := Options{Explicit: true}
			if _, err := flags.NewParser(&o, flags.None).ParseArgs([]string{"--" + flag.LongName + "=0"}); err != nil {
				t.Fatal(err)
			}
			if err := o.validate(); err == nil || !strings.Contains(err.Error(), "--"+flag.LongName+": ") {
				t.Errorf("--%s=0: %v", flag.LongName, err)
			}
			o.Explicit = false
			if err := o.validate(); err != nil {
				t.Errorf("zero for %s in a program: %v", flag.LongName, err)
			}
		}
	}
	for _, flag := range []string{"resync", "max-body", "history-bytes", "audit-files", "socket-mode", "idle-timeout"} {
		if !slices.Contains(tried, flag) {
			t.Errorf("--%s was not tried, but %q", flag, tried)
		}
	}
}
