package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/counterpart"
)

// TestAcknowledgedUpdatesSurviveKill has several clients make updates while the server is killed with SIGKILL, several times. Each
// server has all names that were acknowledged, and no others than those that were sent.
func TestAcknowledgedUpdatesSurviveKill(t *testing.T) {
	const clients, rounds, secret = 4, 4, "c2VjcmV0IG9mIHRoZSB0ZXN0IG9mIHVwZGF0ZXMhISE="
	dir := t.TempDir()
	for name, text := range map[string]string{
		"key":  secret,
		"zone": "$TTL 300\n@ SOA ns.example.net. h 7 2 3 4 5\n@ NS ns.example.net.\n",
		"meridian.yaml": `
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
state: state
tsig: {xfr: {secret_file: key}}
zones: {example.com: {file: zone, journal: {depth: 3}, update: [{key: xfr, names: ["*"]}]}}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var acknowledged [clients]int // the names 0 .. n-1 of each client are served
	for round := range rounds {
		server, stderr := serverProcess(t, filepath.Join(dir, "meridian.yaml"))
		address := stderr.await(t, `msg=serving listen=(\S+)`)[1]
		for c := range clients {
			acknowledged[c] = servedNames(t, address, c, acknowledged[c])
		}
		if round == rounds-1 {
			break
		}
		var running sync.WaitGroup
		enough := make(chan struct{}, 1<<16)
		for c := range clients {
			running.Go(func() { acknowledged[c] += updateUntilKilled(address, secret, c, acknowledged[c], enough) })
		}
		for range 20 + rand.IntN(60) {
			select {
			case <-enough:
			case <-time.After(time.Minute):
				t.Fatal("no update is acknowledged")
			}
		}
		if err := server.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		running.Wait()
		server.Wait()
	}
}

// servedNames returns the number of names that a client finds: all that were acknowledged, and perhaps one more, whose acknowledgement
// was lost.
func servedNames(t *testing.T, address string, client, acknowledged int) (n int) {
	t.Helper()
	exists := func(i int) bool {
		answer, err := counterpart.Exchange(new(dns.Msg).SetQuestion(fmt.Sprintf("n%d.c%d.example.com.", i, client), dns.TypeTXT), address)
		if err != nil {
			t.Fatal(err)
		}
		return len(answer.Answer) == 1
	}
	for n = 0; exists(n); n++ {
	}
	if n < acknowledged || n > acknowledged+1 || exists(n+1) {
		t.Fatalf("client %d finds %d names, and %d were acknowledged", client, n, acknowledged)
	}
	return n
}

// updateUntilKilled adds names until the server fails, and returns the number of those that it has acknowledged.
func updateUntilKilled(address, secret string, client, first int, done chan<- struct{}) (n int) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return 0
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	for ; ; n++ {
		c := &dns.Conn{Conn: conn, TsigSecret: map[string]string{"xfr.": secret}} // of one message: it keeps the last MAC
		rr, err := dns.NewRR(fmt.Sprintf("n%d.c%d.example.com. 60 IN TXT %s", first+n, client, strings.Repeat("t", 200)))
		if err != nil {
			return n
		}
		msg := new(dns.Msg).SetUpdate("example.com.")
		msg.Insert([]dns.RR{rr})
		msg.SetTsig("xfr.", dns.HmacSHA256, 300, time.Now().Unix())
		if c.WriteMsg(msg) != nil {
			return n
		}
		if answer, err := c.ReadMsg(); err != nil || answer.Rcode != dns.RcodeSuccess {
			return n
		}
		done <- struct{}{}
	}
}
