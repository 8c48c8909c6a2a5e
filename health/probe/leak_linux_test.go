package probe

import (
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"meridian/config"
)

// TestThousandsOfProbesLeaveNothingBehind probes real endpoints, good and bad, over tcp, tls, http, https, HTTP/2, grpc and
// dns, and by a program, some thousand times: afterwards there are as many goroutines and open files as before, and memory
// has not grown with the number of probes.
func TestThousandsOfProbesLeaveNothingBehind(t *testing.T) {
	a := newAuthority(t)
	good := a.issue(t, nil)
	linger := func(conn net.Conn) { io.Copy(io.Discard, conn) } // until the probe closes
	endpoints := []*endpoint{
		serve(t, says(page("200 OK", "ok"))),
		serve(t, says(page("503 Service Unavailable", "no"))),
		serve(t, over(good, says(page("200 OK", "ok")))),
		serve(t, resets),
		serve(t, then(endless("HTTP/1.1 200 OK\r\n\r\n"), linger)),
		serve(t, silent),
	}
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	var counts []func() int
	var stops []func()
	probe := func(addr netip.Addr, checks ...config.Check) {
		for i := range checks {
			checks[i].Interval, checks[i].Timeout = 20*time.Millisecond, 20*time.Millisecond
		}
		probes, stop := repeat(t, addr, checks...)
		counts, stops = append(counts, probes), append(stops, stop)
	}
	for _, e := range endpoints {
		connect := *tcpCheck()
		connect.Port = int(e.Port())
		probe(e.Addr(), httpCheck(e), httpsCheck(e, a.file), connect, http2Check(e), tlsCheck(e, a.file), grpcCheck(e), dnsCheck(int(e.Port())))
	}
	refused := *tcpCheck()
	refused.Port = 1
	probe(endpoints[0].Addr(), refused)
	programs, stop := repeat(t, loopback, config.Check{Type: config.Exec, Command: []string{"/bin/true"}, Interval: time.Second, Timeout: 500 * time.Millisecond})
	counts, stops = append(counts, programs), append(stops, stop)
	probes := func() (n int) {
		for _, count := range counts {
			n += count()
		}
		return n
	}
	waitFor(t, "the first probes", func() bool { return probes() > 300 })
	early := liveHeap()
	waitFor(t, "thousands of probes", func() bool { return probes() > 3000 })
	waitFor(t, "a heap as after 300 probes", func() bool { return liveHeap() <= early+8<<20 }) // those in progress have some
	for _, stop := range stops {
		stop()
	}
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
	waitFor(t, "files to be closed", func() bool { return openFiles(t) <= files })
}

// openFiles counts the open files of this process.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
