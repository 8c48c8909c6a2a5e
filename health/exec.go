package health

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

// Of what a program writes, in bytes: what is kept, what a reason quotes of
// that, and how much it may be in all.
const (
	maxKept   = 4 << 10
	maxQuoted = 200
	maxOutput = 1 << 20
)

// errLongOutput says that a program did not come to an end of what it had to say.
var errLongOutput = fmt.Errorf("output longer than %d KiB", maxOutput>>10)

// prepareExec finds the program.
func (c *preparedCheck) prepareExec() []checkError {
	name := c.check.Command[0]
	if !canExec {
		return []checkError{{c.check.Pos, "type", "exec checks need Linux", "a check of another type"}}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return []checkError{{
			c.check.CommandPos, "command", fmt.Sprintf("cannot run %q: %v", name, trimExecPrefix(err)),
			"the path of a program, or the name of one in PATH",
		}}
	}
	c.program = path
	return nil
}

// trimExecPrefix is err without the program's name, which package exec puts before it.
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

// probeExec passes when the check's program exits with status 0 in time.
// Whatever it has started dies with it, unless it left the process group.
func probeExec(ctx context.Context, t *attempt) (string, error) {
	t.doing = "running " + t.program
	cmd := &exec.Cmd{Path: t.program, Args: t.check.Command, Env: t.environment()}
	output := &cappedBuffer{}
	cmd.Stdout, cmd.Stderr = output, output // as one: the program has a single pipe for both
	state, left, err := runGroup(ctx, cmd, killGroup)
	switch {
	case left != nil: // and may write yet
		t.orphan = left
		t.doing += ", which cannot be killed"
		return "", err
	case output.written > maxOutput:
		return "", errLongOutput
	case errors.Is(err, context.DeadlineExceeded) && len(output.kept) > 0:
		t.doing += ", which said " + output.String()
		return "", err
	case err != nil:
		return "", err
	case !state.Success():
		return "", fmt.Errorf("%v: %s", state, output)
	}
	return fmt.Sprintf("%v: %s", state, output), nil
}

// environment is all that the program is told.
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

// cappedBuffer keeps the beginning of what is written to it.
type cappedBuffer struct {
	kept    []byte
	written int
}

// Write refuses what goes beyond maxOutput: the pipe is closed then.
func (h *cappedBuffer) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(len(p), maxKept-len(h.kept))]...)
	h.written += len(p)
	if h.written > maxOutput {
		return 0, errLongOutput
	}
	return len(p), nil
}

// String quotes the beginning, without the line break at its end.
func (h *cappedBuffer) String() string {
	return excerptOf(strings.TrimSpace(string(h.kept)), maxQuoted)
}
