package audit

import (
	"bytes"
	"context"
	"reflect"
	"testing"

	"github.com/vmexecutor/config-server/store"
)

// TestCommitted: what nobody asked the API for has a line by what it was, and what somebody did is in the entry of that.
func TestCommitted(t *testing.T) {
	const executor = "/v1/executors/web-1"
	var file bytes.Buffer
	trail := New(Options{File: &file})
	background := context.Background()
	for action, want := range map[string]*Entry{
		store.ActionReport:  {Actor: "web-1", Role: "vm:web-1", Source: "VM", Resource: executor, Outcome: Done},
		store.ActionDrift:   {Source: "VM", Resource: executor, Outcome: PutBack},
		store.ActionResolve: {Actor: "server", Role: "server", Resource: executor + "/vm", Outcome: Done},
		store.ActionClean:   {Actor: "server", Role: "server", Resource: executor + "/vm", Outcome: Done},
		store.ActionDeliver: {Actor: "server", Role: "server", Resource: executor + "/vm", Outcome: Done},
		store.ActionOffer:   nil,
		store.ActionConfirm: nil,
		store.ActionPower:   nil,
	} {
		file.Reset()
		trail.Committed(background, store.Event{Revision: 9, ID: "web-1", Action: action, Fields: []string{"f"}, Values: map[string]string{"f": "value"}}, 8)
		got := entries(t, file.Bytes())
		if want == nil {
			if len(got) > 0 {
				t.Errorf("%s has a line: %s", action, &file)
			}
			continue
		}
		want.Operation, want.Before, want.After, want.Fields = action, 8, 9, []string{"f"}
		if len(got) == 1 {
			want.Time = got[0].Time
		}
		if len(got) != 1 || !reflect.DeepEqual(got[0], *want) {
			t.Errorf("%s: %s", action, &file)
		}
	}

	for origin, want := range map[string]string{GuestChannel: "web-1 vm:web-1 guest channel", Server: "server server "} {
		file.Reset()
		trail.Committed(From(background, origin), store.Event{ID: "web-1", Action: store.ActionReport}, 0)
		if e := entries(t, file.Bytes())[0]; e.Actor+" "+e.Role+" "+e.Source != want {
			t.Errorf("%s: %s", origin, &file)
		}
	}

	file.Reset()
	var e Entry
	trail.Committed(With(background, &e), store.Event{Revision: 9, Action: store.ActionUpdate, Fields: []string{"f"}}, 8)
	if e.Before != 8 || e.After != 9 || len(e.Fields) != 1 || file.Len() > 0 {
		t.Errorf("%+v, and the file has %s", e, &file)
	}
	Of(background).Outcome = Failed // which nobody sees
	if Of(With(background, &e)) != &e {
		t.Error("the entry is another")
	}
}
