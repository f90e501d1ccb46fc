package vsphere

import (
	"errors"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/vm"
)

// TestRefusalsQuoteNoValue: what vSphere says of a change that it refuses is told without the values, which it may quote.
func TestRefusalsQuoteNoValue(t *testing.T) {
	change := vm.Change{
		Set:       []extraconfig.Pair{{Key: "guestinfo.vice./key", Value: "cHJpdmF0ZQ=="}, {Key: "guestinfo.vice./hostname", Value: "web"}},
		SecretKey: executor.Secret("\x01\x02\x03"),
	}
	err := withoutValues(&failure{text: `vSphere refuses: InvalidArgument: guestinfo.vice./key = "cHJpdmF0ZQ==" of web, guestinfo.ovfEnv = "AQID"`}, change)
	if text := err.Error(); strings.Contains(text, "cHJp") || strings.Contains(text, "AQID") || !strings.Contains(text, `InvalidArgument: guestinfo.vice./key = "..."`) {
		t.Errorf("it says %s", text)
	}
	if err := withoutValues(unavailable("away"), change); !errors.Is(err, vm.ErrUnavailable) || err.Error() != "away" {
		t.Errorf("another error is %v", err)
	}
	if withoutValues(nil, change) != nil {
		t.Error("no error became one")
	}
}
