package server

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
)

// behind runs f so that it takes the time that answering leaves: building a
// world takes seconds of a core that answers questions meanwhile. f has a thread to
// itself, which the kernel runs after the others of this process where it can
// be told so, and which ends with f. A goroutine that f starts would run on one of the
// others: so what builds a world for a reload starts none (zones.BuildBeside).
//
// When ctx ends nobody waits for f any more, whatever it waits for, such as a file on a
// disk that hangs: the process is ending, and what f makes is lost.
func behind[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: nobody else is to have a thread that waits
		yieldThread()
		value, err := f()
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

// giveBack returns to the system all memory that nobody holds any more, behind: the
// runtime keeps a processor to itself until all is returned, 10 ms for 300 MB, which it
// does not count among its pauses. oneMoreProcessor must be in force.
func giveBack() {
	_, _ = behind(context.Background(), func() (struct{}, error) { // it never fails
		debug.FreeOSMemory()
		return struct{}{}, nil
	})
}

// oneMoreProcessor lets the runtime run one goroutine more at once until the function that
// it returns is called. Where it runs as many as there are workers, whoever builds
// takes turns of 10 ms with one of them; with one more, the kernel decides, and
// lets a worker run when a packet comes. That costs all of the time some of what a
// packet takes, so it is for as long as something is built. Where GOMAXPROCS is in the
// environment it is so again afterwards; else the runtime goes by the machine again.
func oneMoreProcessor() (noMore func()) {
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(before + 1)
	if os.Getenv("GOMAXPROCS") == "" {
		return runtime.SetDefaultGOMAXPROCS // which does not look into the environment
	}
	return func() { runtime.GOMAXPROCS(before) }
}

// buildGC is the GOGC in force while a snapshot is built.
const buildGC = 400

// collectLess has the collector look for garbage less often until the function that it
// returns is called: most of what building makes is kept, so that looking as often as
// usual takes a tenth of the time and saves little memory. GOGC in the environment
// is the operator's word, and the last.
func collectLess() (asBefore func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(buildGC)
	return func() { debug.SetGCPercent(before) }
}
