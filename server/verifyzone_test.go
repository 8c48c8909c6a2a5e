package server

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/counterpart"
	"meridian/server/answer/answertest"
)

// TestZoneVerifiersAcceptSignedZones writes down zones that Meridian signs, by their NSEC records, and has the verifiers of
// BIND and ldns check them as a whole: each set has its signatures, and the chain has each name with its types.
func TestZoneVerifiersAcceptSignedZones(t *testing.T) {
	counterpart.Find(t, "dnssec-verify")
	counterpart.Find(t, "ldns-verify-zone")
	for name, policy := range map[string]string{
		"csk":     "{denial: nsec}",
		"ksk+zsk": "{denial: nsec, keys: ksk+zsk, algorithm: ed25519, cds: always}",
	} {
		t.Run(name, func(t *testing.T) {
			config := strings.Replace(signedConfig, "{denial: DENIAL}", policy, 1)
			built := answertest.Build(t, config, signedZone+"safe 300 IN NS ns.sub\nsafe 300 IN DS 7 13 2 "+strings.Repeat("AB", 32)+"\n*.w 300 IN TXT x\n")
			s := serve(t, built, false, "127.0.0.1:0")
			file := filepath.Join(t.TempDir(), "zone")
			text := walk(t, s.Addrs()[0].String(), "example.com.")
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, owner := range []string{"www", "*.t", "*.w", "tree", "sub", "safe", "alias", "a.ent"} {
				if !bytes.Contains(text, []byte("\n"+owner+".example.com.\t")) {
					t.Errorf("%s is not in the zone:\n%s", owner, text)
				}
			}
			args := []string{"-o", "example.com", file}
			if name == "csk" {
				args = append([]string{"-z"}, args...) // a key with the flag of KSKs signs all sets
			}
			counterpart.Output(t, "dnssec-verify", args...)
			counterpart.Output(t, "ldns-verify-zone", file)
		})
	}
}

// walk returns a zone as a master file: the records at each name of its NSEC chain, with signatures and glue.
func walk(t *testing.T, server, zone string) []byte {
	t.Helper()
	w := walker{t, server, zone, map[string]dns.RR{}}
	for name := zone; ; {
		nsec := w.nsecAt(name)
		for _, typ := range nsec.TypeBitMap {
			if typ != dns.TypeNSEC && typ != dns.TypeRRSIG {
				w.add(w.ask(name, typ))
			}
		}
		if name = nsec.NextDomain; name == zone {
			break
		}
	}
	return w.text()
}

// walker collects the records of a zone.
type walker struct {
	t       *testing.T
	server  string
	zone    string
	records map[string]dns.RR
}

// ask asks with DO over TCP, and returns the records of all sections.
func (w *walker) ask(name string, qtype uint16) []dns.RR {
	w.t.Helper()
	query := new(dns.Msg).SetQuestion(name, qtype)
	query.SetEdns0(4096, true)
	client := dns.Client{Net: "tcp", Timeout: time.Minute}
	answer, _, err := client.Exchange(query, w.server)
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.Concat(answer.Answer, answer.Ns, answer.Extra)
}

// add adds records of the zone.
func (w *walker) add(rrs []dns.RR) {
	for _, rr := range rrs {
		if dns.IsSubDomain(w.zone, rr.Header().Name) && rr.Header().Rrtype != dns.TypeOPT {
			w.records[rr.String()] = rr
		}
	}
}

// text returns the records as a master file, the SOA record first.
func (w *walker) text() []byte {
	var soa, rest []string
	for line, rr := range w.records {
		if rr.Header().Rrtype == dns.TypeSOA {
			soa = append(soa, line)
		} else {
			rest = append(rest, line)
		}
	}
	slices.Sort(rest)
	return []byte(strings.Join(append(soa, rest...), "\n") + "\n")
}

// nsecAt adds the NSEC record at a name, and returns it. That of a delegation is in the denial of a name after it.
func (w *walker) nsecAt(name string) *dns.NSEC {
	w.t.Helper()
	label, rest, _ := strings.Cut(name, ".")
	for _, rrs := range [][]dns.RR{w.ask(name, dns.TypeNSEC), w.ask(label+`\000.`+rest, dns.TypeA)} {
		for _, rr := range rrs {
			if nsec, ok := rr.(*dns.NSEC); ok && nsec.Hdr.Name == name {
				w.add(slices.DeleteFunc(rrs, func(rr dns.RR) bool { return rr.Header().Name != name || rr.Header().Rrtype == dns.TypeSOA }))
				return nsec
			}
		}
	}
	w.t.Fatalf("no NSEC record at %s", name)
	return nil
}
