package guest_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/guest"
)

// The example of docs/guest-protocol.md is what happens.
func TestExampleOfTheDocument(t *testing.T) {
	text, err := os.ReadFile("../docs/guest-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "## 7.")
	m := newMachine(name, "web", "guestinfo.vice./hostname", "<nil>")
	m.key = []byte(strings.Repeat("k", 32))
	s := guest.NewServer(m, guest.Options{Software: "config-server"})
	w := dial(t, s)
	said := 0
	for line := range strings.Lines(example) {
		switch direction, message, _ := strings.Cut(strings.TrimSpace(line), " "); direction {
		case ">":
			w.send(message)
		case "<":
			if strings.Contains(message, `"changed"`) {
				s.Changed(m.put("guestinfo.vice./hostname", "h"), "guestinfo.vice./hostname")
			}
			got, err := w.r.ReadString('\n')
			for got == "\n" {
				got, err = w.r.ReadString('\n')
			}
			if err != nil {
				t.Fatal(err)
			}
			var has, want any
			if json.Unmarshal([]byte(got), &has) != nil || json.Unmarshal([]byte(message), &want) != nil || !reflect.DeepEqual(has, want) {
				t.Errorf("the document says %s\nthe server %s", message, got)
			}
			said++
		}
	}
	if said != 7 {
		t.Errorf("the example has %d answers", said)
	}
}
