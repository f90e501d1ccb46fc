package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vmexecutor/config-server/models"
)

// plainVariable makes the test binary the plain server of a document: see servePlain.
const plainVariable = "CONFIG_SERVER_BENCH_PLAIN"

// servePlain does nothing but what GET of an executor cannot be without, in a process of its own: net/http and the encoding of the same model, with the
// same library and options.
func servePlain(document string) {
	var m models.Executor
	err := json.Unmarshal([]byte(document), &m)
	if err != nil {
		panic(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("http://" + l.Addr().String())
	panic(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text, err := json.Marshal(&m, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
		if err != nil {
			panic(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(text, '\n'))
	})))
}

// startPlain starts the plain server of a document.
func startPlain(b *testing.B, document []byte) (t target) {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), plainVariable+"="+string(document))
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // says that it was killed
	})
	if _, err := fmt.Fscan(out, &t.url); err != nil {
		b.Fatal(err)
	}
	t.process = cmd.Process.Pid
	return t
}

// BenchmarkGet reads executors over 64 connections that are kept: always the same one, and one of 10,000 at random. It is compared to the plain server, by requests a
// second, the client's part being the same in both, and by the processor's time that the servers take for a request.
func BenchmarkGet(b *testing.B) {
	const requests, executors = 20_000, 10_000
	s := start(b, b.TempDir(), nil, "--simulator-vms", "0")
	s.fill(b, executors)
	answer := s.do("GET", executorPath("x0"), "")
	plainly := startPlain(b, answer.body)
	same := request("GET", executorPath("x0"), nil)
	for name, next := range map[string]func(int) []byte{
		"one":  func(int) []byte { return same },
		"many": func(int) []byte { return request("GET", executorPath("x"+strconv.Itoa(rand.IntN(executors))), nil) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var plain, server []taken
				for range benchRounds {
					plain = append(plain, plainly.each(b, benchClients, requests, next))
					server = append(server, s.target().each(b, benchClients, requests, next))
				}
				b.ReportMetric(ratio(plain, server, passed), "requests/plain") // the other way round than times
				b.ReportMetric(ratio(server, plain, processor), "cpu/plain")
				b.ReportMetric(perOne(plain, requests, processor), "plain-cpu-µs")
				b.ReportMetric(perOne(server, requests, processor), "cpu-µs")
			}
			b.ReportMetric(float64(len(answer.body)), "B")
			b.ReportMetric(0, "ns/op") // of no interest
		})
	}
	s.terminate()
}

// BenchmarkPut replaces executors over 64 connections, 64 of them in turn: on disk, and in memory for comparison.
func BenchmarkPut(b *testing.B) {
	const requests = 2000
	servers := map[string]*server{"disk": start(b, b.TempDir(), nil, "--simulator-vms", "0"), "memory": start(b, "none", nil, "--simulator-vms", "0")}
	for _, s := range servers {
		s.fill(b, benchClients)
	}
	for b.Loop() {
		took := map[string][]taken{}
		commits, transactions := servers["disk"].commits()
		for round := range benchRounds {
			for name, s := range servers {
				took[name] = append(took[name], s.target().each(b, benchClients, requests, func(i int) []byte {
					id := "x" + strconv.Itoa(i%benchClients)
					return request("PUT", executorPath(id), ordinary(b, id, 1+round*requests+i))
				}))
			}
		}
		c, t := servers["disk"].commits()
		if want := float64(benchRounds * requests); c-commits != want {
			b.Errorf("%v commits for %v changes", c-commits, want)
		}
		b.ReportMetric(2*(t-transactions)/(c-commits), "syncs/put") // each transaction of the file syncs it twice
		b.ReportMetric(ratio(took["memory"], took["disk"], passed), "requests/memory")
		b.ReportMetric(ratio(took["disk"], took["memory"], processor), "cpu/memory")
		b.ReportMetric(perOne(took["memory"], requests, processor), "memory-cpu-µs")
		b.ReportMetric(perOne(took["disk"], requests, processor), "cpu-µs")
	}
	b.ReportMetric(0, "ns/op") // of no interest
	for _, s := range servers {
		s.terminate()
	}
}

// commits are those since the server started, and the transactions of its file that they shared.
func (s *server) commits() (commits, transactions float64) {
	s.Helper()
	return s.figure("config_server_store_commits_total"), s.figure("config_server_store_transactions_total")
}

// figure is a metric.
func (s *server) figure(name string) float64 {
	s.Helper()
	values, _ := s.metrics()
	x, err := strconv.ParseFloat(values[name], 64)
	if err != nil {
		s.Fatalf("%s: %v", name, err)
	}
	return x
}
