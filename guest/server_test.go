package guest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmexecutor/config-server/guest"
)

func TestNothingBeforeAHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen counter
		m := newMachine(name, "web")
		s := guest.NewServer(m, guest.Options{Event: seen.add})
		w := dial(t, s)
		w.send(request("1", "snapshot", ""), "", "noise \x00\xff", `["hello"]`, `{"method":"hello"}`,
			`{"jsonrpc":"2.0","method":"hello","params":`+hello+`}`, request("2", "ping", ""), request("3", "set", `{"keys":[]}`))
		w.send(strings.Repeat("x", guest.MaxLine+1), strings.Repeat("\x00", 1<<20)+"hello")
		s.Changed(5, name)
		synctest.Wait()
		a := w.ask("hello", hello) // the first message that the server writes
		var got guest.Welcome
		if err := json.Unmarshal(a.Result, &got); err != nil || got.Executor != "e1" || got.Protocol != 1 || got.Limits != guest.DefaultLimits {
			t.Errorf("welcome %v, %+v", a, got)
		}
		if n := len(seen.of(guest.EventIgnored)); n != 9 {
			t.Errorf("%d lines were ignored: %v", n, seen.events)
		}
		if err := w.end(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestRequests(t *testing.T) {
	m := newMachine(name, "web", status, "0", "guestinfo.vice./common/notes", "<nil>")
	w := welcomed(t, guest.NewServer(m, guest.Options{Limits: unlimited}))
	for _, c := range []struct{ name, method, params, want string }{
		{"snapshot", "snapshot", "", `{"revision":1,"keys":[{"key":"guestinfo.vice..sessions|web.status","value":"0"},{"key":"guestinfo.vice./common/name","value":"web"},{"key":"guestinfo.vice./common/notes","value":"<nil>"}]}`},
		{"get", "get", `{"keys":["` + name + `","x"]}`, `{"revision":1,"keys":[{"key":"guestinfo.vice./common/name","value":"web"}],"missing":["x"]}`},
		{"get in another case, twice", "get", `{"keys":["GUESTINFO.vice./Common/Name","` + name + `"]}`, `{"revision":1,"keys":[{"key":"guestinfo.vice./common/name","value":"web"}]}`},
		{"get nothing", "get", `{"keys":[]}`, `{"revision":1,"keys":[]}`},
		{"set", "set", `{"keys":[{"key":"` + status + `","value":"1"}]}`, `{"revision":2}`},
		{"subscribe", "subscribe", `{}`, `{"revision":2}`},
		{"ping", "ping", "", `{}`},
	} {
		if a := w.ask(c.method, c.params); string(a.Result) != c.want {
			t.Errorf("%s: got %v, want %s", c.name, a, c.want)
		}
	}
}

// Each illegal request gets an answer that says why, and changes nothing.
func TestRefused(t *testing.T) {
	var seen counter
	m := newMachine(name, "web", status, "0")
	w := welcomed(t, guest.NewServer(m, guest.Options{Limits: unlimited, Event: seen.add}))
	pair := func(key, value string) string {
		k, _ := json.Marshal(key)
		v, _ := json.Marshal(value)
		return fmt.Sprintf(`{"key":%s,"value":%s}`, k, v)
	}
	set := func(pairs ...string) string {
		return request("7", "set", `{"keys":[`+strings.Join(pairs, ",")+`]}`)
	}
	many := func(n int) (pairs []string) {
		for i := range n {
			pairs = append(pairs, pair(fmt.Sprint("guestinfo.vice..k", i), "v"))
		}
		return pairs
	}
	large := func(n int) (pairs []string) {
		for i := range n {
			pairs = append(pairs, pair(fmt.Sprint("guestinfo.vice..k", i), strings.Repeat("v", 64<<10)))
		}
		return pairs
	}
	for _, c := range []struct {
		name, line string
		want       string // what the answer begins with
	}{
		{"a read-only key", set(pair(status, "1"), pair(name, "x")), "id 7: error 1 " + name + ": is not for the guest to set"},
		{"NUL", set(pair(status, "a\x00b")), "id 7: error 1 " + status + ": has a character"},
		{"10 MB", set(pair(status, strings.Repeat("x", 10<<20))), "id <nil>: error -32600 : a line has at most 3145728 bytes"},
		{"too long a value", set(pair(status, strings.Repeat("x", 64<<10+1))), "id 7: error 1 " + status + ": a value has at most 65536 bytes"},
		{"257 keys", set(many(257)...), "id 7: error 1 : more than 256 keys"},
		{"100000 keys", set(many(100000)[:60000]...), "id 7: error 1 : too many keys"},
		{"more than 1 MiB", set(large(16)...), "id 7: error 1 : keys and values have at most 1048576 bytes"},
		{"not UTF-8", set(`{"key":"` + status + "\",\"value\":\"a\xffb\"}"), "id <nil>: error -32700 : not JSON: invalid UTF-8"},
		{"half a surrogate", set(`{"key":"` + status + `","value":"a\ud800b"}`), "id <nil>: error -32700 : not JSON: invalid surrogate pair"},
		{"a key twice", set(pair(status, "1"), pair(strings.ToUpper(status), "2")), "id 7: error 1 " + strings.ToUpper(status) + ": is there twice"},
		{"a member twice", set(`{"key":"` + status + `","key":"x","value":"1"}`), "id <nil>: error -32700 : not JSON: duplicate object member name"},
		{"an unknown member", set(`{"key":"` + status + `","Value":"1"}`), "id 7: error -32602 : params: /keys/0/Value: unknown object member name"},
		{"an empty value", set(pair(status, "")), "id 7: error 1 " + status + ": an empty value travels as <nil>"},
		{"no name", set(pair("", "x")), "id 7: error 1 : a key without a name"},
		{"no keys", set(), "id 7: error 1 : no keys to set"},
		{"keys null", request("7", "set", `{"keys":null}`), "id 7: error -32602 : params: /keys: must be a list"},
		{"params a list", request("7", "set", `["a"]`), "id 7: error -32602 : params must be an object"},
		{"a number as value", set(`{"key":"` + status + `","value":1}`), "id 7: error -32602 : params: /keys/0/value: does not fit"},
		{"get 257 keys", request("7", "get", `{"keys":["a`+strings.Repeat(`","a`, 256)+`"]}`), "id 7: error 1 : more than 256 keys"},
		{"a snapshot of something", request("7", "snapshot", `{"keys":[]}`), "id 7: error -32602 : params: /keys: unknown object member name"},
		{"an unknown method", request("7", "rpc.list", ""), "id 7: error -32601 : no such method: rpc.list"},
		{"a batch", "[" + request("7", "ping", "") + "]", "id <nil>: error -32600 : batches are not supported"},
		{"a thousand pings in a batch", "[" + strings.Repeat(request("7", "ping", "")+",", 999) + request("7", "ping", "") + "]", "id <nil>: error -32600 : batches"},
		{"garbage", "garbage", "id <nil>: error -32700 : a message is a JSON object on one line"},
		{"half a request", request("7", "ping", "")[:20], "id <nil>: error -32700 : not JSON: unexpected EOF"},
		{"deep", request("7", "get", strings.Repeat(`{"a":`, 100000)+"1"+strings.Repeat("}", 100000)), "id <nil>: error -32700 : not JSON: exceeded max depth"},
		{"another JSON-RPC", `{"id":7,"method":"ping"}`, `id 7: error -32600 : jsonrpc must be "2.0"`},
		{"an object as id", `{"jsonrpc":"2.0","id":{},"method":"ping"}`, "id <nil>: error -32600 : an id is a string or a number"},
		{"a long id", request(`"`+strings.Repeat("x", 100)+`"`, "ping", ""), "id <nil>: error -32600 : an id has at most 64 bytes"},
		{"a foreign member", `{"jsonrpc":"2.0","id":7,"method":"ping","extra":1}`, "id <nil>: error -32600 : no JSON-RPC 2.0 message: /extra: unknown object member name"},
	} {
		before := len(seen.of(guest.EventRefused))
		go func() { _, _ = io.WriteString(w.conn, c.line+"\n") }() // the answer may come first
		if a := w.next().String(); !strings.HasPrefix(a, c.want) {
			t.Errorf("%s: got %.200s, want %s", c.name, a, c.want)
		}
		refused := seen.of(guest.EventRefused)[before:]
		if byVM := c.name == "a read-only key" || c.name == "NUL"; len(refused) != 1 || refused[0].ByVM != byVM {
			t.Errorf("%s: told %+v", c.name, refused)
		}
	}
	if m.stored() != 0 || m.value(status) != "0" {
		t.Errorf("something was stored: %v", m.sets)
	}
	for _, e := range seen.events {
		if len(e.Refusal.Reason) > 300 || strings.Contains(e.Refusal.Reason, "rpc.list") {
			t.Errorf("an event quotes the guest: %+v", e)
		}
	}
	if a := w.ask("ping", ""); a.Error != nil {
		t.Error(a)
	}
}

func TestNotificationsAndAnswersAreIgnored(t *testing.T) {
	var seen counter
	m := newMachine()
	w := welcomed(t, guest.NewServer(m, guest.Options{Event: seen.add}))
	w.send(`{"jsonrpc":"2.0","method":"set","params":{"keys":[{"key":"`+status+`","value":"1"}]}}`,
		`{"jsonrpc":"2.0","id":null,"method":"ping"}`, `{"jsonrpc":"2.0","id":3,"result":{}}`)
	if a := w.ask("ping", ""); a.ID != 1.0 || m.stored() != 0 || len(seen.of(guest.EventIgnored)) != 3 {
		t.Errorf("got %v, %d sets, events %v", a, m.stored(), seen.events)
	}
}

func TestErrorsOfTheVM(t *testing.T) {
	m := newMachine()
	w := welcomed(t, guest.NewServer(m, guest.Options{}))
	set := `{"keys":[{"key":"` + status + `","value":"1"}]}`
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("disk on fire at /var"), "id 1: error -32603 : internal error"},
		{fmt.Errorf("store: %w", guest.ErrUnavailable), "id 1: error 3 : not available at the moment, try again"},
		{fmt.Errorf("set: %w", &guest.Refusal{Key: "k", Reason: "no"}), "id 1: error 1 k: no"},
	} {
		m.fail = c.err
		if a := w.ask("set", set); a.String() != c.want {
			t.Errorf("%v: got %v", c.err, a)
		}
		if a := w.ask("hello", hello); a.String() != c.want {
			t.Errorf("%v: hello got %v", c.err, a)
		}
		m.fail = nil
		if a := w.ask("hello", hello); a.Error != nil {
			t.Error(a)
		}
	}
}

func TestHelloIsChecked(t *testing.T) {
	w := dial(t, guest.NewServer(newMachine(), guest.Options{Limits: unlimited}))
	for params, want := range map[string]string{
		`{"protocol":0,"boot":"b"}`:                                            "id 1: error 4 : this server speaks version 1 of the protocol",
		`{"protocol":1}`:                                                       "id 1: error -32602 : boot must be 1 to 128 visible ASCII characters",
		`{"protocol":1,"boot":"a b"}`:                                          "id 1: error -32602 : boot must be 1 to 128 visible ASCII characters",
		`{"protocol":"1","boot":"b"}`:                                          "id 1: error -32602 : params: /protocol: does not fit",
		`{"protocol":1,"boot":"` + strings.Repeat("b", 129) + `"}`:             "id 1: error -32602 : boot must be 1 to 128 visible ASCII characters",
		`{"protocol":1,"boot":"b","agent":"\u001b[31m"}`:                       "id 1: error -32602 : agent has at most 128 ASCII characters",
		`{"protocol":1,"boot":"b","agent":"` + strings.Repeat(" ", 129) + `"}`: "id 1: error -32602 : agent has at most 128 ASCII characters",
	} {
		if a := w.ask("hello", params); a.String() != want {
			t.Errorf("%s: got %v", params, a)
		}
	}
	if a := w.ask("hello", `{"protocol":9,"boot":"b","agent":"a/2 (x)","more":true}`); a.Error != nil || !strings.HasPrefix(string(a.Result), `{"protocol":1,`) {
		t.Errorf("a later guest: %v", a)
	}
}

// A guest that reboots says hello again on the same connection: what was under way for the old boot ends, and so do its subscriptions.
func TestEachHelloBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(name, "web")
		m.settling = make(chan struct{})
		s := guest.NewServer(m, guest.Options{})
		w := dial(t, s)
		w.send(request(`"old"`, "hello", hello))
		synctest.Wait() // the VM is settling
		w.send(request(`"old-2"`, "snapshot", ""), request(`"new"`, "hello", `{"protocol":1,"boot":"b2"}`))
		synctest.Wait()
		close(m.settling)
		if a := w.next(); a.ID != "new" || a.Error != nil {
			t.Fatalf("the first answer is %v", a)
		}
		if a := w.ask("subscribe", ""); a.Error != nil {
			t.Fatal(a)
		}
		s.Changed(m.put(name, "x"), name)
		if a := w.next(); a.Method != "changed" || a.Params.Revision != 2 {
			t.Errorf("got %v", a)
		}
		w.send(request(`"third"`, "hello", `{"protocol":1,"boot":"b3"}`))
		if a := w.next(); a.ID != "third" {
			t.Errorf("got %v", a)
		}
		s.Changed(m.put(name, "y"), name)
		synctest.Wait()
		if a := w.ask("ping", ""); a.Method != "" {
			t.Errorf("the subscription of an earlier boot lives: %v", a)
		}
		if got := fmt.Sprint(m.boots); got != "[b1 b2 b3]" {
			t.Errorf("boots %s", got)
		}
	})
}

// Pings are answered while the VM is busy: a guest knows that the server lives.
func TestPingWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		s := guest.NewServer(slow{m}, guest.Options{})
		w := welcomed(t, s)
		w.send(request("5", "set", `{"keys":[{"key":"`+status+`","value":"1"}]}`), request("6", "ping", ""))
		if a := w.next(); a.ID != 6.0 {
			t.Errorf("got %v first", a)
		}
		began := time.Now()
		if a := w.next(); a.ID != 5.0 || a.Error == nil || a.Error.Code != 3 || time.Since(began) != time.Minute {
			t.Errorf("got %v after %v", a, time.Since(began))
		}
	})
}

// A connection that ends takes with it what is under way.
func TestEndWhileBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := welcomed(t, guest.NewServer(slow{newMachine()}, guest.Options{}))
		w.send(request("5", "set", `{"keys":[{"key":"`+status+`","value":"1"}]}`))
		began := time.Now()
		if err := w.end(); err != nil || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// A guest that does not read is cut off; one that reads slowly is not.
func TestGuestThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(name, strings.Repeat("x", 300<<10))
		s := guest.NewServer(m, guest.Options{})
		w := welcomed(t, s)
		w.send(request("1", "snapshot", ""))
		began := time.Now()
		var slowly [16 << 10]byte
		for range 5 {
			<-time.After(9 * time.Second)
			if _, err := io.ReadFull(w.conn, slowly[:]); err != nil {
				t.Fatal(err)
			}
		}
		err := <-w.done
		if e, ok := errors.AsType[net.Error](err); !ok || !e.Timeout() || time.Since(began) < 50*time.Second {
			t.Errorf("Serve: %v after %v", err, time.Since(began))
		}
	})
}

// What a slow guest was not told becomes one message, however much it is.
func TestChangesAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		s := guest.NewServer(m, guest.Options{})
		w := welcomed(t, s)
		w.ask("subscribe", "")
		s.Changed(2, "a")
		synctest.Wait() // being written: the guest does not read
		for i := range 100 {
			s.Changed(uint64(3+i), "b", "a", fmt.Sprint("c", i%3))
		}
		first, second := w.next(), w.next()
		if fmt.Sprint(first.Params) != "{2 [a] false}" || fmt.Sprint(second.Params) != "{102 [a b c0 c1 c2] false}" {
			t.Errorf("got %v, then %v", first.Params, second.Params)
		}
		s.Changed(200, "a")
		synctest.Wait()
		for i := range 5000 {
			s.Changed(uint64(201+i), fmt.Sprint("k", i))
		}
		w.next()
		if a := w.next(); fmt.Sprint(a.Params) != "{5200 [] true}" {
			t.Errorf("got %.200v", a.Params)
		}
		s.Changed(6000)
		if a := w.next(); fmt.Sprint(a.Params) != "{6000 [] true}" {
			t.Errorf("got %v", a.Params)
		}
	})
}

func TestWritesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen counter
		m := newMachine()
		s := guest.NewServer(m, guest.Options{Limits: guest.Limits{Writes: 2, Burst: 3}, Event: seen.add})
		w := welcomed(t, s) // one write
		set := `{"keys":[{"key":"` + status + `","value":"1"}]}`
		for range 2 {
			if a := w.ask("set", set); a.Error != nil {
				t.Fatal(a)
			}
		}
		a := w.ask("set", set)
		if a.Error == nil || a.Error.Code != 2 || a.Error.Data.RetryAfter != 0.5 || len(seen.of(guest.EventLimited)) != 1 {
			t.Fatalf("got %v, events %v", a, seen.events)
		}
		again := dial(t, s) // a new connection is no fresh start
		if a := again.ask("hello", hello); a.Error == nil || a.Error.Code != 2 {
			t.Errorf("got %v", a)
		}
		<-time.After(500 * time.Millisecond)
		if a := w.ask("set", set); a.Error != nil || m.stored() != 3 {
			t.Errorf("got %v, %d stored", a, m.stored())
		}
		if a := w.ask("snapshot", ""); a.Error != nil {
			t.Error(a)
		}
	})
}

// A guest that floods is read more slowly.
func TestFloodIsSlowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := welcomed(t, guest.NewServer(newMachine(), guest.Options{}))
		began := time.Now()
		for range 1200 {
			w.ask("ping", "")
		}
		if d := time.Since(began); d < 9*time.Second || d > 11*time.Second {
			t.Errorf("1,200 pings took %v", d)
		}
		began = time.Now()
		for range 10 {
			w.send(strings.Repeat("x", 4<<20))
			w.next()
		}
		if d := time.Since(began); d < 35*time.Second || d > 40*time.Second {
			t.Errorf("40 MiB took %v", d)
		}
	})
}

func TestConnectionsAreLimited(t *testing.T) {
	s := guest.NewServer(newMachine(), guest.Options{})
	var open []*wire
	for range 16 {
		open = append(open, welcomed(t, s))
	}
	if err := <-dial(t, s).done; err == nil || err.Error() != "the guest has 16 connections already" {
		t.Errorf("the 17th: %v", err)
	}
	_ = open[3].end()
	welcomed(t, s)
}

// slow never finishes a set by itself.
type slow struct{ *machine }
