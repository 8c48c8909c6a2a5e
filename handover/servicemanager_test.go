//go:build unix

package handover

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeManager is the socket of a service manager, which keeps the descriptors that it receives by name, as systemd does.
type fakeManager struct {
	t    *testing.T
	conn *net.UnixConn
	kept map[string]int // descriptors
}

func newFakeManager(t *testing.T) *fakeManager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return &fakeManager{t: t, conn: conn, kept: map[string]int{}}
}

// receive applies all messages that wait, and returns what was kept and removed.
func (m *fakeManager) receive() (log []string) {
	m.t.Helper()
	text, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4*maxDescriptors))
	if err := m.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		m.t.Fatal(err)
	}
	end, err := net.DialUnix("unixgram", nil, m.conn.LocalAddr().(*net.UnixAddr))
	if err != nil {
		m.t.Fatal(err)
	}
	defer end.Close()
	if _, err := end.Write([]byte("END")); err != nil { // after all that was sent before
		m.t.Fatal(err)
	}
	for {
		n, control, _, _, err := m.conn.ReadMsgUnix(text, oob)
		if err != nil {
			m.t.Fatal(err)
		}
		fields, descriptors := string(text[:n]), m.closeDescriptors(oob[:control])
		name := fields[strings.LastIndex(fields, "=")+1:]
		switch {
		case fields == "END":
			return log
		case strings.HasPrefix(fields, "FDSTOREREMOVE=1\nFDNAME="):
			delete(m.kept, name)
			log = append(log, "remove "+name)
		case strings.HasPrefix(fields, "FDSTORE=1\nFDPOLL=0\nFDNAME="):
			m.kept[name] += descriptors
			log = append(log, fmt.Sprintf("keep %s %d", name, descriptors))
		default:
			m.t.Errorf("unexpected message %q", fields)
		}
	}
}

// closeDescriptors closes the descriptors of a message and returns their number.
func (m *fakeManager) closeDescriptors(oob []byte) (n int) {
	m.t.Helper()
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		m.t.Fatal(err)
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			m.t.Fatal(err)
		}
		for _, fd := range fds {
			unix.Close(fd)
		}
		n += len(fds)
	}
	return n
}

func (m *fakeManager) expect(log []string, want ...string) {
	m.t.Helper()
	if !slices.Equal(log, want) {
		m.t.Errorf("the service manager got %q, want %q", log, want)
	}
}

// keptSocket returns a UDP socket and the name of its address.
func keptSocket(t *testing.T) (*net.UDPConn, string) {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(anyPort))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, "meridian-" + strings.ReplaceAll(conn.LocalAddr().String(), ":", "_")
}

func TestServiceManagerKeepsExactlyTheSockets(t *testing.T) {
	m := newFakeManager(t)
	first, firstName := keptSocket(t)
	second, secondName := keptSocket(t)
	s := NewStore(nil)
	keep := func(sockets ...Open) []string {
		t.Helper()
		if err := s.Keep(sockets); err != nil {
			t.Fatal(err)
		}
		return m.receive()
	}
	one := Open{Use: UDP, Address: anyPort, Conns: []syscall.Conn{first}}
	other := Open{Use: QUIC, Address: anyPort, Conns: []syscall.Conn{second, second}}
	m.expect(keep(one), "keep "+firstName+" 1")
	m.expect(keep(one))
	m.expect(keep(one, other), "remove "+firstName, "keep "+firstName+" 1", "keep "+secondName+" 2")
	m.expect(keep(other), slices.Concat(slices.Sorted(slices.Values([]string{"remove " + firstName, "remove " + secondName})), []string{"keep " + secondName + " 2"})...)
	other.Conns = other.Conns[:1]
	m.expect(keep(other), "remove "+secondName, "keep "+secondName+" 1")
	m.expect(keep(), "remove "+secondName)
	if len(m.kept) != 0 {
		t.Errorf("left are %v", m.kept)
	}
}

// Sockets of one process may be more than a message can have, and a failure between two messages leaves some of them in the
// service manager: the next call removes these.
func TestServiceManagerForgetsWhatWasKeptInPart(t *testing.T) {
	m := newFakeManager(t)
	conn, name := keptSocket(t)
	closed, _ := keptSocket(t)
	closed.Close()
	s := NewStore(nil)
	many := Open{Use: UDP, Address: anyPort, Conns: slices.Repeat([]syscall.Conn{conn}, maxDescriptors)}
	broken := many
	broken.Conns = append(slices.Clone(many.Conns), closed)
	if err := s.Keep([]Open{broken}); err == nil {
		t.Fatal("a closed socket is kept")
	}
	m.expect(m.receive(), fmt.Sprintf("keep %s %d", name, maxDescriptors))
	for range 2 { // a failure again, and then success
		err := s.Keep([]Open{broken})
		m.expect(m.receive(), "remove "+name, fmt.Sprintf("keep %s %d", name, maxDescriptors))
		if broken.Conns[maxDescriptors] = conn; err == nil {
			t.Error("a closed socket is kept")
		}
		if err := s.Keep([]Open{broken}); err != nil {
			t.Fatal(err)
		}
		m.expect(m.receive(), "remove "+name, fmt.Sprintf("keep %s %d", name, maxDescriptors), "keep "+name+" 1")
		broken.Conns[maxDescriptors], s.counts = closed, ""
	}
	if m.kept[name] != maxDescriptors+1 {
		t.Errorf("%d sockets are kept", m.kept[name])
	}
}

// What a previous process kept is removed before this one keeps its own, and a manager that does not answer is an error.
func TestServiceManagerForgetsWhatWasInherited(t *testing.T) {
	m := newFakeManager(t)
	conn, name := keptSocket(t)
	old := netip.MustParseAddrPort("[2001:db8::1]:53")
	s := NewStore(&Sockets{groups: []group{{use: datagram, address: old}, {use: stream, address: old}}})
	if err := s.Keep([]Open{{Use: UDP, Address: anyPort, Conns: []syscall.Conn{conn}}}); err != nil {
		t.Fatal(err)
	}
	m.expect(m.receive(), "remove meridian-[2001_db8__1]_53", "keep "+name+" 1")

	m.conn.Close()
	if err := s.Keep(nil); err == nil {
		t.Error("no error without a service manager")
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if s := NewStore(nil); s != nil || s.Keep([]Open{{}}) != nil {
		t.Errorf("without NOTIFY_SOCKET there is the store %+v", s)
	}
}

// The use of a passed socket is its type, and its address is the one that it is bound to.
func TestPassedSocketsAreIdentified(t *testing.T) {
	packets, _ := keptSocket(t)
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(anyPort))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	local, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	regular, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		socket  interface{ File() (*os.File, error) }
		use     Use
		address string
		failed  string
	}{
		"UDP":  {packets, datagram, packets.LocalAddr().String(), ""},
		"TCP":  {listener, stream, listener.Addr().String(), ""},
		"Unix": {local, "", "", "it has no IP address"},
		"file": {fileOf{regular}, "", "", "socket operation on non-socket"},
	} {
		f, err := c.socket.File()
		if err != nil {
			t.Fatal(err)
		}
		use, address, err := identify(f)
		f.Close()
		switch {
		case c.failed != "":
			if err == nil || !strings.Contains(err.Error(), c.failed) {
				t.Errorf("%s: %v, want %s", name, err, c.failed)
			}
		case err != nil || use != c.use || address.String() != c.address:
			t.Errorf("%s: %s %s, %v", name, use, address, err)
		}
	}
}

// fileOf is a file that is no socket.
type fileOf struct{ file *os.File }

func (f fileOf) File() (*os.File, error) { return f.file, nil }

// Each socket is taken once, by its address and either its use or its type; a listener of UDP is an error.
func TestPassedSocketsAreTakenOnce(t *testing.T) {
	packets, _ := keptSocket(t)
	file, err := packets.File()
	if err != nil {
		t.Fatal(err)
	}
	at, other := netip.MustParseAddrPort("127.0.0.1:53"), netip.MustParseAddrPort("127.0.0.2:53")
	s := &Sockets{groups: []group{{use: datagram, address: at, files: []*os.File{file}}, {use: stream, address: at}, {use: TLS, address: other}}}
	if s.Shared() || (*Sockets)(nil).Shared() || (*Sockets)(nil).Take(UDP, at) != nil || (*Sockets)(nil).Close() != nil {
		t.Error("sockets of nobody are shared or taken")
	}
	for _, c := range []struct {
		use     Use
		address netip.AddrPort
		left    int
	}{
		{UDP, other, 3}, {HTTPS, other, 3}, {TLS, other, 2}, {TLS, other, 2}, {API, at, 1}, {TCP, at, 1},
	} {
		s.Take(c.use, c.address)
		if len(s.groups) != c.left {
			t.Fatalf("after %s %s there are %d, want %d", c.use, c.address, len(s.groups), c.left)
		}
	}
	if l, err := s.TakeListener(TCP, at); l != nil || err != nil {
		t.Errorf("no listener: %v, %v", l, err)
	}
	if l, err := s.TakeListener(QUIC, at); l != nil || err == nil || !strings.Contains(err.Error(), "inherited socket of 127.0.0.1:53") {
		t.Errorf("a listener of UDP: %v, %v", l, err)
	}
	s.groups = []group{{use: stream, address: other}}
	if unused := s.Close(); !slices.Equal(unused, []netip.AddrPort{other}) || s.Close() != nil {
		t.Errorf("unused are %v", unused)
	}
}
