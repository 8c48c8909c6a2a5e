package health

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"meridian/config"
)

// BenchmarkSoak runs a whole prober over 10,000 endpoints, each on its own loopback address (one address would run out of
// ports), all served by another process and probed over HTTP at the default interval. One operation is one probe. It
// reports the CPU share and the memory of this process:
//
//	go test -run '^$' -bench Soak -benchtime 40000x ./health
func BenchmarkSoak(b *testing.B) {
	port, hangUp := elsewhere(b)
	defer hangUp()
	check := httpCheck(&endpoint{AddrPort: netip.AddrPortFrom(loopback, port)})
	check.Timeout = 2 * time.Second
	dialer := net.Dialer{KeepAlive: -1}
	var probes atomic.Int64
	p := NewProber(Options{Logger: slog.New(slog.DiscardHandler), Dial: func(ctx context.Context, _ netip.Addr, network, address string) (net.Conn, error) {
		probes.Add(1)
		return dialer.DialContext(ctx, network, address)
	}})
	ctx, stop := context.WithCancel(b.Context())
	go p.Run(ctx)
	var failed atomic.Int64
	targets := make([]Target, 10_000)
	for i := range targets {
		targets[i] = Target{&check, netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)})}
	}
	w, err := p.Watch(targets, func(transitions []Transition) {
		for _, t := range transitions {
			if t.To == Down {
				failed.Add(1)
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	w.FirstRound(b.Context())
	time.Sleep(check.Interval) // the second round is spread: a measurement, not a test
	b.ResetTimer()
	began, used, before := time.Now(), cpuTime(b), probes.Load()
	for probes.Load()-before < int64(b.N) {
		time.Sleep(10 * time.Millisecond)
	}
	wall := time.Since(began)
	b.ReportMetric(float64(b.N)/wall.Seconds(), "probes/s")
	b.ReportMetric(100*(cpuTime(b)-used).Seconds()/wall.Seconds(), "%core")
	b.ReportMetric(float64(resident(b))/1e6, "MB")
	b.ReportMetric(float64(failed.Load()), "down")
	stop()
	<-p.stopped
}

// soakServes is set in the environment of BenchmarkSoak's server process.
const soakServes = "MERIDIAN_SOAK_SERVES"

// elsewhere starts another process of this test binary that serves a page over HTTP at a port of every address, until
// hangUp.
func elsewhere(tb testing.TB) (port uint16, hangUp func()) {
	cmd := exec.Command(os.Args[0], "-test.run", "^TestServeForTheSoak$")
	cmd.Env = append(os.Environ(), soakServes+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		tb.Fatal(err)
	}
	go io.Copy(io.Discard, out)
	at, err := strconv.ParseUint(strings.TrimSpace(line), 10, 16)
	if err != nil {
		tb.Fatal(err)
	}
	return uint16(at), func() {
		in.Close()
		cmd.Wait()
	}
}

// TestServeForSoak is the server process of BenchmarkSoak: it prints its port, and serves until its standard input closes.
func TestServeForSoak(t *testing.T) {
	if os.Getenv(soakServes) == "" {
		t.Skip("only in the process that BenchmarkSoak starts")
	}
	fmt.Println(serveOn(t, "tcp4", "0.0.0.0:0", says(page("200 OK", "ok"))).Port())
	io.Copy(io.Discard, os.Stdin)
}

// cpuTime returns the CPU time of this process.
func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident returns the resident memory of this process, in octets.
func resident(tb testing.TB) int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		tb.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		tb.Fatal(err)
	}
	return pages * os.Getpagesize()
}

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
	p := NewProber(Options{Logger: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(t.Context())
	go p.Run(ctx)
	var targets []Target
	for _, e := range endpoints {
		plain, secure, connect := httpCheck(e), httpsCheck(e, a.file), *tcpCheck()
		connect.Port = int(e.Port())
		multiplexed, alone, call := http2Check(e), tlsCheck(e, a.file), grpcCheck(e)
		question := dnsCheck(int(e.Port()))
		for _, c := range []config.Check{plain, secure, connect, multiplexed, alone, call, question} {
			c.Interval, c.Timeout = 20*time.Millisecond, 20*time.Millisecond
			targets = append(targets, Target{&c, e.Addr()})
		}
	}
	program := config.Check{Type: config.Exec, Command: []string{"/bin/true"}, Interval: time.Second, Timeout: 500 * time.Millisecond}
	targets = append(targets, Target{&program, endpoints[0].Addr()})
	refused := *tcpCheck()
	refused.Port, refused.Interval, refused.Timeout = 1, 20*time.Millisecond, 20*time.Millisecond
	targets = append(targets, Target{&refused, endpoints[0].Addr()})
	w, err := p.Watch(targets, func([]Transition) {})
	if err != nil {
		t.Fatal(err)
	}
	w.FirstRound(t.Context())
	probes := func() (n int) {
		p.call(func(o *scheduler) {
			for _, e := range o.entries {
				n += e.history.added
			}
		})
		return n
	}
	waitFor(t, "the first probes", func() bool { return probes() > 300 })
	early := liveHeap()
	waitFor(t, "thousands of probes", func() bool { return probes() > 3000 })
	if late := liveHeap(); late > early+8<<20 {
		t.Errorf("the heap grew from %d to %d octets between probe 300 and 3000", early, late)
	}
	stop()
	<-p.stopped
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
	waitFor(t, "files to be closed", func() bool { return openFiles(t) <= files })
}

// liveHeap returns the heap in use after a collection.
func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
