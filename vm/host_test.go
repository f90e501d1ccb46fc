package vm_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/vm"
)

// TestAttachmentsDoNotPrint the key that they carry.
func TestAttachmentsDoNotPrint(t *testing.T) {
	a := vm.Attachment{Executor: "web-1", SecretKey: executor.Secret("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk")}
	var b strings.Builder
	for _, v := range []any{a, &a, struct{ A *vm.Attachment }{&a}} {
		fmt.Fprintf(&b, "%v %+v %#v %s %q %x %X %d %t\n", v, v, v, v, v, v, v, v, v)
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
	}
	for _, secret := range []string{"kkkk", "6b6b6b", "6B6B6B", "0x6b", "107 107", "107,107", "a2tra2tr"} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("it shows %q: %s", secret, &b)
		}
	}
}
