package zones

import (
	"os"
	"regexp"
	"testing"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
)

// withHTTPS gives the i-th balanced name of the first zone an HTTPS record.
func withHTTPS(w *world, i int, s config.Service) {
	s.Priority = max(s.Priority, 1)
	w.cfg.Zones[0].Names[i].HTTPS = &s
}

func TestHTTPSRecordsRenderedUpToHints(t *testing.T) {
	for want, service := range map[string]config.Service{
		`1 . alpn="h2"`: {Target: ".", ALPN: []string{"h2"}},
		`9 web.example.com. alpn="h2,h3" no-default-alpn="" port="8443"`: {
			Priority: 9, Target: "web.example.com.", ALPN: []string{"h2", "h3"}, NoDefaultALPN: true, Port: 8443,
		},
	} {
		w := newWorld()
		w.zone("example.com", apexRecords, "web.example.com", "again.web.example.com")
		withHTTPS(w, 0, service)
		withHTTPS(w, 1, service)
		w.cfg.Zones[0].Names[1].Pool = w.cfg.Zones[0].Names[0].Pool
		s := w.mustCompile(t)
		b := s.Balanced(s.Lookup(wire("web.example.com"), dns.TypeHTTPS).Node)
		data := s.Service(b.HTTPS)
		rr, _, err := dns.UnpackRRWithHeader(dns.RR_Header{Name: ".", Rrtype: dns.TypeHTTPS, Rdlength: uint16(len(data))}, data, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := rr.(*dns.HTTPS).SVCB; dataOf(&got) != want {
			t.Errorf("got %s\nwant %s", dataOf(&got), want)
		}
		again := s.Balanced(s.Lookup(wire("again.web.example.com"), dns.TypeHTTPS).Node)
		if again.HTTPS != b.HTTPS {
			t.Error("equal records are rendered twice")
		}
	}
}

// dataOf returns a record's data in presentation form.
func dataOf(rr *dns.SVCB) string {
	return rr.String()[len(rr.Hdr.String()):]
}

func TestErrorsOfHTTPSRecords(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords+"web HTTPS 1 . alpn=h2\napp HTTPS 1 . alpn=h2\nplain A 192.0.2.1\n",
		"web.example.com", "app.example.com", "other.example.com", "far.example.com", "static.example.com", "fine.example.com")
	targets := []dnsname.Name{".", "", "web.example.com.", "host.example.net.", "plain.example.com.", "web.example.com."}
	for i, target := range targets {
		w.cfg.Zones[0].Names[i].Pool = "web"
		if target != "" {
			withHTTPS(w, i, config.Service{Target: target, ALPN: []string{"h2"}, Pos: w.cfg.Zones[0].Names[i].Pos})
		}
	}
	w.cfg.Zones[0].Names[2].Pool = "api"
	const want = `/etc/meridian.yaml:14:7: zones.example.com.names.other.https.target: "web.example.com." is not bound to pool "api"; write ".", or a name bound to the same pool: the hints are addresses of that pool
/etc/meridian.yaml:15:7: zones.example.com.names.far.https.target: "host.example.net." is not bound to pool "web"; write ".", or a name bound to the same pool: the hints are addresses of that pool
/etc/meridian.yaml:16:7: zones.example.com.names.static.https.target: "plain.example.com." is not bound to pool "web"; write ".", or a name bound to the same pool: the hints are addresses of that pool
/z/0.zone:4:1: HTTPS of "web.example.com.", which has https in the configuration; remove one of the two
`
	if got := w.faults(t); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestHTTPSPageExampleBuilds(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/https.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)
	if example == nil {
		t.Fatal("the page has no example")
	}
	cfg, warnings, err := config.Parse("https.md", example[1])
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	_, found := Compile(cfg)
	if warnings, err := found.Join(); err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
}
