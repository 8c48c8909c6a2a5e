package health

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meridian/config"
	"meridian/health/probe"
)

func TestExpiringCertificateIsLoggedOnceADay(t *testing.T) {
	cases := []struct {
		name     string
		warnDays int
		want     []string // log lines within three days and some hours
	}{
		{"never", 0, nil},
		{"too early yet, then two days before the end", 2, []string{"days=1", "days=0"}},
		{"from the first probe on", 14, []string{"days=3", "days=2", "days=1", "days=0"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cert := certificateUntil(t, time.Now().Add(4*day-time.Hour))
				check := config.Check{
					Name: "front", Type: config.TLS, Port: 443, Host: "www.example.com",
					Interval: time.Hour, Timeout: time.Second, Rise: 2, Fall: 3,
					TLS: config.CheckTLS{Insecure: true, WarnDays: c.warnDays},
				}
				book, transitions := &logBook{}, &listener{}
				p := NewProber(Options{Dial: presents(cert), Logger: book.logger()})
				ctx, stop := context.WithCancel(t.Context())
				go p.Run(ctx)
				if _, err := p.Watch(targetsOf(&check, addrs(1)), transitions.record); err != nil {
					t.Fatal(err)
				}
				time.Sleep(3*day + 6*time.Hour) // a day and a jittered hour between lines
				stop()
				<-p.stopped
				got := linesWith(book, "certificate expires soon")
				for i, line := range got {
					if i < len(c.want) && !strings.HasSuffix(line, c.want[i]) || !strings.Contains(line, "check=front address=10.0.0.0") {
						t.Errorf("line %d: %s", i, line)
					}
				}
				if len(got) != len(c.want) {
					t.Errorf("%d lines, want %d:\n%s", len(got), len(c.want), strings.Join(got, "\n"))
				}
				if got := transitions.take(); len(got) != 1 || got[0].To != Up {
					t.Errorf("transitions %v, want one to up", got)
				}
			})
		})
	}
}

// presents returns a dialer to a peer that presents a certificate.
func presents(cert tls.Certificate) probe.Dial {
	return func(context.Context, netip.Addr, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			_ = tls.Server(server, &tls.Config{Certificates: []tls.Certificate{cert}}).Handshake()
		}()
		return client, nil
	}
}

func linesWith(b *logBook, what string) []string {
	var found []string
	for _, line := range b.lines() {
		if strings.Contains(line, what) {
			found = append(found, line)
		}
	}
	return found
}

// certificateUntil returns a certificate without an authority.
func certificateUntil(t *testing.T, expires time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"www.example.com"}, NotAfter: expires}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestCertificatesAreRecordedUntilTheirTargetIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		expires := time.Now().Add(30 * day).UTC().Truncate(time.Second)
		check := func(rise int) *config.Check {
			return &config.Check{
				Name: "front", Type: config.TLS, Port: 443, Host: "www.example.com",
				Interval: time.Hour, Timeout: time.Second, Rise: rise, Fall: 3, TLS: config.CheckTLS{Insecure: true},
			}
		}
		seen := &Certificates{}
		p := NewProber(Options{Dial: presents(certificateUntil(t, expires)), Logger: new(logBook).logger(), Observer: Observer{Certificates: seen}})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go p.Run(ctx)
		expect := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			all := seen.All()
			if len(all) != want {
				t.Errorf("%s: %d certificates, want %d", when, len(all), want)
			}
			for _, c := range all {
				if !c.Expires.Equal(expires) || c.Check.Name != "front" || !c.Addr.IsValid() {
					t.Errorf("%s: %+v", when, c)
				}
			}
		}
		expect("before the first probe", 0)
		first, err := p.Watch(targetsOf(check(1), addrs(3)), new(listener).record)
		if err != nil {
			t.Fatal(err)
		}
		expect("after it", 3)
		next, err := p.Watch(targetsOf(check(2), addrs(2)), new(listener).record) // not probed yet
		if err != nil {
			t.Fatal(err)
		}
		first.Close()
		expect("after a reload", 2)
		next.Close()
		expect("after the end", 0)
	})
}
