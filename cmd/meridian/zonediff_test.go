package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/counterpart"
)

const exportedConfig = `
pools: {web: {policy: all, members: [{name: a, addresses: [192.0.2.10, "2001:db8::10"]}]}}
zones: {example.com: {file: example.com.zone, names: {www: {pool: web}}}}
`

const exportedZone = `$TTL 300
@ SOA ns1 hostmaster 7 3600 600 604800 30
@ NS ns1
ns1 A 192.0.2.53
txt TXT "a \"quoted\" text; with a semicolon" "\000\255"
a\.dot.b\@c TXT x
_sip._tcp SRV 10 5 5060 ns1
odd TYPE65280 \# 3 abcdef
*.w CAA 0 issue "ca.example"
child NS ns.child
ns.child AAAA 2001:db8::54
`

// TestOtherServersReadAnExportedZone has BIND compile an exported zone, and ldns compare it with the original one.
func TestOtherServersReadAnExportedZone(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"meridian.yaml": exportedConfig, "example.com.zone": exportedZone} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	exported := said(t, exitOK, "zone", "export", "example.com", "-c", "meridian.yaml")
	whole := exportedZone + "www 30 A 192.0.2.10\nwww 30 AAAA 2001:db8::10\n"
	for name, text := range map[string]string{"exported": exported, "whole": whole} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		counterpart.Output(t, "named-compilezone", "-i", "local", "-o", name+".compiled", "example.com", name)
	}
	out := counterpart.Output(t, "ldns-compare-zones", "-a", "exported.compiled", "whole.compiled")
	if !strings.Contains(out, "+0") || !strings.Contains(out, "-0") || !strings.Contains(out, "~0") {
		t.Errorf("ldns-compare-zones: %s", out)
	}
	said(t, exitOK, "zone", "diff", "example.com", "exported.compiled", "whole.compiled")
	said(t, exitOK, "zone", "diff", "example.com", "meridian.yaml", filepath.Join(".", "exported"))
}

// TestZoneDiffExitCodes checks that an error and a difference have other codes.
func TestZoneDiffExitCodes(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"a": "$TTL 1\n@ NS ns\n", "b": "$TTL 1\n@ NS other\n", "broken": "@ 1 NO\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for args, code := range map[string]int{
		"a a": exitOK, "a b": exitDiffers, "a broken": exitDiffError, "a none": exitDiffError, "a": exitDiffError, "a b --none": exitDiffError, "a @name": exitDiffError,
	} {
		said(t, code, append([]string{"zone", "diff", "example.com", "--server", "http://127.0.0.1:1"}, strings.Fields(args)...)...)
	}
}

// TestTransferErrorsSayWhatToDo has a name server refuse transfers in several ways.
func TestTransferErrorsSayWhatToDo(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"a": "$TTL 1\n@ NS ns\n", "xfr.key": "c2VjcmV0LXNlY3JldC1zZWNyZXQ=", "text.key": "not base64\n", "empty.key": "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rcodes := map[string]int{"refused.": dns.RcodeRefused, "notauth.": dns.RcodeNotAuth, "servfail.": dns.RcodeServerFailure, "unsigned.": dns.RcodeNotAuth}
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetRcode(r, rcodes[r.Question[0].Name])
		_ = w.WriteMsg(m)
	})}
	go func() { _ = server.ActivateAndServe() }()
	defer l.Close()
	for _, c := range []struct{ zone, key, want string }{
		{"refused", "", `the server answers REFUSED\n.*transfer\.out.*--tsig.*TLS`},
		{"notauth", "", `the server answers NOTAUTH\n.*does not have the zone`},
		{"servfail", "", `the server answers SERVFAIL\n`},
		{"unsigned", "xfr:xfr.key", `the answer is not signed with key xfr\.\n.*another secret`},
		{"refused", "md5:xfr:xfr.key", `unknown algorithm "md5"; known: hmac-sha1, hmac-sha256, hmac-sha384, hmac-sha512`},
		{"refused", "hmac-sha265:xfr:xfr.key", `unknown algorithm "hmac-sha265"; did you mean "hmac-sha256"\?`},
		{"refused", "xfr:none.key", `none\.key: no such file or directory\n`},
		{"refused", "xfr:text.key", `text\.key has no secret in base64\n`},
		{"refused", "xfr:empty.key", `empty\.key has no secret in base64\n`},
	} {
		args := []string{"zone", "diff", c.zone, "a", "@" + l.Addr().String()}
		if c.key != "" {
			args = append(args, "--tsig", c.key)
		}
		expectMatch(t, said(t, exitDiffError, args...), c.want)
	}
}
