package snapshot_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-multierror"
	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/miekg/dns"

	"meridian/config"
	"meridian/snapshot"
)

// load parses a configuration in its own folder, with other files beside it.
func load(t testing.TB, text string, files map[string]string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, _, err := config.Parse(filepath.Join(dir, "meridian.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

const balanced = `
regions:
  here: {location: [1, 2]}
checks:
  web: {type: https, path: /, tls: {ca: ca.pem}}
pools:
  web: {policy: proximity, members: [{name: a, region: here, addresses: [192.0.2.1]}]}
zones:
  example.com:
    nameservers: {ns1.example.com: [192.0.2.53]}
    contact: hostmaster@example.com
    file: example.com.zone
    names: {www: {pool: web}}
`

func TestBuild(t *testing.T) {
	text := strings.Replace(balanced, ", tls: {ca: ca.pem}", "", 1)
	cfg := load(t, text, map[string]string{"example.com.zone": "www 5 TXT a\nwww 6 TXT b\n"})
	s, warnings, err := snapshot.Build(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Config != cfg || s.Zones == nil || s.Geo == nil || s.Pools == nil {
		t.Error("a part of the snapshot is missing")
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0].Error(), "example.com.zone:2:1: TTL 6 differs from TTL 5") {
		t.Errorf("warnings: %v", warnings)
	}
	m := s.Zones.Lookup([]byte("\x03www\x07example\x03com\x00"), dns.TypeA)
	if b := s.Zones.Balanced(m.Node); b == nil || cfg.Pools[b.Pool].Name != "web" || b.TTL != 30 {
		t.Errorf("binding %+v", b)
	}
}

func TestBuildWarnsOfUnknownCities(t *testing.T) {
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "City"})
	if err != nil {
		t.Fatal(err)
	}
	_, network, _ := net.ParseCIDR("81.2.69.0/24")
	if err := tree.Insert(network, mmdbtype.Map{"country_code": mmdbtype.String("GB"), "city": mmdbtype.String("London")}); err != nil {
		t.Fatal(err)
	}
	var database bytes.Buffer
	if _, err := tree.WriteTo(&database); err != nil {
		t.Fatal(err)
	}
	pool := "{policy: geolocation, default: nodata, check: web, members: [{name: a, addresses: [192.0.2.1], match: {city: [gb/LONDON, GB/Lodnon]}}]}"
	text := strings.NewReplacer(", tls: {ca: ca.pem}", "", "{policy: proximity, members: [{name: a, region: here, addresses: [192.0.2.1]}]}", pool).Replace(balanced)
	s, warnings, err := snapshot.Build(load(t, "geo: {database: city.mmdb}\n"+text, map[string]string{"example.com.zone": "www TXT a\n", "city.mmdb": database.String()}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if len(warnings) != 1 || !strings.HasSuffix(warnings[0].Error(), `pools.web.members[0].match.city[1]: city GB/Lodnon: no record of the database has it, so no client matches it; did you mean "GB/London"?`) {
		t.Errorf("warnings: %v", warnings)
	}
}

func TestBuildReportsErrorsOfEveryStage(t *testing.T) {
	cfg := load(t, "geo: {database: none.mmdb}\n"+balanced, map[string]string{
		"example.com.zone": "www 5 A 192.0.2.1\nweb 5 A 192.0.2\n",
	})
	s, _, err := snapshot.Build(cfg)
	if s != nil {
		t.Error("a snapshot in spite of faults")
	}
	var all *multierror.Error
	if !errors.As(err, &all) {
		t.Fatalf("%T: %v", err, err)
	}
	want := []string{"geo.database", "checks.web.tls.ca", "example.com.zone:1:1", "example.com.zone:2:15"}
	if len(all.Errors) != len(want) || strings.Count(err.Error(), "\n") != len(want)-1 {
		t.Fatalf("faults, want %d:\n%s", len(want), err)
	}
	for i := range want {
		var f config.Error
		if !errors.As(all.Errors[i], &f) || !strings.Contains(f.Error(), want[i]) {
			t.Errorf("fault %d is %v, want one of %s", i, all.Errors[i], want[i])
		}
	}
}
