package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"meridian/counterpart"
	"meridian/server/answer/answertest"
	"meridian/server/limit"

	"github.com/miekg/dns"
)

const sharedSecret = "e5e973e5a6b2a43f48e7dc849e37bfcf"

// cookiePeers start other servers with the shared secret on a port of 127.0.0.1, in a folder with the zone file zone.
var cookiePeers = map[string]func(t *testing.T, dir string, port int){
	"named": func(t *testing.T, dir string, port int) {
		counterpart.StartWith(t, "named", fmt.Sprintf(`options {
  directory %[1]q; pid-file "named.pid"; session-keyfile "named.key"; managed-keys-directory %[1]q;
  listen-on port %[2]d { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; dnssec-validation no; notify no;
  cookie-algorithm siphash24; cookie-secret "%[3]s"; require-server-cookie yes;
};
controls { };
zone "example.com" { type primary; file "zone"; };
`, dir, port, sharedSecret), "-g", "-n", "1", "-c")
	},
	"nsd": func(t *testing.T, dir string, port int) {
		counterpart.StartWith(t, "nsd", fmt.Sprintf(`server:
  ip-address: 127.0.0.1@%[2]d
  server-count: 1
  username: ""
  zonesdir: %[1]q
  pidfile: "%[1]s/nsd.pid"
  xfrdfile: ""
  zonelistfile: "%[1]s/zone.list"
  database: ""
  answer-cookie: yes
  cookie-secret: %[3]s
  cookie-secret-file: ""
remote-control:
  control-enable: no
zone:
  name: example.com
  zonefile: zone
`, dir, port, sharedSecret), "-d", "-c")
	},
	"knotd": func(t *testing.T, dir string, port int) {
		counterpart.StartWith(t, "knotd", fmt.Sprintf(`server:
  listen: 127.0.0.1@%[2]d
  rundir: %[1]q
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: %[1]q
mod-cookies:
  - id: shared
    secret: 0x%[3]s
    badcookie-slip: 1
template:
  - id: default
    storage: %[1]q
    global-module: mod-cookies/shared
zone:
  - domain: example.com
    file: zone
`, dir, port, sharedSecret), "-c")
	},
}

// TestCookiesAreSharedWithOtherServers checks that servers with one secret accept each other's cookies.
func TestCookiesAreSharedWithOtherServers(t *testing.T) {
	ours := serveCookies(t)
	for program, start := range cookiePeers {
		t.Run(program, func(t *testing.T) {
			counterpart.Find(t, program)
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "zone"), []byte(answertest.LoneZone), 0o600); err != nil {
				t.Fatal(err)
			}
			port := counterpart.FreePorts(t, 1)[0]
			start(t, dir, port)
			theirs := fmt.Sprintf("127.0.0.1:%d", port)
			var cookie string
			counterpart.Await(t, func() (err error) {
				_, cookie, err = askWithCookie(theirs, "1234567812345678")
				return err
			})
			if rcode, again, err := askWithCookie(ours, cookie); err != nil || rcode != dns.RcodeSuccess || again != cookie {
				t.Errorf("with their cookie %s we answer rcode %d, cookie %s, %v", cookie, rcode, again, err)
			}
			_, cookie, err := askWithCookie(ours, "8765432187654321")
			if err != nil {
				t.Fatal(err)
			}
			rcode, again, err := askWithCookie(theirs, cookie)
			if err != nil || rcode != dns.RcodeSuccess || again[:16] != cookie[:16] {
				t.Errorf("with our cookie %s they answer rcode %d, cookie %s, %v", cookie, rcode, again, err)
			}
			if program == "nsd" { // it answers any cookie, but returns only a valid one
				if again != cookie {
					t.Errorf("with our cookie %s it answers with %s", cookie, again)
				}
				return
			}
			broken := cookie[:len(cookie)-1] + string('0'+(cookie[len(cookie)-1]+1)%2)
			if rcode, _, err := askWithCookie(theirs, broken); err != nil || rcode != dns.RcodeBadCookie {
				t.Errorf("with a broken cookie they answer rcode %d, %v: this tests nothing", rcode, err)
			}
		})
	}
}

// serveCookies starts a server with the shared secret that requires cookies, and returns its address.
func serveCookies(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cookie.secrets")
	if err := os.WriteFile(file, []byte(sharedSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := New(answertest.World(t, "nsid: test", fmt.Sprintf("cookies: {require: true, secret_file: %q}", file)), Options{})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	address := s.Addrs()[0].String()
	if rcode, _, err := askWithCookie(address, "123456781234567801000000000000000000000000000000"); err != nil || rcode != dns.RcodeBadCookie {
		t.Fatalf("with a broken cookie we answer rcode %d, %v", rcode, err)
	}
	return address
}

// askWithCookie asks a server with a cookie and returns the response code and the cookie of the answer.
func askWithCookie(address, cookie string) (rcode int, answered string, err error) {
	query := answertest.WithOptions(answertest.Ask("example.com.", dns.TypeSOA), &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie})
	answer, err := counterpart.Exchange(query, address)
	if err != nil {
		return 0, "", err
	}
	if opt := answer.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if c, ok := o.(*dns.EDNS0_COOKIE); ok && len(c.Cookie) == 2*limit.CookieSize {
				return answer.Rcode, c.Cookie, nil
			}
		}
	}
	return answer.Rcode, "", errors.New("the answer has no server cookie")
}
