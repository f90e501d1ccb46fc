package push

import "time"

// Result is how one attempt to push ended.
type Result string

const (
	ResultApplied   Result = "applied"   // the VM was changed, and seen to hold what it should
	ResultUnchanged Result = "unchanged" // the VM held it already
	ResultFailed    Result = "failed"    // it is retried
)

// Observer is told what the reconciler does, for metrics. Its methods are called concurrently, and must be quick.
type Observer interface {
	// Pushed tells of an attempt that ended: how many keys it set and deleted in how long a time.
	Pushed(result Result, took time.Duration, set, deleted int)
	// Drifted tells that so many fields were found changed by nobody who may.
	Drifted(fields int)
	// Reported tells that so many fields that a guest set were taken into the store.
	Reported(fields int)
	// Retrying tells that a failed attempt will be made again.
	Retrying()
}

// nobody is who observes when nobody does.
type nobody struct{}

func (nobody) Pushed(Result, time.Duration, int, int) {}
func (nobody) Drifted(int)                            {}
func (nobody) Reported(int)                           {}
func (nobody) Retrying()                              {}
