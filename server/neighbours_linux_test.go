package server_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"meridian/counterpart"
	"meridian/server"
	"meridian/server/answer/answertest"
	"meridian/snapshot"
)

// The network of this test: the client has 10.9.0.0/16 and answers no ARP for it, so that the
// server's answers to these addresses wait for neighbours that never appear. The server knows the
// client's own address.
const silentLinks = `
link add name near0 address 02:00:00:00:00:01 type veth peer name far0 address 02:00:00:00:00:02
link set far0 netns CLIENT
addr add 192.0.2.53/24 dev near0
link set near0 up
route add 10.9.0.0/16 dev near0
neigh add 192.0.2.7 lladdr 02:00:00:00:00:02 dev near0
`

const silentClientLinks = `
link set far0 arp off
addr add 192.0.2.7/24 dev far0
link set far0 up
link set lo up
route add local 10.9.0.0/16 dev lo
neigh replace 192.0.2.53 lladdr 02:00:00:00:00:01 dev far0
`

const silentConfig = `
server: {listen: ["192.0.2.53:53"], workers: 1}
pools:
  web: {policy: failover, members: [{name: a, addresses: [192.0.2.10]}]}
zones:
  gslb.example.com:
    nameservers: {ns1.gslb.example.com: [192.0.2.53]}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`

// TestUnresolvableNeighboursStallNoWorker checks that all queries are received while the send
// buffer is full of answers to unresolvable neighbours, which the kernel keeps for a minute here.
func TestUnresolvableNeighboursStallNoWorker(t *testing.T) {
	floodFromSilence(t, func() string { return "8388608" }, func(s *server.Server) {
		if c := s.Counters(); c.Unsent == 0 {
			t.Errorf("the send buffer was never full: this tests nothing: %+v", c)
		}
	})
}

// With the shipped settings the buffer does not fill, and reachable clients get their answers.
func TestShippedSettingsKeepRoomInTheSendBuffer(t *testing.T) {
	shipped := func() string { return shippedSetting(t, "net.ipv4.neigh.default.unres_qlen_bytes") }
	floodFromSilence(t, shipped, func(s *server.Server) {
		if _, err := askFrom("192.0.2.53", 10*time.Second); err != nil {
			t.Error(err)
		}
		if c := s.Counters(); c.Unsent != 0 {
			t.Errorf("answers found no room: %+v", c)
		}
	})
}

// floodFromSilence sends queries from unresolvable neighbours to a server. The kernel keeps up to
// queue bytes of answers for each. It expects that all queries are received, and runs then in the
// network of the client.
func floodFromSilence(t *testing.T, queue func() string, then func(*server.Server)) {
	t.Helper()
	if !counterpart.InOwnNetwork(t) {
		return
	}
	ip := counterpart.Find(t, "ip")
	client := newElsewhere(t)
	if err := lines(ip, strings.ReplaceAll(silentLinks, "CLIENT", fmt.Sprint(client.thread))); err != nil {
		counterpart.Missing(t, "no links can be made: "+err.Error())
	}
	setNeighbours(t, "mcast_solicit", "60") // seconds
	setNeighbours(t, "unres_qlen_bytes", queue())
	s := serveHere(t, silentConfig)
	client.do(func() {
		if err := lines(ip, silentClientLinks); err != nil {
			t.Error(err)
			return
		}
		const sources, each = 40, 500
		for i := range sources {
			askFromMany(t, netip.AddrFrom4([4]byte{10, 9, 1, byte(i)}), each)
			if !awaitQueries(t, s, uint64((i+1)*each)) {
				return
			}
		}
		then(s)
	})
}

// setNeighbours configures how the server's link resolves IPv4 neighbours.
func setNeighbours(t *testing.T, key, value string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/ipv4/neigh/near0/"+key, []byte(value), 0o600); err != nil {
		counterpart.Missing(t, err.Error())
	}
}

// shippedSetting reads a key of the shipped file.
func shippedSetting(t *testing.T, key string) string {
	t.Helper()
	text, err := os.ReadFile("../deploy/sysctl/90-meridian.conf")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("%s is not set", key)
	return ""
}

// serveHere serves a configuration until the test ends.
func serveHere(t *testing.T, text string) *server.Server {
	t.Helper()
	return serveBuilt(t, answertest.Build(t, text, ""))
}

// serveBuilt serves a snapshot until the test ends.
func serveBuilt(t *testing.T, built *snapshot.Snapshot) *server.Server {
	t.Helper()
	s := server.New(built, server.Options{})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// askFromMany sends queries from many sources and waits for no answer.
func askFromMany(t *testing.T, source netip.Addr, count int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	query, err := question("www.gslb.example.com.", dns.TypeA, "").Pack()
	if err != nil {
		t.Error(err)
		return
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: source.As4()}); err != nil {
		t.Error(err)
		return
	}
	to := &unix.SockaddrInet4{Port: 53, Addr: [4]byte{192, 0, 2, 53}}
	for range count {
		if err := unix.Sendto(fd, query, 0, to); err != nil && err != syscall.EAGAIN {
			t.Error(err)
			return
		}
	}
}

// awaitQueries waits until the server has received the given number of queries.
func awaitQueries(t *testing.T, s *server.Server, want uint64) bool {
	t.Helper()
	for end := time.Now().Add(time.Minute); s.Counters().Queries < want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("%d queries received, want %d", s.Counters().Queries, want)
			return false
		}
	}
	return true
}
