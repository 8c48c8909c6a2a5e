package encrypted

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// packed returns a query and an answer with a TTL, or none for 0.
func packed(t testing.TB, rcode int, ttl uint32) (query, reply []byte) {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion("www.example.com.", dns.TypeA)
	query, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	m.Response, m.Rcode = true, rcode
	if ttl > 0 {
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "www.example.com.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl}, A: []byte{192, 0, 2, 1}}}
	}
	if reply, err = m.Pack(); err != nil {
		t.Fatal(err)
	}
	return query, reply
}

// TestDoHRequests checks the response to each kind of request.
func TestDoHRequests(t *testing.T) {
	query, reply := packed(t, dns.RcodeSuccess, 30)
	url := "/dns-query?dns=" + base64.RawURLEncoding.EncodeToString(query)
	for _, c := range []struct {
		what, method, url, contentType string
		body                           []byte
		status                         int
	}{
		{"GET", "GET", url, "", nil, 200},
		{"POST", "POST", "/dns-query", dnsMessage, query, 200},
		{"the largest POST", "POST", "/dns-query", dnsMessage, append(bytes.Clone(query), make([]byte, maxQuery-len(query))...), 200},
		{"a larger POST", "POST", "/dns-query", dnsMessage, append(bytes.Clone(query), make([]byte, maxQuery+1-len(query))...), 413},
		{"another path", "GET", strings.Replace(url, "dns-query", "other", 1), "", nil, 404},
		{"another method", "PUT", "/dns-query", dnsMessage, query, 405},
		{"HEAD", "HEAD", url, "", nil, 405},
		{"another type", "POST", "/dns-query", "application/json", query, 415},
		{"no variable", "GET", "/dns-query", "", nil, 400},
		{"two variables", "GET", url + "&dns=AAAA", "", nil, 400},
		{"no base64", "GET", "/dns-query?dns=!", "", nil, 400},
		{"padded base64", "GET", "/dns-query?dns=AAAAAAAAAAAAAAAAAAAAAA==", "", nil, 400},
		{"a short query", "GET", "/dns-query?dns=AAAA", "", nil, 400},
		{"an empty POST", "POST", "/dns-query", dnsMessage, nil, 400},
		{"a GET of 64 KB", "GET", "/dns-query?dns=" + strings.Repeat("A", 64<<10), "", nil, 414},
	} {
		d := DoH{Path: func() string { return "/dns-query" }, Answer: func(_ *http.Request, got []byte) []byte {
			if !bytes.Equal(got[:len(query)], query) {
				t.Errorf("%s: query %x", c.what, got)
			}
			return reply
		}}
		r := httptest.NewRequest(c.method, c.url, bytes.NewReader(c.body))
		r.Header.Set("Content-Type", c.contentType)
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		if w.Code != c.status || (w.Code == 200) != bytes.Equal(w.Body.Bytes(), reply) {
			t.Errorf("%s: status %d, want %d; body %x", c.what, w.Code, c.status, w.Body)
		}
		if w.Code == 200 && (w.Header().Get("Content-Type") != dnsMessage || w.Header().Get("Cache-Control") != "max-age=30") {
			t.Errorf("%s: headers %v", c.what, w.Header())
		}
		if w.Code == 405 && w.Header().Get("Allow") != "GET, POST" {
			t.Errorf("%s: headers %v", c.what, w.Header())
		}
	}
}

func TestDoHKeepsNoErrors(t *testing.T) {
	for rcode, want := range map[int]string{dns.RcodeSuccess: "max-age=7", dns.RcodeNameError: "max-age=7", dns.RcodeServerFailure: "no-store", dns.RcodeRefused: "no-store"} {
		if _, reply := packed(t, rcode, 7); cacheControl(reply) != want {
			t.Errorf("%s: %s, want %s", dns.RcodeToString[rcode], cacheControl(reply), want)
		}
	}
	if _, reply := packed(t, dns.RcodeSuccess, 0); cacheControl(reply) != "no-store" {
		t.Errorf("an answer without records: %s", cacheControl(reply))
	}
}

// FuzzDoH sends any variable and any body.
func FuzzDoH(f *testing.F) {
	query, reply := packed(f, dns.RcodeSuccess, 30)
	f.Add(base64.RawURLEncoding.EncodeToString(query), query)
	f.Fuzz(func(t *testing.T, variable string, body []byte) {
		d := DoH{Path: func() string { return "/" }, Answer: func(_ *http.Request, got []byte) []byte {
			if len(got) < 12 || len(got) > maxQuery {
				t.Errorf("a query of %d octets", len(got))
			}
			return reply
		}}
		get := httptest.NewRequest("GET", "/", nil)
		get.URL.RawQuery = "dns=" + variable
		d.ServeHTTP(httptest.NewRecorder(), get)
		post := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		post.Header.Set("Content-Type", dnsMessage)
		d.ServeHTTP(httptest.NewRecorder(), post)
	})
}
