package qemu_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"testing"
)

// raw says hello and makes one set, in so many words. The error is the answer's.
func raw(t *testing.T, conn net.Conn, boot, params string) error {
	t.Helper()
	lines := bufio.NewReader(conn)
	ask := func(id int, method, params string) error {
		if _, err := fmt.Fprintf(conn, `{"jsonrpc": "2.0", "id": %d, "method": %q, "params": %s}`+"\n", id, method, params); err != nil {
			return err
		}
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return err
			}
			var m struct {
				ID    *int
				Error *struct{ Message string }
			}
			if json.Unmarshal(line, &m) != nil || m.ID == nil || *m.ID != id {
				continue
			}
			if m.Error != nil {
				return errors.New(m.Error.Message)
			}
			return nil
		}
	}
	must(t, ask(1, "hello", fmt.Sprintf(`{"protocol": 1, "agent": "raw", "boot": %q}`, boot)))
	return ask(2, "set", params)
}
