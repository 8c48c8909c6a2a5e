package daemon

import "time"

// keyInterval is how often key files are read: another node may have changed them, and their times come.
const keyInterval = time.Minute

// updateKeys signs with what the key files say now. It logs an error when it differs from the last one.
func (l *instance) updateKeys() {
	signing := l.served().Signing
	if signing == nil {
		return
	}
	failure := ""
	if err := signing.UpdateKeys(); err != nil {
		failure = err.Error()
	}
	switch {
	case failure == l.keyError:
	case failure == "":
		l.Logger.Info("DNSSEC keys can be read again")
	default:
		l.Logger.Error("cannot update DNSSEC keys; the zone keeps the keys that it has", "error", failure, "hint", "correct the key files before signatures expire")
	}
	l.keyError = failure
}
