package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestKill9 kills the server while clients write, several times: every answered write is there
// afterwards, and the VMs, which outlive it, hold what the store says.
func TestKill9(t *testing.T) {
	onEach(t, func(t *testing.T, h hypervisor) { endWhileBusy(t, h, 4, (*server).kill) })
}

// TestSIGTERM ends it while requests and pushes run: the end is clean, what was answered is there,
// and nothing that was under way is answered with a failure.
func TestSIGTERM(t *testing.T) {
	onEach(t, func(t *testing.T, h hypervisor) {
		endWhileBusy(t, h, 2, func(s *server) {
			s.terminate()
			if log := s.output.String(); !strings.HasSuffix(log, "\"msg\":\"stopped\"}\n") || strings.Contains(log, "cut off") || strings.Contains(log, `"level":"ERROR"`) {
				t.Errorf("that was not a clean end")
			}
		})
	})
}

// endWhileBusy has two executors written to and pushed until the server is ended, and holds the next
// server and the VMs against what was answered.
func endWhileBusy(t *testing.T, h hypervisor, rounds int, end func(*server)) {
	site, dir := newSite(t, h, 2), t.TempDir()
	others := []map[string]string{site.held("vm1"), site.held("vm2")}
	var answered [2]int // the last value of each executor that the server acknowledged
	for round := range rounds {
		s := site.start(dir)
		if round == 0 {
			for i := range answered {
				s.expect(201, "POST", "/v1/executors", fmt.Sprintf(`{"id": "x%d", "hostname": "h0", "vm": {"driver": "vsphere", "ref": "vm%d"}}`, i, i+1), nil)
			}
		}
		var tried [2]int
		var clients sync.WaitGroup
		enough, once := make(chan struct{}), sync.Once{}
		for i := range answered {
			path := fmt.Sprintf("/v1/executors/x%d", i)
			clients.Go(func() {
				for n := answered[i] + 1; ; n++ {
					tried[i] = n
					a, err := s.try("PUT", path, fmt.Sprintf(`{"hostname": "h%d"}`, n))
					if err != nil {
						return // the server is gone: this one was not answered
					}
					if a.status != 200 {
						t.Errorf("PUT: %d %s", a.status, a.body)
					}
					if answered[i] = n; n%20 == 0 {
						once.Do(func() { close(enough) })
					}
				}
			})
			clients.Go(func() {
				for {
					a, err := s.try("POST", path+"/push", "")
					if err != nil {
						return
					}
					if a.status != 200 || strings.Contains(string(a.body), `"failed"`) {
						t.Errorf("push: %d %s", a.status, a.body)
					}
				}
			})
		}
		<-enough
		end(s)
		clients.Wait()

		s = site.start(dir)
		for i := range answered {
			id := fmt.Sprintf("x%d", i)
			var doc struct{ Hostname string }
			s.expect(200, "GET", "/v1/executors/"+id, "", &doc)
			var got int
			if _, err := fmt.Sscanf(doc.Hostname, "h%d", &got); err != nil || got < answered[i] || got > tried[i] {
				t.Fatalf("%s has %q, answered were writes up to %d of %d", id, doc.Hostname, answered[i], tried[i])
			}
			answered[i] = got
			if st := s.push(id); st.State != "synced" || st.PushedRevision != st.DesiredRevision {
				t.Fatalf("%s: %+v", id, st)
			}
			site.expectHeld(fmt.Sprintf("vm%d", i+1), others[i], s.keys(id, "all"))
		}
		s.terminate()
	}
}
