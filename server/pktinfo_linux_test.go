package server_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"meridian/counterpart"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// The network of this test: the client reaches us by one link, and the way back is another one,
// as with asymmetric routing.
//
//	us    asked0  192.0.2.53 .54, 2001:db8:1::53 ::54   ----->   asking0            client
//	us    back0                                          <-----   here0  198.51.100.7, 2001:db8:2::7
//
// An answer must leave by the route: on asked0 it would go to a missing neighbour (IPv4) or be
// refused (IPv6). Neighbours are static, so that no test waits for duplicate address detection.
const asymmetricLinks = `
link add name asked0 address 02:00:00:00:00:01 type veth peer name asking0 address 02:00:00:00:00:02
link add name back0 address 02:00:00:00:00:03 type veth peer name here0 address 02:00:00:00:00:04
link set asking0 netns CLIENT
link set here0 netns CLIENT
link set asked0 up
link set back0 up
addr add 192.0.2.53/32 dev asked0
addr add 192.0.2.54/32 dev asked0
addr add 2001:db8:1::53/128 dev asked0 nodad
addr add 2001:db8:1::54/128 dev asked0 nodad
route add 198.51.100.7/32 dev back0 src 192.0.2.54
route add 2001:db8:2::7/128 dev back0 src 2001:db8:1::54
neigh add 198.51.100.7 lladdr 02:00:00:00:00:04 dev back0
neigh add 2001:db8:2::7 lladdr 02:00:00:00:00:04 dev back0
neigh add 198.51.100.7 lladdr 02:00:00:00:00:99 dev asked0
-6 rule add pref 10 oif asked0 prohibit
`

const clientLinks = `
link set asking0 up
link set here0 up
addr add 198.51.100.7/32 dev here0
addr add 2001:db8:2::7/128 dev here0 nodad
route add 192.0.2.53/32 dev asking0 src 198.51.100.7
route add 192.0.2.54/32 dev asking0 src 198.51.100.7
route add 2001:db8:1::53/128 dev asking0 src 2001:db8:2::7
route add 2001:db8:1::54/128 dev asking0 src 2001:db8:2::7
neigh add 192.0.2.53 lladdr 02:00:00:00:00:01 dev asking0
neigh add 192.0.2.54 lladdr 02:00:00:00:00:01 dev asking0
neigh add 2001:db8:1::53 lladdr 02:00:00:00:00:01 dev asking0
neigh add 2001:db8:1::54 lladdr 02:00:00:00:00:01 dev asking0
`

// TestWildcardSocketsAnswerFromQueriedAddress covers a way back by another interface,
// which would use another source address.
func TestWildcardSocketsAnswerFromQueriedAddress(t *testing.T) {
	if !counterpart.InOwnNetwork(t) {
		return
	}
	ip := counterpart.Find(t, "ip")
	config := strings.Replace(delegatedConfig, `["`+meridianAddress+`:53"]`, `["0.0.0.0:53", "[::]:53"]`, 1)
	client := newElsewhere(t)
	if err := lines(ip, strings.ReplaceAll(asymmetricLinks, "CLIENT", fmt.Sprint(client.thread))); err != nil {
		counterpart.Missing(t, "no links can be made: "+err.Error())
	}
	serveHere(t, config)
	client.do(func() {
		if err := lines(ip, clientLinks); err != nil {
			t.Error(err)
			return
		}
		for _, server := range []string{"192.0.2.53", "192.0.2.54", "2001:db8:1::53", "2001:db8:1::54"} {
			if from, err := answerFrom(server); err != nil || from.String() != server {
				t.Errorf("%s was asked, %s answered: %v", server, from, err)
			}
		}
	})
}

// netnsThread is a thread in a network namespace of its own.
type netnsThread struct {
	thread int
	work   chan func()
}

func newElsewhere(t *testing.T) *netnsThread {
	t.Helper()
	e := &netnsThread{work: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		e.thread = unix.Gettid()
		ready <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range e.work {
			f()
			e.work <- nil
		}
	}()
	if err := <-ready; err != nil {
		counterpart.Missing(t, "no second network namespace can be made: "+err.Error())
	}
	t.Cleanup(func() { close(e.work) })
	return e
}

// do runs f there and waits for it.
func (e *netnsThread) do(f func()) {
	e.work <- f
	<-e.work
}

// lines runs ip(8) with each line in the network of this thread, after disabling rp_filter, so
// that IPv4 packets may arrive by other links than their answers use.
func lines(ip, text string) error {
	for _, of := range []string{"all", "default"} {
		file := "/proc/sys/net/ipv4/conf/" + of + "/rp_filter"
		if now, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(now)) == "0" {
			continue // it may be read-only, too
		}
		if err := os.WriteFile(file, []byte("0"), 0o600); err != nil {
			return err
		}
	}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if out, err := exec.Command(ip, words...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %v: %w: %s", words, err, out)
		}
	}
	return nil
}

// answerFrom queries a server until it answers, because the links need time to come up. It uses a
// socket that accepts answers from anywhere, and returns the source of the answer.
func answerFrom(server string) (from netip.Addr, err error) {
	for range 10 {
		if from, err = askFrom(server, 500*time.Millisecond); err == nil {
			break
		}
	}
	return from, err
}

func askFrom(server string, patience time.Duration) (netip.Addr, error) {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return netip.Addr{}, err
	}
	query, err := question("www.gslb.example.com.", dns.TypeA, "").Pack()
	if err != nil {
		return netip.Addr{}, err
	}
	if _, err := conn.WriteToUDPAddrPort(query, netip.AddrPortFrom(netip.MustParseAddr(server), 53)); err != nil {
		return netip.Addr{}, err
	}
	_, from, err := conn.ReadFromUDPAddrPort(make([]byte, 4096))
	return from.Addr().Unmap(), err
}
