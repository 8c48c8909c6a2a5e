package keys

import (
	"testing"

	"meridian/dnsname"
	"meridian/dnssec"
)

func mustName(t *testing.T, s string) dnsname.Name {
	t.Helper()
	name, err := dnsname.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// FuzzParse reads arbitrary files. What it accepts is the same after writing and reading it.
func FuzzParse(f *testing.F) {
	for _, algorithm := range []uint8{dnssec.ECDSAP256SHA256, dnssec.ED25519} {
		made, err := dnssec.Generate(zoneName, 257, algorithm)
		if err != nil {
			f.Fatal(err)
		}
		t, err := (&Key{Key: made}).format()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(t.public, t.private, t.state)
		f.Add(t.public, t.private+"Publish: 20260101000000\n", "DSPublish: 20260101000000 (Thu Jan  1 00:00:00 2026)\nX: y\n")
	}
	f.Add("example.com. IN DNSKEY 257 3 13 AAAA", "Private-key-format: v1.3\nAlgorithm: 13\nPrivateKey: AAAA\n", "")
	f.Fuzz(func(t *testing.T, public, private, state string) {
		k, err := parse(texts{public, private, state})
		if err != nil {
			return
		}
		written, err := k.format()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parse(written)
		if err != nil {
			t.Fatalf("%v\n%s\n%s\n%s", err, written.public, written.private, written.state)
		}
		if again.Times != k.Times || again.Tag != k.Tag || again.Zone != k.Zone {
			t.Errorf("%+v became %+v", k, again)
		}
	})
}
