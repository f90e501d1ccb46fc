package main

import (
	"context"
	"os"
	"testing"

	"github.com/vmexecutor/config-server/apiclient"
	"github.com/vmexecutor/config-server/auth/authtest"
	"github.com/vmexecutor/config-server/client/executors"
	"github.com/vmexecutor/config-server/models"
)

// TestRevokedWatchers: the streams of a token that was removed, and of a certificate whose authority was, end with the next event, and do not have it.
func TestRevokedWatchers(t *testing.T) {
	s := startSecured(t)
	next := authtest.New(t)
	token := s.newToken("viewer", "eyes")
	viewers := readFile(t, s.tokens)
	admin := s.connect(apiclient.WithToken(s.newToken("admin", "root")))
	pair := s.authority.Client("lens", "urn:config-server:role:viewer")
	begun, ended := make(chan struct{}), make(chan string, 2)
	for _, watcher := range []*apiclient.Client{s.connect(apiclient.WithToken(token)), s.connect(apiclient.WithCertificate(pair.Certificate, pair.Key))} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer cancel()
			told, first := "", true
			for e, err := range watcher.Watch(ctx, apiclient.WatchOptions{Heartbeats: true, Retrying: func(error) { cancel() }}) {
				switch {
				case err != nil && ctx.Err() == nil:
					told += err.Error()
				case err == nil && e.Action != models.EventActionHeartbeat:
					told += e.Action + " of " + e.ID
					cancel()
				}
				if first {
					first = false
					begun <- struct{}{}
				}
			}
			ended <- told
		}()
		<-begun
	}
	all := readFile(t, s.tokens)
	if err := os.WriteFile(s.tokens+".new", []byte(all[len(viewers):]), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.tokens+".new", s.tokens); err != nil {
		t.Fatal(err)
	}
	authtest.Replace(t, s.ca, next.File)
	if _, err := admin.Executors.CreateExecutorContext(t.Context(), executors.NewCreateExecutorParams().WithBody(&models.Executor{ID: "web"})); err != nil {
		t.Fatal(apiclient.Describe(err))
	}
	for range 2 {
		if told := <-ended; told != "" {
			t.Fatalf("a revoked caller was told %q", told)
		}
	}
	s.logs("watch ends: its caller was revoked")
}
