package health

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const canExec = true

// pipeDelay is how long the output of a program may stay open after its group
// is dead: held by somebody who left the group.
const pipeDelay = 100 * time.Millisecond

// runGroup runs cmd in a process group of its own until it exits or ctx ends,
// and kills the group then, so that nothing in it outlives the probe; should the
// server be killed itself, the kernel kills the program, though not what that
// started. The error
// is ctx's when it ended first, a [lack] when the program could not be started.
func runGroup(ctx context.Context, cmd *exec.Cmd) (*os.ProcessState, error) {
	p := &program{Cmd: cmd, started: make(chan error, 1), exited: make(chan struct{}), killed: make(chan struct{}), reaped: make(chan error, 1)}
	go p.live()
	if err := <-p.started; err != nil {
		return nil, lack{err}
	}
	var late error
	select {
	case <-p.exited:
	case <-ctx.Done():
		late = ctx.Err()
	}
	// The leader is not reaped yet, so its number is nobody else's.
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // fails where there is nobody left
	close(p.killed)
	err := <-p.reaped
	var failed *exec.ExitError
	switch {
	case late != nil:
		return nil, late
	case errors.As(err, &failed), errors.Is(err, exec.ErrWaitDelay): // the state tells the one; the other is not the program's doing
		err = nil
	}
	return cmd.ProcessState, err
}

// program is one that runs, with what is told of its life, each once.
type program struct {
	*exec.Cmd
	started chan error    // nil: it has
	exited  chan struct{} // closed when it has, and waits to be reaped
	killed  chan struct{} // closed by who runs it, when nobody in its group lives: it may be reaped
	reaped  chan error    // when that is done
}

// live starts the program and stays until it is reaped, on a thread that is its own:
// parent-death signals come when the thread that forked ends (prctl(2),
// PR_SET_PDEATHSIG), and any thread that is shared may be somebody's to end.
func (p *program) live() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // not ended: it costs more to make than to keep
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.WaitDelay = pipeDelay
	err := p.Start()
	p.started <- err
	if err != nil {
		return
	}
	awaitExit(p.Process.Pid)
	close(p.exited)
	<-p.killed
	p.reaped <- p.Wait()
}

// awaitExit returns when a child has exited, and leaves it to be reaped.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
