package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/counterpart"
)

// transcript collects the output of a running command.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await waits until the transcript has a match, and returns its groups.
func (l *transcript) await(t *testing.T, pattern string) []string {
	t.Helper()
	expression := regexp.MustCompile(pattern)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
		if m := expression.FindStringSubmatch(l.String()); m != nil {
			return m
		}
	}
	t.Fatalf("%q never came; printed so far:\n%s", pattern, l.String())
	return nil
}

// background runs a command until the test ends, and then expects exit code 0.
func background(t *testing.T, args ...string) (stdout, stderr *transcript) {
	t.Helper()
	stdout, stderr = new(transcript), new(transcript)
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() { code <- run(ctx, args, stdout, stderr) }()
	t.Cleanup(func() {
		cancel()
		if c := <-code; c != exitOK {
			t.Errorf("meridian %v: exit %d\n%s", args, c, stderr)
		}
	})
	return stdout, stderr
}

// endpoint starts a web server that can be broken.
func endpoint(t *testing.T, address string, port int) (broken *atomic.Bool, listening int) {
	t.Helper()
	broken = new(atomic.Bool)
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, port))
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	go s.Serve(l) //nolint:errcheck // ends with the test
	t.Cleanup(func() { s.Close() })
	return broken, l.Addr().(*net.TCPAddr).Port
}

func writeConfig(t *testing.T, file, listen, zone string, port int) {
	t.Helper()
	text := fmt.Sprintf(`
server: {listen: [%q]}
checks:
  web: {type: http, port: %d, interval: 400ms, timeout: 400ms, fall: 2, rise: 2}
pools:
  web:
    policy: failover
    check: web
    members:
      - {name: first, addresses: [127.0.0.61]}
      - {name: second, addresses: [127.0.0.62]}
zones:
  %s:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`, listen, port, zone)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// freeAddress returns an address without a listener.
func freeAddress(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", counterpart.FreePorts(t, 1)[0])
}

// lookUp queries an A record over UDP and returns its address, or the rcode if there is none.
func lookUp(t *testing.T, server, name string) string {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeA)
	answer, err := counterpart.Exchange(m, server)
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Answer) == 0 {
		return dns.RcodeToString[answer.Rcode]
	}
	return answer.Answer[0].(*dns.A).A.String()
}

func awaitAnswer(t *testing.T, server, name, want string) {
	t.Helper()
	got := ""
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
		if got = lookUp(t, server, name); got == want {
			return
		}
	}
	t.Fatalf("%s: got %s, want %s", name, got, want)
}

func TestServeProbesBeforeTheFirstAnswerAndFollowsVerdicts(t *testing.T) {
	first, port := endpoint(t, "127.0.0.61", 0)
	endpoint(t, "127.0.0.62", port)
	first.Store(true)
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	writeConfig(t, file, "127.0.0.1:0", "gslb.example.com", port)
	_, stderr := background(t, "serve", "-c", file)
	at := stderr.await(t, `msg=serving listen=(\S+)`)[1]

	if got := lookUp(t, at, "www.gslb.example.com."); got != "127.0.0.62" {
		t.Fatalf("the first answer was %s: given before the first probe", got)
	}
	first.Store(false)
	awaitAnswer(t, at, "www.gslb.example.com.", "127.0.0.61")
	first.Store(true)
	awaitAnswer(t, at, "www.gslb.example.com.", "127.0.0.62")
	stderr.await(t, `status 503`)
}

// TestServeWaitsFiveSecondsForTheFirstRound takes 5 s, because the limit is in real time.
func TestServeWaitsFiveSecondsForTheFirstRound(t *testing.T) {
	t.Parallel()
	hanging, err := net.Listen("tcp", "127.0.0.61:0") // accepts connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	text := fmt.Sprintf(`
server: {listen: ["127.0.0.1:0"]}
checks:
  web: {type: http, port: %d, interval: 1m, timeout: 1m}
pools:
  web: {policy: failover, check: web, members: [{name: only, addresses: [127.0.0.61]}]}
zones:
  gslb.example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`, hanging.Addr().(*net.TCPAddr).Port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	_, stderr := background(t, "serve", "-c", file)
	at := stderr.await(t, `msg=serving listen=(\S+)`)[1]
	if waited := time.Since(begun); waited < 5*time.Second {
		t.Errorf("served after %v, with no verdict yet", waited)
	}
	stderr.await(t, `first round of probes unfinished; unknown health states count as up" unknown=1`)
	awaitAnswer(t, at, "www.gslb.example.com.", "127.0.0.61")
}

func TestServeReloadsOnSIGHUPAndRejectsInvalidConfiguration(t *testing.T) {
	_, port := endpoint(t, "127.0.0.61", 0)
	endpoint(t, "127.0.0.62", port)
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	at := freeAddress(t)
	writeConfig(t, file, at, "one.example.com", port)
	_, stderr := background(t, "serve", "-c", file)
	stderr.await(t, `msg=serving`)
	hangUp := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}

	writeConfig(t, file, at, "two.example.com", port)
	hangUp()
	awaitAnswer(t, at, "www.two.example.com.", "127.0.0.61")
	if got := lookUp(t, at, "www.one.example.com."); got != "REFUSED" {
		t.Errorf("the old zone answers %s after the reload", got)
	}

	writeConfig(t, file, at, "three..example.com", port)
	hangUp()
	stderr.await(t, `zones\.three\.\.example\.com: `)
	stderr.await(t, `reload refused`)
	if got := lookUp(t, at, "www.two.example.com."); got != "127.0.0.61" {
		t.Errorf("after a refused reload: %s", got)
	}
}

func TestServeExitCodes(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	busy := filepath.Join(dir, "busy.yaml")
	writeConfig(t, busy, taken.LocalAddr().String(), "gslb.example.com", 80)

	if code := run(t.Context(), []string{"serve", "-c", busy}, io.Discard, io.Discard); code != exitBind {
		t.Errorf("a taken port: exit %d, want %d", code, exitBind)
	}
	if code := run(t.Context(), []string{"serve", "-c", filepath.Join(dir, "absent.yaml")}, io.Discard, io.Discard); code != exitConfig {
		t.Errorf("no file: exit %d, want %d", code, exitConfig)
	}
}

func TestDemoMovesAnswersWhenARegionBreaks(t *testing.T) {
	t.Parallel()
	stdout, _ := background(t, "demo", "--dns-port", "0", "--http-port", "0", "--admin-port", "0")
	stdout.await(t, `Health state changes`)
	at := stdout.await(t, `serves gslb.example.com on (\S+),`)[1]
	stdout.await(t, `81\.2\.69\.0/24 +# United Kingdom: eu-west, 127\.0\.0\.31 or 127\.0\.0\.32`)
	stdout.await(t, `133\.11\.0\.0/16 +# Japan: ap-northeast, 127\.0\.0\.51`)
	breakURL := stdout.await(t, `curl (http\S+/break)`)[1]
	drain := strings.Fields(stdout.await(t, `meridian (drain nearest/apn-1 .*)`)[1])
	status := strings.Fields(stdout.await(t, `meridian (status .*)`)[1])
	repairURL := stdout.await(t, `curl (http\S+/repair)`)[1]

	awaitAnswer(t, at, "standby.gslb.example.com.", "127.0.0.31")
	call(t, breakURL)
	awaitAnswer(t, at, "standby.gslb.example.com.", "127.0.0.11")
	stdout.await(t, `eu-west +127\.0\.0\.31 is down: status 503`)
	call(t, repairURL)
	awaitAnswer(t, at, "standby.gslb.example.com.", "127.0.0.31")
	stdout.await(t, `eu-west +127\.0\.0\.31 is up: `)

	var out transcript
	for _, command := range [][]string{drain, status} {
		if code := run(t.Context(), command, &out, &out); code != exitOK {
			t.Errorf("meridian %s: exit %d", command, code)
		}
	}
	if !regexp.MustCompile(`nearest/apn-1 .*drained`).MatchString(out.String()) {
		t.Errorf("printed\n%s", out.String())
	}
}

func TestDemoReportsPortInUse(t *testing.T) {
	taken, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.11:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var stderr transcript
	port := fmt.Sprint(taken.Addr().(*net.TCPAddr).Port)
	if code := run(t.Context(), []string{"demo", "--http-port", port, "--admin-port", "0"}, io.Discard, &stderr); code != exitBind {
		t.Errorf("exit %d, want %d", code, exitBind)
	}
	if !strings.Contains(stderr.String(), "--http-port takes another port") {
		t.Errorf("printed %q", stderr.String())
	}
}

func call(t *testing.T, url string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
}
