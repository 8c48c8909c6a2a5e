package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// Limits of a program's output, in bytes: the part that is kept, the part of that in a reason, and the total.
const (
	maxKept   = 4 << 10
	maxQuoted = 200
	maxOutput = 1 << 20
)

// errLongOutput reports that a program has written more than maxOutput.
var errLongOutput = fmt.Errorf("output longer than %d KiB", maxOutput>>10)

// prepareExec finds the program.
func (c *Check) prepareExec() []Problem {
	name := c.check.Command[0]
	if !canExec {
		return []Problem{{c.check.Pos, "type", "exec checks need Linux", "a check of another type"}}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return []Problem{{
			c.check.CommandPos, "command", fmt.Sprintf("cannot run %q: %v", name, trimExecPrefix(err)),
			"the path of a program, or the name of one in PATH",
		}}
	}
	c.program = path
	return nil
}

// trimExecPrefix removes the program's name, which package exec adds, from err.
func trimExecPrefix(err error) error {
	var notFound *exec.Error
	var unusable *fs.PathError
	switch {
	case errors.As(err, &unusable):
		return unusable.Err
	case errors.As(err, &notFound):
		return notFound.Err
	}
	return err
}

// probeExec passes if the check's program exits with status 0 in time. All processes of its group are killed with it.
func probeExec(ctx context.Context, t *attempt) (string, error) {
	t.begin("run", "running "+t.program)
	if t.trace != nil {
		t.trace.found(strings.Join(t.check.Command, " "))
	}
	cmd := &exec.Cmd{Path: t.program, Args: t.check.Command, Env: t.environment()}
	output := &cappedBuffer{}
	cmd.Stdout, cmd.Stderr = output, output // both: the program gets a single pipe
	state, left, err := runGroup(ctx, cmd, killGroup)
	switch {
	case left != nil: // it may still write to output
		t.orphan = left
		t.doing += ", which cannot be killed"
		return "", err
	case output.written > maxOutput:
		return "", errLongOutput
	case errors.Is(err, context.DeadlineExceeded) && len(output.data) > 0:
		t.doing += " with output " + output.String()
		return "", err
	case err != nil:
		return "", err
	case !state.Success():
		return "", fmt.Errorf("%v: %s", state, output)
	}
	return fmt.Sprintf("%v: %s", state, output), nil
}

// environment returns the whole environment of the program.
func (t *attempt) environment() []string {
	addr, family := t.addr.Unmap(), "ipv6"
	if addr.Is4() {
		family = "ipv4"
	}
	env := []string{
		"PATH=" + os.Getenv("PATH"),
		"MERIDIAN_ADDRESS=" + addr.String(),
		"MERIDIAN_FAMILY=" + family,
		"MERIDIAN_CHECK=" + cmp.Or(t.check.Base, t.check.Name),
	}
	if t.check.Port != 0 {
		env = append(env, "MERIDIAN_PORT="+strconv.Itoa(t.check.Port))
	}
	return env
}

// cappedBuffer keeps the beginning of the data written to it.
type cappedBuffer struct {
	data    []byte
	written int
}

// Write fails beyond maxOutput: the pipe is closed then.
func (h *cappedBuffer) Write(p []byte) (int, error) {
	h.data = append(h.data, p[:min(len(p), maxKept-len(h.data))]...)
	h.written += len(p)
	if h.written > maxOutput {
		return 0, errLongOutput
	}
	return len(p), nil
}

// String quotes the beginning, without the trailing line break.
func (h *cappedBuffer) String() string {
	return excerptOf(strings.TrimSpace(string(h.data)), maxQuoted)
}
