package main

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/vmexecutor/config-server/apiclient"
	"github.com/vmexecutor/config-server/models"
)

// dockerEvents turns the feed into Docker's events, as docs/docker.md says.
type dockerEvents struct {
	told  []string
	codes map[string]string // by the process: what exit status was told last
}

// events are Docker's from now on, until a container is destroyed.
func (d *daemon) events(last string) <-chan []string {
	d.Helper()
	begun, told := make(chan struct{}), make(chan []string, 1)
	begin := sync.OnceFunc(func() { close(begun) })
	go func() {
		events := dockerEvents{codes: map[string]string{}}
		defer func() { told <- events.told }()
		for e, err := range d.api.Watch(d.Context(), apiclient.WatchOptions{
			Kinds: []string{models.EventKindExecutor, models.EventKindNetwork}, Heartbeats: true,
		}) {
			switch {
			case err != nil:
				d.Error(apiclient.Describe(err))
				return
			case e.Action == models.EventActionHeartbeat:
				begin()
				continue
			}
			if events.add(e); e.ID == last && e.Action == models.EventActionDelete {
				return
			}
		}
	}()
	<-begun
	return told
}

func (d *dockerEvents) tell(words ...string) { d.told = append(d.told, strings.Join(words, " ")) }

func (d *dockerEvents) add(e *models.Event) {
	what := map[string]string{models.EventActionCreate: "create", models.EventActionDelete: "destroy"}[e.Action]
	switch {
	case e.Kind == models.EventKindNetwork && what != "":
		d.tell("network", what, e.Name)
	case e.Kind == models.EventKindExecutor && what != "":
		d.tell("container", what, e.Name)
	case e.Kind == models.EventKindExecutor:
		d.changed(e)
	}
}

// changed is for updates and reports. An exit status is told with the end of its process or before it, and not at all when it is 0 as it was.
func (d *dockerEvents) changed(e *models.Event) {
	for path, value := range e.Values {
		if process, ok := strings.CutSuffix(path, ".exitStatus"); ok {
			d.codes[process] = value
		}
	}
	fields := slices.Clone(e.Fields)
	slices.SortStableFunc(fields, func(a, b string) int { // when a process began and ended in one event, it began first
		return cmp.Compare(strings.Count(a, "detail.stopTime"), strings.Count(b, "detail.stopTime"))
	})
	for _, path := range fields {
		value := e.Values[path]
		kind, rest, _ := strings.Cut(path, ".")
		name, field, _ := strings.Cut(rest, ".")
		code := "exitCode=" + d.codes[kind+"."+name]
		switch {
		case path == "name":
			d.tell("container rename", e.Name)
		case kind == "networks" && field == "": // which of the two, the daemon knows that asked for it
			d.tell("network connect or disconnect", e.Name, name)
		case kind == "sessions" && field == "started" && value == "true":
			d.tell("container start", e.Name)
		case kind == "sessions" && field == "detail.stopTime" && value != "":
			d.tell("container die", e.Name, code)
		case kind == "execs" && field == "started" && value == "true":
			d.tell("exec_start", e.Name, name)
		case kind == "execs" && field == "detail.stopTime" && value != "":
			d.tell("exec_die", e.Name, name, code)
		}
	}
}
