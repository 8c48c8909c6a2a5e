package discovery

import (
	"net"
	"strings"
	"testing"
	"time"
)

func TestStatusReportsStartAndReasonOfFailures(t *testing.T) {
	withWatcher(t, map[string][]string{
		"lb.example. A":   {"lb.example. 10 A 192.0.2.1"},
		"new.example. A":  {"SERVFAIL"},
		"late.example. A": {"late.example. 3600 A 192.0.2.9"},
	}, func(t *testing.T, tracker *Watcher, b *book, log *journal) {
		begun := time.Now()
		f := follow(tracker, "lb.example.", "new.example.", "late.example.")
		if got := log.take(); !strings.Contains(got, `level=ERROR msg="target cannot be resolved; it has no address yet, and its members are not answered" target=new.example. reason="A: 192.0.2.53:53: response code SERVFAIL"`) {
			t.Errorf("log %s", got)
		}
		new := f.Status()["new.example."]
		expect(t, "without an address since", new.Since, begun)
		expect(t, "failing since", new.Failing, begun)
		expect(t, "why", new.Reason, "A: 192.0.2.53:53: response code SERVFAIL")
		expect(t, "one that can be resolved", f.Status()["late.example."].Failing, time.Time{})

		b.set("lb.example. A", "SERVFAIL")
		wait(time.Minute)
		lb := f.Status()["lb.example."]
		expect(t, "addresses since", lb.Since, begun)
		if after := lb.Failing.Sub(begun); after < 10*time.Second || after > 11*time.Second {
			t.Errorf("failing after %v, want when its TTL ended", after)
		}
		if lb.Failures < 4 || !lb.Next.After(time.Now()) {
			t.Errorf("%d failures, again in %v", lb.Failures, time.Until(lb.Next))
		}
		next := lb.Next
		b.count()
		time.Sleep(time.Until(next) - time.Millisecond)
		asked := b.count()
		time.Sleep(2 * time.Millisecond)
		expect(t, "asked when it said", asked == 0 || b.count() > 0, true)

		b.set("lb.example. A", "lb.example. 10 A 192.0.2.1")
		wait(time.Minute + 10*time.Second)
		expect(t, "when it can be resolved again", f.Status()["lb.example."].Failures, 0)
		f.Close()
		expect(t, "of nobody, once closed", len(f.Status()), 0)
	})
}

// A reason has no local port: it would differ with each lookup.
func TestReasonHasNoLocalPort(t *testing.T) {
	closed, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := closed.LocalAddr().String()
	closed.Close()
	c := client{dial: new(net.Dialer).DialContext, servers: servers(at)}
	_, err = c.lookup(t.Context(), "lb.example.", ipv4)
	if err == nil || err.Error() != at+": read: connection refused" {
		t.Errorf("got %v", err)
	}
}
