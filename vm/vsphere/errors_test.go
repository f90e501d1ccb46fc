package vsphere

import (
	"errors"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm"
)

// TestRefusalsQuoteNoValue: what vSphere says of a change that it refuses is told without the values, which it may quote.
func TestRefusalsQuoteNoValue(t *testing.T) {
	set := []extraconfig.Pair{{Key: "guestinfo.vice./key", Value: "cHJpdmF0ZQ=="}, {Key: "guestinfo.vice./hostname", Value: "web"}}
	err := withoutValues(&failure{text: `vSphere refuses: InvalidArgument: guestinfo.vice./key = "cHJpdmF0ZQ==" of web`}, set)
	if text := err.Error(); strings.Contains(text, "cHJp") || !strings.Contains(text, `InvalidArgument: guestinfo.vice./key = "..."`) {
		t.Errorf("it says %s", text)
	}
	if err := withoutValues(unavailable("away"), set); !errors.Is(err, vm.ErrUnavailable) || err.Error() != "away" {
		t.Errorf("another error is %v", err)
	}
	if withoutValues(nil, set) != nil {
		t.Error("no error became one")
	}
}
