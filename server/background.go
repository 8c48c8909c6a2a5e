package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
)

// inBackground runs f so that it takes the time that answering leaves: building a
// world takes seconds of a core that answers questions meanwhile. f has a thread to
// itself, which the kernel runs after the others of this process where it can
// be told so, and which ends with f. A goroutine that f starts would run on one of the
// others: so what builds a world for a reload starts none (zones.BuildBeside).
//
// When ctx ends behind returns, whatever f waits for, such as a file on a disk that hangs:
// the process is ending, and what f makes is lost. A panic in f is a *panicError.
func inBackground[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: nobody else is to have a thread that waits
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

// recovered runs f, and returns a panic in it as a *panicError.
func recovered[T any](f func() (T, error)) (value T, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = &panicError{reason: reason, stack: debug.Stack()}
		}
	}()
	return f()
}

// buildSafely is behind, with a panic in f logged and counted.
func buildSafely[T any](ctx context.Context, l *instance, f func() (T, error)) (T, error) {
	value, err := inBackground(ctx, f)
	l.control.notePanic(err)
	return value, err
}

// notePanic logs and counts err if it is a panic.
func (c *Control) notePanic(err error) {
	var p *panicError
	if errors.As(err, &p) && !p.noted {
		p.noted = true
		c.panics.Add(1)
		c.log.Error("panic while building; what was there before keeps serving", "reason", fmt.Sprint(p.reason), "stack", string(p.stack))
	}
}

// sharedSetting is a setting of the whole process that is in force while at least one of
// several users asks for it.
type sharedSetting struct {
	begin func() (end func())

	mu    sync.Mutex
	users int
	end   func()
}

// use asks for the setting until the function that it returns is called.
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

// freeOSMemory returns to the system all memory that nobody holds any more, behind: the
// runtime keeps a processor to itself until all is returned, 10 ms for 300 MB, which it
// does not count among its pauses. oneMoreProcessor must be in force.
func freeOSMemory() {
	_, _ = inBackground(context.Background(), func() (struct{}, error) { // it never fails
		debug.FreeOSMemory()
		return struct{}{}, nil
	})
}

// raiseGOMAXPROCS lets the runtime run one goroutine more at once until the function that
// it returns is called. Where it runs as many as there are workers, whoever builds
// takes turns of 10 ms with one of them; with one more, the kernel decides, and
// lets a worker run when a packet comes. That costs all of the time some of what a
// packet takes, so it is for as long as something is built. Where GOMAXPROCS is in the
// environment it is so again afterwards; else the runtime goes by the machine again.
func raiseGOMAXPROCS() (noMore func()) {
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(before + 1)
	if os.Getenv("GOMAXPROCS") == "" {
		return runtime.SetDefaultGOMAXPROCS // which does not look into the environment
	}
	return func() { runtime.GOMAXPROCS(before) }
}

// buildGC is the GOGC in force while a snapshot is built.
const buildGC = 400

// relaxGC has the collector look for garbage less often until the function that it
// returns is called: most of what building makes is kept, so that looking as often as
// usual takes a tenth of the time and saves little memory. GOGC in the environment
// is the operator's word, and the last.
func relaxGC() (asBefore func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(buildGC)
	return func() { debug.SetGCPercent(before) }
}
