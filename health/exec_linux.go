package health

import (
	"context"
	"errors"
	"os"
	"os/exec"
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
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = pipeDelay
	if err := cmd.Start(); err != nil {
		return nil, lack{err}
	}
	exited := make(chan struct{})
	go func() { defer close(exited); awaitExit(cmd.Process.Pid) }()
	var late error
	select {
	case <-exited:
	case <-ctx.Done():
		late = ctx.Err()
	}
	// The leader is not reaped yet, so its number is nobody else's.
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // fails where there is nobody left
	<-exited
	err := cmd.Wait()
	var failed *exec.ExitError
	switch {
	case late != nil:
		return nil, late
	case errors.As(err, &failed), errors.Is(err, exec.ErrWaitDelay): // the state tells the one; the other is not the program's doing
		err = nil
	}
	return cmd.ProcessState, err
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
