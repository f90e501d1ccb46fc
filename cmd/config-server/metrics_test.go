package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// metrics reads them as Prometheus does, by name and labels. They are not of the API, so nobody has a second opinion on them.
func (s *server) metrics() (values map[string]string, text string) {
	s.Helper()
	r, err := s.request("GET", "/metrics", "")
	if err != nil {
		s.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		s.Fatalf("%d %v %s", resp.StatusCode, err, read)
	}
	values = map[string]string{}
	for line := range strings.Lines(string(read)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(line, "#") {
			values[name] = value
		}
	}
	return values, string(read)
}

// TestMetrics: what the server did and how it stands is counted, and none of the names, ids and secrets in it get out.
func TestMetrics(t *testing.T) { onEach(t, metrics) }

func metrics(t *testing.T, h hypervisor) {
	s := newSite(t, h, 1).start(t.TempDir())
	s.expect(201, "POST", "/v1/executors", `{"id": "id-canary", "name": "name-canary", "hostname": "host-canary", "annotations": {"key-canary": "value-canary"}, "key": "aHVudGVyMg==",
		"sessions": {"session-canary": {}}, "mounts": {"mount-canary": {"source": "nfs://u:hunter2@host/x", "path": "/m"}},
		"vm": {"driver": "vsphere", "ref": "vm1", "agentKey": "aHVudGVyMg=="}}`, nil)
	s.expect(201, "POST", "/v1/executors", `{"id": "missing-canary", "vm": {"driver": "vsphere", "ref": "vm-canary"}}`, nil)
	s.expect(201, "POST", "/v1/executors", `{"id": "free-canary"}`, nil)
	if st := s.push("id-canary"); st.State != "synced" {
		t.Fatalf("%+v", st)
	}
	if st := s.push("missing-canary"); st.State != "failed" {
		t.Fatalf("%+v", st)
	}
	s.expectProblem(404, "", "GET", "/v1/executors/none-canary", "")
	values, text := s.metrics()
	for name, want := range map[string]string{
		`config_server_executors{state="synced"}`:                                                          "1",
		`config_server_executors{state="failed"}`:                                                          "1",
		`config_server_executors{state="unbound"}`:                                                         "1",
		`config_server_executors{state="pending"}`:                                                         "0",
		`config_server_hypervisor_calls_total{driver="vsphere",method="ReconfigVM_Task"}`:                  "1",
		`config_server_push_keys_deleted_total`:                                                            "0",
		`config_server_push_drift_fields_total`:                                                            "0",
		`config_server_http_requests_total{code="201",method="POST",route="/v1/executors"}`:                "3",
		`config_server_http_requests_total{code="200",method="POST",route="/v1/executors/{id}/push"}`:      "2",
		`config_server_http_requests_total{code="404",method="GET",route="/v1/executors/{id}"}`:            "1",
		`config_server_http_request_duration_seconds_count{method="POST",route="/v1/executors/{id}/push"}`: "2",
	} {
		if values[name] != want {
			t.Errorf("%s is %q, want %s", name, values[name], want)
		}
	}
	for _, name := range []string{
		`config_server_pushes_total{result="applied"}`, `config_server_pushes_total{result="failed"}`, `config_server_push_duration_seconds_count`,
		`config_server_push_keys_set_total`, `config_server_push_retries_total`, `config_server_store_revision`, `config_server_push_feed_revision`,
	} {
		if values[name] == "" || values[name] == "0" {
			t.Errorf("%s is %q", name, values[name])
		}
	}
	for _, name := range []string{"config_server_push_queue_depth", "config_server_push_queue_oldest_age_seconds", "config_server_push_feed_lag_revisions"} {
		if values[name] == "" { // a retry may be due at this moment
			t.Errorf("there is no %s", name)
		}
	}
	for _, what := range []string{"canary", "hunter2", "aHVudGVyMg"} {
		if strings.Contains(text, what) {
			t.Errorf("%s is in the metrics:\n%s", what, text)
		}
	}
	s.terminate()
}
