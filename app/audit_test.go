package app

import (
	"strings"
	"testing"

	"github.com/jessevdk/go-flags"
)

// TestAuditOptions: what the command line says when it says nothing is what a program gets that leaves all at zero, and what cannot be is refused.
func TestAuditOptions(t *testing.T) {
	var o Options
	if _, err := flags.NewParser(&o, flags.None).ParseArgs(nil); err != nil {
		t.Fatal(err)
	}
	if want := (Audit{}).orDefault(); o.Audit != want {
		t.Errorf("by flags %+v, by itself %+v", o.Audit, want)
	}
	for flag, a := range map[string]Audit{"--audit-file-size": {Size: -1}, "--audit-files": {Files: maxAuditFiles + 1}, "": {Size: 1, Files: 1}} {
		if err := a.orDefault().validate(); (err == nil) != (flag == "") || err != nil && !strings.Contains(err.Error(), flag+":") {
			t.Errorf("%+v: %v", a, err)
		}
	}
}
