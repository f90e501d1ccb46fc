package qemu

import (
	"log/slog"
	"sync"

	"golang.org/x/time/rate"

	"github.com/vmexecutor/config-server/guest"
	"github.com/vmexecutor/config-server/vm"
)

// How many lines of a VM's refusals the log has. The rest are counted.
const (
	auditRate  = 0.2 // a second
	auditBurst = 10
)

// Reasons for which a request is refused before anybody is asked, beside those of package vm.
const (
	reasonRate    = "rate"    // too many sets
	reasonRequest = "request" // it breaks a limit, or is no request
)

// Garbage is the reason for what is no message at all. It need not be meant: a guest that did not hear of a new connection goes on in the old one's words.
const Garbage = "garbage"

// RefusalReasons are all reasons that an Observer is told.
func RefusalReasons() []string {
	reasons := []string{reasonRate, reasonRequest, Garbage}
	for _, r := range vm.Reasons {
		reasons = append(reasons, string(r))
	}
	return reasons
}

// audit counts and logs what the guest of one executor was refused. No value ever gets there, and no text of the guest's own: a
// key is logged when it is one of the schema's.
type audit struct {
	log      *slog.Logger
	observer Observer
	executor string
	limit    *rate.Limiter

	mu       sync.Mutex
	unlogged int
}

// refused notes a refusal by whoever was asked, and gives what the guest is told.
func (a *audit) refused(r *vm.Refusal) error {
	key := r.Key
	if !r.Known {
		key = ""
	}
	a.observer.GuestSet(SetRefused)
	a.count(string(r.Reason), key)
	a.write(string(r.Reason), key, r.Text)
	return &guest.Refusal{Key: r.Key, Reason: r.Text}
}

// broke notes a refusal by the server.
func (a *audit) broke(r guest.Refusal) {
	a.count(reasonRequest, "")
	a.write(reasonRequest, "", r.Reason)
}

// limited notes a set that came too soon.
func (a *audit) limited() {
	a.observer.GuestSet(SetLimited)
	a.count(reasonRate, "")
	a.write(reasonRate, "", "too many sets")
}

func (a *audit) count(reason, key string) {
	a.observer.GuestRefused(Refusal{Executor: a.executor, Reason: reason, Key: key})
}

// write logs a refusal, unless there were too many.
func (a *audit) write(reason, key, text string) {
	a.mu.Lock()
	if !a.limit.Allow() {
		a.unlogged++
		a.mu.Unlock()
		return
	}
	unlogged := a.unlogged
	a.unlogged = 0
	a.mu.Unlock()
	args := []any{"executor", a.executor, "reason", reason, "detail", text}
	if key != "" {
		args = append(args, "key", key)
	}
	if unlogged > 0 {
		args = append(args, "unlogged", unlogged)
	}
	a.log.Warn("guest refused", args...)
}
