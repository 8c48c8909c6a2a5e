package control

import (
	"sync/atomic"
	"time"

	"meridian/discovery"
	"meridian/health"
	"meridian/loads"
	"meridian/snapshot"
)

// Generation is a loaded configuration with everything that keeps its pools current.
type Generation struct {
	*Users // they keep its files open

	Snapshot *snapshot.Snapshot // pools and configuration
	Watch    *health.Watch
	Loads    *loads.Watch
	Targets  *discovery.Watch
	Hash     string    // of its files; empty: they cannot be read
	LoadedAt time.Time // when it was loaded
}

// Users counts the users of a resource that the last one closes.
type Users struct {
	count atomic.Int64
	close func()
}

// NewUsers returns Users with one user. The last one that releases calls close.
func NewUsers(close func()) *Users {
	u := &Users{close: close}
	u.count.Store(1)
	return u
}

// Acquire adds a user. It returns false if the resource is closed.
func (u *Users) Acquire() bool {
	for {
		n := u.count.Load()
		if n == 0 {
			return false
		}
		if u.count.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release removes a user. The last one closes the resource.
func (u *Users) Release() {
	if u.count.Add(-1) == 0 {
		u.close()
	}
}
