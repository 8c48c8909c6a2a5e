package main

import (
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"meridian/daemon"
)

// notifyManager sends a state to the socket that NOTIFY_SOCKET names, if there is a service
// manager. It ignores errors, because the manager has timeouts of its own.
func notifyManager(state string) {
	if state == daemon.NotifyReloading { // the manager compares it with the time of its own signal
		state += "\n" + systemd.SdNotifyMonotonicUsec()
	}
	_, _ = systemd.SdNotify(false, state)
}

// watchdog returns the watchdog interval of the service manager; 0 if there is none.
func watchdog() time.Duration {
	within, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		return 0
	}
	return within
}
