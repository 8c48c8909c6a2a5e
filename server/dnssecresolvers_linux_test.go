package server_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/counterpart"
	"meridian/health"
	"meridian/snapshot"
)

// signedGslb adds signatures to delegatedConfig.
func signedGslb(denial string) string {
	text := strings.Replace(delegatedConfig, "    contact:", "    dnssec: default\n    contact:", 1)
	return text + fmt.Sprintf("dnssec: {keys: keys, policies: {default: {denial: %s}}}\n", denial)
}

// TestResolversValidateSignedAnswers has unbound and BIND, which answer from the NSEC records that they have (RFC 8198),
// validate answers of a zone that Meridian signs, through a state change: none is bogus.
func TestResolversValidateSignedAnswers(t *testing.T) {
	counterpart.Find(t, "named")
	counterpart.Find(t, "unbound")
	if !counterpart.InOwnNetwork(t, parentAddress, meridianAddress, unboundAddress, bindAddress) {
		return
	}
	for _, denial := range []string{"compact", "nsec"} {
		t.Run(denial, func(t *testing.T) { resolversValidate(t, denial) })
	}
}

func resolversValidate(t *testing.T, denial string) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	built := serveHere(t, signedGslb(denial)).Snapshot()
	key := apexKey(t, built)
	write("root.zone", rootZone)
	write("parent.zone", parentZone)
	write("hints", hints)
	run(t, parentAddress, "named", "-g", "-c", write("parent.conf", namedConf(dir, "parent", parentAddress,
		`recursion no;`, `zone "." { type primary; file "root.zone"; }; zone "example.com" { type primary; file "parent.zone"; };`)))
	bind := strings.Replace(namedConf(dir, "bind", bindAddress, `recursion yes; allow-recursion { any; }; synth-from-dnssec yes;`,
		fmt.Sprintf("zone \".\" { type hint; file \"hints\"; };\ntrust-anchors { gslb.example.com. static-key %d %d %d %q; };", key.Flags, key.Protocol, key.Algorithm, key.PublicKey)),
		"dnssec-validation no", "dnssec-validation yes", 1)
	run(t, bindAddress, "named", "-g", "-c", write("bind.conf", bind))
	validating := strings.NewReplacer(`"subnetcache iterator"`, `"validator iterator"`,
		"  client-subnet-always-forward: yes\n", "", "  send-client-subnet: "+meridianAddress+"\n", "  aggressive-nsec: yes\n  trust-anchor: \""+key.String()+"\"\n").Replace(unboundConf(dir))
	run(t, unboundAddress, "unbound", "-d", "-c", write("unbound.conf", validating))
	for _, resolver := range []string{unboundAddress, bindAddress} {
		t.Run(resolver, func(t *testing.T) { validates(t, resolver, built) })
	}
}

// apexKey returns the DNSKEY record of the signed zone.
func apexKey(t *testing.T, built *snapshot.Snapshot) *dns.DNSKEY {
	t.Helper()
	set, ok := built.Signing.Zones[0].ApexSet(dns.TypeDNSKEY)
	if !ok {
		t.Fatal("no DNSKEY set")
	}
	rdata := set.Data[2:]
	return &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: "gslb.example.com.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
		Flags: uint16(rdata[0])<<8 | uint16(rdata[1]), Protocol: rdata[2], Algorithm: rdata[3], PublicKey: base64.StdEncoding.EncodeToString(rdata[4:]),
	}
}

// validates asks a resolver for every kind of answer, and for names that it may deny itself from what it has seen.
func validates(t *testing.T, resolver string, built *snapshot.Snapshot) {
	secure := func(name string, qtype uint16, rcode int, records bool) {
		t.Helper()
		counterpart.Await(t, func() error {
			q := question(name, qtype, "")
			q.SetEdns0(1232, true)
			q.AuthenticatedData = true
			a, err := exchange(resolver, q)
			if err != nil {
				return err
			}
			has := false
			for _, rr := range a.Answer {
				has = has || rr.Header().Rrtype == qtype
			}
			if !a.AuthenticatedData || a.Rcode != rcode || has != records {
				return fmt.Errorf("%s %s: %v", name, dns.Type(qtype), a)
			}
			return nil
		})
	}
	secure("gslb.example.com.", dns.TypeDNSKEY, dns.RcodeSuccess, true)
	missing := dns.RcodeNameError
	if q, err := exchange(meridianAddress, question("x.gslb.example.com.", dns.TypeA, "")); err != nil || q.Rcode != missing {
		t.Fatalf("%v %v", q, err)
	}
	for round := range 2 { // in the second one, the only member with an IPv6 address is down
		secure("www.gslb.example.com.", dns.TypeTXT, dns.RcodeSuccess, false)
		secure("www.gslb.example.com.", dns.TypeA, dns.RcodeSuccess, true)
		secure("www.gslb.example.com.", dns.TypeAAAA, dns.RcodeSuccess, round == 0)
		secure("www.gslb.example.com.", dns.TypeHTTPS, dns.RcodeSuccess, true)
		secure("gslb.example.com.", dns.TypeMX, dns.RcodeSuccess, false)
		secure("gslb.example.com.", dns.TypeA, dns.RcodeSuccess, true)
		if round == 0 {
			turnEast(t, built, health.Down)
			resolves(t, resolver, "www.gslb.example.com.", dns.TypeA, "", "192.0.2.20")
		}
	}
	turnEast(t, built, health.Up)
	resolves(t, resolver, "www.gslb.example.com.", dns.TypeA, "", "192.0.2.10")
	for i := range 3 {
		q := question(fmt.Sprintf("nothing-%d.gslb.example.com.", i), dns.TypeA, "")
		q.SetEdns0(1232, true)
		if a, err := exchange(resolver, q); err != nil || a.Rcode == dns.RcodeServerFailure || !a.AuthenticatedData || len(a.Answer) != 0 {
			t.Errorf("%v %v", a, err)
		}
	}
}
