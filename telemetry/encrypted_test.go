package telemetry

import (
	"crypto/tls"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/certs/certstest"
	"meridian/control"
)

func TestEncryptedTransportsAreMeasured(t *testing.T) {
	cert, key := certstest.Write(t, t.TempDir(), time.Now(), "dns.example")
	server := fmt.Sprintf(`listen_tls: ["127.0.0.1:0"], tls: {certificates: [{cert: %q, key: %q}]}, workers: 1`, cert, key)
	w := watch(t, strings.Replace(watchedConfig, "workers: 1", server, 1))
	status, err := w.control.Status(control.Selector{})
	if err != nil {
		t.Fatal(err)
	}
	e := status.Encrypted
	if e == nil || len(e.Listen) != 1 || e.Listen[0].Transport != "dot" || len(e.Certificates) != 1 || fmt.Sprint(e.Certificates[0].Names) != "[dns.example]" {
		t.Fatalf("%+v", e)
	}
	client := dns.Client{Net: "tcp-tls", Timeout: time.Minute, TLSConfig: &tls.Config{InsecureSkipVerify: true}}
	query := new(dns.Msg)
	query.SetQuestion("www.example.com.", dns.TypeA)
	if _, _, err := client.Exchange(query, e.Listen[0].Address); err != nil {
		t.Fatal(err)
	}
	text := w.scrape(t, "text/plain")
	for series, want := range map[string]string{
		`meridian_queries_total{family="ipv4",transport="dot"}`:          "1",
		`meridian_tls_handshakes_total{result="ok",transport="dot"}`:     "1",
		`meridian_encrypted_accepted_total{transport="dot"}`:             "1",
		`meridian_tcp_accepted_total`:                                    "0",
		`meridian_request_duration_seconds_count{transport="dot"}`:       "1",
		`meridian_tls_handshakes_total{result="failed",transport="dot"}`: "0",
	} {
		if got := value(text, series); got != want {
			t.Errorf("%s is %q, want %s", series, got, want)
		}
	}
	expiry, err := strconv.ParseFloat(value(text, fmt.Sprintf("meridian_server_certificate_expiry_timestamp_seconds{cert=%q}", cert)), 64)
	if want := float64(e.Certificates[0].NotAfter.Unix()); err != nil || expiry != want {
		t.Errorf("expiry %v, %v; want %v", expiry, err, want)
	}
}
