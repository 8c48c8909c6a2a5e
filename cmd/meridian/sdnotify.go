package main

import (
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"meridian/server"
)

// notifyManager sends a state to the socket that NOTIFY_SOCKET names, if there is a service
// manager. It ignores errors, because the manager has timeouts of its own.
func notifyManager(state string) {
	if state == server.NotifyReloading { // the manager compares it with the time of its own signal
		state += "\n" + daemon.SdNotifyMonotonicUsec()
	}
	_, _ = daemon.SdNotify(false, state)
}

// watchdog returns the watchdog interval of the service manager; 0 if there is none.
func watchdog() time.Duration {
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0
	}
	return within
}
