package server_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"meridian/counterpart"
	"meridian/server"
	"meridian/server/answer/answertest"
)

// The links of these tests: the server has near0, and the client far0 in a namespace of its own.
const (
	bypassLinks = `
link add name near0 address 02:00:00:00:00:01 type veth peer name far0 address 02:00:00:00:00:02
link set far0 netns CLIENT
addr add 192.0.2.53/24 dev near0
addr add 192.0.2.54/24 dev near0
addr add 2001:db8::53/64 dev near0 nodad
addr add 2001:db8::54/64 dev near0 nodad
link set near0 up
`
	bypassClientLinks = `
addr add 192.0.2.7/24 dev far0
addr add 2001:db8::7/64 dev far0 nodad
link set far0 up
link set lo up
`
	bypassConfig = `
server: {listen: [LISTEN], workers: 1, udp_size: 4096, nsid: test, XDP}
pools:
  web:
    policy: geolocation
    members:
      - {name: a, addresses: [192.0.2.10, "2001:db8::a"], match: default}
      - {name: b, addresses: [192.0.2.20], match: {network: 198.51.100.0/24}}
zones:
  gslb.example.com:
    file: example.com.zone
    names: {www: {pool: web}, "*.any": {pool: web}}
`
	// A generated SOA would have the time of the file as its serial, which differs between two servers.
	bypassZone = "$ORIGIN gslb.example.com.\n@ SOA ns1 hostmaster 1 3600 600 86400 30\n@ NS ns1\nns1 A 192.0.2.53\nshort TXT \"one\"\nalias CNAME www\n"
)

// bypassNetwork makes the links, and returns the client's thread; nil: the test runs again in a network of its own.
func bypassNetwork(t *testing.T) *netnsThread {
	t.Helper()
	if !counterpart.InOwnNetwork(t) {
		return nil
	}
	ip := counterpart.Find(t, "ip")
	client := newElsewhere(t)
	if err := lines(ip, strings.ReplaceAll(bypassLinks, "CLIENT", fmt.Sprint(client.thread))); err != nil {
		counterpart.Missing(t, "no links can be made: "+err.Error())
	}
	client.do(func() {
		if err := lines(ip, bypassClientLinks); err != nil {
			t.Error(err)
		}
	})
	return client
}

// bypassServer serves at some addresses, with the draw of every query fixed. settings is xdp of the configuration.
func bypassServer(t *testing.T, listen, settings string, log *bytes.Buffer) (s *server.Server, stop func()) {
	t.Helper()
	text := strings.NewReplacer("LISTEN", listen, "XDP", settings).Replace(bypassConfig)
	zone := bypassZone + "long TXT" + strings.Repeat(` "`+strings.Repeat("x", 250)+`"`, 12) + "\n"
	s = server.New(answertest.Build(t, text, zone), server.Options{Draw: func() uint64 { return 1 << 62 }, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

// awaitAttached waits until the first interface of a server is attached, or not.
func awaitAttached(t *testing.T, s *server.Server, want bool) (state server.BypassState) {
	t.Helper()
	counterpart.Await(t, func() error {
		all := s.Bypass()
		if len(all) != 1 || all[0].Attached != want || !want && all[0].Failure == "" {
			return fmt.Errorf("interfaces %+v, want attached %v", all, want)
		}
		state = all[0]
		return nil
	})
	return state
}

// attachedOrSkip is awaitAttached for a machine that may have no AF_XDP.
func attachedOrSkip(t *testing.T, s *server.Server) server.BypassState {
	t.Helper()
	counterpart.Await(t, func() error {
		if all := s.Bypass(); len(all) != 1 || !all[0].Attached && all[0].Failure == "" {
			return fmt.Errorf("interfaces %+v", all)
		}
		return nil
	})
	state := s.Bypass()[0]
	for _, missing := range []string{"not permitted", "permission denied", "not supported"} {
		if strings.Contains(state.Failure, missing) {
			counterpart.Missing(t, "AF_XDP cannot be used: "+state.Failure)
		}
	}
	return awaitAttached(t, s, true)
}

// exchangeRaw sends a message from a socket of the client and returns the answer.
func exchangeRaw(conn net.Conn, message []byte) ([]byte, error) {
	if _, err := conn.Write(message); err != nil {
		return nil, err
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	buffer := make([]byte, 65536)
	n, err := conn.Read(buffer)
	return buffer[:n], err
}

// received returns the number of packets that the UDP sockets of the server's network have received.
func received(t *testing.T) (n int) {
	t.Helper()
	for _, f := range []struct{ file, prefix string }{{"/proc/thread-self/net/snmp", "Udp: "}, {"/proc/thread-self/net/snmp6", "Udp6InDatagrams"}} {
		text, err := os.ReadFile(f.file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var count int
			if words, ok := strings.CutPrefix(line, f.prefix); ok {
				if _, err := fmt.Sscan(words, &count); err == nil {
					n += count
				}
			}
		}
	}
	return n
}

// randomMessage returns a query of some kind, now and then damaged, that is answered.
func randomMessage(r *rand.Rand, id uint16) []byte {
	names := []string{"www", "x.any", "WwW", "short", "alias", "missing", "ns1", "long", "a.b.c"}
	types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeHTTPS, dns.TypeNS, dns.TypeSOA, dns.TypeANY}
	q := new(dns.Msg)
	q.SetQuestion(names[r.IntN(len(names))]+".gslb.example.com.", types[r.IntN(len(types))])
	q.Id = id
	if r.IntN(3) > 0 {
		q.SetEdns0([]uint16{0, 512, 1232, 1400}[r.IntN(4)], r.IntN(4) == 0)
		opt := q.IsEdns0()
		if r.IntN(2) == 0 {
			opt.Option = append(opt.Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(198, 51, 100, 0)})
		}
		if r.IntN(4) == 0 {
			opt.Option = append(opt.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
		}
		if r.IntN(8) == 0 {
			opt.SetVersion(1)
		}
	}
	if r.IntN(8) == 0 {
		q.Opcode = r.IntN(16)
	}
	packed, err := q.Pack()
	if err != nil {
		panic(err)
	}
	if r.IntN(10) == 0 {
		packed = packed[:12+r.IntN(len(packed)-12)]
	}
	return packed
}

// The same packets get the same octets through AF_XDP and through a socket, and no socket receives the former.
func TestXDPAnswersAsSocketsDo(t *testing.T) {
	client := bypassNetwork(t)
	if client == nil {
		return
	}
	for _, mode := range []string{"native", "generic"} {
		t.Run(mode, func(t *testing.T) {
			bypassed, stop := bypassServer(t, `"192.0.2.53:53", "[2001:db8::53]:53"`, "xdp: {interfaces: [near0], mode: "+mode+"}", new(bytes.Buffer))
			defer stop()
			socket, stopSocket := bypassServer(t, `"192.0.2.54:53", "[2001:db8::54]:53"`, "ecs: true", new(bytes.Buffer))
			defer stopSocket()
			if state := attachedOrSkip(t, bypassed); state.Mode.String() != mode {
				t.Errorf("state %+v, want mode %s", state, mode)
			}
			before := received(t)
			const pairs = 1500
			client.do(func() { comparePairs(t, pairs) })
			counterpart.Await(t, func() error {
				if a, b := bypassed.Counters().Queries, socket.Counters().Queries; a != pairs || b != pairs {
					return fmt.Errorf("%d queries through AF_XDP and %d through a socket, want %d each", a, b, pairs)
				}
				return nil
			})
			if n := received(t) - before; n != pairs {
				t.Errorf("the sockets received %d packets of %d pairs: AF_XDP took no part", n, pairs)
			}
			if lost := bypassed.Bypass()[0].Lost; lost != (server.BypassState{}).Lost {
				t.Errorf("lost %+v", lost)
			}
		})
	}
}

// comparePairs sends queries to both servers and compares the answers.
func comparePairs(t *testing.T, pairs int) {
	var conns [2][2]net.Conn // by family, by server
	for f, form := range []string{"192.0.2.%d:53", "[2001:db8::%d]:53"} {
		for s := range conns[f] {
			conn, err := net.Dial("udp", fmt.Sprintf(form, 53+s))
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			conns[f][s] = conn
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	for i := range pairs {
		message := randomMessage(r, uint16(i))
		to := conns[r.IntN(2)]
		got, err := exchangeRaw(to[0], message)
		want, errSocket := exchangeRaw(to[1], message)
		if err != nil || errSocket != nil || !bytes.Equal(got, want) {
			t.Errorf("query %x\nAF_XDP %x, %v\nsocket %x, %v", message, got, err, want, errSocket)
			return
		}
	}
}

// What the program leaves to the kernel is answered by the sockets: fragments, and long answers that need them.
func TestXDPLeavesFragmentsToTheKernel(t *testing.T) {
	client := bypassNetwork(t)
	if client == nil {
		return
	}
	s, _ := bypassServer(t, `"0.0.0.0:53", "[::]:53"`, "xdp: {interfaces: [near0]}", new(bytes.Buffer))
	attachedOrSkip(t, s)
	client.do(func() {
		for _, to := range []string{"192.0.2.53", "192.0.2.54", "2001:db8::53"} {
			conn, err := net.Dial("udp", net.JoinHostPort(to, "53"))
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			q := new(dns.Msg)
			q.SetQuestion("long.gslb.example.com.", dns.TypeTXT)
			q.SetEdns0(4096, false)
			packed, _ := q.Pack()
			if a, err := exchangeRaw(conn, packed); err != nil || len(a) < 3000 {
				t.Errorf("%s: a long answer: %d octets, %v", to, len(a), err)
			}
			q.SetQuestion("short.gslb.example.com.", dns.TypeTXT)
			opt := q.IsEdns0()
			opt.Option = append(opt.Option, &dns.EDNS0_PADDING{Padding: make([]byte, 1600)})
			packed, _ = q.Pack()
			if a, err := exchangeRaw(conn, packed); err != nil || len(a) < 40 {
				t.Errorf("%s: a query in fragments: %d octets, %v", to, len(a), err)
			}
			if a, err := exchange(to, question("www.gslb.example.com.", dns.TypeA, "")); err != nil || len(a.Answer) == 0 {
				t.Errorf("%s: %v, %v", to, a, err)
			}
		}
	})
}

// Damaged frames are counted and not answered; those that are no matter of ours stay with the kernel.
func TestXDPDropsDamagedFrames(t *testing.T) {
	client := bypassNetwork(t)
	if client == nil {
		return
	}
	s, _ := bypassServer(t, `"192.0.2.53:53"`, "xdp: {interfaces: [near0]}", new(bytes.Buffer))
	attachedOrSkip(t, s)
	frame := []byte{
		2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,
		0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 7, 192, 0, 2, 53,
		0x9c, 0x40, 0, 53, 0, 20, 0x12, 0x34, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0,
	}
	setHeaderChecksum(frame[14:34])
	tooLong := bytes.Clone(frame)
	tooLong[39] = 200
	client.do(func() {
		for _, f := range [][]byte{frame, tooLong, frame[:30], {1}} {
			if err := sendFrame("far0", f); err != nil && len(f) > 14 {
				t.Error(err)
			}
		}
	})
	counterpart.Await(t, func() error {
		if lost := s.Bypass()[0].Lost; lost.BadChecksum != 1 || lost.Malformed != 1 {
			return fmt.Errorf("lost %+v, want one frame of each kind", lost)
		}
		return nil
	})
	client.do(func() {
		if a, err := exchange("192.0.2.53", question("www.gslb.example.com.", dns.TypeA, "")); err != nil || len(a.Answer) == 0 {
			t.Errorf("%v, %v", a, err)
		}
	})
}

// sendFrame sends a frame on a link.
func sendFrame(name string, frame []byte) error {
	at, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: at.Index})
}

// Packets of VLANs stay with the kernel, which drops those of a VLAN that this host is not in.
func TestXDPLeavesVLANsToTheKernel(t *testing.T) {
	client := bypassNetwork(t)
	if client == nil {
		return
	}
	s, _ := bypassServer(t, `"192.0.2.53:53"`, "xdp: {interfaces: [near0]}", new(bytes.Buffer))
	attachedOrSkip(t, s)
	query, err := question("www.gslb.example.com.", dns.TypeA, "").Pack()
	if err != nil {
		t.Fatal(err)
	}
	client.do(func() {
		if err := sendFrame("far0", queryFrame(query, 7)); err != nil {
			t.Error(err)
		}
		if a, err := exchange("192.0.2.53", question("www.gslb.example.com.", dns.TypeA, "")); err != nil || len(a.Answer) == 0 {
			t.Errorf("%v, %v", a, err)
		}
	})
	counterpart.Await(t, func() error {
		if n := s.Counters().Queries; n == 0 {
			return errors.New("no query was counted")
		}
		return nil
	})
	if n := s.Counters().Queries; n != 1 {
		t.Errorf("%d queries were answered, want that without a tag only", n)
	}
}

// queryFrame returns the frame of a query from 192.0.2.7 in a VLAN, without a checksum of UDP.
func queryFrame(query []byte, vlan uint16) []byte {
	frame := []byte{
		2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, 0, 8, 0,
		0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 7, 192, 0, 2, 53,
		0x9c, 0x40, 0, 53, 0, 0, 0, 0,
	}
	binary.BigEndian.PutUint16(frame[14:], vlan)
	binary.BigEndian.PutUint16(frame[20:], uint16(28+len(query)))
	binary.BigEndian.PutUint16(frame[42:], uint16(8+len(query)))
	setHeaderChecksum(frame[18:38])
	return append(frame, query...)
}

// setHeaderChecksum sets the checksum of an IPv4 header, in which it is 0.
func setHeaderChecksum(header []byte) {
	var sum uint32
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	binary.BigEndian.PutUint16(header[10:], ^uint16(sum>>16+sum&0xffff))
}

// The interface comes and goes, has another program, or belongs to another server: queries are answered all the time.
func TestXDPFollowsTheInterface(t *testing.T) {
	client := bypassNetwork(t)
	if client == nil {
		return
	}
	ip := counterpart.Find(t, "ip")
	detach := attachOther(t, "near0")
	var log, otherLog bytes.Buffer
	s, stop := bypassServer(t, `"192.0.2.53:53"`, "xdp: {interfaces: [near0]}", &log)
	if state := awaitAttached(t, s, false); !strings.Contains(state.Failure, "interface near0: another program is attached") {
		t.Errorf("failure %q", state.Failure)
	}
	answers := func() {
		t.Helper()
		client.do(func() {
			if a, err := exchange("192.0.2.53", question("www.gslb.example.com.", dns.TypeA, "")); err != nil || len(a.Answer) == 0 {
				t.Errorf("%v, %v", a, err)
			}
		})
	}
	answers()
	detach()
	awaitAttached(t, s, true)
	answers()

	if err := lines(ip, "link del near0"); err != nil {
		t.Fatal(err)
	}
	if state := awaitAttached(t, s, false); !strings.Contains(state.Failure, "does not exist") {
		t.Errorf("failure %q", state.Failure)
	}
	if err := lines(ip, strings.ReplaceAll(bypassLinks, "CLIENT", fmt.Sprint(client.thread))); err != nil {
		t.Fatal(err)
	}
	client.do(func() {
		if err := lines(ip, bypassClientLinks); err != nil {
			t.Error(err)
		}
	})
	awaitAttached(t, s, true)
	answers()

	successor, _ := bypassServer(t, `"192.0.2.54:53"`, "xdp: {interfaces: [near0]}", &otherLog)
	awaitAttached(t, successor, false)
	stop()
	awaitAttached(t, successor, true)
	if n := strings.Count(log.String(), "cannot use AF_XDP"); n != 2 {
		t.Errorf("%d warnings, want one for each reason:\n%s", n, &log)
	}
}

// attachOther attaches a program that passes all packets.
func attachOther(t *testing.T, name string) (detach func()) {
	t.Helper()
	at, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}})
	if err != nil {
		if errors.Is(err, unix.EPERM) || errors.Is(err, ebpf.ErrNotSupported) {
			counterpart.Missing(t, "no program can be loaded: "+err.Error())
		}
		t.Fatal(err)
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: at.Index})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	return func() { l.Close() }
}
