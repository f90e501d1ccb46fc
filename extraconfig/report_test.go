package extraconfig_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/extraconfig"
)

func anyField(string) bool { return true }

func TestDecodeReports(t *testing.T) {
	c := newCodec(t)
	config := full()
	keys, err := c.Encode(config, extraconfig.WithSecretKey(secretKey))
	if err != nil {
		t.Fatal(err)
	}
	guest := keys.Map()
	if changed, err := c.DecodeReports(config.Clone(), guest, anyField); err != nil || len(changed) > 0 {
		t.Errorf("nothing was reported: %q, %v", changed, err)
	}
	const session, endpoint = "guestinfo.vice..sessions|web.1.", "guestinfo.vice..networks|ext.prod."
	guest[session+"status"] = "137"
	delete(guest, session+"started")
	guest[strings.ToUpper(session)+"Started"] = "in another spelling"
	guest[session+"detail.stoptime"] = "soon"
	delete(guest, session+"detail.starttime")
	guest[session+"diagnostics.exitlogs"] = ""
	guest[endpoint+"assigned.IP"] = v4in4
	guest[endpoint+"network.assigned.dns"] = "1"
	guest[endpoint+"network.assigned.dns|1"] = v4in16
	guest[endpoint+"network.type"] = "not wanted"
	guest["guestinfo.vice./hostname"] = "not a guest's to set"
	guest["guestinfo.vice..sessions|new.status"] = "1"
	guest["guestinfo.vice./sessions"] = "new"

	got := config.Clone()
	changed, err := c.DecodeReports(got, guest, func(field string) bool { return field != "networks.ext.prod.network.type" })
	if names(err) != "sessions.web.1.detail.stopTime" {
		t.Errorf("what did not parse: %v", err)
	}
	want := config.Clone()
	want.Sessions["web.1"].ExitStatus = 137
	want.Sessions["web.1"].Started = "in another spelling"
	want.Sessions["web.1"].Diagnostics.ExitLogs = nil
	e := want.Networks["ext.prod"]
	e.Assigned = prefixOf("10.0.0.1/16")
	e.Network.Assigned.Nameservers = append(e.Network.Assigned.Nameservers, addrOf("10.0.0.1"))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	wantChanged := []string{
		"networks.ext.prod.assigned", "networks.ext.prod.network.assigned.nameservers",
		"sessions.web.1.diagnostics.exitLogs", "sessions.web.1.exitStatus", "sessions.web.1.started",
	}
	if !slices.Equal(changed, wantChanged) {
		t.Errorf("changed %q", changed)
	}
}

// TestDecodeReportsByValue: entries that are no pointers, and pointers that are nil.
func TestDecodeReportsByValue(t *testing.T) {
	type entry struct {
		Config string `vic:"0.1" scope:"read-only" key:"c" json:"config"`
		Report string `vic:"0.1" scope:"read-write" key:"r" json:"report"`
		Secret string `vic:"0.1" scope:"read-write,secret" key:"s" json:"secret"`
	}
	type document struct {
		Each   map[string]entry  `vic:"0.1" scope:"read-only" key:"each" json:"each"`
		Nil    map[string]*entry `vic:"0.1" scope:"read-only" key:"nil" json:"nil"`
		Beside *entry            `vic:"0.1" scope:"read-only" key:"beside" json:"beside"`
	}
	c, err := extraconfig.New[document]()
	if err != nil {
		t.Fatal(err)
	}
	reported, err := c.Encode(&document{Each: map[string]entry{"a": {"x", "2", "3"}}, Beside: &entry{"x", "4", "5"}}, extraconfig.WithSecretKey(secretKey))
	if err != nil {
		t.Fatal(err)
	}
	v := &document{Each: map[string]entry{"a": {Config: "1"}}, Nil: map[string]*entry{"n": nil}}
	changed, err := c.DecodeReports(v, reported.Map(), anyField, extraconfig.WithSecretKey(secretKey))
	if err != nil || !slices.Equal(changed, []string{"each.a.report", "each.a.secret"}) || v.Each["a"] != (entry{"1", "2", "3"}) || v.Beside != nil {
		t.Errorf("%+v, %q, %v", v, changed, err)
	}
	if _, err := c.DecodeReports(v, nil, anyField, extraconfig.WithSecretKey([]byte("short"))); err == nil {
		t.Error("a key that is too short was accepted")
	}
	from := &document{Each: map[string]entry{"a": {"c", "r", "s"}, "b": {}}, Beside: &entry{"c", "r", "s"}, Nil: map[string]*entry{"n": nil}}
	v = &document{Each: map[string]entry{"a": {Config: "1"}, "z": {Report: "own"}}, Beside: &entry{}, Nil: map[string]*entry{"n": nil}}
	c.CopyReports(v, from)
	if v.Each["a"] != (entry{"1", "r", "s"}) || v.Each["z"].Report != "own" || len(v.Each) != 2 || *v.Beside != (entry{"", "r", "s"}) {
		t.Errorf("%+v", v)
	}
}

func TestCopyReports(t *testing.T) {
	c := newCodec(t)
	guest, client := full(), full()
	guest.Sessions["web.1"].ExitStatus = 9
	guest.Hostname = "not copied"
	guest.Networks["ext.prod"].Assigned = prefixOf("10.9.9.9/8")
	client.Hostname = "kept"
	client.Sessions["more"] = &executor.SessionConfig{ExitStatus: 1}
	want := client.Clone()
	want.Sessions["web.1"].ExitStatus = 9
	want.Networks["ext.prod"].Assigned = prefixOf("10.9.9.9/8")
	c.CopyReports(client, guest)
	if !reflect.DeepEqual(client, want) {
		t.Errorf("got %+v", client)
	}
}

// TestEncodePart: a part's pairs are those that the whole has for it.
func TestEncodePart(t *testing.T) {
	c, config := newCodec(t), full()
	whole, err := c.Encode(config, extraconfig.WithSecretKey(secretKey))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{ // and what the keys begin with, prefix and signifier aside
		"sessions/web.1": "sessions|web.1", "sessions/web.1/cmd": "sessions|web.1.cmd", "sessions/web.1/cmd/args": "sessions|web.1.cmd.Args",
		"mounts/data/source": "mounts|data.source", "networks/ext.prod/network/pools": "networks|ext.prod.network.pools", "hostname": "hostname",
		"annotations": "annotations", "annotations/com.example/team": "annotations|com.example.team", "diagnostics": "diagnostics", "": "", "sessions/none": "none", "sessions": "sessions",
	} {
		steps := strings.Split(path, "/")
		switch {
		case path == "":
			steps = nil
		case steps[0] == "annotations" && len(steps) > 1:
			steps = []string{"annotations", "com.example/team"}
		}
		part, err := c.EncodePart(config, steps, extraconfig.WithSecretKey(secretKey))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		expected := whole.Filter(func(p extraconfig.Pair) bool {
			key := strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(p.Key, "guestinfo.vice./"), "guestinfo.vice.."), "/", ".")
			return strings.HasPrefix(key, want)
		})
		if lines(part) != lines(expected) || (part.Len() == 0) != (want == "none") {
			t.Errorf("%s: got\n%swant\n%s", path, lines(part), lines(expected))
		}
		for p := range part.All() {
			if q, _ := whole.Get(p.Key); p.Field() != q.Field() {
				t.Errorf("%s is of %s and %s", p.Key, p.Field(), q.Field())
			}
		}
	}
	for _, path := range []string{"nothing", "sessions/web.1/nothing", "hostname/x", "networks/ext.prod/networkRef"} {
		if _, err := c.EncodePart(config, strings.Split(path, "/")); err == nil {
			t.Errorf("%s was accepted", path)
		}
	}
}
