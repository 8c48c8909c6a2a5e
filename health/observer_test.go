package health

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"meridian/config"
	"meridian/health/probe"
)

func TestObserverReceivesProbesAndStateChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string // written by the scheduler alone, read after it has stopped
		p := NewProber(Options{Logger: new(logBook).logger(), Observer: Observer{
			Probed:  func(check *config.Check, r probe.Result) { seen = append(seen, fmt.Sprint(check.Name, " ", r.Outcome)) },
			Changed: func(check *config.Check, to Verdict) { seen = append(seen, fmt.Sprint(check.Name, " is ", to)) },
		}})
		ctx, stop := context.WithCancel(t.Context())
		go p.Run(ctx)
		addr := addrs(1)[0]
		watch(t, p, targetsOf(pushCheck("deploy"), addrs(1)))
		push(t, p, "deploy", addr, false, "draining")
		push(t, p, "deploy", addr, false, "draining")
		push(t, p, "deploy", addr, true, "")
		synctest.Wait()
		stop()
		<-p.stopped
		want := []string{"deploy failed", "deploy is down", "deploy failed", "deploy passed", "deploy is up"}
		if !slices.Equal(seen, want) {
			t.Errorf("observed %q, want %q", seen, want)
		}
	})
}
