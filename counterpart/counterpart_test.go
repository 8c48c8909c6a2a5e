package counterpart

import (
	"fmt"
	"net"
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
	for range 2 {
		for _, port := range FreePorts(t, 20) {
			seen[port] = true
		}
	}
	if len(seen) != 40 {
		t.Errorf("%d ports, want 40", len(seen))
	}
}

// TestFreePortsStayFree checks that no connection takes a port before the program that it is for listens.
func TestFreePortsStayFree(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	var first, last int
	if _, err := fmt.Sscan(string(text), &first, &last); err != nil {
		t.Fatal(err)
	}
	for _, port := range FreePorts(t, 20) {
		if port >= first && port <= last {
			t.Errorf("port %d is of the range %d to %d, from which connections take theirs", port, first, last)
		}
	}
}

func TestPortInUseIsNotFree(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for _, port := range []int{tcp.Addr().(*net.TCPAddr).Port, udp.LocalAddr().(*net.UDPAddr).Port} {
		if isFree(port) {
			t.Errorf("port %d is free, though a program listens on it", port)
		}
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
