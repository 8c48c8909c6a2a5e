package daemon

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"meridian/counterpart"
	"meridian/pools"
	"meridian/transfer/secondary"
)

// liveConfig has example.com, with transfers that follow the health states of two members at port %[2]d. %[1]s is a folder.
const liveConfig = `
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
state: %[1]s/state
tsig: {xfr: {secret_file: %[1]s/key}}
checks: {alive: {type: tcp, port: %[2]d, interval: 1s, timeout: 1s, rise: 1, fall: 1}}
pools: {web: {policy: failover, check: alive, members: [{name: a, addresses: [127.0.0.1]}, {name: b, addresses: [127.0.0.2]}]}}
zones:
  example.com:
    file: %[1]s/zone
    serial: increment
    names: {www: {pool: web}}
    transfer: {pools: live, out: [{addresses: [127.0.0.0/8], key: xfr}]}
`

// startLive starts it with both members up. fail makes the first one fail.
func startLive(t *testing.T) (p *primary, fail func()) {
	t.Helper()
	p = &primary{dir: t.TempDir()}
	p.write(t, "key", ixfrSecret)
	p.write(t, "zone", "$TTL 300\n@ SOA ns.example.net. h 7 3600 600 86400 60\n@ NS ns.example.net.\n")
	first, second, port := listenTwice(t)
	t.Cleanup(func() { _, _ = first.Close(), second.Close() })
	p.text = fmt.Sprintf(liveConfig, p.dir, port)
	p.runningDaemon = start(t, p.text)
	return p, func() { _ = first.Close() }
}

// listenTwice listens on one port of 127.0.0.1 and 127.0.0.2.
func listenTwice(t *testing.T) (first, second net.Listener, port int) {
	t.Helper()
	for {
		first, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := first.Addr().(*net.TCPAddr).Port
		second, err := net.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", port))
		if err == nil {
			return first, second, port
		}
		first.Close()
		if !errors.Is(err, syscall.EADDRINUSE) { // otherwise another program has the port there
			t.Skipf("SKIPPED: %v", err) // a system with 127.0.0.1 alone
		}
	}
}

// TestTransfersFollowHealthStates has a member fail: the serial rises, and the difference has the other member.
func TestTransfersFollowHealthStates(t *testing.T) {
	t.Parallel()
	p, _ := startLive(t)
	server := p.listens(t)
	if got := short(ixfr(t, server, "tcp", 1)); !strings.Contains(got, "www.example.com. 30 A 127.0.0.1\n") || !strings.HasPrefix(got, "SOA 7\n") {
		t.Fatalf("at start:\n%s", got)
	}
	p.mustOverride(t, "web/a", pools.ForcedDown, time.Hour)
	counterpart.Await(t, func() error {
		if serial := p.serial(t, server); serial != 8 {
			return fmt.Errorf("serial %d, want 8", serial)
		}
		return nil
	})
	if got, want := short(ixfr(t, server, "tcp", 7)), "SOA 8\nSOA 7\nwww.example.com. 30 A 127.0.0.1\nSOA 8\nwww.example.com. 30 A 127.0.0.2\nSOA 8\n"; got != want {
		t.Errorf("the difference:\n%swant\n%s", got, want)
	}
	p.mustOverride(t, "web/b", pools.ForcedDown, time.Hour) // within a minute: no serial yet, and the transfer stays
	if got := short(ixfr(t, server, "tcp", 1)); !strings.Contains(got, "www.example.com. 30 A 127.0.0.2\n") || !strings.HasPrefix(got, "SOA 8\n") {
		t.Errorf("within the minute:\n%s", got)
	}
	p.reload(t, p.text)
	if got := short(ixfr(t, server, "tcp", 7)); !strings.Contains(got, "\nSOA 7\n") {
		t.Errorf("the difference after a reload:\n%s", got)
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	p.runningDaemon = start(t, p.text)
	if serial := p.serial(t, p.listens(t)); serial < 8 {
		t.Errorf("serial %d after a restart", serial)
	}
}

// awaitSerial waits until the zone has a serial.
func (p *primary) awaitSerial(t *testing.T, server string, holds func(uint32) bool) (serial uint32) {
	t.Helper()
	counterpart.Await(t, func() error {
		if serial = p.serial(t, server); !holds(serial) {
			return fmt.Errorf("serial %d", serial)
		}
		return nil
	})
	return serial
}

// TestTransferredZonesRaiseNoSerialOfOthers has a zone arrive from a primary within the minute after a serial: the serial and the records of the
// other zone stay.
func TestTransferredZonesRaiseNoSerialOfOthers(t *testing.T) {
	t.Parallel()
	p, _ := startLive(t)
	from, port := startZonePrimary(t)
	from.write(t, "copy.example.", "www 300 TXT first")
	server := p.listens(t)
	p.reload(t, p.text+fmt.Sprintf("  copy.example: {primaries: [{address: \"127.0.0.1:%d\"}]}\n", port))
	awaitCopied(t, portOf(server), "www.copy.example.", dns.TypeTXT, `NOERROR "first"`)
	p.mustOverride(t, "web/a", pools.ForcedDown, time.Hour)
	p.awaitSerial(t, server, func(serial uint32) bool { return serial == 8 })
	p.mustOverride(t, "web/b", pools.ForcedDown, time.Hour)
	from.write(t, "copy.example.", "www 300 TXT second")
	counterpart.Await(t, func() error {
		_, err := p.RefreshZone(t.Context(), "copy.example.", secondary.How{})
		return err
	})
	awaitCopied(t, portOf(server), "www.copy.example.", dns.TypeTXT, `NOERROR "second"`)
	if got := short(ixfr(t, server, "tcp", 1)); !strings.HasPrefix(got, "SOA 8\n") || !strings.Contains(got, "www.example.com. 30 A 127.0.0.2\n") {
		t.Errorf("after the transfer of another zone:\n%s", got)
	}
}

// TestFailoverOfAllNamesSendsTheWholeZone has all names of a zone change: the difference is larger than the zone.
func TestFailoverOfAllNamesSendsTheWholeZone(t *testing.T) {
	t.Parallel()
	p, _ := startLive(t)
	server := p.listens(t)
	var names strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&names, ", n%d: {pool: web}", i)
	}
	p.reload(t, strings.Replace(p.text, "www: {pool: web}", "www: {pool: web}"+names.String(), 1))
	before := p.awaitSerial(t, server, func(serial uint32) bool { return serial > 7 })
	p.mustOverride(t, "web/a", pools.ForcedDown, time.Hour)
	p.awaitSerial(t, server, func(serial uint32) bool { return serial > before })
	got := short(ixfr(t, server, "tcp", before))
	if n := strings.Count(got, " A 127.0.0."); n != 1001 || !strings.Contains(got, "n999.example.com. 30 A 127.0.0.2\n") {
		t.Errorf("%d addresses; want the zone with 1001", n)
	}
}

// TestSecondariesFollowFailover has the name servers of other projects serve a zone whose first member fails.
func TestSecondariesFollowFailover(t *testing.T) {
	for program, of := range incremental {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			counterpart.Find(t, program)
			p, fail := startLive(t)
			port := counterpart.FreePorts(t, 1)[0]
			counterpart.StartWith(t, program, fmt.Sprintf(of.conf, portOf(p.listens(t)), port, t.TempDir()), of.args...)
			awaitCopied(t, port, "www.example.com.", dns.TypeA, "NOERROR 127.0.0.1")
			fail()
			awaitCopied(t, port, "www.example.com.", dns.TypeA, "NOERROR 127.0.0.2")
		})
	}
}

// TestFlappingMakesOneSerialAMinute has health states change every three seconds, and then stay: the last one is published, too.
func TestFlappingMakesOneSerialAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const flapping = 10 * time.Minute
		var u liveUpdates
		state, seen, published := 0, 0, 0 // what secondaries have
		var at []time.Time
		begun := time.Now()
		ticker := time.NewTicker(livePoll)
		defer ticker.Stop()
		for time.Since(begun) < flapping+2*liveInterval {
			now := <-ticker.C
			if since := now.Sub(begun); since < flapping && since%(3*time.Second) == 0 {
				state++
			}
			changed := state != seen
			seen = state
			if u.due(changed) && state != published && u.allow("example.com.", now) {
				published = state
				at = append(at, now)
			}
		}
		for i := 1; i < len(at); i++ {
			if at[i].Sub(at[i-1]) < liveInterval {
				t.Errorf("serials after %s", at[i].Sub(at[i-1]))
			}
		}
		if first := at[0].Sub(begun); first > 5*time.Second || published != state || len(at) != 11 {
			t.Errorf("%d serials, the first after %s; published %d of %d", len(at), first, published, state)
		}
	})
}
