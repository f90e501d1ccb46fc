package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jessevdk/go-flags"

	"github.com/vmexecutor/config-server/app"
	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

// TestReadmeExample: what the README shows is what an example of the client package runs.
func TestReadmeExample(t *testing.T) {
	_, rest, found := strings.Cut(read(t, "../../apiclient/example_test.go"), "\nfunc rename(")
	example, _, closed := strings.Cut("func rename("+rest, "\n}\n")
	if !found || !closed || !strings.Contains(read(t, "../../README.md"), "```go\n"+example+"\n}\n```\n") {
		t.Errorf("the README does not show this:\n%s\n}", example)
	}
}

// TestReadmeOptions: the README names options that there are, and the addresses that are the default.
func TestReadmeOptions(t *testing.T) {
	var o app.Options
	parser := flags.NewParser(&o, flags.None)
	if _, err := parser.ParseArgs(nil); err != nil {
		t.Fatal(err)
	}
	readme := read(t, "../../README.md")
	named := regexp.MustCompile("`(?:config-server )?--([a-z-]+)").FindAllStringSubmatch(readme, -1)
	if len(named) < 4 {
		t.Errorf("the README names few options: %q", named)
	}
	for _, m := range named {
		if name := m[1]; name != "help" && parser.FindOptionByLongName(name) == nil {
			t.Errorf("there is no --%s", name)
		}
	}
	for _, address := range []string{
		fmt.Sprintf("api=http://%s:%d/v1\n", o.Host, o.Port),
		fmt.Sprintf("GOVC_URL=http://%s:%s@%s/sdk ", simulator.Username, simulator.Password, o.SimulatorListen),
	} {
		if !strings.Contains(readme, address) {
			t.Errorf("the README does not say %q", address)
		}
	}
}

// TestReadmeLinks: what the README points to within the repository is there.
func TestReadmeLinks(t *testing.T) {
	for _, m := range regexp.MustCompile(`\]\(([^):#]+)\)`).FindAllStringSubmatch(read(t, "../../README.md"), -1) {
		if _, err := os.Stat("../../" + m[1]); err != nil {
			t.Error(err)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
