package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/counterpart"
)

// validatingLoad asks the resolvers for random names of the zones.
type validatingLoad struct {
	wanted  int // answers
	stop    chan struct{}
	clients sync.WaitGroup

	mu         sync.Mutex // guards all below
	validated  int
	unanswered int
	refused    []string // answers that are not validated
}

func newValidatingLoad(t *testing.T) *validatingLoad {
	t.Helper()
	const clients = 2 // of each resolver
	l := &validatingLoad{stop: make(chan struct{})}
	if text := os.Getenv("MERIDIAN_ROLLOVER_ANSWERS"); text != "" {
		var err error
		if l.wanted, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	for _, resolver := range []string{unboundAddress, bindAddress} {
		for range clients {
			l.clients.Go(func() { l.ask(resolver) })
		}
	}
	t.Cleanup(func() { l.finish() })
	return l
}

// ask asks one resolver until the load ends.
func (l *validatingLoad) ask(resolver string) {
	pause := 20 * time.Millisecond
	if l.wanted > 0 {
		pause = 2 * time.Millisecond
	}
	tick := time.NewTicker(pause)
	defer tick.Stop()
	client := &dns.Client{Timeout: 5 * time.Second}
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		q := randomQuestion()
		answer, _, err := client.Exchange(q, resolver+":53")
		l.mu.Lock()
		switch {
		case err != nil:
			l.unanswered++
		case answer.AuthenticatedData && (answer.Rcode == dns.RcodeSuccess || answer.Rcode == dns.RcodeNameError):
			l.validated++
		case answer.Rcode == dns.RcodeServerFailure: // the logs have the reason
			l.unanswered++
		default:
			l.refused = append(l.refused, fmt.Sprintf("%s: %v", resolver, answer))
		}
		l.mu.Unlock()
	}
}

// randomQuestion returns a query with DO for a set or a denial of one of the zones.
func randomQuestion() *dns.Msg {
	choices := []dns.Question{
		{Name: "www.", Qtype: dns.TypeA},
		{Name: "www.", Qtype: dns.TypeAAAA},
		{Name: "www.", Qtype: dns.TypeTXT},
		{Qtype: dns.TypeSOA},
		{Qtype: dns.TypeTXT},
		{Qtype: dns.TypeMX},
		{Qtype: dns.TypeDNSKEY},
		{Qtype: dns.TypeDS},
		{Name: fmt.Sprintf("r%x.", rand.Uint64()), Qtype: dns.TypeA},
		{Name: fmt.Sprintf("r%x.wild.", rand.Uint64()), Qtype: dns.TypeTXT},
	}
	chosen := choices[rand.IntN(len(choices))]
	q := new(dns.Msg).SetQuestion(chosen.Name+rolloverZones[rand.IntN(len(rolloverZones))], chosen.Qtype)
	q.SetEdns0(1232, true)
	q.AuthenticatedData = true
	return q
}

// finish ends the load.
func (l *validatingLoad) finish() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.clients.Wait()
}

func (l *validatingLoad) answers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.validated
}

// await waits until so many answers have come.
func (l *validatingLoad) await(t *testing.T, wanted int) {
	t.Helper()
	counterpart.Await(t, func() error {
		if got := l.answers(); got < wanted {
			return fmt.Errorf("%d validated answers, want %d", got, wanted)
		}
		return nil
	})
}

// end ends the load, and fails the test if an answer was bogus or not secure.
func (l *validatingLoad) end(t *testing.T, dir string) {
	t.Helper()
	l.finish()
	bogus := bogusLines(t, dir)
	if len(bogus) > 0 || len(l.refused) > 0 {
		t.Errorf("%d of %d answers are bogus or insecure:\n%s\n%s", len(bogus)+len(l.refused), l.validated,
			strings.Join(bogus[:min(10, len(bogus))], "\n"), strings.Join(l.refused[:min(3, len(l.refused))], "\n"))
	}
	if l.validated < 100 || l.unanswered > l.validated/20 {
		t.Errorf("%d validated answers and %d queries without one, want 100 at least and one of 20 at most", l.validated, l.unanswered)
	}
}

// The lines in the logs of unbound and BIND for an answer that is bogus.
var bogusLine = regexp.MustCompile(`validation failure|broken trust chain|no valid (RRSIG|signature|KEY|DS|NSEC)|verify failed`)

// bogusLines returns the lines of the logs of the validators that report a bogus answer.
func bogusLines(t *testing.T, dir string) (found []string) {
	t.Helper()
	for _, name := range []string{"unbound.log", "bind.log"} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if bogusLine.MatchString(lines.Text()) {
				found = append(found, name+": "+lines.Text())
			}
		}
	}
	return found
}

// startValidators starts unbound and BIND with a trust anchor for example.com, which answer from the NSEC records that
// they have (RFC 8198), and waits until both validate.
func startValidators(t *testing.T, dir string, anchor *dns.DNSKEY) {
	t.Helper()
	writeFile(t, filepath.Join(dir, "hints"), ". 3600 NS ns.root.\nns.root. 3600 A "+parentAddress+"\n")
	bind := filepath.Join(dir, "bind.conf")
	writeFile(t, bind, fmt.Sprintf(`options {
  directory %[1]q; pid-file "bind.pid"; session-keyfile "bind.key"; managed-keys-directory %[1]q;
  listen-on port 53 { %[2]s; }; listen-on-v6 { none; }; query-source address %[2]s;
  recursion yes; allow-recursion { any; }; synth-from-dnssec yes; dnssec-validation yes; empty-zones-enable no;
};
logging { channel all { file "bind.log"; severity debug 1; print-category yes; }; category default { all; }; category dnssec { all; }; category query-errors { all; }; };
controls { };
zone "." { type hint; file "hints"; };
trust-anchors { example.com. static-key %[3]d %[4]d %[5]d %[6]q; };
`, dir, bindAddress, anchor.Flags, anchor.Protocol, anchor.Algorithm, anchor.PublicKey))
	counterpart.Start(t, "named", "-f", "-c", bind)
	unbound := filepath.Join(dir, "unbound.conf")
	writeFile(t, unbound, fmt.Sprintf(`server:
  directory: %[1]q
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  logfile: "unbound.log"
  val-log-level: 2
  num-threads: 1
  interface: %[2]s
  outgoing-interface: %[2]s
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  do-ip6: no
  root-hints: "hints"
  module-config: "validator iterator"
  aggressive-nsec: yes
  trust-anchor: %[3]q
remote-control:
  control-enable: no
`, dir, unboundAddress, strings.ReplaceAll(anchor.String(), "\t", " ")))
	counterpart.Start(t, "unbound", "-d", "-c", unbound)
	for _, resolver := range []string{bindAddress, unboundAddress} {
		for _, zone := range rolloverZones {
			awaitSecure(t, resolver, zone)
		}
	}
}

// awaitSecure waits until a resolver validates the SOA record of a zone.
func awaitSecure(t *testing.T, resolver, zone string) {
	t.Helper()
	q := new(dns.Msg).SetQuestion(zone, dns.TypeSOA)
	q.SetEdns0(1232, true)
	counterpart.Await(t, func() error {
		answer, err := dns.Exchange(q, resolver+":53")
		if err == nil && !answer.AuthenticatedData {
			err = fmt.Errorf("%s does not validate: %v", resolver, answer)
		}
		return err
	})
}
