package health

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
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
	check := config.Check{
		Name: "web", Type: config.HTTP, Port: int(port), Method: "GET", Path: "/healthz",
		Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3,
		Status: []config.StatusRange{{From: 200, To: 299}},
	}
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
	cmd := exec.Command(os.Args[0], "-test.run", "^TestServeForSoak$")
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
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })}
	go server.Serve(l)
	io.Copy(io.Discard, os.Stdin)
	server.Close()
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
