package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

// names is a minimal recursive server: it has A records of names, and answers SERVFAIL for a
// name without any.
type names struct {
	mu        sync.Mutex
	addresses map[string][]string
}

func (n *names) set(name string, addresses ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addresses[name] = addresses
}

func (n *names) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := new(dns.Msg).SetReply(question)
	m.RecursionAvailable = true
	q := question.Question[0]
	if len(n.addresses[q.Name]) == 0 {
		m.Rcode = dns.RcodeServerFailure
	}
	if q.Qtype == dns.TypeA {
		for _, a := range n.addresses[q.Name] {
			m.Answer = append(m.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.ParseIP(a),
			})
		}
	}
	_ = w.WriteMsg(m)
}

// serveNames runs such a server until the test ends, and returns its address.
func serveNames(t *testing.T, addresses map[string][]string) (n *names, at string) {
	t.Helper()
	n = &names{addresses: addresses}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{PacketConn: conn, Handler: n}
	go s.ActivateAndServe() //nolint:errcheck // ends with the test
	t.Cleanup(func() { _ = conn.Close() })
	return n, conn.LocalAddr().String()
}

func writeTargets(t *testing.T, file, listen, resolver, target string, port int) {
	t.Helper()
	text := fmt.Sprintf(`
server: {listen: [%q], resolvers: [%q]}
checks:
  web: {type: http, port: %d, interval: 400ms, timeout: 400ms, fall: 2, rise: 2}
pools:
  web:
    policy: failover
    check: web
    answers: 0
    members:
      - {name: cloud, target: %s}
      - {name: own, addresses: [127.0.0.65]}
zones:
  gslb.example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web, answers: 1}}
`, listen, resolver, port, target)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestServeFollowsTheAddressesOfATarget checks that serve probes, answers and replaces the
// addresses of a target, keeps them while the resolver fails, and uses another resolver after
// a reload.
func TestServeFollowsTheAddressesOfATarget(t *testing.T) {
	first, port := endpoint(t, "127.0.0.61", 0)
	second, _ := endpoint(t, "127.0.0.62", port)
	endpoint(t, "127.0.0.63", port)
	endpoint(t, "127.0.0.65", port)
	n, resolver := serveNames(t, map[string][]string{"lb.example.net.": {"127.0.0.61"}, "other.example.net.": {"127.0.0.63"}})
	file, at := filepath.Join(t.TempDir(), "meridian.yaml"), freeAddress(t)
	writeTargets(t, file, at, resolver, "lb.example.net", port)
	_, stderr := background(t, "serve", "-c", file)
	stderr.await(t, `msg=serving listen=(\S+)`)
	if got := lookUp(t, at, "www.gslb.example.com."); got != "127.0.0.61" {
		t.Fatalf("the first answer was %s: given before the target was resolved", got)
	}
	first.Store(true)
	awaitAnswer(t, at, "www.gslb.example.com.", "127.0.0.65")

	n.set("lb.example.net.", "127.0.0.62")
	awaitAnswer(t, at, "www.gslb.example.com.", "127.0.0.62")
	stderr.await(t, `msg="target resolved" target=lb.example.net. addresses=127.0.0.62 added=none removed=127.0.0.61`)

	n.set("lb.example.net.")
	stderr.await(t, `msg="target cannot be resolved; keeping its known addresses" target=lb.example.net. addresses=127.0.0.62 reason="A: \S+: response code SERVFAIL`)
	if got := lookUp(t, at, "www.gslb.example.com."); got != "127.0.0.62" {
		t.Errorf("while the target cannot be resolved: %s", got)
	}
	second.Store(true)
	awaitAnswer(t, at, "www.gslb.example.com.", "127.0.0.65")

	writeTargets(t, file, at, resolver, "other.example.net", port)
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	awaitAnswer(t, at, "www.gslb.example.com.", "127.0.0.63")
}

func TestExplainResolvesTargets(t *testing.T) {
	_, resolver := serveNames(t, map[string][]string{"lb.example.net.": {"127.0.0.61", "127.0.0.62"}})
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	writeTargets(t, file, "127.0.0.1:0", resolver, "lb.example.net", 80)
	explain := func(more ...string) (stdout, stderr string) {
		var out, errs transcript
		args := append([]string{"explain", "www.gslb.example.com", "--client", "192.0.2.1", "-c", file}, more...)
		if code := run(t.Context(), args, &out, &errs); code != exitOK {
			t.Errorf("%v: exit %d", args, code)
		}
		return out.String(), errs.String()
	}
	wants := func(text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("no %q in\n%s", part, text)
			}
		}
	}

	stdout, stderr := explain()
	wants(stdout, `unresolved: target "lb.example.net." has no address yet`, "target    lb.example.net.: not resolved\n", "A 127.0.0.65\n")
	wants(stderr, "note: 1 target not resolved, so their members are not eligible; --resolve resolves them\n")

	stdout, stderr = explain("--resolve")
	wants(stdout, "target    lb.example.net.: 127.0.0.61 127.0.0.62, since ", "A 127.0.0.6")
	if stderr != "" {
		t.Errorf("stderr %q", stderr)
	}
	stdout, _ = explain("--resolve", "-o", "json")
	wants(stdout, `"name": "lb.example.net."`, `"127.0.0.62"`, `"since": "`)

	writeTargets(t, file, "127.0.0.1:0", resolver, "none.example.net", 80)
	stdout, stderr = explain("--resolve")
	wants(stdout, "target    none.example.net.: not resolved\n")
	wants(stderr, "response code SERVFAIL", "warning: 1 target without an address\n")
}

func TestCheckCountsTargets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	writeTargets(t, file, "127.0.0.1:5300", "127.0.0.1:53", "lb.example.net", 80)
	var out, errs transcript
	if code := run(t.Context(), []string{"check", "-c", file}, &out, &errs); code != exitOK {
		t.Fatal(errs.String())
	}
	const want = "ok: would listen on 127.0.0.1:5300 and probe 1, and resolve 1 target and probe what these lead to\n"
	if !strings.HasSuffix(out.String(), want) {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
