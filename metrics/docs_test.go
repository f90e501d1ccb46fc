package metrics

import (
	"bytes"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// shown gives the labels of every metric that Prometheus reads, those of a histogram by their three names.
func shown(t *testing.T) map[string][]string {
	t.Helper()
	families, err := busy(t, new(bytes.Buffer)).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string][]string{"up": {"instance", "job"}} // Prometheus's own
	for _, f := range families {
		of := []string{"instance", "job"}
		for _, l := range f.GetMetric()[0].GetLabel() {
			of = append(of, l.GetName())
		}
		if f.GetMetric()[0].GetHistogram() == nil {
			labels[f.GetName()] = of
			continue
		}
		labels[f.GetName()+"_count"], labels[f.GetName()+"_sum"] = of, of
		labels[f.GetName()+"_bucket"] = append(slices.Clone(of), "le")
	}
	return labels
}

// rules is a file of Prometheus's alert rules.
type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

func alerts(t *testing.T) rules {
	t.Helper()
	file, err := os.Open("../docs/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	var r rules
	if err := decoder.Decode(&r); err != nil {
		t.Fatal(err)
	}
	if err := decoder.Decode(new(any)); !errors.Is(err, io.EOF) {
		t.Errorf("there is something behind the rules: %v", err)
	}
	return r
}

var (
	selector = regexp.MustCompile(`([a-z_]+)\s*(\{[^}"]*(?:"[^"]*"[^}"]*)*\})?(\[[0-9a-z]+\])?`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"`)
	grouping = regexp.MustCompile(`\bby \(([a-z_, ]+)\)`)
	call     = regexp.MustCompile(`\b(?:sum|rate|increase|delta|changes|histogram_quantile)\b`)
	operator = regexp.MustCompile(`\b(?:and|or|unless)\b`)
)

// TestAlerts: rules that Prometheus would refuse, or that would never fire because a metric has another name, help nobody.
func TestAlerts(t *testing.T) {
	known := shown(t)
	names := map[string]bool{}
	for _, group := range alerts(t).Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" || names[rule.Alert] || rule.Annotations["summary"] == "" || !slices.Contains([]string{"critical", "warning"}, rule.Labels["severity"]) {
				t.Errorf("%+v is not a whole rule, or there twice", rule)
			}
			names[rule.Alert] = true
			if _, err := time.ParseDuration(rule.For); rule.For != "" && err != nil {
				t.Errorf("%s: %v", rule.Alert, err)
			}
			metrics := metricsOf(rule.Expr)
			if len(metrics) == 0 {
				t.Errorf("%s looks at nothing", rule.Alert)
			}
			for name, labels := range metrics {
				has, ok := known[name]
				if !ok {
					t.Errorf("%s looks at %s, which there is not", rule.Alert, name)
				}
				for _, label := range labels {
					if !slices.Contains(has, label) {
						t.Errorf("%s looks at %s of %s, which it has not", rule.Alert, label, name)
					}
				}
			}
		}
	}
	if len(names) < 8 {
		t.Errorf("there are few alerts: %v", names)
	}
}

// metricsOf gives the metrics that an expression looks at, each with the labels that it is asked for.
func metricsOf(expr string) map[string][]string {
	var groups []string
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		groups = append(groups, strings.Split(m[1], ", ")...)
	}
	for _, noise := range []*regexp.Regexp{grouping, call, operator} {
		expr = noise.ReplaceAllString(expr, " ")
	}
	found := map[string][]string{}
	for _, m := range selector.FindAllStringSubmatch(expr, -1) {
		found[m[1]] = append(found[m[1]], groups...)
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			found[m[1]] = append(found[m[1]], l[1])
		}
	}
	return found
}

// TestOperationsPage: it explains every metric and every alert, and none that there is not.
func TestOperationsPage(t *testing.T) {
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	explained := map[string]bool{}
	for _, m := range regexp.MustCompile("`(config_server_[a-z_]+)(?:\\{([a-z,]+)\\})?`").FindAllStringSubmatch(string(text), -1) {
		explained[m[1]] = true
		for _, histogram := range []string{"", "_count"} {
			has, ok := shown(t)[m[1]+histogram]
			for label := range strings.SplitSeq(m[2], ",") {
				if ok && m[2] != "" && !slices.Contains(has, label) {
					t.Errorf("%s has no label %s", m[1], label)
				}
			}
		}
	}
	is := map[string]bool{}
	for name := range shown(t) {
		if strings.HasPrefix(name, namespace) {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				name = strings.TrimSuffix(name, suffix)
			}
			is[name] = true
		}
	}
	compare(t, "metric", is, explained)

	is, explained = map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile("`(ConfigServer[A-Za-z]+)`").FindAllStringSubmatch(string(text), -1) {
		explained[m[1]] = true
	}
	for _, group := range alerts(t).Groups {
		for _, rule := range group.Rules {
			is[rule.Alert] = true
		}
	}
	compare(t, "alert", is, explained)
}

func compare(t *testing.T, what string, is, explained map[string]bool) {
	t.Helper()
	for name := range is {
		if !explained[name] {
			t.Errorf("the page does not explain the %s %s", what, name)
		}
	}
	for name := range explained {
		if !is[name] {
			t.Errorf("the page explains the %s %s, which there is not", what, name)
		}
	}
}
