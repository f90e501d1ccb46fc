package handlers

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// listing is a list as the API gives it.
type listing struct {
	Items    []struct{ ID string }
	Continue string
	Revision uint64
}

func (l listing) ids() string {
	var ids []string
	for _, i := range l.Items {
		ids = append(ids, i.ID)
	}
	return strings.Join(ids, " ")
}

func (e *edgeTest) list(query string) listing {
	e.Helper()
	var l listing
	e.expect(200, "GET", "/v1/executors?"+query, "", &l)
	return l
}

func TestFilters(t *testing.T) {
	e := newEdge(t)
	e.expect(201, "POST", "/v1/networks", `{"name": "front", "annotations": {"env": "prod"}}`, nil)
	e.expect(201, "POST", "/v1/networks", `{"name": "back"}`, nil)
	e.expect(201, "POST", "/v1/executors", `{"id": "aa1", "name": "web", "annotations": {"team": "shop", "tier": "edge"}, "networks": {"eth0": {"networkRef": "front"}}}`, nil)
	e.expect(201, "POST", "/v1/executors", `{"id": "aa2", "name": "db", "annotations": {"team": "shop", "note": "a=b"}, "vm": {"driver": "vsphere", "ref": "vm1"}}`, nil)
	e.expect(201, "POST", "/v1/executors", `{"id": "bb1", "name": "aa1", "annotations": {"team": "core"}}`, nil)
	for query, want := range map[string]string{
		"":                                       "aa1 aa2 bb1",
		"name=web":                               "aa1",
		"name=we":                                "",
		"idPrefix=aa":                            "aa1 aa2",
		"idPrefix=aa&annotation=tier":            "aa1",
		"annotation=team":                        "aa1 aa2 bb1",
		"annotation=team%3Dshop":                 "aa1 aa2",
		"annotation=team%3Dshop&annotation=tier": "aa1",
		"annotation=team%3Dshop&annotation=nobody": "",
		"annotation=note%3Da%3Db":                  "aa2",
		"annotation=team%3D":                       "",
		"network=front":                            "aa1",
		"network=back":                             "",
		"driver=vsphere":                           "aa2",
		"state=unbound":                            "aa1 bb1",
		"state=pending":                            "aa2",
		"state=synced":                             "",
		"lookup=aa":                                "aa1 aa2",
		"lookup=aa1":                               "aa1 bb1", // an id and a name
		"lookup=web":                               "aa1",
		"lookup=nobody":                            "",
	} {
		if l := e.list(query); l.ids() != want || l.Revision != 5 || l.Continue != "" {
			t.Errorf("%s: %+v, want %s", query, l, want)
		}
	}
	var networks struct{ Items []struct{ Name string } }
	if e.expect(200, "GET", "/v1/networks?annotation=env%3Dprod", "", &networks); len(networks.Items) != 1 || networks.Items[0].Name != "front" {
		t.Errorf("networks: %+v", networks)
	}
	e.expect(200, "PUT", "/v1/networks/back", `{"id": "fr0"}`, nil)
	for query, want := range map[string]int{"lookup=fr": 1, "lookup=front": 1, "lookup=back": 1, "lookup=f": 1, "lookup=nobody": 0} {
		if e.expect(200, "GET", "/v1/networks?"+query, "", &networks); len(networks.Items) != want {
			t.Errorf("networks?%s: %+v", query, networks)
		}
	}
	e.expect(201, "POST", "/v1/executors", `{"id": "aa0", "name": "aa"}`, nil)
	e.expect(201, "POST", "/v1/executors", `{"id": "zz", "name": "aa"}`, nil)
	e.expect(201, "POST", "/v1/executors", `{"id": "aa"}`, nil)
	if l := e.list("lookup=aa"); l.ids() != "aa aa0 zz aa1 aa2" { // the id, names, beginnings
		t.Errorf("lookup=aa: %+v", l)
	}
	for query, field := range map[string]string{"limit=0": "limit", "limit=1001": "limit", "limit=x": "limit", "state=asleep": "state", "driver=abacus": "driver", "continue=nowhere": "continue", "name=a&name=b": "name"} {
		e.refused(400, "GET", "/v1/executors?"+query, "", field)
	}
}

// TestPages: all pages show the list as it stood when the first was answered, whatever is written meanwhile.
func TestPages(t *testing.T) {
	e := newEdge(t)
	for i := range 7 {
		e.expect(201, "POST", "/v1/executors", fmt.Sprintf(`{"id": "x%d", "annotations": {"k": "v"}}`, i), nil)
	}
	page := e.list("limit=3&annotation=k")
	got, first := page.ids(), page
	for page.Continue != "" {
		e.expect(204, "DELETE", "/v1/executors/x"+fmt.Sprint(len(got)/3+1), "", nil)
		e.expect(201, "PUT", fmt.Sprintf("/v1/executors/x%da", len(got)), `{"annotations": {"k": "v"}}`, nil)
		page = e.list("limit=3&annotation=k&continue=" + url.QueryEscape(page.Continue))
		got += " " + page.ids()
		if page.Revision != first.Revision {
			t.Errorf("a page is of revision %d, the first of %d", page.Revision, first.Revision)
		}
	}
	if got != "x0 x1 x2 x3 x4 x5 x6" {
		t.Errorf("pages: %s", got)
	}
	if again := e.list("limit=2&annotation=k&continue=" + url.QueryEscape(first.Continue)); again.ids() != "x3 x4" {
		t.Errorf("a page that is asked for again: %+v", again)
	}
	e.refused(400, "GET", "/v1/executors?limit=2&continue="+url.QueryEscape(first.Continue), "", "continue") // other filters
	e.refused(400, "GET", "/v1/executors?annotation=k&state=unbound&continue="+url.QueryEscape(first.Continue), "", "continue")
	var networks struct{ Continue string }
	for _, name := range []string{"a", "b"} {
		e.expect(201, "PUT", "/v1/networks/"+name, `{}`, nil)
	}
	if e.expect(200, "GET", "/v1/networks?limit=1", "", &networks); networks.Continue == "" {
		t.Error("networks have one page")
	}
	e.refused(400, "GET", "/v1/executors?continue="+url.QueryEscape(networks.Continue), "", "continue")
	e.expect(200, "GET", "/v1/networks?continue="+url.QueryEscape(networks.Continue), "", nil)

	// A server that was started anew keeps no pages.
	other := newEdge(t)
	other.expect(410, "GET", "/v1/executors?annotation=k&continue="+url.QueryEscape(first.Continue), "", nil)
}
