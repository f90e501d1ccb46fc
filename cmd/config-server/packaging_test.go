package main

import (
	"regexp"
	"testing"

	"github.com/jessevdk/go-flags"

	"github.com/vmexecutor/config-server/app"
)

// TestPackagedFlags: the image and the unit start the server with flags that there are.
func TestPackagedFlags(t *testing.T) {
	var o app.Options
	parser := flags.NewParser(&o, flags.None)
	for file, line := range map[string]string{"config-server.service": `(?m)^.*CONFIG_SERVER_FLAGS.*$`, "Containerfile": `(?m)^(#  +--|ENTRYPOINT).*$`} {
		named := 0
		for _, text := range regexp.MustCompile(line).FindAllString(read(t, "../../packaging/"+file), -1) {
			for _, m := range regexp.MustCompile(`--([a-z-]+)`).FindAllStringSubmatch(text, -1) {
				if named++; parser.FindOptionByLongName(m[1]) == nil {
					t.Errorf("%s: there is no --%s", file, m[1])
				}
			}
		}
		if named < 3 {
			t.Errorf("%s names %d flags", file, named)
		}
	}
}
