package main

import (
	stdjson "encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/vmexecutor/config-server/models"
)

var benchExecutors = flag.Int("bench.executors", 10_000, "the most executors that BenchmarkGrowth has: 1,000 and ten times as many again and again")

// tightGC has a server collect garbage whenever its heap has grown by a tenth, so that what is in use at any time is at most so much more than after a
// collection. Nothing else makes it collect from outside.
var tightGC = []string{"GOGC=10"}

// BenchmarkHeap has 10,000 unbound executors on disk. It tells how much heap the server that has them needs for each, right after its start and
// when each was read, and how long it takes to start, compared to the decoding of the same documents with encoding/json.
func BenchmarkHeap(b *testing.B) {
	const executors = 10_000
	dir := b.TempDir()
	s := start(b, dir, nil, "--simulator-vms", "0")
	s.fill(b, executors)
	s.terminate()
	var documents [][]byte
	for i := range executors {
		documents = append(documents, ordinary(b, "x"+strconv.Itoa(i), 0))
	}
	for b.Loop() {
		var started, decoded []time.Duration
		for range benchRounds {
			begun := time.Now()
			for _, text := range documents {
				if err := stdjson.Unmarshal(text, new(models.Executor)); err != nil {
					b.Fatal(err)
				}
			}
			decoded = append(decoded, time.Since(begun))
			s = start(b, dir, nil, "--simulator-vms", "0")
			started = append(started, s.ready)
			s.terminate()
		}
		itself := func(d time.Duration) time.Duration { return d }
		b.ReportMetric(ratio(started, decoded, itself), "ready/decode")
		b.ReportMetric(median(started).Seconds(), "ready-s")

		s = start(b, dir, tightGC, "--simulator-vms", "0")
		b.ReportMetric(s.heap()/executors, "B/executor")
		s.readAll(b, executors)
		b.ReportMetric(s.heap()/executors, "read-B/executor")
		s.terminate()
	}
	b.ReportMetric(0, "ns/op") // of no interest
}

// readAll reads all executors of fill.
func (s *server) readAll(b *testing.B, n int) taken {
	b.Helper()
	return s.target().each(b, benchClients, n, func(i int) []byte { return request("GET", executorPath("x"+strconv.Itoa(i)), nil) })
}

// heap is what is in use of it after two more collections, in bytes: what the metrics themselves had in use is gone by then.
func (s *server) heap() float64 {
	s.Helper()
	for collections := s.figure("go_gc_duration_seconds_count") + 2; s.figure("go_gc_duration_seconds_count") < collections; {
		s.do("GET", "/swagger.json", "")
	}
	return s.figure("go_memstats_heap_inuse_bytes")
}

// BenchmarkGrowth tells what things cost with 1,000 executors, with ten times as many, and so on: whatever is of one executor should cost the same,
// what goes through all of them ten times as much.
func BenchmarkGrowth(b *testing.B) {
	for n := 1000; n <= *benchExecutors; n *= 10 {
		b.Run(fmt.Sprintf("executors=%d", n), func(b *testing.B) {
			for b.Loop() {
				grown(b, n)
			}
			b.ReportMetric(0, "ns/op") // of no interest
		})
	}
}

// awaken waits until the server has done what it does after a start and at the first look at its metrics, which each take a look at all executors.
func (s *server) awaken(executors int) time.Duration {
	s.Helper()
	for begun := time.Now(); ; {
		values, _ := s.metrics()
		if values[`config_server_executors{state="unbound"}`] == strconv.Itoa(executors) && values["config_server_push_feed_lag_revisions"] == "0" {
			return time.Since(begun)
		}
	}
}

func grown(b *testing.B, n int) {
	const looks, pages = 1000, 20
	dir := b.TempDir()
	s := start(b, dir, nil, "--simulator-vms", "0")
	took := s.fill(b, n)
	b.ReportMetric(perOne([]taken{took}, n, passed), "create-µs")
	b.ReportMetric(perOne([]taken{took}, n, processor), "create-cpu-µs")
	s.terminate()

	s = start(b, dir, tightGC, "--simulator-vms", "0")
	b.ReportMetric(s.heap()/float64(n), "B/executor")
	s.terminate()

	s = start(b, dir, nil, "--simulator-vms", "0")
	b.ReportMetric(1e3*s.ready.Seconds(), "ready-ms")
	b.ReportMetric(1e3*s.awaken(n).Seconds(), "awake-ms")
	for _, measure := range []struct {
		name    string
		times   int
		request func(i int) []byte
	}{
		{"get", looks, func(int) []byte { return request("GET", executorPath("x"+strconv.Itoa(rand.IntN(n))), nil) }},
		{"name", looks, func(int) []byte {
			return request("GET", "/v1/executors?name=name-of-x"+strconv.Itoa(rand.IntN(n)), nil)
		}},
		{"page", pages, func(int) []byte { return request("GET", "/v1/executors?limit=100", nil) }},
		{"put", looks, func(i int) []byte {
			id := "x" + strconv.Itoa(rand.IntN(n))
			return request("PUT", executorPath(id), ordinary(b, id, 1+i))
		}},
	} {
		took := []taken{s.target().each(b, 1, measure.times, measure.request)}
		b.ReportMetric(perOne(took, measure.times, passed), measure.name+"-µs")
		b.ReportMetric(perOne(took, measure.times, processor), measure.name+"-cpu-µs")
	}
	s.terminate()
}
