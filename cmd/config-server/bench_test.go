package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vmexecutor/config-server/models"
)

// The benchmarks drive the real binary over loopback. What they report are ratios to something else in the same run, of which
// one is the median of several rounds that take turns: other work on the machine disturbs those least.
const (
	benchRounds  = 5
	benchClients = 64
	documentSize = 5 << 10 // of an executor in an answer, in bytes
)

// ordinary is an executor as containers have them, and as large as is ordinary.
func ordinary(b testing.TB, id string, change int) []byte {
	m := &models.Executor{
		ID: id, Name: "name-of-" + id, Hostname: "h" + strconv.Itoa(change), Domainname: "example.org", ImageID: strings.Repeat("1f", 32), LayerID: strings.Repeat("e0", 32),
		RepoName: "registry.example.org/shop/front:1.27", Diagnostics: &models.Diagnostics{DebugLevel: 1}, Sessions: map[string]*models.Session{},
		Mounts: map[string]*models.Mount{
			"data": {Source: "label://data", Path: "/var/lib/data", Mode: "rw"}, "logs": {Source: "nfs://files.example.org/logs?vers=4", Path: "/var/log", Mode: "rw"},
		},
		Networks: map[string]*models.Endpoint{"bridge": {IP: "172.16.0.9/16", Static: true, Ports: []string{"8080:80/tcp", "8443:443/tcp"}, Network: &models.EndpointNetwork{
			Type: "bridge", Gateway: "172.16.0.1/16", Nameservers: []string{"172.16.0.1", "10.0.0.53"}, Pools: []string{"172.16.1.0-172.16.1.255"}, Aliases: []string{"front", "www"}, TrustLevel: "open",
		}}},
		Annotations: map[string]string{},
	}
	for _, name := range []string{"main", "sidecar"} {
		m.Sessions[name] = &models.Session{
			Cmd:    &models.Cmd{Path: "/usr/sbin/" + name, Args: []string{name, "-c", "/etc/conf", "--verbose"}, Env: []string{"PATH=/usr/sbin:/usr/bin", "LANG=C.UTF-8", "STAGE=production"}, Dir: "/srv"},
			Active: true, OpenStdin: true, StopSignal: "TERM", User: "www", Group: "www",
		}
	}
	for n := 0; ; n++ {
		text, err := json.Marshal(m)
		if err != nil {
			b.Fatal(err)
		}
		if len(text) >= documentSize-600 { // the answer says more of the same
			return text
		}
		m.Annotations[fmt.Sprintf("org.example.label-%d", n)] = strings.Repeat("v", 60)
	}
}

// wire is a keep-alive connection of a client that does the least that HTTP/1.1 takes: what the client costs is in both sides of a ratio.
type wire struct {
	net.Conn
	answers *bufio.Reader
}

// dial opens a connection to the server at a base URL.
func dial(b testing.TB, url string) *wire {
	b.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		b.Fatal(err)
	}
	return &wire{c, bufio.NewReaderSize(c, 16<<10)}
}

// request is one as it is sent.
func request(method, path string, body []byte) []byte {
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\n", method, path)
	if body != nil {
		head += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	return append([]byte(head+"\r\n"), body...)
}

// do sends a request and reads its answer, which must be a success.
func (w *wire) do(request []byte) error {
	if _, err := w.Write(request); err != nil {
		return err
	}
	answer, err := http.ReadResponse(w.answers, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		text, err := io.ReadAll(answer.Body)
		return errors.Join(fmt.Errorf("%s: %s", answer.Status, text), err)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// target is a server that requests are made to: its base URL, and its process.
type target struct {
	url     string
	process int
}

func (s *server) target() target { return target{s.api, s.cmd.Process.Pid} }

// taken is what a number of requests took: time, and the processor's time of the server.
type taken struct{ passed, processor time.Duration }

// each makes requests 0 to n-1, over as many connections as there are clients. Each client makes one at a time.
func (t target) each(b testing.TB, clients, n int, request func(i int) []byte) taken {
	b.Helper()
	var wires []*wire
	for range clients {
		w := dial(b, t.url)
		defer w.Close()
		wires = append(wires, w)
	}
	var next atomic.Int64
	var working sync.WaitGroup
	begun, processor := time.Now(), t.processorTime(b)
	for _, w := range wires {
		working.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && !b.Failed(); i = next.Add(1) - 1 {
				if err := w.do(request(int(i))); err != nil {
					b.Error(err)
				}
			}
		})
	}
	working.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return taken{time.Since(begun), t.processorTime(b) - processor}
}

// processorTime is what the process has used, in the kernel as well.
func (t target) processorTime(b testing.TB) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", t.process))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // what follows is the third field of proc(5)
	fields := strings.Fields(rest)
	var ticks time.Duration
	for _, field := range fields[14-3 : 16-3] {
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * (time.Second / 100) // a tick, wherever Linux runs
}

// ratio is the median of the ratios of two measures, round by round.
func ratio[T any](over, under []T, of func(T) time.Duration) float64 {
	var all []float64
	for i := range over {
		all = append(all, of(over[i]).Seconds()/of(under[i]).Seconds())
	}
	return median(all)
}

func median[T cmp.Ordered](all []T) T {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

func passed(t taken) time.Duration    { return t.passed }
func processor(t taken) time.Duration { return t.processor }

// perOne is the median time that one of n took, in microseconds.
func perOne(all []taken, n int, of func(taken) time.Duration) float64 {
	var list []time.Duration
	for _, t := range all {
		list = append(list, of(t))
	}
	return float64(median(list).Nanoseconds()) / 1e3 / float64(n)
}

func executorPath(id string) string { return "/v1/executors/" + id }

// fill creates executors x0 to xn-1 over the API.
func (s *server) fill(b *testing.B, n int) taken {
	b.Helper()
	return s.target().each(b, 4*benchClients, n, func(i int) []byte {
		id := "x" + strconv.Itoa(i)
		return request("PUT", executorPath(id), ordinary(b, id, 0))
	})
}
