package daemon

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestSecondaryIsNotifiedAtStartAndAtAChangedSerial serves a zone with a secondary, which knows the key of the rule with
// its address.
func TestSecondaryIsNotifiedAtStartAndAtAChangedSerial(t *testing.T) {
	t.Parallel() // changes of a second are notified together
	secondary, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer secondary.Close()
	dir := t.TempDir()
	const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ=="
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	zone := "@ 300 IN SOA ns.example.net. h 7 2 3 4 5\n@ 300 IN NS ns.example.net.\n"
	write("key", secret)
	write("zone", zone)
	text := fmt.Sprintf(`
server: {listen: ["127.0.0.1:0"], workers: 1}
tsig: {xfr: {secret_file: %[1]s/key}}
zones: {example.com: {file: %[1]s/zone, transfer: {out: [{addresses: [127.0.0.0/8], key: xfr}], notify: ["%[2]s"]}}}
`, dir, secondary.LocalAddr())
	r := start(t, text)
	if got := notified(t, secondary, secret); got != 7 {
		t.Errorf("at start: serial %d, want 7", got)
	}
	write("zone", strings.Replace(zone, " 7 ", " 8 ", 1))
	r.reload(text)
	if got := notified(t, secondary, secret); got != 8 {
		t.Errorf("after a reload: serial %d, want 8", got)
	}
}

// TestSecondaryIsNotifiedOfTheSerialThatIsServed has an update replace the SOA of a zone, and reloads another file of it: the
// serial of the file is not that of the zone.
func TestSecondaryIsNotifiedOfTheSerialThatIsServed(t *testing.T) {
	t.Parallel() // changes of a second are notified together
	secondary, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer secondary.Close()
	p := startPrimary(t, fmt.Sprintf(`, notify: ["%s"]}, serial: increment, update: [{key: xfr, names: ["*"]}]`, secondary.LocalAddr()), ixfrZone)
	server := p.listens(t)
	if got := notified(t, secondary, ixfrSecret); got != 7 {
		t.Errorf("at start: serial %d, want 7", got)
	}
	soa, err := dns.NewRR("example.com. 300 SOA ns2.example.net. h.example.net. 100 2 3 4 5")
	if err != nil {
		t.Fatal(err)
	}
	if err := newUpdater(t, server).send(func(m *dns.Msg) { m.Insert([]dns.RR{soa}) }); err != nil {
		t.Fatal(err)
	}
	if got := notified(t, secondary, ixfrSecret); got != 100 {
		t.Errorf("after an update: serial %d, want 100", got)
	}
	p.write(t, "zone", ixfrZone+"c A 192.0.2.3\n")
	p.reload(t, p.text)
	if got := notified(t, secondary, ixfrSecret); got != 101 {
		t.Errorf("after a reload: serial %d, want 101", got)
	}
}

// notified receives and confirms one notification, and returns its serial.
func notified(t *testing.T, secondary net.PacketConn, secret string) uint32 {
	t.Helper()
	_ = secondary.SetReadDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 1500)
	size, from, err := secondary.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	msg := new(dns.Msg)
	if err := msg.Unpack(buf[:size]); err != nil {
		t.Fatal(err)
	}
	rr := msg.IsTsig()
	if err := dns.TsigVerify(buf[:size], secret, "", false); err != nil || rr == nil || rr.Hdr.Name != "xfr." {
		t.Fatalf("%v: %v", err, msg)
	}
	reply := new(dns.Msg).SetReply(msg)
	reply.SetTsig(rr.Hdr.Name, rr.Algorithm, rr.Fudge, time.Now().Unix())
	octets, _, err := dns.TsigGenerate(reply, secret, rr.MAC, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secondary.WriteTo(octets, from); err != nil {
		t.Fatal(err)
	}
	return msg.Answer[0].(*dns.SOA).Serial
}
