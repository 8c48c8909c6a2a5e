package daemon

import "golang.org/x/sys/unix"

// backgroundNice is the nice value of a thread that builds; the others have 0. The kernel gives
// it a tenth of the time of each of them. At 19 it would get a hundredth, and a stop-the-world
// pause of the collector would wait for that thread: for 100 ms on a machine that is busy with
// other programs.
const backgroundNice = 10

// lowerThreadPriority lowers the priority of the current thread. On Linux each thread has its own
// nice value, and raising it is always allowed. If it fails, the build only delays other threads
// more.
func lowerThreadPriority() { _ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), backgroundNice) }
