package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
)

// inBackground runs f at low priority, so that queries are answered while it takes seconds of CPU
// time to build a snapshot. f has a thread of its own, with a lower priority if the kernel
// supports that, which ends with f. A goroutine started by f would run on another thread at
// normal priority: therefore a build for a reload starts none (snapshot.BuildInBackground).
//
// When ctx ends, inBackground returns even if f is blocked, for example on a disk that hangs: the
// process is ending, and the result of f is lost. A panic in f is returned as a *panicError.
func inBackground[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: a thread with low priority must not be reused
		lowerThreadPriority()
		value, err := recovered(f)
		done <- outcome{value, err}
	}()
	select {
	case got := <-done:
		return got.value, got.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// panicError is a panic in a build, as an error.
type panicError struct {
	reason any
	stack  []byte
	noted  bool // logged and counted
}

func (p *panicError) Error() string {
	return fmt.Sprintf("panic while building, please report it: %v", p.reason)
}

// recovered runs f and returns a panic in it as a *panicError.
func recovered[T any](f func() (T, error)) (value T, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = &panicError{reason: reason, stack: debug.Stack()}
		}
	}()
	return f()
}

// buildSafely calls inBackground, and logs and counts a panic in f.
func buildSafely[T any](ctx context.Context, l *instance, f func() (T, error)) (T, error) {
	value, err := inBackground(ctx, f)
	l.notePanic(err)
	return value, err
}

// notePanic logs and counts err if it is a panic.
func (l *instance) notePanic(err error) {
	var p *panicError
	if errors.As(err, &p) && !p.noted {
		p.noted = true
		l.control.RecordPanic(p.reason, p.stack)
	}
}

// sharedSetting is a setting of the whole process that is in force while at least one of several
// users needs it.
type sharedSetting struct {
	begin func() (end func())

	mu    sync.Mutex
	users int
	end   func()
}

// use applies the setting until the returned function is called.
func (o *sharedSetting) use() (release func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.users++; o.users == 1 {
		o.end = o.begin()
	}
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.users--; o.users == 0 {
			o.end()
		}
	}
}

// freeOSMemory returns unused memory to the system, in the background: the runtime keeps a
// processor busy until all is returned, 10 ms for 300 MB, and does not count that among its
// pauses. The setting raiseGOMAXPROCS must be in force.
func freeOSMemory() {
	_, _ = inBackground(context.Background(), func() (struct{}, error) { // it never fails
		debug.FreeOSMemory()
		return struct{}{}, nil
	})
}

// raiseGOMAXPROCS lets the runtime run one more goroutine at a time until the returned function
// is called. With as many as there are workers, a build takes turns of 10 ms with one of them;
// with one more, the kernel schedules them, and lets a worker run when a packet arrives. That
// adds to the cost of every packet, so it applies only during a build. A GOMAXPROCS set in the
// environment is restored afterwards; otherwise the runtime follows the machine again.
func raiseGOMAXPROCS() (noMore func()) {
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(before + 1)
	if os.Getenv("GOMAXPROCS") == "" {
		return runtime.SetDefaultGOMAXPROCS // ignores the environment
	}
	return func() { runtime.GOMAXPROCS(before) }
}

// buildGC is the GOGC value while a snapshot is built.
const buildGC = 400

// relaxGC makes the garbage collector run less often until the returned function is called. Most
// of the memory allocated by a build is kept: collecting at the usual rate takes a tenth of the
// time and saves little. A GOGC set in the environment takes precedence.
func relaxGC() (asBefore func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(buildGC)
	return func() { debug.SetGCPercent(before) }
}
