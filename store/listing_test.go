package store_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/vmexecutor/config-server/executor"
	"github.com/vmexecutor/config-server/store"
)

// TestPagesWhileOthersWrite: with executors coming, changing and going all the time, each list shows exactly what there was at its revision.
func TestPagesWhileOthersWrite(t *testing.T) {
	for engine, open := range engines {
		t.Run(engine, func(t *testing.T) { pagesWhileOthersWrite(t, open(t)) })
	}
}

func pagesWhileOthersWrite(t *testing.T, f *fixture) {
	const readers, ids, enough = 4, 7, 150
	states := []map[string]string{{}} // what there is at each revision, as hostnames
	var mu sync.Mutex
	done := make(chan struct{})
	var writing, reading sync.WaitGroup
	writing.Go(func() {
		ctx := context.WithoutCancel(t.Context())
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			default:
			}
			id, next := fmt.Sprintf("e%d", n%ids), maps.Clone(states[len(states)-1])
			var err error
			if n/ids%3 == 2 {
				delete(next, id)
				err = f.DeleteExecutor(ctx, id)
			} else {
				next[id] = fmt.Sprintf("h%d", n)
				_, _, err = f.PutExecutor(ctx, &executor.ExecutorConfig{Common: executor.Common{ID: id}, Hostname: next[id]})
			}
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			states = append(states, next)
			mu.Unlock()
		}
	})
	type shown struct {
		revision uint64
		items    map[string]string
	}
	seen := make([][]shown, readers)
	for r := range readers {
		reading.Go(func() {
			for last := uint64(0); last < enough; {
				q := store.ExecutorQuery{Paging: store.Paging{Limit: 1 + r%2}}
				all := shown{items: map[string]string{}}
				for {
					page, err := f.ListExecutors(t.Context(), q)
					if err != nil {
						t.Error(err)
						return
					}
					all.revision = page.Revision
					for _, e := range page.Items {
						all.items[e.Config.ID] = e.Config.Hostname
					}
					if q.Continue = page.Continue; q.Continue == "" {
						break
					}
				}
				seen[r], last = append(seen[r], all), all.revision
			}
		})
	}
	reading.Wait()
	close(done)
	writing.Wait()
	for r := range readers {
		for _, list := range seen[r] {
			if want := states[list.revision]; !maps.Equal(list.items, want) {
				t.Errorf("at %d a list has %v, want %v", list.revision, list.items, want)
			}
		}
	}
}
