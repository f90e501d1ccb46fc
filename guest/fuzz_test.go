package guest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/vmexecutor/config-server/guest"
)

// FuzzServer lets a guest write anything: every line that the server writes is a message of the protocol, nothing is written before
// a hello, nothing is stored that the VM does not allow, and the next hello is answered.
func FuzzServer(f *testing.F) {
	set := request("1", "set", `{"keys":[{"key":"`+status+`","value":"1"},{"key":"guestinfo.vice..b","value":"é\n"}]}`)
	for _, seed := range []string{
		set, request("1", "get", `{"keys":["`+name+`"]}`), request(`"x"`, "subscribe", ""), request("-1.5e3", "snapshot", "{}"),
		"[" + set + "]", "{}", "null", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, "\n\r\n" + request("1", "hello", hello), set[:30] + "\n" + set,
		"\xff\xfe", strings.Repeat("[", 2000), `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}`,
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, first bool) {
		m := newMachine(name, "web")
		s := guest.NewServer(m, guest.Options{Limits: unlimited})
		near, far := net.Pipe()
		served := make(chan error, 1)
		go func() { served <- s.Serve(context.Background(), far) }()
		go func() {
			if first {
				_, _ = io.WriteString(near, request(`"first"`, "hello", hello)+"\n")
			}
			_, _ = near.Write(text)
			_, _ = io.WriteString(near, "\n"+request(`"last"`, "hello", hello)+"\n")
		}()
		r := bufio.NewReader(near)
		mayTalk := first || bytes.Contains(text, []byte("hello"))
		for {
			line, err := r.ReadBytes('\n')
			if err != nil {
				t.Fatalf("%v after %q", err, line)
			}
			if len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			var a answer
			if err := json.Unmarshal(line, &a); err != nil || a.JSONRPC != "2.0" || !utf8.Valid(line) || (a.Result == nil) == (a.Error == nil) {
				t.Fatalf("the server wrote %q: %v", line, err)
			}
			if a.ID == "last" {
				break
			}
			if !mayTalk {
				t.Fatalf("%q before a hello", line)
			}
		}
		near.Close()
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		if m.value(name) != "web" {
			t.Fatal("a read-only key was changed")
		}
		for key := range m.keys {
			if key != name && !strings.HasPrefix(key, "guestinfo.vice..") {
				t.Fatalf("a key %q", key)
			}
		}
	})
}

// FuzzClient lets a server write anything after its welcome: the client believes no answer that it did not ask for, and goes on with
// the server that comes next.
func FuzzClient(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","method":"changed","params":{"revision":7,"keys":["a"]}}`, `{"jsonrpc":"2.0","method":"changed","params":[]}`,
		`{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}`, `{"jsonrpc":"2.0","id":"x","result":{"revision":9,"keys":[]}}`,
		`{"jsonrpc":"2.0","id":2,"result":{"revision":9}}`, "\n\n", "\xff", "[1]", `{"jsonrpc":"2.0","id":"1","method":"hello"}`,
	} {
		f.Add([]byte(seed + "\n"))
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m := newMachine(name, "web")
		s := guest.NewServer(m, guest.Options{Limits: unlimited})
		opened := 0
		open := func(context.Context) (io.ReadWriteCloser, error) {
			near, far := net.Pipe()
			if opened++; opened > 1 {
				go func() { _ = s.Serve(context.Background(), far) }()
				return near, nil
			}
			go func() {
				defer far.Close()
				r := bufio.NewReader(far)
				line, err := r.ReadBytes('\n')
				for err == nil && len(line) == 1 {
					line, err = r.ReadBytes('\n')
				}
				var asked struct{ ID string }
				if err != nil || json.Unmarshal(line, &asked) != nil {
					return
				}
				go func() { _, _ = io.Copy(io.Discard, r) }()
				_, _ = io.WriteString(far, `{"jsonrpc":"2.0","id":"`+asked.ID+`","result":{"protocol":1,"executor":"e1"}}`+"\n")
				_, _ = far.Write(text)
			}()
			return near, nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		c, err := guest.Open(ctx, open, guest.ClientOptions{Boot: "b"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		v, err := c.Snapshot(ctx)
		if err != nil || v.Revision != 1 || len(v.Keys) != 1 || v.Keys[0] != (guest.Pair{Key: name, Value: "web"}) {
			t.Fatalf("%+v, %v", v, err)
		}
	})
}
