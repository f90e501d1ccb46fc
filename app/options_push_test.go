package app

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestPushOptions(t *testing.T) {
	for flag, o := range map[string]Options{
		"--push-rate":                   {PushRate: -1},
		"--push-rate: must be a number": {PushRate: math.NaN()},
		"--resync":                      {Resync: time.Millisecond},
	} {
		o.Host, o.DataDir, o.SimulatorListen = "127.0.0.1", "data", "127.0.0.1:0"
		if err := o.validate(); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%+v: %v", o, err)
		}
		o.PushRate, o.Resync = 2.5, time.Minute
		if err := o.validate(); err != nil {
			t.Error(err)
		}
	}
}
