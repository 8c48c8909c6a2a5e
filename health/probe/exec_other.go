//go:build !linux

package probe

import (
	"context"
	"errors"
	"os"
	"os/exec"
)

const canExec = false

// runGroup is unreachable: [Check.prepareExec] rejects the check.
func runGroup(context.Context, *exec.Cmd, func(int)) (*os.ProcessState, <-chan struct{}, error) {
	return nil, nil, localError{errors.New("no process groups on this platform")}
}

func killGroup(int) {}
