package admin_test

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/admin"
	"meridian/counterpart"
)

// browserWorld has five regions. The results of their members are reported, so that no probe changes their state during
// the test; PORT is that of an endpoint, KEYS a folder, DAY the day of a maintenance window.
const browserWorld = `
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
geo: {default: eu-west}
dnssec: {keys: KEYS}
maintenance:
  rack-move: {targets: [api/apn-1], days: [DAY], start: "02:00", duration: 1h, reason: new switches}
regions:
  us-east: {location: [39.04, -77.49]}
  sa-east: {location: [-23.55, -46.63]}
  eu-west: {location: [53.35, -6.26]}
  ap-south: {location: [19.08, 72.88]}
  ap-northeast: {location: [35.68, 139.69]}
checks:
  told: {type: push}
  http: {type: http, port: PORT, path: /healthz, interval: 1s}
pools:
  status:
    policy: failover
    check: http
    members:
      - {name: here, addresses: [127.0.0.1]}
  web:
    policy: proximity
    check: told
    members:
      - {name: use-1, region: us-east, addresses: [192.0.2.1]}
      - {name: euw-1, region: eu-west, addresses: [192.0.2.2]}
      - {name: aps-1, region: ap-south, addresses: [192.0.2.3]}
      - {name: apn-1, region: ap-northeast, addresses: [192.0.2.4]}
  api:
    policy: proximity
    check: told
    members:
      - {name: use-1, region: us-east, addresses: [192.0.2.11]}
      - {name: sae-1, region: sa-east, addresses: [192.0.2.12]}
      - {name: euw-1, region: eu-west, addresses: [192.0.2.13]}
      - {name: apn-1, region: ap-northeast, addresses: [192.0.2.14]}
  six:
    policy: all
    members:
      - {name: six, addresses: ["2001:db8::1"]}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    dnssec: default
    names: {www: {pool: web}, api: {pool: api}, both: {pool: {A: web, AAAA: six}}}
`

// browserWorldWith returns browserWorld with the port of an endpoint. The maintenance window does not open during a test.
func browserWorldWith(t *testing.T, port string) string {
	t.Helper()
	day := strings.ToLower(time.Now().UTC().AddDate(0, 0, 3).Weekday().String()[:3])
	return strings.NewReplacer("PORT", port, "KEYS", t.TempDir()+"/keys", "DAY", day).Replace(browserWorld)
}

// browserTools returns the programs of the test, or skips it.
func browserTools(t *testing.T) (node, chromium, folder string) {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED with -short: Chromium takes half a minute")
	}
	node, chromium = counterpart.Find(t, "node"), counterpart.Find(t, "chromium")
	folder = filepath.Join("dashboard", "browser")
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "playwright-core")); err != nil {
		counterpart.Missing(t, "no node_modules: npm ci --prefix admin/dashboard/browser")
	}
	return node, chromium, folder
}

// TestDashboardInChromium runs dashboard/browser/check.mjs: every page, their accessibility, a drain
// by keyboard, a weight, what-if, the forecast of a pasted configuration, a rollback, older events, a viewer and a restart of
// the server. MERIDIAN_SCREENSHOTS names a folder for
// screenshots; docs/dashboard.png is its readme.png.
func TestDashboardInChromium(t *testing.T) {
	if raceEnabled {
		t.Skip("TestConcurrentRequests sends the requests of the dashboard under the race detector")
	}
	node, chromium, folder := browserTools(t)
	viewer, operator, administrator := strings.Repeat("v", 20), strings.Repeat("o", 20), strings.Repeat("a", 20)
	options := admin.Options{Version: "v1.2.3", Tokens: []admin.Token{
		{Name: "wall", Role: admin.Viewer, Secret: viewer}, {Name: "oncall", Role: admin.Operator, Secret: operator}, {Name: "lead", Role: admin.Admin, Secret: administrator},
	}}
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok")) })) //nolint:errcheck // the prober has gone
	t.Cleanup(endpoint.Close)
	_, port, _ := net.SplitHostPort(endpoint.Listener.Addr().String())
	world := browserWorldWith(t, port)
	h, dnsAddr := serveWorld(t, world, options)
	report(t, h, operator)
	go exchange(t.Context(), dnsAddr)
	s := newRestartable(t, h)
	control := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/stop":
			s.stop()
		case "/start":
			next, _ := serveWorld(t, world, options)
			report(t, next, operator)
			s.start(next)
		}
	}))
	t.Cleanup(control.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // on a busy machine
	defer cancel()
	c := exec.CommandContext(ctx, node, "check.mjs")
	c.Dir = folder
	c.Env = append(os.Environ(), "BASE=http://"+s.address, "CONTROL="+control.URL, "DNS="+dnsAddr, "ADMIN="+administrator, "OPERATOR="+operator, "VIEWER="+viewer, "CHROMIUM="+chromium, "CONFIG="+world, "SCREENSHOTS="+os.Getenv("MERIDIAN_SCREENSHOTS"))
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if folder := os.Getenv("MERIDIAN_SCREENSHOTS"); folder != "" {
		shrink(t, filepath.Join(folder, "readme.png"))
	}
}

// report gives every address several results, of which those of one are bad.
func report(t *testing.T, h http.Handler, token string) {
	t.Helper()
	for _, address := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14"} {
		for i := range 20 {
			body := `{"address": "` + address + `", "up": true, "reason": "status 200", "lease": "1h"}`
			if address == "192.0.2.12" && i > 12 {
				body = `{"address": "` + address + `", "up": false, "reason": "status 503, want 200-299", "lease": "1h"}`
			}
			r := asked("POST", "/v1/checks/told/reports", body)
			r.Header.Set("Authorization", "Bearer "+token)
			if code, answer := answered(h, r); code != http.StatusOK {
				t.Fatalf("%s: %d %s", address, code, answer)
			}
		}
	}
}

// exchange sends queries of clients on several continents until ctx ends.
func exchange(ctx context.Context, server string) {
	subnets := []string{"81.2.69.0", "8.8.8.0", "73.9.0.0", "8.8.4.0", "91.198.174.0", "103.21.244.0", "133.11.0.0", "200.160.2.0"}
	client := dns.Client{Timeout: time.Second}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		m := new(dns.Msg)
		m.SetQuestion([]string{"www.example.com.", "api.example.com."}[n%2], dns.TypeA)
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.ParseIP(subnets[n/2%len(subnets)])})
		_, _, _ = client.Exchange(m, server) // the test does not depend on it
		<-tick.C
	}
}

// restartable is an HTTP server that can end and begin again at its address.
type restartable struct {
	address string
	*http.Server
}

func newRestartable(t *testing.T, h http.Handler) *restartable {
	t.Helper()
	s := &restartable{address: "127.0.0.1:0"}
	s.start(h)
	t.Cleanup(s.stop)
	return s
}

func (s *restartable) start(h http.Handler) {
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		panic(err)
	}
	s.address, s.Server = l.Addr().String(), &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go s.Serve(l) //nolint:errcheck // stop ends it
}

func (s *restartable) stop() { s.Close() }

// shrink reduces a PNG file to 256 colours, which a page of few colours does not show.
func shrink(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	palette := paletteOf(picture)
	small := image.NewPaletted(picture.Bounds(), palette)
	draw.Draw(small, small.Bounds(), picture, image.Point{}, draw.Src)
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, small); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// paletteOf returns the 256 most frequent colours of a picture; of similar ones only the most frequent.
func paletteOf(picture image.Image) color.Palette {
	counts := map[color.Color]int{}
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			counts[picture.At(x, y)]++
		}
	}
	byCount := slices.SortedFunc(maps.Keys(counts), func(a, b color.Color) int { return counts[b] - counts[a] })
	var palette color.Palette
	seen := map[[3]uint32]bool{}
	for _, c := range byCount {
		r, g, b, _ := c.RGBA()
		if similar := [3]uint32{r >> 12, g >> 12, b >> 12}; !seen[similar] && len(palette) < 256 {
			seen[similar] = true
			palette = append(palette, c)
		}
	}
	return palette
}

// TestDashboardTypes checks the types of the dashboard, which esbuild ignores.
func TestDashboardTypes(t *testing.T) {
	node, _, folder := browserTools(t)
	c := exec.CommandContext(t.Context(), node, filepath.Join(folder, "node_modules", "typescript", "bin", "tsc"), "-p", "dashboard")
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
