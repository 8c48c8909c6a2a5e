package snapshot_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnssec/keys"
	"meridian/snapshot"
)

const signed = `
dnssec: {keys: keys, policies: {copied: {manager: external}}}
zones: {example.com: {nameservers: {ns.example.net: []}, contact: h@example.com, dnssec: default}}
`

// keyFiles returns the paths of the key files of cfg.
func keyFiles(t *testing.T, cfg *config.Config) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(cfg.DNSSEC.Keys, "*", "K*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestServerMakesMissingKeysOnce(t *testing.T) {
	cfg := load(t, signed, nil)
	var tags []uint16
	for range 2 { // the second start reads what the first one wrote
		s, _, err := snapshot.WritingKeys(snapshot.Build)(cfg)
		if err != nil {
			t.Fatal(err)
		}
		tags = append(tags, s.Signing.Zones[0].KeyTags(dns.TypeA)...)
		if files := keyFiles(t, cfg); len(files) != 3 {
			t.Fatalf("files %q, want those of one key", files)
		}
		if _, err := s.Signing.UpdateKeys(time.Now()); err != nil || !slices.Equal(s.Signing.Zones[0].KeyTags(dns.TypeDNSKEY), tags[:1]) {
			t.Errorf("after reading the files again: %v", err)
		}
		s.Close()
	}
	if len(tags) != 2 || tags[0] != tags[1] {
		t.Errorf("tags %v, want one key after both starts", tags)
	}
}

// TestKeysMadeDuringABuildAreUsed has a command make the key of a zone after the build of a server has planned one.
func TestKeysMadeDuringABuildAreUsed(t *testing.T) {
	cfg := load(t, signed, nil)
	var made keys.Result
	s, _, err := snapshot.WritingKeys(func(cfg *config.Config) (*snapshot.Snapshot, []config.Error, error) {
		s, warnings, err := snapshot.Build(cfg)
		if err == nil {
			made, err = keys.Update(keys.Request{Folder: cfg.DNSSEC.Keys, Zone: cfg.Zones[0].Name, Policy: cfg.DNSSECPolicy(&cfg.Zones[0]), Now: time.Now(), Write: true})
		}
		return s, warnings, err
	})(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if files := keyFiles(t, cfg); len(files) != 3 {
		t.Errorf("files %q, want those of one key", files)
	}
	if got := s.Signing.Zones[0].KeyTags(dns.TypeA); len(got) != 1 || got[0] != made.Keys[0].Tag {
		t.Errorf("signs with %v, want %d", got, made.Keys[0].Tag)
	}
}

// TestFirstDSWaitsForTheLargestTTL checks that the DS record of the first key waits until resolvers have forgotten the
// unsigned records, which takes the largest TTL of the zone, not the validity of signatures.
func TestFirstDSWaitsForTheLargestTTL(t *testing.T) {
	for ttl, wait := range map[string]time.Duration{
		"300":    3 * time.Hour, // dnskey_ttl and two times publish_safety
		"36000":  11 * time.Hour,
		"864000": 73 * time.Hour, // no signature is valid for longer
	} {
		cfg := load(t, strings.Replace(signed, "dnssec: default", "dnssec: default, file: z.zone", 1), map[string]string{"z.zone": "www " + ttl + " IN TXT x\n"})
		s, _, err := snapshot.WritingKeys(snapshot.Build)(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := snapshot.LargestTTL(cfg, 0); strconv.Itoa(int(got.Seconds())) != ttl && ttl != "300" { // the SOA has 3600
			t.Errorf("largest TTL %v, want %s", got, ttl)
		}
		s.Close()
		folder, err := keys.Open(cfg.DNSSEC.Keys)
		if err != nil {
			t.Fatal(err)
		}
		all, err := folder.Keys(cfg.Zones[0].Name)
		if err != nil || len(all) != 1 {
			t.Fatalf("%d keys, %v", len(all), err)
		}
		if got := all[0].SyncPublish.Sub(all[0].Publish); got != wait {
			t.Errorf("TTL %s: the DS waits for %v, want %v", ttl, got, wait)
		}
	}
}

// A clock that is set back to the right time must not make the keys of the server unusable at its next start.
func TestStartUsesTheKeysOfTheLastTimeSeen(t *testing.T) {
	cfg := load(t, signed, nil)
	later := keys.Request{
		Folder: cfg.DNSSEC.Keys, Zone: cfg.Zones[0].Name, Policy: cfg.DNSSECPolicy(&cfg.Zones[0]),
		Now: time.Now().Add(48 * time.Hour), Write: true,
	}
	made, err := keys.Update(later)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := snapshot.WritingKeys(snapshot.Build)(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Signing.Zones[0].KeyTags(dns.TypeA); len(got) != 1 || got[0] != made.Keys[0].Tag {
		t.Errorf("signs with %v, want %d", got, made.Keys[0].Tag)
	}
	if files := keyFiles(t, cfg); len(files) != 3 {
		t.Errorf("files %q, want those of one key", files)
	}
}

// A build for check, explain or plan writes nothing.
func TestBuildWritesNoKeys(t *testing.T) {
	cfg := load(t, signed, nil)
	s, _, err := snapshot.Build(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if files := keyFiles(t, cfg); len(files) != 0 {
		t.Errorf("files %q", files)
	}
}

func TestUnsignedZoneHasNoKeys(t *testing.T) {
	s, _, err := snapshot.Build(load(t, strings.Replace(signed, "dnssec: default", "dnssec: none", 1), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Signing != nil {
		t.Error("a configuration without a signed zone signs")
	}
}

func TestErrorsOfKeysNameTheFile(t *testing.T) {
	external := load(t, strings.Replace(signed, "dnssec: default", "dnssec: copied", 1), nil)
	if _, _, err := snapshot.Build(external); err == nil || !strings.Contains(err.Error(), "zones.example.com.dnssec: the zone cannot be signed: there is no key in "+external.DNSSEC.Keys) {
		t.Errorf("without keys: %v", err)
	}
	behind := load(t, signed, nil)
	if err := os.MkdirAll(behind.DNSSEC.Keys, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(behind.DNSSEC.Keys, "clock"), []byte("20991231000000"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := snapshot.Build(behind); err == nil || !strings.Contains(err.Error(), "; the zone waits for a correct clock: ") {
		t.Errorf("without keys, and with a clock that is behind: %v", err)
	}
	cfg := load(t, signed, nil)
	s, _, err := snapshot.WritingKeys(snapshot.Build)(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, file := range keyFiles(t, cfg) {
		if strings.HasSuffix(file, ".private") {
			if err := os.Chmod(file, 0o644); err != nil {
				t.Fatal(err)
			}
			if _, _, err := snapshot.Build(cfg); err == nil || !strings.Contains(err.Error(), file) {
				t.Errorf("a private key that everyone can read: %v", err)
			}
		}
	}
	if _, err := s.Signing.UpdateKeys(time.Now()); err == nil || len(s.Signing.Zones[0].KeyTags(dns.TypeA)) != 1 {
		t.Errorf("UpdateKeys: %v; want an error, and the keys that were in use", err)
	}
}

// A file that holds no time must not keep a server from serving, and must not be passed over in silence.
func TestUnreadableTimeLastSeenIsAWarning(t *testing.T) {
	cfg := load(t, signed, nil)
	if err := os.MkdirAll(cfg.DNSSEC.Keys, 0o700); err != nil {
		t.Fatal(err)
	}
	clock := filepath.Join(cfg.DNSSEC.Keys, "clock")
	if err := os.WriteFile(clock, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, warnings, err := snapshot.WritingKeys(snapshot.Build)(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := `dnssec.keys: ` + clock + `: "garbage" is not a time like 20060102150405: remove the file; until then `
	if len(warnings) != 1 || !strings.Contains(warnings[0].Error(), want) {
		t.Errorf("warnings %v, want %s", warnings, want)
	}
	if _, err := s.Signing.UpdateKeys(time.Now()); err == nil || len(s.Signing.Zones[0].KeyTags(dns.TypeA)) != 1 {
		t.Errorf("UpdateKeys: %v; want an error, and the keys that were in use", err)
	}
}

// Records that signing makes are not taken from the file of a zone that Meridian signs.
func TestFileOfSignedZoneHasNoSignatures(t *testing.T) {
	text := strings.Replace(signed, "dnssec: default", "dnssec: default, file: z.zone", 1)
	for policy, want := range map[string]bool{"default": false, "none": true} {
		cfg := load(t, strings.Replace(text, "dnssec: default", "dnssec: "+policy, 1), map[string]string{"z.zone": "www 300 IN TXT x\nwww 300 IN NSEC example.com. TXT\n"})
		s, warnings, err := snapshot.Build(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		match := s.Zones.Lookup([]byte("\x03www\x07example\x03com\x00"), dns.TypeTXT)
		if _, served := s.Zones.RRset(match.Node, dns.TypeNSEC); served != want {
			t.Errorf("dnssec: %s: NSEC of the file is served: %v; warnings %v", policy, served, warnings)
		}
	}
}

// A presigned zone is among the signed ones, without keys.
func TestPresignedZoneIsDescribed(t *testing.T) {
	const text = "zones: {example.com: {nameservers: {ns.example.net: []}, contact: h@example.com, file: z.zone}}\n"
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	file := "@ 60 IN NSEC @ NS SOA RRSIG NSEC\n"
	for _, typ := range []string{"SOA", "NS", "NSEC"} {
		file += "@ 300 IN RRSIG " + typ + " 13 2 300 " + expires.Format("20060102150405") + " " + expires.Add(-24*time.Hour).Format("20060102150405") + " 1 example.com. AAAA\n"
	}
	s, warnings, err := snapshot.Build(load(t, text, map[string]string{"z.zone": file}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	zones := s.SignedZones(time.Now())
	warned := slices.ContainsFunc(warnings, func(w config.Error) bool { return strings.Contains(w.Error(), "a signature of the zone expires at ") })
	if len(zones) != 1 || !zones[0].Presigned || !zones[0].Expires.Equal(expires) || !strings.HasPrefix(zones[0].Expiring, "a signature of the zone expires at ") || !warned {
		t.Errorf("%+v, warnings %v", zones, warnings)
	}
}

// The signed sets of a configuration are counted, and there is a warning if the cache is too small for them.
func TestSignedSetsAreCounted(t *testing.T) {
	const text = `
dnssec: {keys: keys, cache: 1MiB}
pools:
  one: {policy: weighted, members: [{name: a, addresses: [192.0.2.1, "2001:db8::1"]}, {name: b, addresses: [192.0.2.2]}]}
  two: {policy: weighted, answers: 2, members: [{name: a, addresses: [192.0.2.1]}, {name: b, addresses: [192.0.2.2]}]}
zones:
  example.com: {nameservers: {ns.example.net: []}, contact: h@example.com, dnssec: default, variety: VARIETY, names: {one: {pool: one}, two: {pool: two}}}
`
	for _, test := range []struct {
		variety string
		needed  int
		warned  bool
	}{
		{"32", 2 + 3 + 3 + 2*32, false}, // SOA and NS, three names, three addresses, 32 draws now and 32 next
		{"5000", 2 + 3 + 3 + 2*5000, true},
	} {
		s, warnings, err := snapshot.Build(load(t, strings.Replace(text, "VARIETY", test.variety, 1), nil))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		sets, ok := s.SignedSets()
		warned := slices.ContainsFunc(warnings, func(w config.Error) bool {
			return strings.Contains(w.Error(), "dnssec.cache: the signed zones can need")
		})
		if !ok || sets.Needed != test.needed || sets.Room != 8192 || warned != test.warned {
			t.Errorf("variety %s: %+v, warnings %v", test.variety, sets, warnings)
		}
	}
}
