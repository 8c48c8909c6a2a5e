package probe

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"
)

func TestChainExpiresWithItsFirstCertificate(t *testing.T) {
	now := time.Now()
	ends := func(days ...int) (chain []*x509.Certificate) {
		for _, d := range days {
			chain = append(chain, &x509.Certificate{NotAfter: now.Add(time.Duration(d) * day)})
		}
		return chain
	}
	cases := []struct {
		name  string
		state tls.ConnectionState
		want  int // days
	}{
		{"the leaf", tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{ends(5, 50, 500)}}, 5},
		{"an authority between", tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{ends(50, 5, 500)}}, 5},
		{"the longest-lived of two chains", tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{ends(50, 5), ends(50, 40)}}, 40},
		{"the leaf alone where nothing was verified", tls.ConnectionState{PeerCertificates: ends(7, 3)}, 7},
	}
	for _, c := range cases {
		if got := DaysLeft(verifiedUntil(c.state), now); got != c.want {
			t.Errorf("%s: %d days, want %d", c.name, got, c.want)
		}
	}
}

func TestTLSProbesReportCertificateExpiry(t *testing.T) {
	a := newAuthority(t)
	e := serve(t, over(a.issue(t, nil), says(page("500 Oops", ""))))
	secure, plain := httpsCheck(e, a.file), httpCheck(serve(t, says(page("200 OK", ""))))
	if r := probeOnce(t, secure, e); r.Outcome != Failed || DaysLeft(r.Expires, time.Now()) != 0 || r.Expires.IsZero() {
		t.Errorf("https: %+v", r)
	}
	if r := probeAddr(t, plain, e.Addr()); !r.Expires.IsZero() {
		t.Errorf("http: %+v", r)
	}
}
