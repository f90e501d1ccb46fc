package vsphere_test

import (
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/vm/vmtest"
)

func TestConformance(t *testing.T) {
	vmtest.Run(t, newFixture(t, 100).harness())
}

func upper(s string) string { return strings.ToUpper(s) }
