package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// These tests attack the real binary, from this machine: 127.0.0.2 attacks, 127.0.0.1 is another client, who has to be served all along.

// attacker makes connections from an address of its own.
var attacker = &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}

func (s *server) attack() net.Conn {
	s.Helper()
	c, err := attacker.DialContext(s.Context(), "tcp", strings.TrimPrefix(s.api, "http://"))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { c.Close() })
	return c
}

// say writes, unless the server has had enough.
func say(c net.Conn, text string) { _, _ = io.WriteString(c, text) }

// attackerClient makes each request over a connection of its own.
func attackerClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: attacker.DialContext, DisableKeepAlives: true}}
}

// served makes a request as the other client.
func (s *server) served() {
	s.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	r, err := s.request("GET", "/v1/executors/web-1", "")
	if err != nil {
		s.Fatal(err)
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		s.Fatalf("another client is not served: %v", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		s.Errorf("another client is answered %s", resp.Status)
	}
}

// peak is the most memory that the process ever had, in MiB.
func (s *server) peak() int {
	s.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	kib, err := strconv.Atoi(string(m[1]))
	if err != nil {
		s.Fatal(err)
	}
	return kib >> 10
}

func startAttacked(t *testing.T, args ...string) *server {
	t.Helper()
	s := start(t, t.TempDir(), nil, args...)
	s.expect(http.StatusCreated, "POST", "/v1/executors", `{"id": "web-1"}`, nil)
	return s
}

// TestIdleConnections: thousands of them keep nobody out, not even others of the same address.
func TestIdleConnections(t *testing.T) {
	s := startAttacked(t, "--max-connections", "400", "--max-connections-per-client", "200")
	var idle []net.Conn
	for range 3000 {
		idle = append(idle, s.attack())
	}
	s.served()
	s.servedInTime()
	s.served()
	if peak := s.peak(); peak > 300 {
		t.Errorf("the server needed %d MiB", peak)
	}
	for _, c := range idle {
		c.Close()
	}
}

// servedInTime makes requests from the attacker's address until one is served. Until then they are refused clearly.
func (s *server) servedInTime() {
	s.Helper()
	client := attackerClient()
	for {
		r, err := s.request("GET", "/v1/executors/web-1", "")
		if err != nil {
			s.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			continue // closed without a word, which is for more connections than can be told
		}
		resp.Body.Close()
		switch {
		case resp.StatusCode == http.StatusOK:
			return
		case resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "":
			s.Fatalf("refused with %s %v", resp.Status, resp.Header)
		}
	}
}

// TestSlowRequests: headers that come bit by bit make room for others, and end when their time is up; so do slow bodies, which
// until then keep out others of their address alone.
func TestSlowRequests(t *testing.T) {
	const each = 20
	s := startAttacked(t, "--max-connections-per-client", strconv.Itoa(each), "--header-timeout", "3s", "--read-timeout", "6s")
	for range each {
		say(s.attack(), "GET /v1/executors HTTP/1.1\r\nHost: localhost\r\nX-Slow")
	}
	s.served()
	s.servedInTime()
	for _, request := range []string{
		"GET /v1/executors HTTP/1.1\r\nHost: localhost\r\nX-Slow",
		"POST /v1/executors HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
	} {
		c := s.attack()
		say(c, request)
		if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) { // until the server ends it
			t.Errorf("%.20s: %v", request, err)
		}
	}
}

// TestTooManyRequests: a client that has as many requests under way as it may is told so, in the shape of all errors.
func TestTooManyRequests(t *testing.T) {
	const each = 20
	s := startAttacked(t, "--max-connections-per-client", strconv.Itoa(each))
	body, under := io.Pipe()
	defer under.Close() //nolint:errcheck // a pipe's always succeeds
	begun := make(chan struct{}, each)
	for range each {
		r, err := s.request("POST", "/v1/executors", "")
		if err != nil {
			t.Fatal(err)
		}
		r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader("{"), body)), 100
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Expect", "100-continue") // which the server says once it reads the body: the request is under way
		r = r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { begun <- struct{}{} }}))
		go func() {
			transport := &http.Transport{DialContext: attacker.DialContext, ExpectContinueTimeout: time.Hour}
			if resp, err := transport.RoundTrip(r); err == nil {
				resp.Body.Close()
			}
		}()
	}
	for range each {
		<-begun
	}
	r, err := s.request("GET", "/v1/executors", "")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := attackerClient().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "1" || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %v %s %v", resp.Status, resp.Header, text, err)
	}
	s.served()
}

// TestLongHeaders are refused, without being read to their end.
func TestLongHeaders(t *testing.T) {
	s := startAttacked(t)
	a := s.do("GET", "/v1/executors", "", "X-Long", strings.Repeat("x", 20<<10))
	if a.status != http.StatusRequestHeaderFieldsTooLarge || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			c := s.attack()
			go func() {
				defer c.(*net.TCPConn).CloseWrite() //nolint:errcheck // it may be closed
				say(c, "GET /v1/executors HTTP/1.1\r\nHost: localhost\r\n")
				line := strings.Repeat("X-Flood: flood\r\n", 1024)
				for range 4096 { // 64 MiB
					if _, err := io.WriteString(c, line); err != nil {
						return
					}
				}
				t.Error("64 MiB of headers were read")
			}()
			// What it says may be lost: it does not wait for what was not read.
			if line, err := bufio.NewReader(c).ReadString('\n'); err == nil && !strings.Contains(line, "431") {
				t.Errorf("answered %s", line)
			}
		})
	}
	s.served()
	all.Wait()
	if peak := s.peak(); peak > 300 {
		t.Errorf("the server needed %d MiB", peak)
	}
}

// TestLargeBodies: of bodies of 1 GiB little more is read than the limit; what unfolds or nests without end is refused.
func TestLargeBodies(t *testing.T) {
	s := startAttacked(t)
	var sent atomic.Int64
	zeros := func() io.Reader { return io.LimitReader(&spaces{&sent}, 1<<30) }
	gzipped := &bytes.Buffer{}
	z := gzip.NewWriter(gzipped)
	if _, err := z.Write(make([]byte, 256<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	depth := 500 << 10
	var all sync.WaitGroup
	for range 10 {
		for _, tc := range []struct {
			name   string
			body   io.Reader
			length int64 // -1: in chunks
			status int
		}{
			{"1 GiB", zeros(), 1 << 30, 413},
			{"1 GiB in chunks", zeros(), -1, 413},
			{"gzip", bytes.NewReader(gzipped.Bytes()), int64(gzipped.Len()), 415},
			{"deep", strings.NewReader(strings.Repeat(`{"sessions":`, depth/12)), -1, 400},
			{"deep lists", strings.NewReader(`{"mounts":` + strings.Repeat(`[`, depth)), -1, 400},
			{"many small entries", strings.NewReader(`{"annotations": {` + strings.Repeat(`"a":"",`, 100_000)), -1, 400},
		} {
			all.Go(func() {
				r, err := s.request("POST", "/v1/executors", "")
				if err != nil {
					t.Error(err)
					return
				}
				r.Body, r.ContentLength = io.NopCloser(tc.body), tc.length
				r.Header.Set("Content-Type", "application/json")
				if tc.name == "gzip" {
					r.Header.Set("Content-Encoding", "gzip")
				}
				resp, err := attackerClient().Do(r)
				if err != nil {
					if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) { // it does not wait for what it does not read
						t.Errorf("%s: %v", tc.name, err)
					}
					return
				}
				defer resp.Body.Close()
				tooMany := resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") != ""
				if resp.StatusCode != tc.status && !tooMany {
					t.Errorf("%s: %s", tc.name, resp.Status)
				}
			})
		}
	}
	s.served()
	all.Wait()
	s.served()
	if got := sent.Load() >> 20; got > 20*32 {
		t.Errorf("%d MiB were taken of 20 bodies", got)
	}
	peak := s.peak()
	t.Logf("%d MiB were taken of 20 bodies of 1 GiB; the server needed %d MiB", sent.Load()>>20, peak)
	if peak > 500 {
		t.Errorf("the server needed %d MiB", peak)
	}
}

// spaces may stand before a document; it counts how many were taken.
type spaces struct{ n *atomic.Int64 }

func (s *spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	s.n.Add(int64(len(p)))
	return len(p), nil
}

// TestManyStreams: one who watches much is refused more, and others watch.
func TestManyStreams(t *testing.T) {
	s := startAttacked(t, "--max-streams", "2")
	watch := func(client *http.Client, status int) {
		t.Helper()
		r, err := s.request("GET", "/v1/watch", "")
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		if resp.StatusCode != status || (status == http.StatusTooManyRequests) != (resp.Header.Get("Retry-After") != "") {
			t.Errorf("a watch is answered %s %v, want %d", resp.Status, resp.Header, status)
		}
	}
	watch(http.DefaultClient, http.StatusOK)
	for range 5 {
		watch(attackerClient(), http.StatusTooManyRequests) // without tokens all are one caller
	}
	s.served()
}

// TestAnswersThatNobodyReads: what is wrong with long documents is told in short, and whoever does not read it holds nobody up: the one
// document that may be worked on at a time is soon another.
func TestAnswersThatNobodyReads(t *testing.T) {
	const longest = 400_000
	s := startAttacked(t, "--max-body", strconv.Itoa(longest), "--max-work", strconv.Itoa(longest), "--write-timeout", "1h")
	var names strings.Builder
	for i := range 8_000 {
		fmt.Fprintf(&names, `,"-%05x":{}`, i)
	}
	document := `{"sessions":{` + names.String()[1:] + `}}` // each name is a fault
	answered := make(chan error)
	const attackers = 2
	for range attackers {
		c := s.attack()
		if err := c.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		say(c, fmt.Sprintf("PATCH /v1/executors/web-1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/merge-patch+json\r\nContent-Length: %d\r\n\r\n%s", len(document), document))
		go func() {
			_, err := io.ReadFull(c, make([]byte, 8)) // and no more
			answered <- err
		}()
	}
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	if a := s.do("PATCH", "/v1/executors/web-1", `{"notes": "x"}`+strings.Repeat(" ", longest/2), "Content-Type", "application/merge-patch+json"); a.status != http.StatusOK {
		t.Errorf("another's change is answered %d %s", a.status, a.body)
	}
	for range attackers - 1 {
		if err := <-answered; err != nil {
			t.Error(err)
		}
	}
}

// TestListsThatNobodyReads: of pages that clients ask for and do not read, the server keeps no more than it may, and refuses the rest.
func TestListsThatNobodyReads(t *testing.T) {
	const most, clients = 8 << 20, 150
	s := startAttacked(t, "--max-answers", strconv.Itoa(most))
	notes := strings.Repeat("n", 60_000)
	for i := range 150 { // 9 MB, more than the kernel takes of an answer
		s.expect(http.StatusCreated, "POST", "/v1/executors", fmt.Sprintf(`{"id": "long-%d", "notes": %q}`, i, notes), nil)
	}
	before := s.peak()
	refused := make(chan bool, clients)
	for range clients {
		c := s.attack()
		if err := c.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		say(c, "GET /v1/executors?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
		go func() {
			status := make([]byte, len("HTTP/1.1 200"))
			_, err := io.ReadFull(c, status) // and no more
			refused <- err == nil && string(status) == "HTTP/1.1 429"
		}()
	}
	many := 0
	for range clients {
		if <-refused {
			many++
		}
	}
	t.Logf("%d of %d were refused; the server needed %d MiB, and %d before", many, clients, s.peak(), before)
	if many != clients-1 { // without tokens all are one caller, who has one such page
		t.Errorf("%d of %d pages were refused", many, clients)
	}
	s.served()
}
