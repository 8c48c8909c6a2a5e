package admin_test

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/admin"
)

// browserWorld has five regions. Its checks are results of others, so that no probe changes a page
// during the test.
const browserWorld = `
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
geo: {default: eu-west}
regions:
  us-east: {location: [39.04, -77.49]}
  sa-east: {location: [-23.55, -46.63]}
  eu-west: {location: [53.35, -6.26]}
  ap-south: {location: [19.08, 72.88]}
  ap-northeast: {location: [35.68, 139.69]}
checks:
  told: {type: push}
pools:
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
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}, api: {pool: api}}
`

// browserTools returns the programs of the test, or skips it.
func browserTools(t *testing.T) (node, chromium, folder string) {
	t.Helper()
	missing := func(what string) {
		if os.Getenv("MERIDIAN_REQUIRE_COUNTERPARTS") != "" {
			t.Fatal(what)
		}
		t.Skip("SKIPPED: " + what)
	}
	if testing.Short() {
		t.Skip("SKIPPED with -short: Chromium takes half a minute")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		missing("no node: apt-get install nodejs npm")
	}
	if chromium, err = exec.LookPath("chromium"); err != nil {
		missing("no chromium: apt-get install chromium")
	}
	folder = filepath.Join("dashboard", "browser")
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "playwright-core")); err != nil {
		missing("no node_modules: npm ci --prefix admin/dashboard/browser")
	}
	return node, chromium, folder
}

// TestDashboardInChromium runs dashboard/browser/check.mjs: every page, their accessibility, a drain
// by keyboard and a viewer. MERIDIAN_SCREENSHOTS names a folder for
// screenshots; docs/dashboard.png is its readme.png.
func TestDashboardInChromium(t *testing.T) {
	node, chromium, folder := browserTools(t)
	viewer, operator := strings.Repeat("v", 20), strings.Repeat("o", 20)
	h, dns := serveWorld(t, browserWorld, admin.Options{Version: "v1.2.3", Tokens: []admin.Token{
		{Name: "wall", Role: admin.Viewer, Secret: viewer}, {Name: "oncall", Role: admin.Operator, Secret: operator},
	}})
	for address, up := range map[string]string{"192.0.2.1": "true", "192.0.2.2": "true", "192.0.2.3": "true", "192.0.2.4": "true", "192.0.2.11": "true", "192.0.2.12": "false", "192.0.2.13": "true", "192.0.2.14": "true"} {
		r := asked("POST", "/v1/checks/told/reports", `{"address": "`+address+`", "up": `+up+`, "reason": "status 503, want 200-299", "lease": "1h"}`)
		r.Header.Set("Authorization", "Bearer "+operator)
		if code, body := answered(h, r); code != 200 {
			t.Fatalf("%s: %d %s", address, code, body)
		}
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // on a busy machine
	defer cancel()
	c := exec.CommandContext(ctx, node, "check.mjs")
	c.Dir = folder
	c.Env = append(os.Environ(), "BASE="+s.URL, "DNS="+dns, "OPERATOR="+operator, "VIEWER="+viewer, "CHROMIUM="+chromium, "SCREENSHOTS="+os.Getenv("MERIDIAN_SCREENSHOTS"))
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if folder := os.Getenv("MERIDIAN_SCREENSHOTS"); folder != "" {
		shrink(t, filepath.Join(folder, "readme.png"))
	}
}

// shrink reduces a PNG file to its 256 most frequent colours, which a page of few colours does not
// show.
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
	counts := map[color.Color]int{}
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			counts[picture.At(x, y)]++
		}
	}
	palette := color.Palette(slices.SortedFunc(maps.Keys(counts), func(a, b color.Color) int { return counts[b] - counts[a] }))
	small := image.NewPaletted(picture.Bounds(), palette[:min(len(palette), 256)])
	draw.Draw(small, small.Bounds(), picture, image.Point{}, draw.Src)
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, small); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDashboardTypes checks the types of the dashboard, which esbuild ignores.
func TestDashboardTypes(t *testing.T) {
	node, _, folder := browserTools(t)
	c := exec.CommandContext(t.Context(), node, filepath.Join(folder, "node_modules", "typescript", "bin", "tsc"), "-p", "dashboard")
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
