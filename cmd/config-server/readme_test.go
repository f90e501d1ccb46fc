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

// TestOperationsOptions: the page for operators explains every option, with its default, and none that there is not.
func TestOperationsOptions(t *testing.T) {
	var o app.Options
	parser := flags.NewParser(&o, flags.None)
	_, table, _ := strings.Cut(read(t, "../../docs/operations.md"), "| flag | default |")
	table, _, _ = strings.Cut(table, "\n\n")
	explained := map[string]bool{}
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		names := regexp.MustCompile("`--([a-z-]+)`").FindAllStringSubmatch(cells[1], -1)
		defaults := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[2], -1)
		for i, m := range names {
			explained[m[1]] = true
			option := parser.FindOptionByLongName(m[1])
			if option == nil {
				t.Errorf("there is no --%s", m[1])
				continue
			}
			if want := strings.Join(option.Default, " "); want != "" && (i >= len(defaults) || defaults[i][1] != want) {
				t.Errorf("the default of --%s is %s: %s", m[1], want, line)
			}
		}
	}
	for _, group := range parser.Groups() {
		for _, option := range group.Options() {
			if !explained[option.LongName] {
				t.Errorf("--%s is not explained", option.LongName)
			}
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
