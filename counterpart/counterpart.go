// Package counterpart lets tests run programs of other projects: the servers that Meridian talks to, and the readers of
// what it writes. Only tests import it.
package counterpart

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// require is the environment variable that makes tests fail instead of skip; CI sets it.
const require = "MERIDIAN_REQUIRE_COUNTERPARTS"

// startTime is how long a program may take to start or to reach a state, on a busy machine.
const startTime = time.Minute

// debian holds the Debian package of each program that does not have its name.
var debian = map[string]string{
	"cc": "gcc", "kdig": "knot-dnsutils", "knotc": "knot", "knotd": "knot", "named-checkconf": "bind9-utils", "nsd-checkconf": "nsd", "dig": "bind9-dnsutils", "delv": "bind9-dnsutils", "nsupdate": "bind9-dnsutils", "dnssec-cds": "bind9-utils", "dnssec-verify": "bind9-utils", "drill": "ldnsutils", "ldns-compare-zones": "ldnsutils", "ldns-verify-zone": "ldnsutils", "etcd": "etcd-server", "etcdctl": "etcd-client", "fstrm_capture": "fstrm-bin", "gtlsclient": "ngtcp2-client", "groff": "groff-base", "ip": "iproute2", "named": "bind9", "named-compilezone": "bind9-utils",
	"nginx": "nginx-light", "pdns_control": "pdns-server", "pdns_server": "pdns-backend-sqlite3", "pdnsutil": "pdns-server", "node": "nodejs", "nsenter": "util-linux", "prometheus": "prometheus", "promtool": "prometheus",
	"setsid": "util-linux", "sleep": "coreutils", "systemd-analyze": "systemd",
}

// Missing ends a test that cannot run: it skips the test, or fails it if MERIDIAN_REQUIRE_COUNTERPARTS is set.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv(require) != "" {
		t.Fatal(what)
	}
	t.Skip("SKIPPED: " + what)
}

// Find returns the path of a program. Without the program, the test ends.
func Find(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + program)
	}
	if err != nil {
		from := debian[program]
		if from == "" {
			from = program
		}
		Missing(t, fmt.Sprintf("%s is not installed (Debian: %s)", program, from))
	}
	return path
}

// Exchange sends a query to a server by UDP and returns the answer. It waits longer than a busy machine needs.
func Exchange(query *dns.Msg, server string) (*dns.Msg, error) {
	answer, _, err := (&dns.Client{Timeout: time.Minute}).Exchange(query, server)
	return answer, err
}

// Output runs a program until it ends and returns what it printed. The test fails if the program does.
func Output(t testing.TB, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(Find(t, program), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Start runs a server in the foreground until stop is called or the test ends. A failed test logs what it printed.
func Start(t testing.TB, program string, args ...string) (stop func()) {
	t.Helper()
	var printed bytes.Buffer
	cmd := exec.Command(Find(t, program), args...)
	cmd.Stdout, cmd.Stderr = &printed, &printed
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("%s:\n%s", program, &printed)
		}
	})
	return stop
}

// StartWith is Start for a server that takes its configuration in a file, which is its last argument.
func StartWith(t testing.TB, program, conf string, args ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), program+".conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	Start(t, program, append(args, file)...)
}

// FreePorts returns ports of 127.0.0.1 on which no program listens, neither for TCP nor for UDP. They are below the range from
// which the kernel takes ports for connections, so they stay free. No two calls return the same port.
func FreePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for tries := 0; len(ports) < n; tries++ {
		if tries == maxPortTries {
			t.Fatalf("%d ports of %d tried are free, want %d", len(ports), tries, n)
		}
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if _, given := givenPorts.LoadOrStore(port, true); !given && isFree(port) {
			ports = append(ports, port)
		}
	}
	return ports
}

const (
	firstPort, lastPort = 10000, 31999 // Linux connects from 32768 and above
	maxPortTries        = 1000
)

var givenPorts sync.Map // ports that FreePorts has tried

func isFree(port int) bool {
	address := fmt.Sprintf("127.0.0.1:%d", port)
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	defer l.Close()
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// AwaitListeners waits until a program listens on each port of 127.0.0.1.
func AwaitListeners(t testing.TB, ports ...int) {
	t.Helper()
	for _, port := range ports {
		AwaitListener(t, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	}
}

// AwaitListener waits until a program accepts connections at an address.
func AwaitListener(t testing.TB, network, address string) {
	t.Helper()
	Await(t, func() error {
		conn, err := net.DialTimeout(network, address, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
}

// Await tries until an attempt returns no error: real programs need real time. The test fails with the last error.
func Await(t testing.TB, try func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(startTime); ; <-tick.C {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
