package geo

import (
	"errors"
	"runtime"
	"runtime/debug"
)

// errOverwritten reports a database file that changed while it was read.
var errOverwritten = errors.New("was overwritten while it was read; a new file should be renamed into its place")

// recoverFault runs f, which reads a mapped file in this goroutine. Copying a new file over a mapped one truncates it
// first. Reading a page that is gone raises a signal, which would end the process. recoverFault returns
// errOverwritten instead.
func recoverFault(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch fault := recover().(type) {
		case nil:
		case interface { // the runtime panics with this for such a signal, and not for programming errors
			runtime.Error
			Addr() uintptr
		}:
			err = errOverwritten
		default:
			panic(fault)
		}
	}()
	return f()
}
