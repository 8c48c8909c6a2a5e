package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"meridian/config"
	"meridian/counterpart"
	"meridian/dnsname"
	"meridian/dnssec/keys"
)

// rolloverConfig signs one zone for each kind of rollover. ALGORITHM changes.
const rolloverConfig = `
server: {listen: ["` + signerAddress + `:53"], workers: 1}
dnssec:
  keys: keys
  policies:
    csk: {TIMES}
    split: {keys: ksk+zsk, denial: nsec, TIMES}
    changing: {algorithm: ALGORITHM, TIMES}
pools:
  web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1, "2001:db8::1"]}, {name: b, addresses: [192.0.2.2]}]}
zones:
  csk.example.com: {file: child.zone, ttl: 1, dnssec: csk, names: {www: {pool: web}}}
  split.example.com: {file: child.zone, ttl: 1, dnssec: split, names: {www: {pool: web}}}
  changing.example.com: {file: child.zone, ttl: 1, dnssec: changing, names: {www: {pool: web}}}
`

const rolloverTimes = `validity: 30s, refresh: 5s, inception: 2s, dnskey_ttl: 1s, publish_safety: 3s, retire_safety: 3s, ` +
	`parent: {servers: ["` + parentAddress + `:53"], ds_ttl: 1s, propagation: 0s}`

const childZone = `$TTL 1
@ SOA ns1 host 1 7200 3600 604800 1
@ NS ns1
@ TXT "here"
ns1 A ` + signerAddress + `
*.wild TXT "wild"
`

// rolloverZones are the zones of rolloverConfig.
var rolloverZones = []string{"csk.example.com.", "split.example.com.", "changing.example.com."}

// TestRolloversUnderValidatingLoad has the keys of three zones replaced while unbound and BIND validate answers: a CSK, a
// KSK together with a ZSK, and the algorithm. The parent zone is one of BIND, whose DS records dnssec-cds changes as the
// CDS records ask. No answer may be bogus. With MERIDIAN_ROLLOVER_ANSWERS it goes on until so many answers have come.
func TestRolloversUnderValidatingLoad(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"named", "unbound", "dnssec-cds", "nsupdate"} {
		counterpart.Find(t, program)
	}
	if !counterpart.InOwnNetwork(t, parentAddress, signerAddress, unboundAddress, bindAddress) {
		return
	}
	r := newRollovers(t)
	startParent(t, r.dir, r.open(t))
	_, r.log = background(t, "serve", "-c", r.config)
	r.log.await(t, `msg=serving listen=(\S+)`)
	startValidators(t, r.dir, parentKey(t))
	load := newValidatingLoad(t)
	rounds := 0
	for wanted := load.wanted; rounds == 0 || load.answers() < wanted; rounds++ {
		r.replaceKeys(t, rounds)
	}
	load.await(t, load.answers()+200) // resolvers may have signatures of the old keys
	load.end(t, r.dir)
	t.Logf("%d rounds of rollovers, %d answers", rounds, load.answers())
}

// rollovers is the server with the keys that are replaced.
type rollovers struct {
	dir, config, keys string // paths
	log               *transcript
	old               map[string][]uint16 // by zone: the keys before a round
}

// newRollovers writes a configuration, and keys that are an hour old.
func newRollovers(t *testing.T) *rollovers {
	t.Helper()
	dir := t.TempDir()
	r := &rollovers{dir: dir, config: filepath.Join(dir, "meridian.yaml")}
	writeFile(t, filepath.Join(dir, "child.zone"), childZone)
	cfg := r.configure(t, "ecdsap256sha256")
	for i := range cfg.Zones {
		z := &cfg.Zones[i]
		first := keys.Request{Folder: cfg.DNSSEC.Keys, Zone: z.Name, Policy: cfg.DNSSECPolicy(z), Now: time.Now().Add(-time.Hour), Write: true}
		if _, err := keys.Update(first); err != nil {
			t.Fatal(err)
		}
	}
	r.keys = cfg.DNSSEC.Keys
	r.noteKeys(t)
	r.configure(t, "ed25519")
	return r
}

// configure writes the configuration with an algorithm for the zone that changes it.
func (r *rollovers) configure(t *testing.T, algorithm string) *config.Config {
	t.Helper()
	writeFile(t, r.config, strings.NewReplacer("TIMES", rolloverTimes, "ALGORITHM", algorithm).Replace(rolloverConfig))
	cfg, _, err := config.Load(r.config)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// replaceKeys begins one rollover of each kind, and returns when all of them have ended.
func (r *rollovers) replaceKeys(t *testing.T, round int) {
	t.Helper()
	if round > 0 { // in the first one, the server begins with another algorithm than that of the keys
		r.configure(t, []string{"ed25519", "ecdsap256sha256"}[round%2])
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"csk.example.com"}, {"split.example.com", "--role", "ksk"}, {"split.example.com", "--role", "zsk"}} {
		var out transcript
		if code := run(context.Background(), append([]string{"keys", "roll", "-c", r.config}, args...), &out, &out); code != exitOK {
			t.Fatalf("round %d: roll %v: exit %d\n%s", round, args, code, &out)
		}
	}
	counterpart.Await(t, func() error {
		readCDS(t, r.dir)
		for _, zone := range rolloverZones {
			now := r.tags(t, zone)
			if remains := slices.ContainsFunc(now, func(tag uint16) bool { return slices.Contains(r.old[zone], tag) }); remains || len(now) != len(r.old[zone]) {
				return fmt.Errorf("round %d: %s had the keys %v, and has %v, want others\n%s", round, zone, r.old[zone], now, r.log)
			}
		}
		return nil
	})
	r.noteKeys(t)
}

// noteKeys remembers the keys that a round replaces.
func (r *rollovers) noteKeys(t *testing.T) {
	t.Helper()
	r.old = map[string][]uint16{}
	for _, zone := range rolloverZones {
		r.old[zone] = r.tags(t, zone)
	}
}

// open opens the folder of keys with the files that it has now.
func (r *rollovers) open(t *testing.T) *keys.Folder {
	t.Helper()
	folder, err := keys.Open(r.keys)
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// tags returns the keys of a zone that are published or sign.
func (r *rollovers) tags(t *testing.T, zone string) (tags []uint16) {
	t.Helper()
	all, err := r.open(t).Keys(dnsname.Name(zone))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range all {
		if now := time.Now(); k.Published(now) || k.Active(now) {
			tags = append(tags, k.Tag)
		}
	}
	return tags
}
