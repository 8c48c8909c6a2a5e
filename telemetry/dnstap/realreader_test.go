package dnstap

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/counterpart"

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
	counterpart.Find(t, "dnstap-ldns")
	path := filepath.Join(t.TempDir(), "queries.dnstap")
	sink := NewSink(Destination{Network: "file", Address: path}, discard())
	for id := range uint16(3) {
		sink.Write(message(t, id))
	}
	sink.Close()
	text := counterpart.Output(t, "dnstap-ldns", "-y", "-r", path)
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
	counterpart.Find(t, "dnstap-ldns")
	dir, err := os.MkdirTemp("", "dnstap") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket, port := filepath.Join(dir, "s"), fmt.Sprint(counterpart.FreePorts(t, 1)[0])
	for _, c := range []struct {
		to   Destination
		args []string
	}{
		{Destination{Network: "unix", Address: socket}, []string{"-u", socket}},
		{Destination{Network: "tcp", Address: "127.0.0.1:" + port}, []string{"-a", "127.0.0.1", "-p", port}},
	} {
		captured := filepath.Join(dir, c.to.Network)
		stop := counterpart.Start(t, "fstrm_capture", append(c.args, "-t", contentType, "-w", captured)...)
		counterpart.AwaitListener(t, c.to.Network, c.to.Address)
		sink := NewSink(c.to, discard())
		for id := range uint16(1000) {
			sink.Write(message(t, id))
		}
		sink.Close() // waits for FINISH
		stop()
		if sink.Lost() != 0 || sink.Delivered() != 1000 {
			t.Errorf("%s: lost %d, delivered %d", c.to, sink.Lost(), sink.Delivered())
		}
		if n := strings.Count(counterpart.Output(t, "dnstap-ldns", "-q", "-r", captured), "www.example.com"); n != 1000 {
			t.Errorf("%s: the reader has %d messages, want 1000", c.to, n)
		}
	}
}

// TestRealReaderIsReplaced ends a reader and starts another one at the same socket: only what came between is lost.
func TestRealReaderIsReplaced(t *testing.T) {
	counterpart.Find(t, "dnstap-ldns")
	dir, err := os.MkdirTemp("", "dnstap") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	read := func(captured string) (stop func()) {
		stop = counterpart.Start(t, "fstrm_capture", "-u", socket, "-t", contentType, "-w", captured)
		counterpart.AwaitListener(t, "unix", socket)
		return stop
	}
	sink := NewSink(Destination{Network: "unix", Address: socket}, discard())
	send := func() {
		sink.Write(message(t, 1))
		sink.Flush()
	}
	stop := read(filepath.Join(dir, "first"))
	send()
	stop()
	for sink.Lost() < 5 {
		send()
	}
	early := sink.Delivered() // some may have been written to a socket that the first reader no longer reads
	stop = read(filepath.Join(dir, "second"))
	sink.Reopen() // without it, the next attempt waits
	for range 10 {
		send()
	}
	sink.Close()
	stop()
	if sink.Lost() != 5 || sink.Delivered() != early+10 {
		t.Errorf("lost %d, delivered %d; want 5 and %d", sink.Lost(), sink.Delivered(), early+10)
	}
	if n := strings.Count(counterpart.Output(t, "dnstap-ldns", "-q", "-r", filepath.Join(dir, "second")), "www.example.com"); n != 10 {
		t.Errorf("the second reader has %d messages, want 10", n)
	}
}
