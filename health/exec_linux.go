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

// dieDelay is how long a program may take to die of SIGKILL. One in uninterruptible
// sleep, on a disk that hangs, dies when that ends; one of another user's never does of ours.
const dieDelay = time.Second

// runGroup runs cmd in a process group of its own until it exits or ctx ends,
// and kills the group then, so that nothing in it outlives the probe; should the
// server be killed itself, the kernel kills the program, though not what that
// started. The error
// is ctx's when it ended first, a [lack] when the program could not be started. One that
// cannot be killed is left, with what it writes: the channel is closed when it ends.
func runGroup(ctx context.Context, cmd *exec.Cmd, kill func(group int)) (*os.ProcessState, <-chan struct{}, error) {
	p := &program{Cmd: cmd, started: make(chan error, 1), exited: make(chan struct{}), killed: make(chan struct{}), reaped: make(chan struct{})}
	go p.run()
	if err := <-p.started; err != nil {
		return nil, nil, localError{err}
	}
	var late error
	select {
	case <-p.exited:
	case <-ctx.Done():
		late = ctx.Err()
	}
	kill(cmd.Process.Pid) // its leader is not reaped yet, so its number is nobody else's
	close(p.killed)
	patience := time.NewTimer(dieDelay)
	defer patience.Stop()
	select {
	case <-p.exited:
		<-p.reaped
	case <-patience.C:
		return nil, p.reaped, late
	}
	var failed *exec.ExitError
	switch {
	case late != nil:
		return nil, nil, late
	case errors.As(p.end, &failed), errors.Is(p.end, exec.ErrWaitDelay): // the state tells the one; the other is not the program's doing
		p.end = nil
	}
	return cmd.ProcessState, nil, p.end
}

func killGroup(group int) {
	_ = unix.Kill(-group, unix.SIGKILL) // fails where there is nobody left
}

// program is one that runs, with what is told of its life, each once.
type program struct {
	*exec.Cmd
	started chan error    // nil: it has
	exited  chan struct{} // closed when it has, and waits to be reaped
	killed  chan struct{} // closed by who runs it, when nobody in its group lives: it may be reaped
	reaped  chan struct{} // closed when that is done
	end     error         // of Wait; to be read then
}

// run starts the program and stays until it is reaped, on a thread that is its own:
// parent-death signals come when the thread that forked ends (prctl(2),
// PR_SET_PDEATHSIG), and any thread that is shared may be somebody's to end.
func (p *program) run() {
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
	p.end = p.Wait()
	close(p.reaped)
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
