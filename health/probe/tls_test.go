package probe

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"meridian/config"
)

func TestHTTPSProbesVerifyPeer(t *testing.T) {
	ours, theirs := newAuthority(t), newNamedAuthority(t, "Other Authority")
	ok := says(page("200 OK", ""))
	past, future := time.Now().Add(-2*day).UTC(), time.Now().Add(2*day).UTC()
	named := func(names ...string) tls.Certificate {
		return ours.issue(t, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = names, nil })
	}
	cases := []struct {
		name   string
		handle func(net.Conn)
		change func(*config.Check)
		want   Outcome
		reason string
	}{
		{name: "good", handle: over(ours.issue(t, nil), ok), want: Passed, reason: "status 200"},
		{
			name: "good for the address", handle: over(ours.issue(t, nil), ok), want: Passed, reason: "status 200",
			change: func(c *config.Check) { c.Host = "" },
		},
		{
			name: "good for the server name, whatever the host", handle: over(ours.issue(t, nil), ok), want: Passed, reason: "status 200",
			change: func(c *config.Check) { c.Host, c.TLS.ServerName = "b.example", "www.example.com" },
		},
		{
			name: "expired", want: Failed, reason: "certificate expired on " + past.Format(time.DateOnly),
			handle: over(ours.issue(t, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = past.Add(-day), past }), ok),
		},
		{
			name: "not yet valid", want: Failed, reason: "certificate not valid before " + future.Format(time.DateOnly),
			handle: over(ours.issue(t, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = future, future.Add(day) }), ok),
		},
		{
			name: "expired, and nothing is verified", want: Passed, reason: "status 200",
			handle: over(ours.issue(t, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = past.Add(-day), past }), ok),
			change: func(c *config.Check) { c.TLS.Insecure = true },
		},
		{name: "for another name", handle: over(named("a.example"), ok), want: Failed, reason: `certificate is for "a.example", want "www.example.com"`},
		{name: "for many other names", handle: over(named("a.example", "b.example", "c.example", "d.example"), ok), want: Failed, reason: `certificate is for "a.example", "b.example", "c.example" and 1 more, want "www.example.com"`},
		{name: "for no name", handle: over(named(), ok), want: Failed, reason: `certificate is for no name or address, want "www.example.com"`},
		{
			name: "for another address", handle: over(named("www.example.com"), ok), want: Failed, reason: `certificate is for "www.example.com", want "127.0.0.1"`,
			change: func(c *config.Check) { c.Host = "" },
		},
		{name: "of an unknown authority", handle: over(theirs.issue(t, nil), ok), want: Failed, reason: `certificate is signed by "CN=Other Authority", an unknown authority`},
		{
			name: "self-signed", handle: over(selfSigned(t), ok), want: Failed,
			reason: `certificate is self-signed by "CN=Snake Oil", not by a known authority`,
		},
		{
			name: "good, but not by the system's authorities", handle: over(ours.issue(t, nil), ok), want: Failed,
			reason: `certificate is signed by "CN=Test Authority", an unknown authority`,
			change: func(c *config.Check) { c.TLS.CA = "" },
		},
		{name: "no TLS but HTTP", handle: func(conn net.Conn) { io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n") }, want: Failed, reason: `peer does not speak TLS: it sent "HTTP/"`},
		{name: "no TLS but noise", handle: endless("\x00\xff\x1b"), want: Failed, reason: `peer does not speak TLS: it sent "\x00\xff\x1b\x00\xff"`},
		{name: "too old a TLS", handle: overConfig(&tls.Config{Certificates: []tls.Certificate{ours.issue(t, nil)}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, ok), want: Failed, reason: "peer rejected the handshake: tls: protocol version not supported"},
		{name: "a hang in the handshake", handle: silent, change: hurry, want: Failed, reason: "timeout after 750ms while negotiating TLS"},
		{name: "a hang after the handshake", handle: over(ours.issue(t, nil), silent), change: afterHandshake, want: Failed, reason: "timeout after 3s while waiting for the answer"},
		{name: "a hang-up in the handshake", handle: func(net.Conn) {}, want: Failed},
		{name: "a reset in the handshake", handle: resets, want: Failed},
		{name: "a body that drips", handle: over(ours.issue(t, nil), then(says("HTTP/1.1 200 OK\r\n\r\n"), drips("x"))), change: afterHandshake, want: Failed, reason: "timeout after 3s while reading the body"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := serve(t, c.handle)
			check := httpsCheck(e, ours.file)
			if c.change != nil {
				c.change(&check)
			}
			r := probeOnce(t, check, e)
			if c.reason == "" {
				c.reason = r.Reason // it depends on what comes first
			}
			want(t, r, c.want, c.reason)
		})
	}
}

// afterHandshake leaves time for a TLS handshake on a busy machine.
func afterHandshake(c *config.Check) { c.Timeout = 3 * time.Second }

func TestTLSProbesVerifyPeer(t *testing.T) {
	ours, theirs := newAuthority(t), newNamedAuthority(t, "Other Authority")
	past := time.Now().Add(-2 * day).UTC()
	expired := ours.issue(t, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = past.Add(-day), past })
	long := ours.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(100 * day) })
	tomorrow := "certificate expires on " + time.Now().Add(day).UTC().Format(time.DateOnly) + ", in 0 days"
	cases := []struct {
		name   string
		handle func(net.Conn)
		change func(*config.Check)
		want   Outcome
		reason string
	}{
		{name: "good, whatever is spoken inside", handle: over(ours.issue(t, nil), silent), want: Passed, reason: tomorrow},
		{
			name: "good for the address", handle: over(ours.issue(t, nil), silent), want: Passed, reason: tomorrow,
			change: func(c *config.Check) { c.Host = "" },
		},
		{
			name: "good for the server name, whatever the host", handle: over(ours.issue(t, nil), silent), want: Passed, reason: tomorrow,
			change: func(c *config.Check) { c.Host, c.TLS.ServerName = "b.example", "www.example.com" },
		},
		{
			name: "outliving its authority", handle: over(long, silent), want: Passed,
			reason: "certificate expires on " + ours.cert.NotAfter.Format(time.DateOnly) + ", in 1 day",
		},
		{
			name: "outliving its authority, and nothing is verified", handle: over(long, silent), want: Passed,
			reason: "certificate expires on " + time.Now().Add(100*day).UTC().Format(time.DateOnly) + ", in 99 days",
			change: func(c *config.Check) { c.TLS.Insecure = true },
		},
		{name: "expired", handle: over(expired, silent), want: Failed, reason: "certificate expired on " + past.Format(time.DateOnly)},
		{
			name: "for another name", handle: over(ours.issue(t, nil), silent), want: Failed,
			reason: `certificate is for "www.example.com", "127.0.0.1", want "other.example"`,
			change: func(c *config.Check) { c.Host = "other.example" },
		},
		{name: "of an unknown authority", handle: over(theirs.issue(t, nil), silent), want: Failed, reason: `certificate is signed by "CN=Other Authority", an unknown authority`},
		{name: "no TLS but a greeting", handle: func(conn net.Conn) { io.WriteString(conn, "220 mail.example.com\r\n") }, want: Failed, reason: `peer does not speak TLS: it sent "220 m"`},
		{name: "no TLS but noise without end", handle: endless("\x00\xff\x1b"), want: Failed, reason: `peer does not speak TLS: it sent "\x00\xff\x1b\x00\xff"`},
		{name: "handshake records without end", handle: endless("\x16\x03\x03\x00\x01\x02"), want: Failed},
		{name: "a handshake message beyond all bounds", handle: then(func(conn net.Conn) { io.WriteString(conn, "\x16\x03\x03\x40\x00\x02\xff\xff\xff") }, endless("x")), want: Failed},
		{name: "warnings without end", handle: endless("\x15\x03\x03\x00\x02\x01\x00"), want: Failed},
		{name: "drips", handle: drips("\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"), change: hurry, want: Failed, reason: "timeout after 750ms while negotiating TLS"},
		{name: "a hang", handle: silent, change: hurry, want: Failed, reason: "timeout after 750ms while negotiating TLS"},
		{name: "a hang-up", handle: func(net.Conn) {}, want: Failed},
		{name: "a reset", handle: resets, want: Failed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := serve(t, c.handle)
			check := tlsCheck(e, ours.file)
			if c.change != nil {
				c.change(&check)
			}
			r := probeOnce(t, check, e)
			if c.reason == "" {
				c.reason = r.Reason // it depends on what comes first
			}
			want(t, r, c.want, c.reason)
		})
	}
}

func tlsCheck(e *endpoint, ca string) config.Check {
	c := httpsCheck(e, ca)
	c.Type = config.TLS
	return c
}

// selfSigned returns an authority's own certificate.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	a := newNamedAuthority(t, "Snake Oil")
	return tls.Certificate{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key}
}

func TestClientCertificateIsSent(t *testing.T) {
	a := newAuthority(t)
	trusted := x509.NewCertPool()
	trusted.AddCert(a.cert)
	e := serve(t, overConfig(&tls.Config{
		Certificates: []tls.Certificate{a.issue(t, nil)},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    trusted,
	}, says(page("200 OK", ""))))
	check := httpsCheck(e, a.file)
	r := probeOnce(t, check, e)
	if r.Outcome != Failed || !strings.Contains(r.Reason, "certificate required") {
		t.Errorf("without a certificate: %v: %s", r.Outcome, r.Reason)
	}
	check.TLS.Cert, check.TLS.Key = files(t, a.issue(t, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}))
	want(t, probeOnce(t, check, e), Passed, "status 200")
}

func TestRedirectsMayUpgradeToHTTPSButNotBack(t *testing.T) {
	a := newAuthority(t)
	secure := serve(t, over(a.issue(t, nil), says(page("200 OK", "safe"))))
	plain := serve(t, says("HTTP/1.1 301 Moved\r\nLocation: https://www.example.com:"+port(secure)+"/\r\n\r\n"))
	check := httpCheck(plain)
	check.FollowRedirects, check.TLS.CA, check.Body = true, a.file, regexp.MustCompile("safe")
	want(t, probeOnce(t, check, plain), Passed, "status 200")

	back := serve(t, over(a.issue(t, nil), says("HTTP/1.1 301 Moved\r\nLocation: http://www.example.com/\r\n\r\n")))
	check = httpsCheck(back, a.file)
	check.FollowRedirects = true
	want(t, probeOnce(t, check, back), Failed, `redirect from https to "http://www.example.com/", want https`)
}

func port(e *endpoint) string {
	_, port, _ := net.SplitHostPort(e.String())
	return port
}
