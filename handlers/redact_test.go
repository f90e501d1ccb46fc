package handlers

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/vm"
)

// secretsTest is the API with tokens, and canaries wherever there is something secret.
type secretsTest struct {
	*callersTest
	machine  *oneVM
	canaries []string
}

// withCanaries puts canaries in place of the secrets of the seeds, and gives the binding some.
var withCanaries = strings.NewReplacer(
	`"c2VjcmV0"`, strconv.Quote(base64.StdEncoding.EncodeToString([]byte("CANARY-of-a-key-CANARY-of-a-key-"))),
	"user:password@", "CANARY-user:CANARY-password@",
	"tcp://host:2377", "tcp://CANARY-agent:CANARY-word@host:2377",
)

func newSecretsTest(t *testing.T) *secretsTest {
	t.Helper()
	machine := &oneVM{keys: map[string]string{}}
	e := openEdge(t, memoryDir(t), map[string]vm.Driver{"vsphere": machine})
	e.T = t
	key := base64.StdEncoding.EncodeToString([]byte("CANARY-of-a-key-CANARY-of-a-key-"))
	return &secretsTest{callersOn(t, e), machine, []string{"CANARY", key[:40]}}
}

// prepare makes the fixtures with canaries, and a VM that holds others: nobody pushes, so that it stays so.
func (c *secretsTest) prepare() {
	c.Helper()
	for _, f := range fixtures {
		body := f.body
		if f.target == "/v1/executors/web-1/vm" {
			body = seedBodies["vm"]
		}
		if a := c.do("PUT", f.target, withCanaries.Replace(body), "Authorization", c.bearer["admin"]); a.status >= 300 {
			c.Fatalf("%s: %d %s", f.target, a.status, a.body)
		}
	}
	c.machine.change(map[string]string{"guestinfo.vice./key": c.canaries[1], "guestinfo.vice./mounts|data/source/User@secret": "CANARYsealed", "guestinfo.vice./mounts|other/source/User@secret": "CANARYsealed"})
}

// secretIn finds a canary.
func (c *secretsTest) secretIn(text string) string {
	for _, canary := range c.canaries {
		if strings.Contains(text, canary) {
			return canary
		}
	}
	return ""
}

// TestRedaction: every operation, as everybody who may not see secrets. Where an administrator sees one they see the placeholder.
func TestRedaction(t *testing.T) {
	c := newSecretsTest(t)
	c.prepare()
	plain, varied := seeds(t)
	plain = slices.DeleteFunc(plain, func(s seed) bool { return s.operation == "push" }) // nobody pushes; what it answers has dryRun's, too
	for _, view := range []string{"desired", "observed", "diff"} {
		varied = append(varied, seed{operation: "getKeys", method: "GET", target: "/v1/executors/web-1/keys?view=" + view},
			seed{operation: "getKeys", method: "GET", target: "/v1/executors/web-1/keys?scope=read-only&view=" + view})
	}
	varied = append(varied, seed{operation: "putMount", method: "PUT", target: "/v1/executors/web-1/mounts/data", headers: "Content-Type: application/json", body: `{"source": "nfs://user:password@host/other", "path": "/data"}`},
		seed{operation: "putMount", method: "PUT", target: "/v1/executors/web-1/mounts/more", headers: "Content-Type: application/json", body: `{"source": "nfs://user:password@host/other", "path": "/more"}`},
		seed{operation: "patchExecutor", method: "PATCH", target: "/v1/executors/web-1", headers: "Content-Type: application/merge-patch+json", body: `{"key": "c2VjcmV0"}`})
	shown, answered := map[string]bool{}, 0
	for _, s := range append(plain, varied...) {
		s.body = withCanaries.Replace(s.body)
		secret := map[string]bool{}
		for _, role := range []string{"admin", "viewer", "operator"} {
			c.prepare()
			a := c.as(role, s.method, s.target, s.headers, s.body)
			if made := a.header.Get("Location"); made != "" {
				c.as("admin", "DELETE", made, "", "")
			}
			text := string(a.body) + headerText(a.header)
			found := c.secretIn(text)
			switch {
			case role == "admin" && found != "" && s.operation != "getBackup":
				secret[s.operation], shown[s.operation] = true, true
			case role != "admin" && found != "":
				t.Errorf("%s %s as %s has %s: %s", s.method, s.target, role, found, text)
			case role != "admin" && a.status < 300 && secret[s.operation]:
				if answered++; !strings.Contains(text, executor.Redacted) {
					t.Errorf("%s %s as %s has no placeholder: %s", s.method, s.target, role, text)
				}
			}
		}
	}
	want := []string{"createExecutor", "getExecutor", "getKeys", "getMount", "getVM", "listExecutors", "listMounts", "patchExecutor", "patchMount", "push", "putExecutor", "putMount", "putVM"}
	if got := slices.Sorted(maps.Keys(shown)); !slices.Equal(got, want) {
		t.Errorf("an administrator sees secrets by %q, want %q", got, want)
	}
	if answered < 3*len(want) {
		t.Errorf("%d answers with placeholders only", answered)
	}
	if found := c.secretIn(c.log.String()); found != "" {
		t.Errorf("the log has %s", found)
	}
}

// TestRedactionKeepsTheRest: beside its secrets a document is the same for everybody.
func TestRedactionKeepsTheRest(t *testing.T) {
	c := newSecretsTest(t)
	c.prepare()
	for _, target := range []string{"/v1/executors", "/v1/executors/web-1", "/v1/executors/web-1/mounts", "/v1/executors/web-1/mounts/data", "/v1/executors/web-1/vm"} {
		full, shown := c.as("admin", "GET", target, "", ""), c.as("viewer", "GET", target, "", "")
		want := strings.NewReplacer(c.canaries[1][:len(c.canaries[1])], "redacted", "CANARY-user:CANARY-password@", "redacted@", "CANARY-agent:CANARY-word@", "redacted@").Replace(string(full.body))
		want = strings.ReplaceAll(want, `"redacted`+base64.StdEncoding.EncodeToString([]byte("CANARY-of-a-key-CANARY-of-a-key-"))[40:]+`"`, `"redacted"`)
		if string(shown.body) != want || shown.header.Get("ETag") != full.header.Get("ETag") {
			t.Errorf("%s: a viewer gets\n%s\nwant\n%s", target, shown.body, want)
		}
	}
	if a := c.as("vm:web-1", "GET", "/v1/executors/web-1/keys?scope=guest", "", ""); !strings.Contains(string(a.body), c.canaries[1]) {
		t.Errorf("a guest does not see its own key: %s", a.body)
	}
}

// TestEverySecretFieldIsWritten: a field that is a secret has to be one of those that keys are redacted by.
func TestEverySecretFieldIsWritten(t *testing.T) {
	var fields []string
	for f := range reflect.TypeFor[executor.ExecutorConfig]().Fields() {
		if f.Type == reflect.TypeFor[executor.Secret]() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			fields = append(fields, name)
		}
	}
	if !slices.Equal(fields, []string{keyField}) {
		t.Errorf("secret are %q, and redacted is %q", fields, keyField)
	}
}

// TestPlaceholderRefused: what a placeholder cannot stand for is refused, naming the field, by every way to write it and for everybody.
func TestPlaceholderRefused(t *testing.T) {
	c := newSecretsTest(t)
	c.prepare()
	const x, merge = "/v1/executors/web-1", "Content-Type: application/merge-patch+json"
	mount := func(source string) string { return `{"source": "` + source + `", "path": "/data"}` }
	for _, role := range []string{"operator", "admin"} {
		for _, w := range []struct{ method, target, body, fields string }{
			{"POST", "/v1/executors", `{"key": "redacted"}`, "key"},
			{"POST", "/v1/executors", `{"mounts": {"data": ` + mount("nfs://redacted@host/export?ro") + `}}`, "mounts.data.source"},
			{"POST", "/v1/executors", `{"vm": {"driver": "vsphere", "ref": "vm7", "interaction": "tcp://redacted@host:2377", "agentKey": "redacted"}}`, "vm.interaction vm.agentKey"},
			{"PUT", "/v1/executors/web-7", `{"key": "redacted", "mounts": {"data": ` + mount("nfs://redacted@host/export?ro") + `}}`, "key mounts.data.source"},
			{"PUT", "/v1/executors/db-1", `{"key": "redacted"}`, "key"},
			{"PUT", x, `{"mounts": {"renamed": ` + mount("nfs://redacted@host/export?ro") + `}}`, "mounts.renamed.source"},
			{"PUT", x, `{"mounts": {"data": ` + mount("nfs://redacted@evil/export?ro") + `}}`, "mounts.data.source"},
			{"PUT", x, `{"mounts": {"data": ` + mount("nfs://redacted@HOST/export?ro") + `}}`, "mounts.data.source"},
			{"PUT", x, `{"mounts": {"data": ` + mount("nfs://redacted@host:2049/export?ro") + `}}`, "mounts.data.source"},
			{"PUT", x, `{"mounts": {"data": ` + mount("nfs://redacted@host/export?rw") + `}}`, "mounts.data.source"},
			{"PUT", x, `{"mounts": {"data": ` + mount("nfs://redacted:x@host/export?ro") + `}}`, "mounts.data.source"},
			{"PUT", x + "/mounts/data", mount("nfs://redacted@evil/export?ro"), "source"},
			{"PUT", x + "/mounts/other", mount("nfs://redacted@host/export?ro"), "source"},
			{"PATCH", x + "/mounts/data", `{"source": "nfs://redacted@evil/export?ro"}`, "source"},
			{"PATCH", x, `{"mounts": {"data": null, "other": ` + mount("nfs://redacted@host/export?ro") + `}}`, "mounts.other.source"},
			{"PATCH", "/v1/executors/db-1", `{"key": "redacted"}`, "key"},
			{"PUT", x + "/vm", `{"driver": "vsphere", "ref": "vm1", "interaction": "tcp://redacted@evil:2377", "agentKey": "redacted"}`, "interaction agentKey"},
			{"PUT", x + "/vm", `{"driver": "vsphere", "ref": "vm2", "interaction": "tcp://redacted@host:2377", "agentKey": "redacted"}`, "interaction agentKey"},
		} {
			headers := "Content-Type: application/json"
			if w.method == "PATCH" {
				headers = merge
			}
			a := c.as(role, w.method, w.target, headers, w.body)
			var fields []string
			for _, f := range a.problem.Errors {
				fields = append(fields, f.Field)
			}
			if a.status != 422 || strings.Join(fields, " ") != w.fields || c.secretIn(string(a.body)) != "" {
				t.Errorf("%s %s %s as %s: %d %s", w.method, w.target, w.body, role, a.status, a.body)
			}
		}
		// What a patch does not bring stays, and so does what it names by its placeholder.
		a := c.as(role, "PATCH", x, merge, `{"key": "redacted", "hostname": "by-`+role+`", "mounts": {"data": {"source": "nfs://redacted@host/export?ro"}}}`)
		if a.status != 200 {
			t.Errorf("as %s: %d %s", role, a.status, a.body)
		}
	}
	if a := c.as("admin", "GET", x, "", ""); !strings.Contains(string(a.body), c.canaries[1]) || !strings.Contains(string(a.body), "CANARY-user:CANARY-password@host/export?ro") {
		t.Errorf("a secret was lost: %s", a.body)
	}
}

// TestSecretsStayWithTheirVM: who may not see the secrets of an executor does not send them to another VM either.
func TestSecretsStayWithTheirVM(t *testing.T) {
	c := newSecretsTest(t)
	c.prepare()
	put := func(role, id, ref string, status int) {
		t.Helper()
		a := c.as(role, "PUT", "/v1/executors/"+id+"/vm", "Content-Type: application/json", `{"driver": "vsphere", "ref": "`+ref+`"}`)
		if a.status != status || status == 403 && (a.problem.Type != problemTypes+"holds-secrets" || !strings.Contains(a.problem.Detail, "administrator")) {
			t.Errorf("%s binds %s to %s: %d %s", role, id, ref, a.status, a.body)
		}
	}
	put("operator", "db-1", "vm8", 201) // holds none
	put("operator", "db-1", "vm9", 200)
	put("operator", "web-1", "vm1", 200)
	put("operator", "web-1", "vm2", 403)
	if a := c.as("operator", "DELETE", "/v1/executors/web-1/vm", "", ""); a.status != 204 {
		t.Errorf("unbinding: %d %s", a.status, a.body)
	}
	put("operator", "web-1", "vm1", 403)
	put("admin", "web-1", "vm2", 201)
	if a := c.as("operator", "POST", "/v1/executors", "Content-Type: application/json", `{"id": "mine", "key": "bXkga2V5", "vm": {"driver": "vsphere", "ref": "vm5"}}`); a.status != 201 {
		t.Errorf("who creates an executor brings its secrets: %d %s", a.status, a.body)
	}
	put("operator", "mine", "vm5", 200)
	put("operator", "mine", "vm6", 403)
}

// TestRoundTrips: what an operator reads, changes somewhere and writes back is what it would be if secrets had been seen all the time.
func TestRoundTrips(t *testing.T) {
	c := newSecretsTest(t)
	kept := 0
	for round := range uint64(150) {
		random := rand.New(rand.NewPCG(9, round))
		target := "/v1/executors/r" + strconv.FormatUint(round, 10)
		c.write("admin", target, randomExecutor(random), 201)
		c.write("admin", target+"/vm", map[string]any{"driver": "vsphere", "ref": target, "agentKey": []byte("CANARY-agent"), "interaction": "tcp://CANARY:word@host:1", "aliases": map[string]string{"a": "b"}}, 201)
		for _, path := range []string{"/vm", "", "/mounts/m0", "/mounts/m1", "/mounts/m2", "/mounts/m3", "/mounts/m4"} {
			seed := random.Uint64()
			if c.as("admin", "GET", target+path, "", "").status == 404 {
				continue // it never had so many, or they went
			}
			documents := map[string]map[string]any{}
			for _, role := range []string{"admin", "operator"} {
				var d map[string]any
				if err := json.Unmarshal(c.as(role, "GET", target+path, "", "").body, &d); err != nil {
					t.Fatal(err)
				}
				changeElsewhere(rand.New(rand.NewPCG(seed, 0)), path, d)
				documents[role] = d
			}
			text, _ := json.Marshal(documents["operator"])
			if c.secretIn(string(text)) != "" {
				t.Fatalf("an operator sees %s", text)
			}
			kept += strings.Count(string(text), `"redacted"`) + strings.Count(string(text), "redacted@")
			wrote := c.write("operator", target+path, documents["operator"], 200)
			if again := c.write("admin", target+path, documents["admin"], 200); again != wrote {
				t.Errorf("%s%s: the operator's is not the administrator's document (%s, then %s): %s", target, path, wrote, again, text)
			}
		}
	}
	if kept < 300 {
		t.Errorf("%d placeholders only", kept)
	}
}

// write puts a document and gives its ETag.
func (c *secretsTest) write(role, target string, document map[string]any, status int) string {
	c.Helper()
	text, err := json.Marshal(document)
	if err != nil {
		c.Fatal(err)
	}
	a := c.as(role, "PUT", target, "Content-Type: application/json", string(text))
	if a.status != status {
		c.Fatalf("PUT %s %s as %s: %d %s", target, text, role, a.status, a.body)
	}
	return a.header.Get("ETag")
}

func pick[T any](random *rand.Rand, of ...T) T { return of[random.IntN(len(of))] }

// randomExecutor has secrets of all looks.
func randomExecutor(random *rand.Rand) map[string]any {
	mounts := map[string]any{}
	for i := range random.IntN(5) {
		source := pick(random, "nfs", "smb", "HTTPS") + "://" + pick(random, "", "CANARY@", "CANARY:word@", "CANARY:p%40ss%2F@", "CANARY%3Aa:b%20c@", ":CANARY@", "CANARY:@", "a:redacted@") +
			pick(random, "filer", "FILER.example.com", "10.0.0.1:445", "[fd00::1]:2049", "") + pick(random, "/", "/export", "/a%2Fb", "/a%20b;c=d", "/ä", "/x/../y") + pick(random, "", "?", "?ro", "?a=b&c=%26d", "?a=b;c")
		mounts["m"+strconv.Itoa(i)] = map[string]any{"source": source, "path": "/m" + strconv.Itoa(i)}
	}
	mounts["l"] = map[string]any{"source": "label:///disk", "path": "/l"}
	d := map[string]any{"name": "web", "mounts": mounts, "sessions": map[string]any{"main": map[string]any{"cmd": map[string]any{"path": "/bin/httpd"}}}}
	if random.IntN(4) > 0 {
		d["key"] = []byte("CANARY" + strings.Repeat("k", random.IntN(50)))
	}
	return d
}

// changeElsewhere changes what is no secret, or takes a secret away with what it belongs to, or brings a new one.
func changeElsewhere(random *rand.Rand, path string, d map[string]any) {
	word := "w" + strconv.Itoa(random.IntN(1000))
	switch {
	case path == "/vm":
		d["version"] = word
		d["aliases"] = map[string]string{word: "alias"}
		return
	case path != "":
		d[pick(random, "mode", "path")] = "/" + word
		d["copyMode"] = pick(random, "never", "new")
		return
	}
	mounts := d["mounts"].(map[string]any)
	for range 1 + random.IntN(4) {
		switch random.IntN(8) {
		case 0:
			d["hostname"] = word
		case 1:
			d["annotations"] = map[string]string{word: "x"}
		case 2:
			delete(mounts, "m"+strconv.Itoa(random.IntN(5)))
		case 3:
			mounts["n"+word] = map[string]any{"source": "nfs://new:word@host/" + word, "path": "/n" + word}
		case 4:
			if m, ok := mounts[fmt.Sprint("m", random.IntN(5))].(map[string]any); ok {
				m["path"], m["mode"] = m["path"].(string)+"/"+word, word
			}
		case 5:
			d["sessions"].(map[string]any)["s"+word] = map[string]any{"cmd": map[string]any{"path": "/bin/sh"}}
		case 6:
			if m, ok := mounts[fmt.Sprint("m", random.IntN(5))].(map[string]any); ok {
				m["source"] = "nfs://new:word@elsewhere/" + word
			}
		case 7:
			if random.IntN(2) == 0 {
				delete(d, "key")
			} else {
				d["key"] = []byte("new" + word)
			}
		}
	}
}
