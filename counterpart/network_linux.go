package counterpart

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// network is the environment variable that names, inside a namespace, which one it is.
const network = "MERIDIAN_TEST_NETWORK"

// InOwnNetwork runs the test again in a network namespace with the addresses on its loopback, and adopts the result; in
// the namespace it returns true. There every port is free, and links can be set.
func InOwnNetwork(t *testing.T, addresses ...string) bool {
	t.Helper()
	if os.Getenv(network) == "" {
		Again(t, "own", &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET})
		return false
	}
	Output(t, "ip", "link", "set", "lo", "up")
	for _, a := range addresses {
		Output(t, "ip", "addr", "add", a+"/32", "dev", "lo")
	}
	return true
}

// Again runs the test again in a process with these attributes, in which MERIDIAN_TEST_NETWORK is name, and adopts the
// result. Without root the process is root of a user namespace.
func Again(t *testing.T, name string, attr *syscall.SysProcAttr) {
	t.Helper()
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), network+"="+name)
	cmd.SysProcAttr = attr
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		Missing(t, "no network namespace can be made: "+err.Error())
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("in a network of its own: %v\n%s", err, &out)
	} else {
		t.Log(&out) // with -v
	}
	if _, why, skipped := strings.Cut(out.String(), "SKIPPED: "); skipped {
		Missing(t, why)
	}
}
