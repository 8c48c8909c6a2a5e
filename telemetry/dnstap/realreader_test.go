package dnstap

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Readers of Debian: fstrm_capture takes Frame Streams from sockets, dnstap-ldns prints dnstap.

// message returns a query for www.example.com with one answer.
func message(t testing.TB, id uint16) *Message {
	t.Helper()
	query := new(dns.Msg)
	query.SetQuestion("www.example.com.", dns.TypeA)
	query.Id = id
	answer := new(dns.Msg)
	answer.SetReply(query)
	answer.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "www.example.com.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 30}, A: net.IPv4(192, 0, 2, 10)}}
	asked, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	answered, err := answer.Pack()
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 5000, time.UTC)
	return &Message{
		Identity: "ams1", Version: "meridian 1.2.3", Extra: []byte(`{"pool":"web","member":"euw-1"}`), Protocol: UDP,
		Client: netip.MustParseAddrPort("198.51.100.7:5353"), Zone: []byte("\x07example\x03com\x00"),
		QueryTime: at, ResponseTime: at.Add(time.Millisecond), Query: asked, Response: answered,
	}
}

func TestRealReaderPrintsFile(t *testing.T) {
	reader := counterpart(t, "dnstap-ldns")
	path := filepath.Join(t.TempDir(), "queries.dnstap")
	sink := NewSink(Destination{Network: "file", Address: path}, discard())
	for id := range uint16(3) {
		sink.Write(t.Context(), message(t, id))
	}
	sink.Close()
	text := run(t, reader, "-y", "-r", path)
	for _, want := range []string{
		`identity: "ams1"`, `version: "meridian 1.2.3"`, "type: AUTH_RESPONSE", "socket_family: INET", "socket_protocol: UDP",
		`query_address: "198.51.100.7"`, "query_port: 5353", "query_time: !!timestamp 2026-03-01 12:00:00.000005",
		"response_time: !!timestamp 2026-03-01 12:00:00.001005", "www.example.com.	30	IN	A	192.0.2.10", `query_zone: "example.com."`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("dnstap-ldns does not print %q:\n%s", want, text)
		}
	}
	if n := strings.Count(text, "type: AUTH_RESPONSE"); n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
}

func TestRealReaderReceivesOverSockets(t *testing.T) {
	capture, reader := counterpart(t, "fstrm_capture"), counterpart(t, "dnstap-ldns")
	dir, err := os.MkdirTemp("", "dnstap") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket, port := filepath.Join(dir, "s"), freePort(t)
	for _, c := range []struct {
		to   Destination
		args []string
	}{
		{Destination{Network: "unix", Address: socket}, []string{"-u", socket}},
		{Destination{Network: "tcp", Address: "127.0.0.1:" + port}, []string{"-a", "127.0.0.1", "-p", port}},
	} {
		captured := filepath.Join(dir, c.to.Network)
		end := startCapture(t, capture, append(c.args, "-t", contentType, "-w", captured)...)
		awaitListener(t, c.to)
		sink := NewSink(c.to, discard())
		for id := range uint16(1000) {
			sink.Write(t.Context(), message(t, id))
		}
		sink.Close() // waits for FINISH
		end()
		if sink.Lost() != 0 || sink.Delivered() != 1000 {
			t.Errorf("%s: lost %d, delivered %d", c.to, sink.Lost(), sink.Delivered())
		}
		if n := strings.Count(run(t, reader, "-q", "-r", captured), "www.example.com"); n != 1000 {
			t.Errorf("%s: the reader has %d messages, want 1000", c.to, n)
		}
	}
}

// awaitListener waits until a destination accepts connections.
func awaitListener(t *testing.T, to Destination) {
	t.Helper()
	for began := time.Now(); ; {
		conn, err := net.Dial(to.Network, to.Address)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal(err)
		}
	}
}

// startCapture starts fstrm_capture and waits until it has opened its output. end ends it.
func startCapture(t *testing.T, program string, args ...string) (end func()) {
	t.Helper()
	cmd := exec.Command(program, args...)
	output, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(output)
	for lines.Scan() && !strings.Contains(lines.Text(), "opened output file") {
	}
	return func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		for lines.Scan() {
		}
		if err := cmd.Wait(); err != nil {
			t.Logf("fstrm_capture: %v", err)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// counterpart finds a program of another project. Without it the test is skipped, or fails if MERIDIAN_REQUIRE_COUNTERPARTS
// is set.
func counterpart(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("MERIDIAN_REQUIRE_COUNTERPARTS") != "":
		t.Fatalf("%s is required: %v", name, err)
	}
	t.Skipf("SKIPPED: %s is not installed (Debian: dnstap-ldns, fstrm-bin)", name)
	return ""
}
