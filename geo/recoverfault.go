package geo

import (
	"errors"
	"runtime"
	"runtime/debug"
)

// errOverwritten is what a database is refused with that changed under the
// hands of its reader.
var errOverwritten = errors.New("was overwritten while it was read; a new file should be renamed into its place")

// recoverFault runs f, which reads a mapped file in this goroutine. Who copies a new
// file over one that is mapped first cuts it to nothing; a page that is gone
// then is a signal which would end the process. Here it becomes errOverwritten.
func recoverFault(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch fault := recover().(type) {
		case nil:
		case interface { // what the runtime panics with for such a signal, and for no slip of ours
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
