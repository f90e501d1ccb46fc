package guest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// pingEvery is how often a client asks whether the server is there; after silence of several times that, it is not.
	pingEvery  = 5 * time.Second
	pingsLost  = 3
	helloLimit = callTimeout + 5*time.Second // a server may wait for the VM's keys that long
)

// errLost is the end of a link: what was not answered is asked again on the next one.
var errLost = errors.New("the connection ended")

// link is one stream to the server, from its hello to its loss.
type link struct {
	stream  io.ReadWriteCloser
	changed func(Change)
	prefix  string // of this link's ids, so that no answer to an earlier one fits
	closed  chan struct{}
	writing chan struct{} // has room while nobody writes

	mu       sync.Mutex // of what follows
	last     uint64     // id
	waiting  map[string]chan message
	answered bool // the hello is: until then there may be anything on the stream, what an earlier link left or half of it
	heard    time.Time
	err      error // why it was lost
}

func newLink(stream io.ReadWriteCloser, changed func(Change)) *link {
	return &link{
		stream: stream, changed: changed, prefix: rand.Text() + "-",
		closed: make(chan struct{}), writing: make(chan struct{}, 1), waiting: map[string]chan message{}, heard: time.Now(),
	}
}

// fail ends the link. The first reason counts.
func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err = fmt.Errorf("%w: %w", errLost, err)
	l.stream.Close()
	close(l.closed)
}

func (l *link) lost() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// hello says hello.
func (l *link) hello(ctx context.Context, h Hello) (Welcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, helloLimit, errors.New("the server does not answer"))
	defer cancel()
	var w Welcome
	if err := l.call(ctx, methodHello, h, &w); err != nil {
		return Welcome{}, err
	}
	if w.Protocol != Protocol {
		return Welcome{}, fmt.Errorf("the server chose version %d of the protocol, this is version %d", w.Protocol, Protocol)
	}
	return w, nil
}

// read reads the stream until it or the link ends.
func (l *link) read() {
	lines := newLines(l.stream, MaxLine)
	for {
		line, err := lines.next()
		if err == nil {
			err = l.line(line)
		} else if errors.Is(err, errLong) && !l.welcomed() {
			err = nil
		}
		if err != nil {
			l.fail(err)
			return
		}
	}
}

func (l *link) welcomed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answered
}

// line takes one line. After the welcome, a line that means nothing may have been an answer: that ends the link, so that whatever was
// asked is asked again.
func (l *link) line(line []byte) error {
	m, fault := parse(line)
	if fault == nil && !m.anonymous() {
		l.answer(m)
		return nil
	}
	if !l.welcomed() {
		return nil
	}
	switch {
	case fault != nil:
		return fmt.Errorf("an unreadable line: %w", fault)
	case m.Method == methodChanged:
		var c Change
		if fault := m.params(&c); fault != nil {
			return fmt.Errorf("an unreadable change: %w", fault)
		}
		l.changed(c)
	case m.Error != nil:
		return fmt.Errorf("the server could not read a request: %w", m.Error)
	}
	return nil
}

// silence is how long nothing was answered.
func (l *link) silence() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.heard)
}

// watch asks now and then whether the server is still there, until the link or ctx ends.
func (l *link) watch(ctx context.Context) {
	defer context.AfterFunc(ctx, func() { l.fail(context.Cause(ctx)) })()
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.closed:
			return
		case <-tick.C:
		}
		if l.silence() > pingsLost*pingEvery {
			l.fail(errors.New("the server does not answer"))
			return
		}
		l.ask(methodPing)
	}
}

// answer hands an answer to who waits for it. Nobody waits for those to an earlier link.
func (l *link) answer(m message) {
	var id string
	if json.Unmarshal(m.ID, &id) != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if waiting, ok := l.waiting[id]; ok {
		l.heard, l.answered = time.Now(), true
		delete(l.waiting, id)
		waiting <- m // has room
	}
}

// call makes one request and waits for its answer.
func (l *link) call(ctx context.Context, method string, params, result any) error {
	id, waiting := l.expect()
	defer l.forget(id)
	if err := l.send(id, method, params); err != nil {
		return err
	}
	select {
	case m := <-waiting:
		return take(m, result)
	case <-l.closed:
		return l.lost()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ask makes a request whose answer says no more than that the server is there.
func (l *link) ask(method string) {
	id, _ := l.expect()
	_ = l.send(id, method, nil) // what is wrong with the link shows elsewhere
}

// send writes a request, and does not wait for that.
func (l *link) send(id, method string, params any) error {
	text, err := jsontext.AppendQuote(nil, id)
	if err != nil {
		return err
	}
	b := new(bytes.Buffer)
	if err := (outgoing{ID: text, Method: method, Params: params}).appendLine(b); err != nil {
		return &Refusal{Reason: "cannot travel: " + clip(reason(err))}
	}
	if b.Len() > MaxLine {
		return &Refusal{Reason: fmt.Sprintf("a message has at most %d bytes", MaxLine)}
	}
	go l.write(b.Bytes(), method == methodHello)
	return nil
}

// write writes one message. A server that does not read is lost.
func (l *link) write(text []byte, fresh bool) {
	select {
	case l.writing <- struct{}{}:
		defer func() { <-l.writing }()
	case <-l.closed:
		return
	}
	late := time.AfterFunc(writeTimeout, func() { l.fail(errors.New("the server does not read")) })
	defer late.Stop()
	if fresh {
		text = append([]byte("\n"), text...) // ends what an earlier link may have left half written
	}
	if _, err := l.stream.Write(text); err != nil {
		l.fail(err)
	}
}

func take(m message, result any) error {
	if m.Error != nil {
		if m.Error.Code == codeRefused {
			return &Refusal{Key: m.Error.Data.Key, Reason: m.Error.Message}
		}
		return m.Error
	}
	if err := json.Unmarshal(m.Result, result); err != nil {
		return fmt.Errorf("an unreadable answer: %s", reason(err))
	}
	return nil
}

func (l *link) expect() (string, chan message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	id, waiting := l.id(l.last), make(chan message, 1)
	l.waiting[id] = waiting
	return id, waiting
}

func (l *link) id(n uint64) string { return l.prefix + strconv.FormatUint(n, 10) }

func (l *link) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, id)
}
