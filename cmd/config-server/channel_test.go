package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/guest"
)

// dataDir gives a directory with a short path: sockets are below it.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "channel")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// socket gives where the guest of an executor is served, and waits until it is.
func (s *server) socket(id string) string {
	s.Helper()
	var binding struct{ Socket string }
	s.expect(200, "GET", "/v1/executors/"+id+"/vm", "", &binding)
	if st := s.push(id); st.State != "synced" {
		s.Fatalf("%s: %+v", id, st)
	}
	return binding.Socket
}

// guest is the software in a VM.
func (s *server) guest(path, boot string) *guest.Client {
	s.Helper()
	open, err := guest.Address("unix:" + path)
	if err != nil {
		s.Fatal(err)
	}
	g, err := guest.Open(s.Context(), open, guest.ClientOptions{Boot: boot})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = g.Close() })
	return g
}

// expectSame holds what the guest sees against what the API says that it sees.
func (s *server) expectSame(g *guest.Client, id string) {
	s.Helper()
	var list struct {
		Revision uint64
		Keys     []guest.Pair
	}
	view, err := g.Snapshot(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	s.expect(200, "GET", "/v1/executors/"+id+"/keys?scope=guest", "", &list)
	for i := range list.Keys {
		if list.Keys[i].Value == "" {
			list.Keys[i].Value = "<nil>"
		}
	}
	if view.Revision != list.Revision || !slices.Equal(view.Keys, list.Keys) {
		s.Errorf("the guest sees, at %d\n%q\nwant, at %d\n%q", view.Revision, view.Keys, list.Revision, list.Keys)
	}
}

// channelDocument has something of every scope, and values that could suffer on their way.
var channelDocument = strings.Replace(document, `"vm": {"driver": "vsphere", "ref": "vm1"}`, `"vm": {"driver": "qemu", "ref": "vm1"}`, 1)

// TestGuestChannel: the guest sees what the API says that it sees, byte for byte and at the same revision, learns of changes, and
// what it sets is in the executor when it is told so.
func TestGuestChannel(t *testing.T) {
	s := start(t, dataDir(t), nil)
	s.expect(201, "POST", "/v1/networks", `{"name": "front", "gateway": "10.1.0.1/16"}`, nil)
	s.expect(201, "POST", "/v1/executors", channelDocument, nil)
	path := s.socket("web")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v %v", info, err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its directory: %v %v", info, err)
	}
	g := s.guest(path, "boot-1")
	s.expectSame(g, "web")
	view, err := g.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	config, err := view.Config()
	if err != nil || config.Execs["once"] == nil || config.Mounts["share"].Source.User.String() != "user:s3cret" || config.Notes != "" {
		t.Errorf("the guest reads %v %+v", err, config)
	}

	revision, err := g.Set(t.Context(), guest.Pair{Key: "guestinfo.vice..sessions|main.started", Value: "true"}, guest.Pair{Key: "guestinfo.vice..sessions|side.status", Value: "+3"})
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Revision uint64
		Sessions map[string]struct {
			Started    string
			ExitStatus int
		}
	}
	if s.expect(200, "GET", "/v1/executors/web", "", &doc); doc.Revision != revision || doc.Sessions["main"].Started != "true" || doc.Sessions["side"].ExitStatus != 3 {
		t.Errorf("answered was %d, the executor is %+v", revision, doc)
	}
	s.expectSame(g, "web")
	s.expect(200, "PUT", "/v1/networks/front", `{"gateway": "10.1.0.1/16", "nameservers": ["10.1.0.53"]}`, nil)
	s.push("web")
	s.expectSame(g, "web")
	for range 2 { // at first much changes, and then hidden fields alone
		s.expect(200, "PUT", "/v1/executors/web", fmt.Sprintf(`{"notes": "notes at %d"}`, time.Now().UnixNano()), nil)
		s.push("web")
		s.expectSame(g, "web")
	}
	s.expect(204, "DELETE", "/v1/executors/web/vm", "", nil)
	eventually(t, "the socket's end", func() bool { _, err := os.Stat(path); return os.IsNotExist(err) })
	s.terminate()
}

// eventually waits for what has to come and tells of itself to nobody.
func eventually(t *testing.T, what string, comes func() bool) {
	t.Helper()
	for look, limit := time.Tick(5*time.Millisecond), time.After(time.Minute); !comes(); {
		select {
		case <-look:
		case <-limit:
			t.Fatalf("%s did not come", what)
		}
	}
}

// TestNoHalfChanges: one change of twenty keys is one, to a guest that looks all the time.
func TestNoHalfChanges(t *testing.T) {
	const changes, related = 1000, 20
	s := start(t, dataDir(t), nil)
	s.expect(201, "POST", "/v1/executors", `{"id": "e", "vm": {"driver": "qemu", "ref": "vm"}}`, nil)
	path := s.socket("e")
	body := func(n int) string {
		sessions := map[string]any{}
		for i := range related {
			sessions[fmt.Sprint("s", i)] = map[string]any{"cmd": map[string]any{"dir": fmt.Sprint("/", n)}}
		}
		b, err := json.Marshal(map[string]any{"sessions": sessions})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	// seen gives the change that a guest sees the whole of.
	seen := func(view guest.View) int {
		dirs := map[string]bool{}
		for _, p := range view.Keys {
			if strings.HasSuffix(p.Key, "/cmd/Dir") {
				dirs[p.Value] = true
			}
		}
		if len(dirs) > 1 {
			t.Errorf("half a change is seen: %v", dirs)
		}
		for dir := range dirs {
			n, err := strconv.Atoi(dir[1:])
			if err != nil {
				t.Error(err)
			}
			return n
		}
		return -1
	}
	var readers sync.WaitGroup
	for range 2 { // of one guest: over vsock it may have several programs
		g := s.guest(path, "boot-1")
		readers.Go(func() {
			last := -1
			for last < changes-1 {
				view, err := g.Snapshot(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				n := seen(view)
				if n < last {
					t.Errorf("%d is seen after %d", n, last)
				}
				last = n
			}
		})
	}
	g := s.guest(path, "boot-1")
	readers.Go(func() {
		for change, err := range g.Watch(t.Context()) {
			if err != nil {
				t.Error(err)
				return
			}
			view, err := g.Snapshot(t.Context())
			if err != nil || view.Revision < change.Revision {
				t.Errorf("%d was announced, %d is read: %v", change.Revision, view.Revision, err)
				return
			}
			if seen(view) == changes-1 {
				return
			}
		}
	})
	for n := range changes {
		req, err := s.request("PATCH", "/v1/executors/e", body(n), "Content-Type", "application/merge-patch+json")
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		resp.Body.Close()
	}
	readers.Wait()
	s.expectSame(g, "e")
}

// TestIllegalWrites: all are refused with a reason, counted and in the log without a value, and nothing is changed; not even in a set that has a legal
// one as well.
func TestIllegalWrites(t *testing.T) {
	const canary = "canary-of-the-guest"
	s := start(t, dataDir(t), nil)
	s.expect(201, "POST", "/v1/networks", `{"name": "front", "type": "bridge"}`, nil)
	s.expect(201, "POST", "/v1/executors", channelDocument, nil)
	s.expect(201, "POST", "/v1/executors", `{"id": "other", "sessions": {"theirs": {}}, "vm": {"driver": "qemu", "ref": "vm2"}}`, nil)
	g := s.guest(s.socket("web"), "boot-1")
	s.push("web")
	before := s.do("GET", "/v1/executors/web", "").body
	others := s.do("GET", "/v1/executors/other", "").body
	legal := guest.Pair{Key: "guestinfo.vice..sessions|main.status", Value: "7"}
	for _, tc := range []struct{ reason, key, value string }{
		{"hidden", "common/notes", canary},
		{"hidden", "annotations|team", canary},
		{"hidden", "networks|eth0/network/aliases~", canary},
		{"read-only", "guestinfo.vice./hostname", canary},
		{"read-only", "guestinfo.vice./common/id", "other"},
		{"read-only", "guestinfo.vice./sessions|main/cmd/Path", canary},
		{"secret", "guestinfo.vice./mounts|share/source/User@secret", canary},
		{"no-entry", "guestinfo.vice..sessions|theirs.started", canary},
		{"no-entry", "guestinfo.vice..execs|theirs.started@non-persistent", canary},
		{"unknown-key", "guestinfo.vice..hostname", canary},
		{"unknown-key", "guestinfo.vice./sessions|main/started", canary},
		{"unknown-key", "guestinfo.vice..sessions|main/started", canary},
		{"unknown-key", "guestinfo.vice..sessions|main.started@secret", canary},
		{"unknown-key", "guestinfo.vice..execs|once.started", canary},
		{"unknown-key", "guestinfo." + canary, canary},
		{"unknown-key", "guestinfo.vice..sessions|main.started\x00", canary},
		{"spelling", "guestinfo.vice..sessions|main.STARTED", canary},
		{"spelling", "GUESTINFO.vice..sessions|main.started", canary},
		{"network", "guestinfo.vice..networks|eth0.network.type", canary},
		{"invalid", "guestinfo.vice..sessions|side.started", canary + "\x00"},
		{"invalid", "guestinfo.vice..sessions|side.status", canary},
		{"request", "guestinfo.vice..sessions|side.started", strings.Repeat(canary, 4000)},
	} {
		counter := fmt.Sprintf(`config_server_guest_refusals_total{reason=%q}`, tc.reason)
		count := s.metric(counter)
		for _, set := range [][]guest.Pair{{{Key: tc.key, Value: tc.value}}, {legal, {Key: tc.key, Value: tc.value}}} {
			_, err := g.Set(t.Context(), set...)
			var refusal *guest.Refusal
			if !errors.As(err, &refusal) || refusal.Reason == "" || strings.Contains(refusal.Reason, canary) {
				t.Errorf("%s: %v", tc.key, err)
			}
		}
		if got := s.metric(counter); got != count+2 {
			t.Errorf("%s: %s went from %v to %v", tc.key, counter, count, got)
		}
	}
	s.tenMegabytes(canary)
	if after := s.do("GET", "/v1/executors/web", "").body; string(after) != string(before) {
		t.Errorf("the executor was\n%s\nand is\n%s", before, after)
	}
	if after := s.do("GET", "/v1/executors/other", "").body; string(after) != string(others) {
		t.Errorf("the other executor was\n%s\nand is\n%s", others, after)
	}
	s.expectSame(g, "web")
	if _, err := g.Set(t.Context(), legal); err != nil {
		t.Errorf("a legal set, after all that: %v", err)
	}
	if drift := s.metric("config_server_push_drift_fields_total"); drift != 0 {
		t.Errorf("%v fields drifted", drift)
	}
	s.terminate()
	if log := s.output.String(); !strings.Contains(log, "guest refused") || !strings.Contains(log, `"reason":"hidden"`) || strings.Contains(log, canary) {
		t.Errorf("refusals are not in the log as they should")
	}
}

// tenMegabytes sends one message of them, after which the connection is still good.
func (s *server) tenMegabytes(text string) {
	s.Helper()
	conn, err := net.Dial("unix", s.socket("web"))
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close()
	answers := make(chan string)
	go func() {
		defer close(answers)
		for scan := bufio.NewScanner(conn); scan.Scan(); {
			if scan.Text() != "" {
				answers <- scan.Text()
			}
		}
	}()
	value := strings.Repeat(text, 10_000_000/len(text))
	for _, line := range []struct{ send, says string }{
		{`{"jsonrpc": "2.0", "id": 1, "method": "hello", "params": {"protocol": 1, "agent": "raw", "boot": "boot-1"}}`, `"executor":"web"`},
		{`{"jsonrpc": "2.0", "id": 2, "method": "set", "params": {"keys": [{"key": "guestinfo.vice..sessions|main.started", "value": "` + value + `"}]}}`, "error"},
		{`{"jsonrpc": "2.0", "id": 3, "method": "ping"}`, `"id":3`},
	} {
		if _, err := fmt.Fprintln(conn, line.send); err != nil {
			s.Fatal(err)
		}
		if answer := <-answers; !strings.Contains(answer, line.says) {
			s.Errorf("%.80s: %.200s, want %s", line.send, answer, line.says)
		}
	}
}

// metric reads a figure of the server's.
func (s *server) metric(name string) float64 {
	s.Helper()
	values, _ := s.metrics()
	v, err := strconv.ParseFloat(values[name], 64)
	if err != nil {
		s.Fatalf("%s: %v", name, err)
	}
	return v
}

// TestBindingOfAGuest: what cannot be served is refused when it is asked for.
func TestBindingOfAGuest(t *testing.T) {
	s := start(t, dataDir(t), nil)
	s.expect(201, "POST", "/v1/executors", `{"id": "e"}`, nil)
	for ref, field := range map[string]string{"vm?qmp=run/x": "ref", "vm?other=1": "ref", "?qmp=/x": "ref", "": "ref"} {
		s.expectProblem(422, field, "PUT", "/v1/executors/e/vm", fmt.Sprintf(`{"driver": "qemu", "ref": %q}`, ref))
		s.expectProblem(422, "vm."+field, "POST", "/v1/executors", fmt.Sprintf(`{"vm": {"driver": "qemu", "ref": %q}}`, ref))
	}
	var binding, again map[string]any
	s.expect(201, "PUT", "/v1/executors/e/vm", `{"driver": "qemu", "ref": "vm?qmp=/run/vm.qmp", "socket": "/ignored"}`, &binding)
	s.expect(201, "POST", "/v1/executors", `{"id": "f", "vm": {"driver": "qemu", "ref": "vm2"}}`, nil)
	s.socket("e")
	s.expect(200, "GET", "/v1/executors/e/vm", "", &again)
	if again["instance"] != "vm" || again["socket"] != binding["socket"] || binding["socket"] == "/ignored" {
		t.Errorf("%v, then %v", binding, again)
	}
	s.expectProblem(409, "", "PUT", "/v1/executors/f/vm", `{"driver": "qemu", "ref": "vm"}`)

	deep := filepath.Join(dataDir(t), strings.Repeat("d", 90))
	s = start(t, deep, nil)
	s.expectProblem(422, "vm.driver", "POST", "/v1/executors", `{"id": "e", "vm": {"driver": "qemu", "ref": "vm"}}`)
}

// TestRestartUnderAQuietGuest: a server that comes back fills the VM's keys again, and commits nothing for it.
func TestRestartUnderAQuietGuest(t *testing.T) {
	dir := dataDir(t)
	s := start(t, dir, nil)
	s.expect(201, "POST", "/v1/executors", `{"id": "e", "hostname": "h", "sessions": {"main": {}}, "execs": {"job": {}}, "vm": {"driver": "qemu", "ref": "vm"}}`, nil)
	g := s.guest(s.socket("e"), "boot-1")
	s.push("e")
	before, err := g.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	revision := s.metric("config_server_store_revision")
	s.terminate()
	s = start(t, dir, nil)
	after, err := g.Snapshot(t.Context()) // the client waits until the server is back
	if err != nil || after.Revision != before.Revision || !slices.Equal(after.Keys, before.Keys) {
		t.Errorf("the guest saw\n%+v\nand sees, %v,\n%+v", before.Snapshot, err, after.Snapshot)
	}
	s.push("e")
	if now := s.metric("config_server_store_revision"); now != revision {
		t.Errorf("the revision went from %v to %v", revision, now)
	}
}

// TestServerKilledUnderGuests: guests go on by themselves once the server is back. What they were told is stored is stored, no
// exec has ended, and nothing is taken for drift.
func TestServerKilledUnderGuests(t *testing.T) {
	const guests, rounds = 3, 3
	dir := dataDir(t)
	s := start(t, dir, nil)
	var answered [guests]int // by guest: the last that it was told is stored
	var players sync.WaitGroup
	enough := make(chan int, 1000)
	done := make(chan struct{})
	for i := range guests {
		id := fmt.Sprint("e", i)
		s.expect(201, "POST", "/v1/executors", fmt.Sprintf(`{"id": %q, "notes": "hidden", "sessions": {"main": {}}, "execs": {"job": {}}, "vm": {"driver": "qemu", "ref": "vm%d"}}`, id, i), nil)
		g := s.guest(s.socket(id), "boot-1")
		if _, err := g.Set(t.Context(), guest.Pair{Key: "guestinfo.vice..execs|job.started@non-persistent", Value: "true"}); err != nil {
			t.Fatal(err)
		}
		players.Go(func() {
			for n := 1; ; n++ {
				if _, err := g.Set(t.Context(), guest.Pair{Key: "guestinfo.vice..sessions|main.status", Value: strconv.Itoa(n)}); err != nil {
					t.Error(err)
					return
				}
				answered[i] = n
				view, err := g.Get(t.Context(), "guestinfo.vice..sessions|main.status", "guestinfo.vice..execs|job.started@non-persistent")
				if err != nil || len(view.Keys) != 2 || view.Keys[1].Value != strconv.Itoa(n) || view.Keys[0].Value != "true" {
					t.Errorf("after set %d: %+v %v", n, view.Snapshot, err)
					return
				}
				select {
				case enough <- i:
				case <-done:
					return
				}
			}
		})
	}
	for range rounds {
		for range 4 * guests {
			<-enough
		}
		s.kill()
		s = start(t, dir, nil)
		for counts := map[int]bool{}; len(counts) < guests; {
			counts[<-enough] = true
		}
		eventually(t, "the guests", func() bool { return s.metric(`config_server_guests{stage="greeted"}`) == guests })
	}
	close(done)
	go func() {
		for range enough {
		}
	}()
	players.Wait()
	close(enough)
	for i := range guests {
		var doc struct {
			Sessions, Execs map[string]struct {
				Started    string
				ExitStatus int
				Detail     struct{ StopTime string }
			}
		}
		s.expect(200, "GET", fmt.Sprint("/v1/executors/e", i), "", &doc)
		if doc.Sessions["main"].ExitStatus != answered[i] || doc.Execs["job"].Started != "true" || doc.Execs["job"].Detail.StopTime != "" {
			t.Errorf("e%d: answered was %d, the executor is %+v", i, answered[i], doc)
		}
	}
	if drift := s.metric("config_server_push_drift_fields_total"); drift != 0 {
		t.Errorf("%v fields drifted", drift)
	}
}

// TestHostileGuests: one floods with sets, one with garbage, one does not read; others are delivered to all the while, and when they
// are gone nothing is left of them.
func TestHostileGuests(t *testing.T) {
	s := start(t, dataDir(t), nil)
	paths := map[string]string{}
	for _, id := range []string{"flood", "garbage", "stall", "good"} {
		s.expect(201, "POST", "/v1/executors", fmt.Sprintf(`{"id": %q, "sessions": {"main": {}}, "vm": {"driver": "qemu", "ref": %q}}`, id, id), nil)
		paths[id] = s.socket(id)
	}
	goroutines, files := s.metric("go_goroutines"), s.metric("process_open_fds")
	hello := `{"jsonrpc": "2.0", "id": 1, "method": "hello", "params": {"protocol": 1, "agent": "raw", "boot": "boot-1"}}` + "\n"
	var conns []net.Conn
	var hostile sync.WaitGroup
	send := func(id, text string, reads bool) {
		conn, err := net.Dial("unix", paths[id])
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		hostile.Go(func() {
			for line, err := hello, error(nil); err == nil; line = text { // until it is ended, by the server or at last by the test
				_, err = fmt.Fprint(conn, line)
			}
		})
		if reads {
			hostile.Go(func() {
				for buf := make([]byte, 4096); ; {
					if _, err := conn.Read(buf); err != nil {
						return
					}
				}
			})
		}
	}
	send("flood", `{"jsonrpc": "2.0", "id": 2, "method": "set", "params": {"keys": [{"key": "guestinfo.vice..sessions|main.started", "value": "x"}, {"key": "common/notes", "value": "x"}]}}`+"\n", true)
	send("garbage", strings.Repeat("garbage\x00\xff{", 5000), true)
	send("stall", `{"jsonrpc": "2.0", "id": 2, "method": "snapshot"}`+"\n", false)
	eventually(t, "the flood", func() bool { return s.metric(`config_server_guest_refusals_total{reason="rate"}`) > 10 })

	good := s.guest(paths["good"], "boot-1")
	for n := range 50 {
		s.expect(200, "PUT", "/v1/executors/good", fmt.Sprintf(`{"hostname": "h%d", "sessions": {"main": {}}}`, n), nil)
		s.push("good")
		view, err := good.Get(t.Context(), "guestinfo.vice./hostname")
		if err != nil || len(view.Keys) != 1 || view.Keys[0].Value != fmt.Sprint("h", n) {
			t.Fatalf("change %d: %+v %v", n, view.Snapshot, err)
		}
		if _, err := good.Set(t.Context(), guest.Pair{Key: "guestinfo.vice..sessions|main.status", Value: strconv.Itoa(n)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range conns {
		conn.Close()
	}
	hostile.Wait()
	if err := good.Close(); err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
	eventually(t, "the end of all that served them", func() bool {
		return s.metric(`config_server_guests{stage="connected"}`) == 0 && s.metric("go_goroutines") <= goroutines && s.metric("process_open_fds") <= files
	})
	s.terminate()
	if lines := strings.Count(s.output.String(), "guest refused"); lines == 0 || lines > 100 {
		t.Errorf("%d lines of refusals in the log", lines)
	}
}
