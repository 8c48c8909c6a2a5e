package probe

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

// pipeDelay is how long a program's output may stay open after its group is killed: a process that left the group may hold
// it.
const pipeDelay = 100 * time.Millisecond

// dieDelay is how long a program may take to die of SIGKILL. One in uninterruptible sleep, on a disk that hangs, dies
// later; one of another user never does.
const dieDelay = time.Second

// runGroup runs cmd in a process group of its own until it exits or ctx ends, and then kills the group, so that it does not
// outlive the probe; if the server itself is killed, the kernel kills the program, though not its children. The error is
// ctx's if that ended first, and a [localError] if the program could not be started. A program that cannot be killed is
// left running; the returned channel is closed when it ends.
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
	kill(cmd.Process.Pid) // the leader is not reaped yet, so no other process has its pid
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
	case errors.As(p.waitErr, &failed), errors.Is(p.waitErr, exec.ErrWaitDelay): // ProcessState holds the former; the latter is not an error of the program
		p.waitErr = nil
	}
	return cmd.ProcessState, nil, p.waitErr
}

func killGroup(group int) {
	_ = unix.Kill(-group, unix.SIGKILL) // fails if the group is empty
}

// program is a running program and the events of its life, each once.
type program struct {
	*exec.Cmd
	started chan error    // nil: it has
	exited  chan struct{} // closed when it has, before it is reaped
	killed  chan struct{} // closed by runGroup when the group is killed: the program may be reaped
	reaped  chan struct{} // closed when that is done
	waitErr error         // of Wait; valid after reaped
}

// run starts the program and waits until it is reaped, on a locked thread: parent-death signals come when the thread that
// forked ends (prctl(2), PR_SET_PDEATHSIG), and other goroutines may end a shared thread.
func (p *program) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // not ended: a new thread costs more than keeping this one
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
	p.waitErr = p.Wait()
	close(p.reaped)
}

// awaitExit waits until a child has exited, without reaping it.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
