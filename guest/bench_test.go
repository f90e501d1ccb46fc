package guest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/extraconfig"
	"github.com/vmexecutor/config-server/guest"
)

// largest is the guest's part of the largest key set among the codec's vectors.
func largest(b *testing.B) []guest.Pair {
	b.Helper()
	files, err := filepath.Glob("../extraconfig/testdata/vectors/*.json")
	if err != nil || len(files) == 0 {
		b.Fatal(err, files)
	}
	var most []guest.Pair
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		var v struct{ Keys map[string]string }
		if err := json.Unmarshal(text, &v); err != nil {
			b.Fatal(err)
		}
		var pairs []guest.Pair
		for key, value := range v.Keys {
			if strings.HasPrefix(key, "guestinfo.vice") {
				pairs = append(pairs, guest.Pair{Key: key, Value: extraconfig.Escape(value)})
			}
		}
		if len(pairs) > len(most) {
			most = pairs
		}
	}
	slices.SortFunc(most, func(x, y guest.Pair) int { return strings.Compare(x.Key, y.Key) })
	return most
}

// fixed is a VM that takes no time.
type fixed struct{ snapshot guest.Snapshot }

func (fixed) Hello(context.Context, guest.Hello) (guest.Welcome, error) { return guest.Welcome{}, nil }
func (f fixed) Snapshot(context.Context) (guest.Snapshot, error)        { return f.snapshot, nil }
func (f fixed) Set(context.Context, []guest.Pair) (uint64, error)       { return 1, nil }

// raw is a guest that only reads lines: what is measured is the server's.
type raw struct {
	net.Conn
	r *bufio.Reader
}

func connect(b *testing.B, s *guest.Server) raw {
	b.Helper()
	near, far := net.Pipe()
	go func() { _ = s.Serve(context.Background(), far) }()
	b.Cleanup(func() { near.Close() })
	r := raw{near, bufio.NewReaderSize(near, 512)}
	r.ask(b, request("1", "hello", hello))
	r.ask(b, request("2", "subscribe", ""))
	return r
}

func (r raw) ask(b *testing.B, line string) {
	if _, err := io.WriteString(r, line+"\n"); err != nil {
		b.Fatal(err)
	}
	r.next(b)
}

func (r raw) next(b *testing.B) (size int) {
	for {
		line, err := r.r.ReadSlice('\n')
		size += len(line)
		if err == nil && size > 1 {
			return size
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			b.Fatal(err)
		}
	}
}

func BenchmarkServer(b *testing.B) {
	pairs := largest(b)
	s := guest.NewServer(fixed{guest.Snapshot{Revision: 7, Keys: pairs}}, guest.Options{Limits: unlimited})
	var one, many []string
	for i := range 20 {
		pair := fmt.Sprintf(`{"key":"guestinfo.vice..sessions|web.detail%d","value":"1511580000"}`, i)
		many = append(many, pair)
		one = many[:1]
	}
	for _, c := range []struct{ name, line string }{
		{fmt.Sprintf("snapshot-%d", len(pairs)), request("3", "snapshot", "")},
		{"get-1", request("3", "get", `{"keys":["`+pairs[0].Key+`"]}`)},
		{"set-1", request("3", "set", `{"keys":[`+strings.Join(one, ",")+`]}`)},
		{"set-20", request("3", "set", `{"keys":[`+strings.Join(many, ",")+`]}`)},
		{"ping", request("3", "ping", "")},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := connect(b, s)
			b.ReportAllocs()
			for b.Loop() {
				r.ask(b, c.line)
			}
		})
	}
}

func BenchmarkClient(b *testing.B) {
	pairs := largest(b)
	s := guest.NewServer(fixed{guest.Snapshot{Revision: 7, Keys: pairs}}, guest.Options{Limits: unlimited})
	c, err := guest.Open(b.Context(), pipes(context.Background(), s), guest.ClientOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	b.Run(fmt.Sprintf("snapshot-%d-values", len(pairs)), func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v, err := c.Snapshot(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if _, err := v.Values(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("set-1", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Set(b.Context(), guest.Pair{Key: status, Value: "1"}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkFanOut announces one change to 1,000 guests, each of a VM of its own, and waits until all have it. What a guest takes
// is measured with its end of the connection, which reads lines and does no more.
func BenchmarkFanOut(b *testing.B) {
	const guests = 1000
	before := inUse()
	var servers []*guest.Server
	var ends []raw
	for range guests {
		s := guest.NewServer(fixed{}, guest.Options{Limits: unlimited})
		servers, ends = append(servers, s), append(ends, connect(b, s))
	}
	perGuest := float64(inUse()-before) / guests
	b.ReportAllocs()
	revision := uint64(1)
	for b.Loop() {
		revision++
		var all sync.WaitGroup
		all.Go(func() {
			for _, s := range servers {
				s.Changed(revision, name, status)
			}
		})
		for _, end := range ends {
			end.next(b)
		}
		all.Wait()
	}
	b.ReportMetric(perGuest, "B/guest")
}

// inUse is the memory of heap and stacks.
func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
