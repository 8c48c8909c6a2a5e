package server

import "golang.org/x/sys/unix"

// backgroundNice is the nice value of a thread that builds, where the others have 0: the
// kernel gives it a tenth of what it gives to each of them. At 19 it would get a
// hundredth, and when the collector stops the world it waits for that thread too:
// on a machine that other programs keep busy, for 100 ms.
const backgroundNice = 10

// lowerThreadPriority has the kernel favour the other threads of the process over the one
// that it is called on. Nice values are a thread's own on Linux, and raising one
// is always allowed; where it were not, building would only be in the way more.
func lowerThreadPriority() { _ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), backgroundNice) }
