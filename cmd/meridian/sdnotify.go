package main

import (
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"meridian/server"
)

// notifyManager passes a state on to the service manager, if there is one: to the socket that
// NOTIFY_SOCKET names. What cannot be sent is lost: the manager has timeouts of its own.
func notifyManager(state string) {
	if state == server.NotifyReloading { // the manager orders it by the time of its own signal
		state += "\n" + daemon.SdNotifyMonotonicUsec()
	}
	_, _ = daemon.SdNotify(false, state)
}

// watchdog is within what time the service manager expects to hear of this process; 0: never.
func watchdog() time.Duration {
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0
	}
	return within
}
