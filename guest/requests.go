package guest

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// null is the id of an answer to what could not be read.
var null = jsontext.Value("null")

// handle answers one request. What was not welcomed is not answered. Its error is that of the connection.
func (c *conn) handle(r request) error {
	if r.fault == nil && r.Method == methodHello {
		return c.hello(r)
	}
	if !c.welcomed(r.session) {
		c.ignored()
		return nil
	}
	if r.fault != nil {
		return c.refuse(r, r.fault)
	}
	ctx, cancel := context.WithTimeout(r.session.ctx, callTimeout)
	defer cancel()
	if ctx.Err() != nil { // a later hello has begun: what was meant to be before it must not be done after it
		return nil
	}
	result, fault := c.result(ctx, r)
	if fault != nil {
		return c.refuse(r, fault)
	}
	return c.write(r.session, outgoing{ID: r.ID, Result: result})
}

// refuse answers with an error.
func (c *conn) refuse(r request, fault *Error) error {
	switch fault.Code {
	case codeInternal, codeUnavailable: // ours
	case codeLimited:
		c.server.event(Event{Kind: EventLimited})
	case codeRefused:
		c.server.event(Event{Kind: EventRefused, Refusal: Refusal{Key: fault.Data.Key, Reason: fault.Message}, ByVM: fault.byVM})
	default:
		what, _, _ := strings.Cut(fault.Message, ":") // and not what the guest wrote
		c.server.event(Event{Kind: EventRefused, Refusal: Refusal{Reason: what}})
	}
	id := r.ID
	if len(id) == 0 {
		id = null
	}
	return c.write(r.session, outgoing{ID: id, Error: fault, fresh: r.Method == methodHello})
}

// hello welcomes a guest.
func (c *conn) hello(r request) error {
	ctx, cancel := context.WithTimeout(r.session.ctx, callTimeout)
	defer cancel()
	w, fault := c.welcome(ctx, r)
	if fault != nil {
		return c.refuse(r, fault)
	}
	c.mu.Lock()
	r.session.welcomed = true
	c.mu.Unlock()
	return c.write(r.session, outgoing{ID: r.ID, Result: w, fresh: true})
}

func (c *conn) welcome(ctx context.Context, r request) (Welcome, *Error) {
	var h Hello
	if fault := r.params(&h); fault != nil { // later versions may say more
		return Welcome{}, fault
	}
	switch {
	case h.Protocol < 1:
		e := errorf(codeProtocol, "this server speaks version %d of the protocol", Protocol)
		e.Data.Protocol = Protocol
		return Welcome{}, e
	case !visible(h.Boot, 1, 128):
		return Welcome{}, errorf(codeParams, "boot must be 1 to 128 visible ASCII characters")
	case !visible(strings.ReplaceAll(h.Agent, " ", ""), 0, 128) || len(h.Agent) > 128:
		return Welcome{}, errorf(codeParams, "agent has at most 128 ASCII characters")
	}
	if h.Client != "" && !visible(h.Client, 1, 128) {
		return Welcome{}, errorf(codeParams, "client has at most 128 visible ASCII characters")
	}
	if fault := c.mayWrite(); fault != nil {
		return Welcome{}, fault
	}
	c.mu.Lock()
	r.session.hello = h
	c.mu.Unlock()
	c.server.supersede(ctx, c, h)
	if ctx.Err() != nil {
		return Welcome{}, c.fault(ctx, methodHello, ctx.Err())
	}
	w, err := c.server.vm.Hello(ctx, h)
	if err != nil {
		return Welcome{}, c.fault(ctx, methodHello, err)
	}
	w.Protocol, w.Limits = min(h.Protocol, Protocol), c.server.limits
	if w.Server == "" {
		w.Server = c.server.software
	}
	return w, nil
}

// supersededBy reports whether a hello on another connection ends this one.
func (c *conn) supersededBy(h Hello) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil || c.current.hello.Boot == "" {
		return false
	}
	mine := c.current.hello
	return mine.Boot != h.Boot || mine.Client != "" && mine.Client == h.Client
}

// visible reports whether s is low to high characters of visible ASCII.
func visible(s string, low, high int) bool {
	return low <= len(s) && len(s) <= high && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// The parameters and results of requests.
type (
	pairsParams struct {
		Keys list[Pair] `json:"keys"`
	}
	namesParams struct {
		Keys list[string] `json:"keys"`
	}
	revisionResult struct {
		Revision uint64 `json:"revision"`
	}
	none struct{}
)

func (c *conn) result(ctx context.Context, r request) (any, *Error) {
	switch r.Method {
	case methodSnapshot, methodSubscribe, methodPing:
		if fault := r.params(&none{}, strict); fault != nil {
			return nil, fault
		}
	}
	switch r.Method {
	case methodPing:
		return none{}, nil
	case methodSnapshot:
		return c.snapshot(ctx, r.Method)
	case methodSubscribe:
		return c.subscribe(ctx, r)
	case methodGet:
		return c.get(ctx, r)
	case methodSet:
		return c.set(ctx, r)
	default:
		return nil, errorf(codeMethod, "no such method: %s", r.Method)
	}
}

func (c *conn) snapshot(ctx context.Context, method string) (Snapshot, *Error) {
	s, err := c.server.vm.Snapshot(ctx)
	if err != nil {
		return Snapshot{}, c.fault(ctx, method, err)
	}
	return Snapshot{Revision: s.Revision, Keys: s.Keys}, nil
}

// subscribe begins to announce changes. Every one after the revision that it answers is announced.
func (c *conn) subscribe(ctx context.Context, r request) (revisionResult, *Error) {
	c.mu.Lock()
	r.session.subscribed = true
	c.mu.Unlock()
	s, fault := c.snapshot(ctx, r.Method)
	return revisionResult{s.Revision}, fault
}

func (c *conn) get(ctx context.Context, r request) (Snapshot, *Error) {
	var p namesParams
	if fault := r.params(&p, strict); fault != nil {
		return Snapshot{}, fault
	}
	if len(p.Keys) > c.server.limits.Keys {
		return Snapshot{}, refused(&Refusal{Reason: fmt.Sprintf("more than %d keys", c.server.limits.Keys)})
	}
	s, fault := c.snapshot(ctx, r.Method)
	if fault != nil {
		return Snapshot{}, fault
	}
	return s.only(p.Keys), nil
}

// only gives the part of a snapshot that has the named keys, ASCII case ignored where no key is exactly the same.
func (s Snapshot) only(names []string) Snapshot {
	var folded map[string]int
	part := Snapshot{Revision: s.Revision}
	found := map[int]bool{}
	for _, name := range names {
		at, ok := sort.Find(len(s.Keys), func(i int) int { return strings.Compare(name, s.Keys[i].Key) })
		if !ok {
			if folded == nil {
				folded = make(map[string]int, len(s.Keys))
				for i, p := range s.Keys {
					folded[fold(p.Key)] = i
				}
			}
			if at, ok = folded[fold(name)]; !ok {
				part.Missing = append(part.Missing, name)
				continue
			}
		}
		if !found[at] {
			found[at] = true
			part.Keys = append(part.Keys, s.Keys[at])
		}
	}
	sort.Slice(part.Keys, func(i, j int) bool { return part.Keys[i].Key < part.Keys[j].Key })
	return part
}

// fold lowers ASCII letters: keys ignore their case.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func (c *conn) set(ctx context.Context, r request) (revisionResult, *Error) {
	if fault := c.mayWrite(); fault != nil {
		return revisionResult{}, fault
	}
	var p pairsParams
	if fault := r.params(&p, strict); fault != nil {
		return revisionResult{}, fault
	}
	if refusal := c.server.limits.check(p.Keys); refusal != nil {
		return revisionResult{}, refused(refusal)
	}
	revision, err := c.server.vm.Set(ctx, p.Keys)
	if err != nil {
		return revisionResult{}, c.fault(ctx, r.Method, err)
	}
	return revisionResult{revision}, nil
}

// mayWrite takes one of the writes that the guest may make.
func (c *conn) mayWrite() *Error {
	now := time.Now()
	if c.server.writes.AllowN(now, 1) {
		return nil
	}
	wait := c.server.writes.ReserveN(now, 1)
	defer wait.CancelAt(now)
	e := errorf(codeLimited, "too many writes, at most %g a second", c.server.limits.Writes)
	e.Data.RetryAfter = wait.DelayFrom(now).Seconds()
	return e
}

// check holds a set against the limits. What else is wrong with it is the VM's to say.
func (l Limits) check(keys []Pair) *Refusal {
	if len(keys) == 0 {
		return &Refusal{Reason: "no keys to set"}
	}
	if len(keys) > l.Keys {
		return &Refusal{Reason: fmt.Sprintf("more than %d keys", l.Keys)}
	}
	size := 0
	seen := make(map[string]bool, len(keys))
	for _, p := range keys {
		size += len(p.Key) + len(p.Value)
		key := fold(p.Key)
		switch {
		case p.Key == "":
			return &Refusal{Reason: "a key without a name"}
		case seen[key]:
			return &Refusal{p.Key, "is there twice"}
		case p.Value == "":
			return &Refusal{p.Key, "an empty value travels as <nil>"}
		case len(p.Value) > l.Value:
			return &Refusal{p.Key, fmt.Sprintf("a value has at most %d bytes", l.Value)}
		}
		seen[key] = true
	}
	if size > l.Bytes {
		return &Refusal{Reason: fmt.Sprintf("keys and values have at most %d bytes together", l.Bytes)}
	}
	return nil
}

// fault is what the guest is told of an error. What it need not know is logged.
func (c *conn) fault(ctx context.Context, method string, err error) *Error {
	if r, ok := errors.AsType[*Refusal](err); ok {
		e := refused(r)
		e.byVM = true
		return e
	}
	if errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
		return errorf(codeUnavailable, "not available at the moment, try again")
	}
	c.server.log.Error("answering a guest", "method", method, "err", err)
	return errorf(codeInternal, "internal error")
}

var _ json.UnmarshalerFrom = (*list[Pair])(nil)
