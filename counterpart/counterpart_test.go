package counterpart

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// recorder notes how a test ends first.
type recorder struct {
	testing.TB
	ended string
}

func (r *recorder) Helper()        {}
func (r *recorder) Fatal(a ...any) { r.end("failed, " + fmt.Sprint(a...)) }
func (r *recorder) Skip(a ...any)  { r.end("skipped, " + fmt.Sprint(a...)) }

func (r *recorder) end(how string) {
	if r.ended == "" {
		r.ended = how
	}
}

func TestMissingProgramSkipsLoudlyOrFailsIfRequired(t *testing.T) {
	for _, c := range []struct{ program, required, want string }{
		{"meridian-no-such-program", "", "skipped, SKIPPED: meridian-no-such-program is not installed (Debian: meridian-no-such-program)"},
		{"meridian-no-such-program", "1", "failed, meridian-no-such-program is not installed (Debian: meridian-no-such-program)"},
		{"fstrm_capture", "", "skipped, SKIPPED: fstrm_capture is not installed (Debian: fstrm-bin)"},
	} {
		t.Setenv(require, c.required)
		t.Setenv("PATH", t.TempDir())
		r := &recorder{TB: t}
		Find(r, c.program)
		if r.ended != c.want {
			t.Errorf("%s: %q, want %q", c.program, r.ended, c.want)
		}
	}
}

func TestFreePortsDiffer(t *testing.T) {
	seen := map[int]bool{}
	for _, port := range FreePorts(t, 20) {
		seen[port] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d ports, want 20", len(seen))
	}
}

func TestContinuousIntegrationInstallsPrograms(t *testing.T) {
	script, err := os.ReadFile("../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	// Every Debian has these, and bind9 depends on the last. Where systemd is missing, so is the test of its unit.
	other := []string{"coreutils", "util-linux", "systemd", "bind9-utils"}
	installed := append(strings.Fields(string(script)), other...)
	for program, name := range debian {
		if !slices.Contains(installed, name) {
			t.Errorf(".ci/run does not install %s, for %s", name, program)
		}
	}
}
