package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/counterpart"
	"meridian/dnsname"
	"meridian/dnssec"
	"meridian/dnssec/keys"
)

// The servers of a test on the loopback of a network namespace: BIND serves the root and example.com, which delegates
// zones to Meridian; unbound and a second BIND validate from example.com down.
const (
	parentAddress  = "127.0.53.10"
	signerAddress  = "127.0.53.11"
	unboundAddress = "127.0.53.12"
	bindAddress    = "127.0.53.13"
)

// startParent starts the server of example.com, which BIND signs, with DS records of the keys in folder.
func startParent(t *testing.T, dir string, folder *keys.Folder) {
	t.Helper()
	text := "$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 1\n@ NS ns\nns A " + parentAddress + "\n"
	for _, zone := range rolloverZones {
		label, _, _ := strings.Cut(zone, ".")
		text += fmt.Sprintf("%[1]s NS ns1.%[1]s\nns1.%[1]s A %[2]s\n", label, signerAddress)
		all, err := folder.Keys(dnsname.Name(zone))
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range all {
			if k.SEP() {
				ds := k.DS(dnssec.SHA256)
				text += fmt.Sprintf("%s 1 DS %d %d 2 %X\n", label, k.Tag, k.Algorithm, ds[4:])
			}
		}
	}
	writeFile(t, filepath.Join(dir, "parent.zone"), text)
	writeFile(t, filepath.Join(dir, "root.zone"), `$TTL 3600
. SOA ns.root. hostmaster.root. 1 3600 600 86400 60
. NS ns.root.
ns.root. A `+parentAddress+`
example.com. NS ns.example.com.
ns.example.com. A `+parentAddress+`
`)
	conf := filepath.Join(dir, "parent.conf")
	writeFile(t, conf, fmt.Sprintf(`options {
  directory %[1]q; pid-file "parent.pid"; session-keyfile "parent.key"; managed-keys-directory %[1]q; key-directory %[1]q;
  listen-on port 53 { %[2]s; }; listen-on-v6 { none; };
  recursion no; dnssec-validation no; notify no; empty-zones-enable no;
};
controls { };
dnssec-policy one { keys { csk lifetime unlimited algorithm ecdsap256sha256; }; };
zone "." { type primary; file "root.zone"; };
zone "example.com" { type primary; file "parent.zone"; dnssec-policy one; allow-update { 127.0.0.0/8; }; };
`, dir, parentAddress))
	counterpart.Start(t, "named", "-g", "-c", conf)
}

// parentKey waits until the parent zone is signed, and returns its key.
func parentKey(t *testing.T) (key *dns.DNSKEY) {
	t.Helper()
	counterpart.Await(t, func() error {
		q := new(dns.Msg).SetQuestion("example.com.", dns.TypeDNSKEY)
		q.SetEdns0(4096, true)
		answer, err := dns.Exchange(q, parentAddress+":53")
		if err != nil {
			return err
		}
		signed := false
		for _, rr := range answer.Answer {
			switch rr := rr.(type) {
			case *dns.DNSKEY:
				key = rr
			case *dns.RRSIG:
				signed = true
			}
		}
		if key == nil || !signed {
			return errors.New("the parent zone is not signed yet")
		}
		return nil
	})
	return key
}

// readCDS changes the DS records of each zone as its CDS records ask: dnssec-cds checks them, and nsupdate changes the
// parent zone.
func readCDS(t *testing.T, dir string) {
	t.Helper()
	for _, zone := range rolloverZones {
		cds := records(t, signerAddress, zone, dns.TypeCDS)
		if len(cds) == 0 {
			continue
		}
		child, ds := filepath.Join(dir, "child"), filepath.Join(dir, "ds")
		writeFile(t, child, strings.Join(append(cds, append(records(t, signerAddress, zone, dns.TypeCDNSKEY), records(t, signerAddress, zone, dns.TypeDNSKEY)...)...), "\n")+"\n")
		writeFile(t, ds, strings.Join(records(t, parentAddress, zone, dns.TypeDS), "\n")+"\n")
		script := counterpart.Output(t, "dnssec-cds", "-u", "-s", "now-1h", "-T", "1", "-f", child, "-d", ds, strings.TrimSuffix(zone, "."))
		if script == "" {
			continue
		}
		update := exec.Command(counterpart.Find(t, "nsupdate"))
		update.Stdin = strings.NewReader(fmt.Sprintf("server %s\nzone example.com\n%s\nsend\n", parentAddress, script))
		if out, err := update.CombinedOutput(); err != nil {
			t.Fatalf("nsupdate: %v\n%s%s", err, script, out)
		}
	}
}

// records returns the records of a set with their signatures, in presentation form.
func records(t *testing.T, server, zone string, qtype uint16) (lines []string) {
	t.Helper()
	q := new(dns.Msg).SetQuestion(zone, qtype)
	q.SetEdns0(4096, true)
	answer, err := dns.Exchange(q, server+":53")
	if err != nil || answer.Rcode != dns.RcodeSuccess {
		t.Fatalf("%s %s of %s: %v %v", zone, dns.Type(qtype), server, err, answer)
	}
	for _, rr := range answer.Answer {
		if sig, ok := rr.(*dns.RRSIG); !ok && rr.Header().Rrtype == qtype || ok && sig.TypeCovered == qtype {
			lines = append(lines, rr.String())
		}
	}
	return lines
}
