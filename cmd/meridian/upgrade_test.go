//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// upgradable is a server in processes of their own, started by a link that a test can replace.
type upgradable struct {
	t       *testing.T
	program string // the link
	config  string
	state   string
	log     *transcript
	dns     string
	admin   string
	pid     int
	passed  []*os.File // descriptors from 3 on, for the first process
	manager string     // the socket of the service manager; empty: there is none
}

const upgradableConfig = `
server: {listen: ["127.0.0.1:0"], workers: %d}
admin: {listen: "127.0.0.1:0"}
%s
pools:
  web: {policy: round-robin, members: [{name: a, addresses: [127.0.0.81]}, {name: b, addresses: [127.0.0.82]}]}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`

// newUpgradable returns a server without a configuration, which does not run yet.
func newUpgradable(t *testing.T) *upgradable {
	t.Helper()
	dir := t.TempDir()
	u := &upgradable{t: t, program: filepath.Join(dir, "meridian"), config: filepath.Join(dir, "m.yaml"), log: new(transcript)}
	u.link(u.binary())
	return u
}

// startUpgradable starts a server with or without a state directory. It ends with the test, as do the processes that take
// over.
func startUpgradable(t *testing.T, keepsState bool) *upgradable {
	t.Helper()
	u := newUpgradable(t)
	if keepsState {
		u.state = filepath.Join(filepath.Dir(u.program), "state")
	}
	u.configure(2)
	u.start(u.program, "serve", "-c", u.config)
	return u
}

// start starts the first process, and waits until it serves.
func (u *upgradable) start(program string, args ...string) {
	u.t.Helper()
	u.launch(program, args...)
	at := u.log.await(u.t, `msg=serving listen=(\S+) .*admin=(\S+)`)
	u.dns, u.admin = at[1], at[2]
}

// launch starts the first process.
func (u *upgradable) launch(program string, args ...string) {
	t := u.t
	t.Helper()
	reader, writer, err := os.Pipe() // unlike the pipe of exec.Cmd, it outlives the first process
	if err != nil {
		t.Fatal(err)
	}
	first := exec.Command(program, args...)
	first.ExtraFiles = u.passed
	first.Env = append(os.Environ(), "PATH="+filepath.Dir(u.program)+":"+os.Getenv("PATH"), "NOTIFY_SOCKET="+u.manager) // the test binary knows itself by its name only
	first.Stdout, first.Stderr = writer, writer
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = first.Wait() }()
	writer.Close()
	copied := make(chan struct{})
	go func() { defer close(copied); _, _ = io.Copy(u.log, reader) }()
	u.pid = first.Process.Pid
	t.Cleanup(func() {
		if process, err := os.FindProcess(u.pid); err == nil {
			_ = process.Signal(syscall.SIGTERM)
		}
		<-copied // every process that had the pipe has ended
		reader.Close()
	})
}

// binary returns the path of the program that runs as meridian.
func (u *upgradable) binary() string {
	u.t.Helper()
	path, err := exec.LookPath("meridian")
	if err != nil {
		u.t.Fatal(err)
	}
	return path
}

// link makes the program another one, at once, as a package manager does.
func (u *upgradable) link(to string) {
	u.t.Helper()
	next := u.program + ".new"
	if err := errors.Join(os.Symlink(to, next), os.Rename(next, u.program)); err != nil {
		u.t.Fatal(err)
	}
}

// script makes the program a shell script.
func (u *upgradable) script(text string) {
	u.t.Helper()
	file := filepath.Join(filepath.Dir(u.program), "script")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		u.t.Fatal(err)
	}
	u.link(file)
}

func (u *upgradable) write(text string) {
	u.t.Helper()
	next := u.config + ".new"
	if err := errors.Join(os.WriteFile(next, []byte(text), 0o600), os.Rename(next, u.config)); err != nil {
		u.t.Fatal(err)
	}
}

// configure writes a configuration with a number of workers.
func (u *upgradable) configure(workers int) {
	u.t.Helper()
	state := ""
	if u.state != "" {
		state = "state: " + u.state
	}
	u.write(fmt.Sprintf(upgradableConfig, workers, state))
}

// run runs a command that calls the server.
func (u *upgradable) run(args ...string) (output string, ok bool) {
	command := exec.Command("meridian", append(args, "--server", "http://"+u.admin)...)
	out, err := command.CombinedOutput()
	return string(out), err == nil
}

// upgrade runs an upgrade, which must succeed.
func (u *upgradable) upgrade(flags ...string) {
	u.t.Helper()
	args := append([]string{"upgrade"}, flags...)
	out, ok := u.run(args...)
	for end := time.Now().Add(queryTimeout); !ok && strings.Contains(out, "being upgraded") && time.Now().Before(end); {
		out, ok = u.run(args...) // the process of the last upgrade accepted the connection
	}
	_, after, _ := strings.Cut(out, ": process ")
	pid, _, _ := strings.Cut(after, " ")
	n, err := strconv.Atoi(pid)
	if !ok || err != nil || n == u.pid {
		u.t.Fatalf("upgrade: %s\nlog:\n%s", out, u.log)
	}
	u.pid = n
}

// answers returns the answer to an A query.
func (u *upgradable) answers() string { return lookUp(u.t, u.dns, "www.example.com.") }

func TestUpgradePassesSocketsAndState(t *testing.T) {
	t.Parallel()
	u := startUpgradable(t, true)
	if out, ok := u.run("drain", "web/a", "--reason", "before"); !ok {
		t.Fatal(out)
	}
	first, cookie := u.pid, cookieFrom(t, u.dns, "0123456789abcdef")
	u.upgrade()
	u.log.await(t, `msg="took over from the previous process" .*previous_pid=`+strconv.Itoa(first))
	u.log.await(t, `msg=stopped`)
	if again := cookieFrom(t, u.dns, cookie); again != cookie {
		t.Errorf("after the upgrade the cookie %s is replaced by %s: the random secret was not passed", cookie, again)
	}
	for range 4 {
		if got := u.answers(); got != "127.0.0.82" {
			t.Errorf("after the upgrade: %s, want the member that is not drained", got)
		}
	}
	events, _ := u.run("events")
	for _, want := range []string{"web/a: drained set", "upgrade", "upgrade by local: done"} {
		if !strings.Contains(events, want) {
			t.Errorf("no event %q:\n%s", want, events)
		}
	}
	if out, ok := u.run("undrain", "web/a"); !ok { // the new process has the lock of the state, and changes it
		t.Error(out)
	}
	if status, _ := u.run("status", "-o", "json"); !strings.Contains(status, `"persisted": true`) {
		t.Errorf("the state is not saved:\n%s", status)
	}
}

func TestSignalUpgrades(t *testing.T) {
	t.Parallel()
	u := startUpgradable(t, true)
	process, err := os.FindProcess(u.pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	u.pid, err = strconv.Atoi(u.log.await(t, `msg="the new process answers; this one ends" pid=(\d+)`)[1])
	if err != nil {
		t.Fatal(err)
	}
	u.log.await(t, `msg=stopped`)
	u.answers()
}

// TestFailedUpgradeKeepsServing replaces the program by ones that cannot take over.
func TestFailedUpgradeKeepsServing(t *testing.T) {
	t.Parallel()
	u := startUpgradable(t, true)
	if out, ok := u.run("drain", "web/a"); !ok {
		t.Fatal(out)
	}
	good, err := os.ReadFile(u.config)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what    string
		prepare func()
		want    string // of the output
	}{
		{"no program", func() { u.link("/nonexistent") }, "no such file"},
		{"not a program", func() { u.link(u.config) }, "permission denied"},
		{"another program", func() { u.script("exit 0") }, "ended before it answered"},
		{"a crash", func() { u.script("kill -SEGV $$") }, "segmentation fault"},
		{"a hanging program", func() { u.script("exec sleep 600") }, "did not answer queries within 1s"},
		{"an invalid configuration", func() { u.link(u.binary()); u.write("server: {listen: 7}") }, "m.yaml:1:18"},
		{"an address of another program", func() { u.write(strings.Replace(string(good), `"127.0.0.1:0"]`, `"`+u.admin+`"]`, 1)) }, "address already in use"},
	} {
		c.prepare()
		out, ok := u.run("upgrade", "--timeout", "1s")
		if c.want != "did not answer queries within 1s" && strings.Contains(out, "did not answer queries") {
			out, ok = u.run("upgrade") // the machine is busy
		}
		if ok || !strings.Contains(out, c.want) || !strings.Contains(out, "keeps serving") {
			t.Errorf("%s: %t, %q; want %q", c.what, ok, out, c.want)
		}
		if got := u.answers(); got != "127.0.0.82" {
			t.Errorf("%s: then answers %s", c.what, got)
		}
	}
	if out, ok := u.run("undrain", "web/a"); !ok {
		t.Errorf("after failed upgrades a change is refused: %s", out)
	}
	if events, _ := u.run("events"); strings.Count(events, "upgrade failed") < 7 {
		t.Errorf("want an event for each failure:\n%s", events)
	}
	u.link(u.binary())
	u.write(string(good))
	u.upgrade()
}

// TestUpgradeObeysGuardrails checks that an upgrade serves no changed configuration that a reload refuses.
func TestUpgradeObeysGuardrails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ guardrails, refused string }{
		{"{max_moved: 10%}", "the old process keeps serving: the configuration has changed: guardrail max_moved: 10%: the new configuration would move 100.0 % of the clients"},
		{"{freeze: true}", "the old process keeps serving: the configuration has changed: guardrail freeze: true: a reload is a change"},
	} {
		t.Run(c.guardrails, func(t *testing.T) {
			t.Parallel()
			u := newUpgradable(t)
			text := fmt.Sprintf(upgradableConfig, 1, "guardrails: "+c.guardrails)
			u.write(text)
			u.start(u.program, "serve", "-c", u.config)
			u.upgrade() // nothing has changed
			u.write(strings.NewReplacer("127.0.0.81", "127.0.0.91", "127.0.0.82", "127.0.0.92").Replace(text))
			if out, ok := u.run("upgrade"); ok || !strings.Contains(out, c.refused) || !strings.Contains(out, "--override-guardrail REASON") {
				t.Errorf("upgrade: %t, %s\nwant %s", ok, out, c.refused)
			}
			if got := u.answers(); !strings.HasPrefix(got, "127.0.0.8") {
				t.Errorf("answers %s after a refused upgrade", got)
			}
			u.upgrade("--override-guardrail", "agreed")
			awaitAnswer(t, u.dns, "www.example.com.", "127.0.0.91") // the process that ends may answer a little longer
			if events, _ := u.run("events", "-o", "json"); !strings.Contains(events, "agreed") {
				t.Errorf("no reason in the audit records:\n%s", events)
			}
		})
	}
}

// TestUpgradeSaysToReloadFirst checks the hints for changes that a reload can make and an upgrade cannot.
func TestUpgradeSaysToReloadFirst(t *testing.T) {
	t.Parallel()
	u := startUpgradable(t, true)
	u.upgrade() // waits until the last good configuration is saved
	good, err := os.ReadFile(u.config)
	if err != nil {
		t.Fatal(err)
	}
	port := netip.MustParseAddrPort(u.dns).Port()
	for _, c := range []struct{ config, want string }{
		{strings.Replace(string(good), "names: {www: {pool: web}}", "names: {}", 1), "meridian reload --allow-removal loads it all the same: do that first, then upgrade"},
		{strings.Replace(string(good), `"127.0.0.1:0"]`, fmt.Sprintf(`"0.0.0.0:%d"]`, port), 1), "reload first, then upgrade"},
	} {
		u.write(c.config)
		if out, ok := u.run("upgrade"); ok || !strings.Contains(out, c.want) || !strings.Contains(out, "the old process keeps serving: ") {
			t.Errorf("upgrade: %t, %s\nwant %s", ok, out, c.want)
		}
	}
}

// TestShutdownEndsUpgrade checks that an upgrade that a shutdown interrupts does not report that the process keeps
// serving.
func TestShutdownEndsUpgrade(t *testing.T) {
	t.Parallel()
	u := startUpgradable(t, false)
	u.script("exec sleep 600")
	done := make(chan string)
	go func() { out, _ := u.run("upgrade"); done <- out }()
	u.log.await(t, `msg="upgrade started"`)
	if err := syscall.Kill(u.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if out := <-done; !strings.Contains(out, "the server is being stopped") || strings.Contains(out, "keeps serving") {
		t.Errorf("printed %q", out)
	}
}

// load asks steadily until it is stopped, each query once. A query without an answer fails the test.
type load struct {
	t        *testing.T
	at       string
	stop     chan struct{}
	running  sync.WaitGroup
	answered [3]atomic.Int64 // UDP, a connection for each query, one connection
}

// queryTimeout is longer than any pause of a busy machine.
const queryTimeout = 10 * time.Second

func startLoad(t *testing.T, at string) *load {
	l := &load{t: t, at: at, stop: make(chan struct{})}
	for range 2 {
		l.running.Go(func() { l.run(0, "udp", true) })
	}
	l.running.Go(func() { l.run(1, "tcp", false) })
	l.running.Go(func() { l.run(2, "tcp", true) })
	return l
}

// run asks every 2 ms, and keeps the socket or not.
func (l *load) run(kind int, network string, keeps bool) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	var conn *dns.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	for id := uint16(1); ; id++ {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		if conn == nil || !keeps {
			if conn != nil {
				conn.Close()
			}
			c, err := dns.DialTimeout(network, l.at, queryTimeout)
			if err != nil {
				l.t.Errorf("%s: %v", network, err)
				return
			}
			conn = c
		}
		if err := ask(conn, id); err != nil {
			l.t.Errorf("%s, query %d, connection kept: %t: %v", network, id, keeps, err)
			return
		}
		l.answered[kind].Add(1)
	}
}

// ask sends a query and reads its answer.
func ask(conn *dns.Conn, id uint16) error {
	q := new(dns.Msg)
	q.SetQuestion("www.example.com.", dns.TypeA)
	q.Id = id
	if err := errors.Join(conn.SetDeadline(time.Now().Add(queryTimeout)), conn.WriteMsg(q)); err != nil {
		return err
	}
	r, err := conn.ReadMsg()
	if err != nil {
		return err
	}
	if r.Id != id || r.Rcode != dns.RcodeSuccess || len(r.Answer) != 1 {
		return fmt.Errorf("wrong answer: %v", r)
	}
	return nil
}

// end ends the load.
func (l *load) end() {
	close(l.stop)
	l.running.Wait()
	for i := range l.answered {
		n := l.answered[i].Load()
		if l.t.Logf("answers of client %d: %d", i, n); n == 0 {
			l.t.Errorf("client %d got no answer", i)
		}
	}
}

// TestUpgradesAndReloadsLoseNoQuery replaces the process, reloads and changes overrides under a steady load over UDP,
// over new TCP connections and over one that stays. The counts are small, unless other programs are required too.
func TestUpgradesAndReloadsLoseNoQuery(t *testing.T) {
	t.Parallel()
	upgrades, reloads, writes := 2, 2, 20
	if os.Getenv("MERIDIAN_REQUIRE_COUNTERPARTS") != "" {
		upgrades, reloads, writes = 20, 50, 1000
	}
	u := startUpgradable(t, false) // a thousand changes that each wait for the disk take a minute
	l := startLoad(t, u.dns)
	var changing sync.WaitGroup
	changing.Go(func() {
		for n := range reloads {
			u.post("/v1/reload", nil, http.MethodPost, n)
		}
	})
	changing.Go(func() {
		for n := range writes {
			u.post("/v1/overrides", fmt.Appendf(nil, `{"target": "web/b", "kind": "weight", "value": "%d%%"}`, 1+n%99), http.MethodPut, n)
		}
	})
	for n := range upgrades {
		if n%2 == 1 { // with another number of workers
			u.configure(1 + n%3)
		}
		u.upgrade()
	}
	changing.Wait()
	l.end()
	if status, _ := u.run("status"); !strings.Contains(status, fmt.Sprintf("%d%%", 1+(writes-1)%99)) {
		t.Errorf("the last change is lost:\n%s", status)
	}
}

// post changes something. It asks again while an upgrade is under way: the answer is 503, or the connection ends.
func (u *upgradable) post(path string, body []byte, method string, n int) {
	for end := time.Now().Add(time.Minute); ; {
		request, err := http.NewRequest(method, "http://"+u.admin+path, bytes.NewReader(body))
		if err != nil {
			u.t.Error(err)
			return
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		text := ""
		if err == nil {
			all, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if text = string(all); response.StatusCode == http.StatusOK {
				return
			}
		}
		again := err != nil || response.StatusCode == http.StatusServiceUnavailable
		if !again || time.Now().After(end) {
			u.t.Errorf("%s %s, %d: %v %s", method, path, n, err, text)
			return
		}
	}
}

// TestServiceManagerPassesAndKeepsSockets plays systemd: it passes the sockets at the start, gets them to keep, and
// hears which process serves.
func TestServiceManagerPassesAndKeepsSockets(t *testing.T) {
	t.Parallel()
	u := newUpgradable(t)
	u.manager = filepath.Join(filepath.Dir(u.program), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: u.manager, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	tcp, api := listenTCP(t), listenTCP(t)
	udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(tcp.Addr().String())))
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []interface{ File() (*os.File, error) }{udp, tcp, api} {
		file, err := of.File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		u.passed = append(u.passed, file)
	}
	text := fmt.Sprintf(upgradableConfig, 1, "")
	text = strings.Replace(text, "127.0.0.1:0", tcp.Addr().String(), 1)
	u.write(strings.Replace(text, "127.0.0.1:0", api.Addr().String(), 1))
	u.start("/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=3 LISTEN_FDNAMES=a:b:c exec meridian serve -c "$0"`, u.config)
	udp.Close()
	tcp.Close()
	api.Close()
	u.answers() // from the passed socket: this process has closed its own
	kept := awaitManager(t, manager, "READY=1")
	queries, requests := "meridian-"+strings.ReplaceAll(u.dns, ":", "_"), "meridian-"+strings.ReplaceAll(u.admin, ":", "_")
	if want := map[string]int{queries: 2, requests: 1}; !maps.Equal(kept, want) { // UDP and TCP share an address
		t.Errorf("kept %v, want %v", kept, want)
	}
	u.upgrade()
	awaitManager(t, manager, "MAINPID="+strconv.Itoa(u.pid))
	awaitManager(t, manager, "FDNAME="+requests) // from the new process, when it is known
	u.answers()
}

func listenTCP(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l.(*net.TCPListener)
}

// awaitManager reads messages until one has a text, and returns how many descriptors came to keep, by name.
func awaitManager(t *testing.T, manager *net.UnixConn, want string) map[string]int {
	t.Helper()
	kept := map[string]int{}
	if err := manager.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	in, control := make([]byte, 4096), make([]byte, 4096)
	for {
		n, controls, _, _, err := manager.ReadMsgUnix(in, control)
		if err != nil {
			t.Fatalf("no message %q: %v; kept %v", want, err, kept)
		}
		text := string(in[:n])
		if _, name, ok := strings.Cut(text, "FDNAME="); ok && strings.Contains(text, "FDSTORE=1") {
			kept[name] += closeDescriptors(t, control[:controls])
		}
		if strings.Contains(text, want) && !strings.Contains(text, "FDSTOREREMOVE") {
			return kept
		}
	}
}

// closeDescriptors closes the descriptors of a message, and returns their number.
func closeDescriptors(t *testing.T, control []byte) int {
	t.Helper()
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil || len(messages) != 1 {
		t.Fatal(messages, err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		syscall.Close(fd)
	}
	return len(fds)
}
