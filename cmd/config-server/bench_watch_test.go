package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// BenchmarkWatchers has 1,000 clients watch while another makes 1,000 changes, and takes the time from each change being answered to each client reading of
// it; what was read before the answer took no time. Each must read of each change, in order. The client makes a change once all have read of
// the one before (paced), or once that is answered (flood): then there are more changes than can be told of one by one, and what counts is how far
// behind the watchers fall. The times are compared to that of a change itself, from its request to its answer.
func BenchmarkWatchers(b *testing.B) {
	const watchers, changes = 1000, 1000
	for _, paced := range []bool{true, false} {
		b.Run(map[bool]string{true: "paced", false: "flood"}[paced], func(b *testing.B) {
			for b.Loop() {
				crowd(b, watchers, changes, paced)
			}
			b.ReportMetric(0, "ns/op") // of no interest
		})
	}
}

// crowd is one round.
func crowd(b *testing.B, watchers, changes int, paced bool) {
	s := start(b, b.TempDir(), nil, "--simulator-vms", "0")
	s.expect(http.StatusCreated, "PUT", executorPath("x"), string(ordinary(b, "x", 0)), nil)
	answered := make([]time.Time, changes)
	told := make([][]time.Time, watchers)
	read := make(chan struct{}, watchers*changes)
	var watching, begun sync.WaitGroup
	for i := range watchers {
		w := dial(b, s.api)
		defer w.Close()
		begun.Add(1)
		watching.Go(func() { told[i] = w.follow(b, changes, &begun, read) })
	}
	begun.Wait()
	client := dial(b, s.api)
	defer client.Close()
	var own []time.Duration
	processor := s.target().processorTime(b)
	for i := range changes {
		at := time.Now()
		if err := client.do(request("PUT", executorPath("x"), ordinary(b, "x", i+1))); err != nil {
			b.Fatal(err)
		}
		answered[i] = time.Now()
		own = append(own, answered[i].Sub(at))
		for range watchers {
			if paced {
				<-read
			}
		}
	}
	watching.Wait()
	if b.Failed() {
		b.FailNow()
	}
	processor = s.target().processorTime(b) - processor
	var took []time.Duration
	for _, times := range told {
		for i, at := range times {
			took = append(took, max(0, at.Sub(answered[i])))
		}
	}
	slices.Sort(took)
	change := median(own)
	for name, at := range map[string]int{"p50": len(took) / 2, "p99": len(took) * 99 / 100} {
		b.ReportMetric(1e3*took[at].Seconds(), name+"-ms")
		b.ReportMetric(took[at].Seconds()/change.Seconds(), name+"/change")
	}
	b.ReportMetric(float64(processor.Microseconds())/float64(watchers*changes), "cpu-µs/event")
	s.terminate()
}

// follow watches until it was told of so many changes after revision 1, each of which must be the next, and gives when. It says
// when it has begun, and when it was told of one.
func (w *wire) follow(b *testing.B, changes int, begun *sync.WaitGroup, read chan<- struct{}) (told []time.Time) {
	once := sync.OnceFunc(begun.Done)
	defer once()
	if _, err := w.Write(request("GET", "/v1/watch?since=1", nil)); err != nil {
		b.Error(err)
		return nil
	}
	answer, err := http.ReadResponse(w.answers, nil)
	if err != nil {
		b.Error(err)
		return nil
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		b.Errorf("a watch is answered %s", answer.Status)
		return nil
	}
	for lines := bufio.NewReader(answer.Body); len(told) < changes; {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			b.Error(err)
			break
		}
		at := time.Now()
		once() // with the heartbeat that comes first
		if bytes.Contains(line, []byte(`"action":"heartbeat"`)) {
			continue
		}
		if revision, err := revisionOf(line); err != nil || revision != len(told)+2 {
			b.Errorf("after revision %d comes %s", len(told)+1, line)
			break
		}
		told = append(told, at)
		read <- struct{}{}
	}
	for range changes - len(told) { // nobody is to wait for those
		read <- struct{}{}
	}
	return told
}

// revisionOf is that of an event, found without decoding all of it a million times.
func revisionOf(line []byte) (int, error) {
	_, after, _ := bytes.Cut(line, []byte(`"revision":`))
	end := bytes.IndexAny(after, ",}")
	if end < 0 {
		return 0, fmt.Errorf("no revision: %s", line)
	}
	return strconv.Atoi(string(after[:end]))
}
