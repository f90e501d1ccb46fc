package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vmexecutor/config-server/guest"
	"github.com/vmexecutor/config-server/vm/vsphere/simulator"
)

// aviary is a server with a canary in every secret field and in every hidden one, and callers of every role.
type aviary struct {
	*secured
	canaries
	client  *http.Client
	callers map[string]string // tokens by role; "" has none
	audit   string
}

var (
	notForCallers = []canaryKind{secretKind, sentKind} // who is no administrator sees labels and notes
	forNobody     = []canaryKind{secretKind, hiddenKind, sentKind}
)

// guestSecrets are the secret fields that are for the guest.
var guestSecrets = []string{"key", "mounts.data.source.user", "mounts.data.source.password"}

func newAviary(t *testing.T) *aviary {
	t.Helper()
	a := &aviary{canaries: canaries{t, map[string]*canary{}}, callers: map[string]string{"": ""}, audit: filepath.Join(t.TempDir(), "audit.log")}
	a.secured = startSecured(t, "--audit-file", a.audit, "--guest-dir", filepath.Join(dataDir(t), "g"))
	for _, role := range []string{"viewer", "operator", "admin", "vm:web"} {
		a.callers[role] = a.newToken(role, strings.ReplaceAll(role, ":", "-"))
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(readFile(t, a.authority.File)))
	a.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}}
	t.Cleanup(a.client.CloseIdleConnections)
	return a
}

// Helper and the like are of both halves.
func (a *aviary) Helper()                   { a.canaries.Helper() }
func (a *aviary) Errorf(f string, v ...any) { a.canaries.Errorf(f, v...) }
func (a *aviary) Fatal(v ...any)            { a.canaries.Fatal(v...) }

// ask makes a request, and gives all of the answer as one text.
func (a *aviary) ask(role, method, path, body string, headers ...string) (status int, text string) {
	a.Helper()
	ctx, cancel := context.WithCancel(a.canaries.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, a.api+path, strings.NewReader(body))
	if err != nil {
		a.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
		if method == "PATCH" {
			r.Header.Set("Content-Type", "application/merge-patch+json")
		}
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if token := a.callers[role]; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := a.client.Do(r)
	if err != nil {
		a.Fatal(err)
	}
	defer answer.Body.Close()
	var read []byte
	if strings.HasPrefix(path, "/v1/watch") && answer.StatusCode == 200 {
		read = a.feed(answer.Body, path)
	} else if read, err = io.ReadAll(answer.Body); err != nil {
		a.Fatal(err)
	}
	return answer.StatusCode, fmt.Sprint(answer.Status, answer.Header, string(read))
}

// feed reads what came until now.
func (a *aviary) feed(lines io.Reader, path string) (all []byte) {
	a.Helper()
	scan := bufio.NewScanner(lines)
	for scan.Scan() {
		all = append(append(all, scan.Bytes()...), '\n')
		var event struct{ Action string }
		if json.Unmarshal(scan.Bytes(), &event) == nil && event.Action == "heartbeat" {
			return all // there is nothing more at the moment
		}
	}
	a.Fatal(path, " ends: ", scan.Err())
	return nil
}

// expect is ask for what must succeed.
func (a *aviary) expect(role, method, path, body string, status int) string {
	a.Helper()
	got, text := a.ask(role, method, path, body)
	if got != status {
		a.Fatal(role, " ", method, " ", path, ": ", text)
	}
	return text
}

// document has a canary in every secret and every hidden field. Those of an executor that is nobody's example have none.
func (a *aviary) document(id, driver, ref string) string {
	secret := func(field string) string { return a.of(secretKind, field) }
	hidden := func(field string) string { return a.of(hiddenKind, field) }
	return fmt.Sprintf(`{
		"id": %q, "hostname": "h", "key": %q, "notes": %q, "annotations": {"label": %q},
		"sessions": {"main": {"cmd": {"path": "/bin/main"}, "notes": %q}}, "execs": {"once": {"cmd": {"path": "/bin/once"}, "notes": %q}},
		"mounts": {"data": {"path": "/data", "source": "nfs://%s:%s@nas/export"}},
		"networks": {
			"eth0": {"networkRef": "front", "notes": %q, "network": {"aliases": [%q]}},
			"eth1": {"notes": %q, "network": {"type": "bridge", "notes": %q, "aliases": [%q]}}
		},
		"vm": {"driver": %q, "ref": %q, "agentKey": %q, "interaction": "tcp://%s:%s@attach:2377", "aliases": {"label": %q}}
	}`, id, a.base64(secretKind, "key"), hidden("common.notes"), hidden("annotations"),
		hidden("sessions.main.notes"), hidden("execs.once.notes"),
		secret("mounts.data.source.user"), secret("mounts.data.source.password"),
		hidden("networks.eth0.notes"), hidden("networks.eth0.aliases"),
		hidden("networks.eth1.notes"), hidden("networks.eth1.network.notes"), hidden("networks.eth1.network.aliases"),
		driver, ref, a.base64(secretKind, "vm.agentKey"), secret("vm.interaction.user"), secret("vm.interaction.password"), hidden("vm.aliases"))
}

// operation is one of the specification's.
type operation struct{ method, path, id string }

// operations are all of them, with a place of their own in their paths.
func (a *aviary) operations(executor string) (list []operation) {
	a.Helper()
	var spec struct {
		Paths map[string]map[string]json.RawMessage
	}
	_, text := a.ask("", "GET", "/swagger.json", "")
	if err := json.Unmarshal([]byte(text[strings.Index(text, "{"):]), &spec); err != nil {
		a.Fatal(err)
	}
	names := map[string]string{"/sessions/": "main", "/execs/": "once", "/mounts/": "data", "/networks/": "eth0"}
	for _, path := range slices.Sorted(maps.Keys(spec.Paths)) {
		for method, text := range spec.Paths[path] {
			var op struct{ OperationID string }
			if method == "parameters" {
				continue
			}
			if err := json.Unmarshal(text, &op); err != nil || op.OperationID == "" {
				a.Fatal(path, " ", method, ": ", err)
			}
			at := strings.Replace(path, "/executors/{id}", "/executors/"+executor, 1)
			at = strings.Replace(at, "/v1/networks/{name}", "/v1/networks/front", 1)
			for part, name := range names {
				if before, rest, found := strings.Cut(at, part+"{"); found {
					_, after, _ := strings.Cut(rest, "}")
					at = before + part + name + after
				}
			}
			list = append(list, operation{strings.ToUpper(method), at, op.OperationID})
		}
	}
	if len(list) < 40 || slices.ContainsFunc(list, func(o operation) bool { return strings.Contains(o.path, "{") }) {
		a.Fatal("the operations are ", list)
	}
	slices.SortStableFunc(list, func(x, y operation) int { return rank(x.method) - rank(y.method) })
	return list
}

// rank has what is deleted be used first.
func rank(method string) int {
	return slices.Index([]string{"GET", "PUT", "PATCH", "POST", "DELETE"}, method)
}

// wrong are bodies that are refused, with canaries wherever a message could repeat something.
func (a *aviary) wrong() []string {
	sent := func(n int) string { return a.of(sentKind, fmt.Sprintf("wrong body %d", n)) }
	return []string{
		fmt.Sprintf(`{"key": "%s!"}`, sent(1)), fmt.Sprintf(`{"key": [%q]}`, sent(2)), fmt.Sprintf(`{"agentKey": "%s?", "driver": "vsphere", "ref": "vm1"}`, sent(3)),
		fmt.Sprintf(`{"source": "nfs://user:%s@na s/export", "path": "/data"}`, sent(4)), fmt.Sprintf(`{"source": "label://user:%s@x", "path": "/data"}`, sent(5)),
		fmt.Sprintf(`{"mounts": {"data": {"path": "/data", "source": "nfs://%s@nas:port/export"}}}`, sent(6)), fmt.Sprintf(`{"mounts": {"data": {"path": "/data", "source": "%%zz%s"}}}`, sent(7)),
		fmt.Sprintf(`{"interaction": "%s", "driver": "vsphere", "ref": "vm1"}`, sent(8)), fmt.Sprintf(`{"interaction": "tcp://u:%s@:port", "driver": "vsphere", "ref": "vm1"}`, sent(9)),
		fmt.Sprintf(`{"key": "%s`, sent(10)), fmt.Sprintf(`{"key": "\u00zz%s"}`, sent(11)), fmt.Sprintf(`{"notes": "\u0001%s"}`, sent(12)), fmt.Sprintf(`{"annotations": {"x": "\u0002%s"}}`, sent(13)),
		fmt.Sprintf(`{"key": {"%s": 1}}`, sent(14)), fmt.Sprintf(`[%q]`, sent(15)), fmt.Sprintf(`{"hostname": 1, "key": %q}`, a.base64(sentKind, "a body with another fault")),
		fmt.Sprintf(`{"networks": {"eth0": {"ip": "1.2.3.4/99", "notes": "%s"}}, "key": %q}`, sent(16), a.base64(sentKind, "a body with a bad address")),
		fmt.Sprintf(`{"key": "redacted", "mounts": {"data": {"path": "/data", "source": "nfs://redacted:%s@nas/export"}}}`, sent(17)),
		strings.Repeat(fmt.Sprintf(`{"key": {"a": "%s", "x": `, sent(18)), 200),
		fmt.Sprintf(`{"key": "%s"}`, strings.Repeat(sent(19), 50_000)),
	}
}

// headers are those that are refused, each with its value.
func (a *aviary) headers() [][2]string {
	sent := func(n int) string { return a.of(sentKind, fmt.Sprintf("wrong header %d", n)) }
	return [][2]string{{"If-Match", sent(1)}, {"If-Match", `"` + sent(2) + `"`}, {"Content-Type", "text/" + sent(3)}, {"Authorization", "Bearer cfgs_" + sent(4)}, {"Authorization", "Basic " + sent(5)}, {"Cookie", sent(6)}, {"Accept", sent(7)}}
}

// TestCanaries: what is secret is found where the threat model permits it, and nowhere else, whatever callers and guests do.
func TestCanaries(t *testing.T) {
	a := newAviary(t)
	a.expect("admin", "POST", "/v1/networks", fmt.Sprintf(`{"name": "front", "gateway": "10.1.0.1/16", "notes": %q, "aliases": [%q], "annotations": {"label": %q}}`,
		a.of(hiddenKind, "network.notes"), a.of(hiddenKind, "network.aliases"), a.of(hiddenKind, "network.annotations")), 201)
	a.expect("admin", "POST", "/v1/executors", a.document("web", "vsphere", "vm1"), 201)
	a.expect("admin", "POST", "/v1/executors", a.document("box", "qemu", "box"), 201)
	a.expect("admin", "POST", "/v1/executors", a.document("lost", "vsphere", "nowhere"), 201) // its pushes fail
	for _, id := range []string{"web", "box"} {
		a.expect("admin", "POST", "/v1/executors/"+id+"/push", "", 200)
	}
	a.everyHiddenField()

	a.callersLook()
	a.callersErr()
	a.guestsLook()
	a.hypervisorLooks()
	a.operatorsLook()
	a.everythingElseIsAsked()
	a.logsLook()
}

// everyHiddenField holds the canaries against the hidden keys: a field without one was forgotten here.
func (a *aviary) everyHiddenField() {
	shown := a.expect("admin", "GET", "/v1/executors/web/keys?scope=hidden", "", 200)
	var rows struct {
		Keys []struct{ Key, Value, Field string }
	}
	if err := json.Unmarshal([]byte(shown[strings.Index(shown, "{"):]), &rows); err != nil {
		a.Fatal(err)
	}
	fields := map[string]bool{}
	for _, row := range rows.Keys {
		for _, x := range a.in(row.Value) {
			if x.kind != hiddenKind {
				a.Errorf("%s is among the hidden keys", x.field)
			}
			whole, _, _ := strings.Cut(row.Field, ".") // of which another key names the entries
			fields[row.Field], fields[whole] = true, true
		}
	}
	for _, row := range rows.Keys {
		if !fields[row.Field] {
			a.Errorf("the hidden field %s has no canary", row.Field)
		}
	}
	if len(fields) < 5 {
		a.Errorf("there are canaries in %v", fields)
	}
}

// callersLook reads everything that there is to read, by every role.
func (a *aviary) callersLook() {
	reads := []string{
		"/v1/executors?limit=1", "/v1/executors?lookup=web", "/v1/watch?since=0&heartbeat=1s", "/v1/executors/lost/status", "/metrics", "/swagger.json", "/docs", "/readyz",
		"/v1/executors/web?wait=1s&since=0",
	}
	for _, scope := range []string{"guest", "hidden", "read-only", "read-write", "all"} {
		for _, view := range []string{"desired", "observed", "diff"} {
			for _, id := range []string{"web", "box", "lost"} {
				reads = append(reads, fmt.Sprintf("/v1/executors/%s/keys?scope=%s&view=%s", id, scope, view))
			}
		}
	}
	for _, id := range []string{"web", "box", "lost"} {
		for _, o := range a.operations(id) {
			if o.method == "GET" && o.id != "watch" && o.id != "getBackup" {
				reads = append(reads, o.path)
			}
		}
	}
	for _, path := range reads {
		for role := range a.callers {
			_, text := a.ask(role, "GET", path, "")
			switch role {
			case "admin":
			case "vm:web":
				a.absent(role+" GET "+path, text, forNobody, guestSecrets...)
			default:
				a.absent(role+" GET "+path, text, notForCallers)
			}
		}
	}
	seen := a.expect("admin", "GET", "/v1/executors/web", "", 200) + a.expect("admin", "GET", "/v1/executors/web/vm", "", 200)
	a.present("an administrator", seen, "key", "mounts.data.source.user", "mounts.data.source.password", "vm.agentKey", "vm.interaction.user", "vm.interaction.password")
	a.present("a viewer", a.expect("viewer", "GET", "/v1/executors/web", "", 200), "common.notes", "annotations")
	a.present("the guest with a token", a.expect("vm:web", "GET", "/v1/executors/web/keys?scope=guest", "", 200), "key")
}

// callersErr makes every operation fail, in every way that may repeat something.
func (a *aviary) callersErr() {
	for _, o := range a.operations("web") {
		for role := range a.callers {
			check := func(what string, text string) {
				a.Helper()
				kinds, but := notForCallers, []string(nil)
				switch role {
				case "admin":
					kinds = []canaryKind{sentKind}
				case "vm:web":
					kinds, but = forNobody, guestSecrets
				}
				a.absent(fmt.Sprintf("%s %s %s with %s", role, o.method, o.path, what), text, kinds, but...)
			}
			query := a.of(sentKind, "a query")
			_, text := a.ask(role, o.method, o.path+"?"+query+"="+query, "")
			check("a wrong query", strings.ReplaceAll(text, query, "")) // a name that is refused is named
			if o.method == "GET" {
				continue
			}
			for _, h := range a.headers() {
				if o.method == "DELETE" || h[0] == "Cookie" || h[0] == "Accept" {
					continue // it would succeed
				}
				_, text := a.ask(role, o.method, o.path, `{}}`, h[0], h[1])
				if h[0] == "Content-Type" {
					text = strings.ReplaceAll(text, h[1], "") // a type that is refused is named
				}
				check("the header "+h[0], text)
			}
			if o.method == "DELETE" || o.id == "push" {
				continue
			}
			for i, body := range a.wrong() {
				status, text := a.ask(role, o.method, o.path, body)
				if status < 400 {
					a.Errorf("%s %s %s takes wrong body %d: %s", role, o.method, o.path, i, text)
				}
				check(fmt.Sprintf("wrong body %d", i), text)
			}
		}
	}
}

// guestsLook is what guests can read, and what they are told when they try more.
func (a *aviary) guestsLook() {
	text := a.expect("admin", "GET", "/v1/executors/box/vm", "", 200)
	var binding struct{ Socket string }
	if err := json.Unmarshal([]byte(text[strings.Index(text, "{"):]), &binding); err != nil {
		a.Fatal(err)
	}
	g := a.guest(binding.Socket, "boot-1")
	view, err := g.Snapshot(a.canaries.Context())
	if err != nil {
		a.Fatal(err)
	}
	var all strings.Builder
	values, err := view.Values()
	fmt.Fprintln(&all, view.Revision, view.Keys, values, err)
	for _, v := range values {
		fmt.Fprintln(&all, v.Key, v.Text)
	}
	a.present("the guest", all.String(), guestSecrets...)
	a.absent("the guest", all.String(), forNobody, guestSecrets...)

	var refusals strings.Builder
	sent := a.of(sentKind, "what a guest sets")
	for _, key := range []string{"annotations|label", "common/notes", "guestinfo.vice./key", "guestinfo.vice./mounts|data/source/User@secret", "guestinfo.vice./hostname", "guestinfo.vice..sessions|main.status", sent} {
		_, err := g.Set(a.canaries.Context(), guest.Pair{Key: key, Value: sent})
		fmt.Fprintln(&refusals, strings.ReplaceAll(fmt.Sprint(err), sent+":", ""))
		if err == nil {
			a.Errorf("a guest sets %s", key)
		}
	}
	a.absent("what a guest is told", refusals.String(), forNobody)
	a.expect("vm:web", "PATCH", "/v1/executors/web", `{"sessions": {"main": {"started": "true"}}}`, 200)
	_, text = a.ask("vm:web", "PATCH", "/v1/executors/web", `{"sessions": {"main": {"started": "yes"}}}`)
	a.absent("a guest that reports with a token", text, forNobody, guestSecrets...)
}

// hypervisorLooks is the VM, as an administrator of vSphere sees it: secrets are sealed but for the host key, which is a plain field, and what
// is hidden has no key that a guest can read.
func (a *aviary) hypervisorLooks() {
	u, err := url.Parse(a.simulator)
	if err != nil {
		a.Fatal(err)
	}
	u.User = url.UserPassword(simulator.Username, simulator.Password)
	var held map[string]string
	a.canaries.Run("vSphere", func(t *testing.T) { held = siteAt(t, u, 4).held("vm1") })
	var guests, rest strings.Builder
	for key, value := range held {
		if strings.HasPrefix(strings.ToLower(key), "guestinfo.") {
			fmt.Fprintf(&guests, "%s=%s\n", key, value)
		} else {
			fmt.Fprintf(&rest, "%s=%s\n", key, value)
		}
	}
	if value, there := held["guestinfo.ovfEnv"]; !there || value != "" {
		a.Errorf("the key to the guest's secrets is there: %v, and shows: %v", there, value != "")
	}
	a.present("the VM's keys for the guest", guests.String(), "key")
	a.absent("the VM's keys for the guest", guests.String(), forNobody, "key")
	a.present("the VM's other keys", rest.String(), "common.notes", "annotations")
	a.absent("the VM's other keys", rest.String(), notForCallers)
}

// operatorsLook has an operator do what operators do, and read each answer.
func (a *aviary) operatorsLook() {
	text := a.expect("operator", "GET", "/v1/executors/web", "", 200)
	document := text[strings.Index(text, "{"):]
	changed := strings.Replace(document, `"hostname":"h"`, `"hostname":"h2"`, 1)
	if changed == document {
		a.Fatal("there is no hostname in ", document)
	}
	for _, text := range []string{
		a.expect("operator", "PUT", "/v1/executors/web", changed, 200),
		a.expect("operator", "PATCH", "/v1/executors/web", `{"hostname": "h3", "key": "redacted"}`, 200),
		a.expect("operator", "PATCH", "/v1/executors/web/mounts/data", `{"mode": "ro"}`, 200),
		a.expect("operator", "PUT", "/v1/executors/web/sessions/side", `{"cmd": {"path": "/bin/side"}}`, 201),
		a.expect("operator", "POST", "/v1/executors/web/push?dryRun=true", "", 200),
		a.expect("operator", "POST", "/v1/executors/web/push", "", 200),
		a.expect("operator", "POST", "/v1/executors", `{"key": "UkVEQUNURUQ="}`, 201),
	} {
		a.absent("an operator's answer", text, notForCallers)
	}
	for path, body := range map[string]string{
		"/v1/executors/web/mounts/data": `{"source": "nfs://redacted@elsewhere/export"}`,
		"/v1/executors/web/vm":          ``,
	} {
		status, text := a.ask("operator", map[bool]string{true: "PATCH", false: "PUT"}[body != ""], path, body)
		if status < 400 {
			a.Errorf("%s: %s", path, text)
		}
		a.absent(path, text, notForCallers)
	}
	if status, text := a.ask("operator", "PUT", "/v1/executors/web/vm", `{"driver": "vsphere", "ref": "vm2"}`); status != 403 {
		a.Errorf("an operator moves secrets to another VM: %s", text)
	} else {
		a.absent("its refusal", text, forNobody)
	}
	// Nothing was lost on the way.
	seen := a.expect("admin", "GET", "/v1/executors/web", "", 200)
	a.present("an administrator, afterwards", seen, "key", "mounts.data.source.user", "mounts.data.source.password")
}

// everythingElseIsAsked has the rest happen that may write something: deletions, a backup, a rotation of the key, and the end of the server in a crash.
func (a *aviary) everythingElseIsAsked() {
	for _, o := range a.operations("lost") {
		if o.method == "DELETE" && o.id != "deleteExecutor" && !strings.HasPrefix(o.path, "/v1/networks") {
			_, text := a.ask("operator", o.method, o.path, "")
			a.absent(o.method+" "+o.path, text, notForCallers)
		}
	}
	a.expect("operator", "DELETE", "/v1/executors/lost", "", 204)
	if status, text := a.ask("operator", "DELETE", "/v1/networks/front", ""); status != 409 {
		a.Errorf("a network that is in use: %s", text)
	}
	data := filepath.Join(filepath.Dir(a.tokens), "data")
	if out, err := command(a.canaries.T, "rotate-key", "--data-dir", data); err != nil {
		a.Fatal(err, out)
	}
	backup := a.expect("admin", "GET", "/v1/backup", "", 200)
	a.absent("a backup", backup, []canaryKind{secretKind, hiddenKind, sentKind})
	for _, file := range []string{"store.db", "secret.key", "lock"} {
		a.absent(file, readFile(a.canaries.T, filepath.Join(data, file)), forNobody)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(lines) == 0 {
		a.Fatal("no processes: ", err)
	}
	for _, file := range lines {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it ended
		}
		a.absent(file, string(text), forNobody)
		for role, token := range a.callers {
			if token != "" && bytes.Contains(text, []byte(token)) {
				a.Errorf("%s has the token of %s", file, role)
			}
		}
	}
	if err := a.cmd.Process.Signal(syscall.SIGQUIT); err != nil { // it ends with the stacks of all goroutines, as after a panic
		a.Fatal(err)
	}
	<-a.output.done
	_ = a.cmd.Wait() // says how it ended
}

// logsLook reads the log, at its most talkative and with a crash at its end, and the audit trail.
func (a *aviary) logsLook() {
	log, audit := a.output.String(), readFile(a.canaries.T, a.audit)
	if !strings.Contains(log, `"level":"DEBUG"`) || !strings.Contains(log, "goroutine ") {
		a.Errorf("the log has %d bytes, and not what was expected", len(log))
	}
	if !strings.Contains(audit, `"putExecutor"`) || !strings.Contains(audit, `"key"`) {
		a.Errorf("the audit trail has %d bytes, and not what was expected", len(audit))
	}
	a.absent("the log", log, forNobody)
	a.absent("the audit trail", audit, forNobody)
	for role, token := range a.callers {
		if token != "" && (strings.Contains(log, token) || strings.Contains(audit, token)) {
			a.Errorf("the token of %s is in the log or the audit trail", role)
		}
	}
}
