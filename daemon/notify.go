package daemon

import (
	"context"
	"time"
)

// The states sent to a service manager, in the words of sd_notify(3).
const (
	NotifyReady     = "READY=1"     // the server answers, after the first round of probes
	NotifyReloading = "RELOADING=1" // a reload has begun; NotifyReady follows in any case
	NotifyStopping  = "STOPPING=1"
	NotifyWatchdog  = "WATCHDOG=1" // the prober works
	notifyMainPID   = "MAINPID="   // another process has taken over
)

func (l *instance) notify(state string) {
	if l.Notify != nil {
		l.Notify(state)
	}
}

// notifyServing notifies that the server answers, and at the end of ctx that it is stopping.
// Until end it feeds the watchdog, unless the prober is stalled: health states are frozen then,
// and a restart is better.
func (l *instance) notifyServing(ctx context.Context) (end func()) {
	l.notify(NotifyReady)
	stopped := context.AfterFunc(ctx, func() { l.notify(NotifyStopping) })
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		l.feedWatchdog(done)
	}()
	return func() {
		stopped()
		close(done)
		<-ended
	}
}

func (l *instance) feedWatchdog(done <-chan struct{}) {
	if l.Watchdog <= 0 {
		return
	}
	ticker := time.NewTicker(l.Watchdog / 3)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case now := <-ticker.C:
			if !l.prober.Heartbeat().Stalled(now) {
				l.notify(NotifyWatchdog)
			}
		}
	}
}
