package probe

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/config"
	"meridian/counterpart"
)

// network runs commands of ip in the namespace of the test, or in another one.
type network struct {
	t   *testing.T
	pid int // of a process in the other namespace; 0: that of the test
}

// ip runs a command; spaces separate its arguments.
func (n network) ip(arguments string) {
	n.t.Helper()
	n.run(append([]string{counterpart.Find(n.t, "ip")}, strings.Fields(arguments)...)...)
}

func (n network) run(command ...string) {
	n.t.Helper()
	if n.pid != 0 {
		command = append([]string{counterpart.Find(n.t, "nsenter"), "-t", fmt.Sprint(n.pid), "-n"}, command...)
	}
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		n.t.Fatalf("%q: %v: %s", command, err, out)
	}
}

// newRouter connects the namespace of the test with another one, which forwards packets and has no other routes. All
// traffic of the test goes there.
func newRouter(t *testing.T) (here, router network) {
	t.Helper()
	sleep := exec.Command(counterpart.Find(t, "sleep"), "60")
	sleep.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := sleep.Start(); err != nil {
		counterpart.Missing(t, "no second network namespace can be made: "+err.Error())
	}
	t.Cleanup(func() { sleep.Process.Kill(); sleep.Wait() })
	here, router = network{t, 0}, network{t, sleep.Process.Pid}
	here.ip(fmt.Sprintf("link add uplink type veth peer name downlink netns %d", router.pid))
	for link, of := range map[string]network{"uplink": here, "downlink": router} {
		last := map[string]int{"uplink": 1, "downlink": 2}[link]
		of.ip(fmt.Sprintf("address add 10.9.9.%d/24 dev %s", last, link))
		of.ip(fmt.Sprintf("address add 2001:db8:9::%d/64 dev %s nodad", last, link))
		of.ip("link set " + link + " up")
	}
	here.ip("route add default via 10.9.9.2")
	here.ip("-6 route add default via 2001:db8:9::2")
	for name, value := range map[string]string{
		"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1", "ipv4/icmp_ratelimit": "0", "ipv6/icmp/ratelimit": "0",
	} {
		router.run("/bin/sh", "-c", "echo "+value+" > /proc/sys/net/"+name)
	}
	return here, router
}

func TestLocalErrorsAreInconclusive(t *testing.T) {
	if !counterpart.InOwnNetwork(t) {
		return
	}
	here := network{t, 0}
	here.ip("route add unreachable 198.51.100.0/24")
	here.ip("route add prohibit 203.0.113.0/24")
	here.ip("route add blackhole 198.18.0.0/15")
	elsewhere := []netip.Addr{netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::9")}
	for _, c := range []struct {
		name, addr string
		sources    []netip.Addr
		reason     string
	}{
		{"no route of IPv4", "192.0.2.1", nil, "connect: network is unreachable"},
		{"no route of IPv6", "2001:db8::1", nil, "connect: network is unreachable"},
		{"an unreachable route", "198.51.100.1", nil, "connect: no route to host"},
		{"a prohibited route", "203.0.113.1", nil, "connect: permission denied"},
		{"a black hole", "198.18.0.1", nil, "connect: invalid argument"},
		{"a source of another machine, IPv4", "127.0.0.1", elsewhere, "bind: cannot assign requested address"},
		{"a source of another machine, IPv6", "::1", elsewhere, "bind: cannot assign requested address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, check := range []config.Check{*tcpCheck(), dnsCheckAt(53)} {
				check.Sources = c.sources
				want(t, probeAddr(t, check, netip.MustParseAddr(c.addr)), Inconclusive, "this machine cannot probe: "+c.reason)
			}
		})
	}
}

func dnsCheckAt(port int) config.Check {
	c := *tcpCheck()
	c.Type, c.Port, c.Query, c.QueryType = config.DNS, port, "example.com.", 1
	return c
}

// TestNetworkErrorsAreFailures has a router send by ICMP the errors that the machine itself returns in the test above, with
// the same error numbers.
func TestNetworkErrorsAreFailures(t *testing.T) {
	if !counterpart.InOwnNetwork(t) {
		return
	}
	here, router := newRouter(t)
	router.ip("route add unreachable 198.51.100.0/24")
	router.ip("-6 route add prohibit 2001:db8:1::/48")
	t.Run("with a route to the router", func(t *testing.T) { // ends after its parallel tests
		for addr, reason := range map[string]string{
			"192.0.2.1":     "connect: network is unreachable",
			"2001:db8:2::1": "connect: network is unreachable",
			"198.51.100.1":  "connect: no route to host",
			"2001:db8:1::1": "connect: permission denied",
		} {
			t.Run(addr, func(t *testing.T) {
				t.Parallel() // some take a second, until the kernel sends its second SYN
				check := *tcpCheck()
				check.Timeout = 10 * time.Second
				want(t, probeAddr(t, check, netip.MustParseAddr(addr)), Failed, reason)
			})
		}
	})
	here.ip("route del default")
	want(t, probeAddr(t, *tcpCheck(), netip.MustParseAddr("192.0.2.1")), Inconclusive, "this machine cannot probe: connect: network is unreachable")
}

func TestProbesUseSourceAddress(t *testing.T) {
	sources := []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.7.7.7")}
	t.Run("tcp", func(t *testing.T) {
		from := make(chan string, 1)
		e := serve(t, func(conn net.Conn) { from <- conn.RemoteAddr().String() })
		check := *tcpCheck()
		check.Port, check.Sources = int(e.Port()), sources
		want(t, probeOnce(t, check, e), Passed, "connected")
		wantSource(t, <-from)
	})
	t.Run("udp", func(t *testing.T) {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		check := dnsCheckAt(int(conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()))
		check.Sources, check.Timeout = sources, time.Millisecond
		probeAddr(t, check, loopback) // no server answers
		_, from, err := conn.ReadFrom(make([]byte, 512))
		if err != nil {
			t.Fatal(err)
		}
		wantSource(t, from.String())
	})
}

func wantSource(t *testing.T, from string) {
	t.Helper()
	if !strings.HasPrefix(from, "127.7.7.7:") {
		t.Errorf("the probe came from %s, want 127.7.7.7", from)
	}
}
