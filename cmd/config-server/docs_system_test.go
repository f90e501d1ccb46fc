//go:build system

package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// answered is where the page shows the status of a request that it made.
const answered = ".live-responses-table tbody .response-col_status"

// browserLimit ends a test whose page never becomes what it waits for.
const browserLimit = 2 * time.Minute

// TestSystemDocs opens /docs of the real binary in a real browser: it renders, lists every operation, makes a request
// when asked to, and neither asks another server for anything nor could.
func TestSystemDocs(t *testing.T) {
	s := start(t, t.TempDir(), nil)
	b := newBrowser(t)

	var spec struct {
		Paths map[string]map[string]json.RawMessage
	}
	s.expect(200, "GET", "/swagger.json", "", &spec)
	type operation struct{ OperationID, Summary string }
	b.run(chromedp.Navigate(s.api+"/docs"), chromedp.WaitVisible(chromedp.CSS(".opblock")))
	page := unspaced(look(b, chromedp.Text(chromedp.CSS("#swagger-ui"))))
	n := 0
	for path, item := range spec.Paths {
		for method, raw := range item {
			if method == "parameters" {
				continue
			}
			var op operation
			if err := json.Unmarshal(raw, &op); err != nil {
				t.Fatal(err)
			}
			n++
			if want := unspaced(strings.ToUpper(method) + path + op.Summary); !strings.Contains(page, want) {
				t.Errorf("the page does not list %s: %s %s", op.OperationID, method, path)
			}
		}
	}
	if listed := look(b, chromedp.Evaluate[int](`document.querySelectorAll(".opblock").length`)); listed != n || n == 0 {
		t.Errorf("the page lists %d operations of %d", listed, n)
	}

	const health = "#operations-system-getHealth "
	b.run(
		chromedp.Click(chromedp.CSS(health+"button")),
		chromedp.Click(chromedp.CSS(health+".try-out__btn")),
		chromedp.Click(chromedp.CSS(health+"button.execute")),
		chromedp.WaitVisible(chromedp.CSS(health+answered)),
	)
	if status := look(b, chromedp.Text(chromedp.CSS(health+answered))); strings.TrimSpace(status) != "200" {
		t.Errorf("a request from the page ended with %q", status)
	}

	requests := b.requests()
	if !slices.Contains(requests, s.api+"/healthz") {
		t.Errorf("of what the page asked for only this was seen: %q", requests)
	}
	for _, url := range requests {
		if !strings.HasPrefix(url, s.api+"/") && !strings.HasPrefix(url, "data:") {
			t.Errorf("the page asked for %s", url)
		}
	}
	if complaints := b.complaints(); len(complaints) > 0 {
		t.Errorf("the browser complained: %q", complaints)
	}

	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the page could ask another server")
	}))
	defer other.Close()
	refused := look(b, chromedp.Evaluate[string](`new Promise(done => {
		document.addEventListener("securitypolicyviolation", e => done(e.effectiveDirective));
		fetch("`+other.URL+`", {mode: "no-cors"}).then(() => done("nothing"));
	})`, chromedp.EvalAwaitPromise))
	if refused != "connect-src" {
		t.Errorf("a request to another server was refused by %s", refused)
	}
	s.terminate()
}

// unspaced takes out white space and the invisible characters that let a browser break a path: how a page is laid out is the browser's own affair.
func unspaced(s string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(s, "\u200b", "")), "")
}

// browser is a page of a real one, with what it loaded and complained of.
type browser struct {
	*testing.T
	ctx  context.Context
	mu   sync.Mutex
	urls []string
	said []string
}

// newBrowser starts Debian's Chromium with nothing of the user's own. A machine without it fails the test, for a test
// that is skipped proves nothing.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("this test needs Chromium: install Debian's package chromium (%v)", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), browserLimit)
	t.Cleanup(cancel)
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 1024)}
	for _, flag := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
		"disable-background-networking", "disable-component-update", "disable-sync",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	b := &browser{T: t}
	b.ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(b.note))
	t.Cleanup(cancel)
	return b
}

// note keeps what the page loads, and whatever the browser has to say against it.
func (b *browser) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch event := event.(type) {
	case *network.EventRequestWillBeSent:
		b.urls = append(b.urls, event.Request.URL)
	case *log.EventEntryAdded:
		if event.Entry.Level == log.EntryLevelError {
			b.said = append(b.said, event.Entry.Text+" "+event.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		b.said = append(b.said, event.ExceptionDetails.Text)
	}
}

func (b *browser) run(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.Fatalf("the page: %v; the browser complained: %q", err, b.complaints())
	}
}

// look runs an action that answers something.
func look[T any](b *browser, action chromedp.Action[T]) T {
	b.Helper()
	value, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.Fatalf("the page: %v; the browser complained: %q", err, b.complaints())
	}
	return value
}

func (b *browser) requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.urls)
}

func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.said)
}
