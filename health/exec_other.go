//go:build !linux

package health

import (
	"context"
	"errors"
	"os"
	"os/exec"
)

const canExec = false

// runGroup is not reached: [checker.prepareExec] refuses the check.
func runGroup(context.Context, *exec.Cmd) (*os.ProcessState, error) {
	return nil, lack{errors.New("no process groups here")}
}
