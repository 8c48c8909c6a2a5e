package config

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// sameAddr checks that parseAddr accepts text with the result of netip.ParseAddr, or rejects only errors, zones and
// IPv4-mapped IPv6.
func sameAddr(t *testing.T, text string) {
	t.Helper()
	want, err := netip.ParseAddr(text)
	takes := err == nil && want.Zone() == "" && (want.Is4() || !hasDot(text))
	got, ok := parseAddr([]byte(text))
	if ok != takes || ok && got != want {
		t.Errorf("%q: got %v, %v; want %v, %v", text, got, ok, want, takes)
	}
}

func hasDot(text string) bool {
	for _, c := range text {
		if c == '.' {
			return true
		}
	}
	return false
}

func TestParseAddrAgreesWithNetip(t *testing.T) {
	for _, text := range []string{
		"", ".", ":", "::", ":::", "::1", "1::", "1::1", "1:::1", "1::1::1", ":1", "1:", "0.0.0.0", "255.255.255.255",
		"256.1.1.1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "01.2.3.4", "00.2.3.4", "0.2.3.4", "1.2.3.0004",
		"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4::5:6:7:8", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
		"2001:DB8::fFfF", "12345::", "00001::", "g::", "1:2:3:4:5:6:7:", "::ffff:1.2.3.4", "fe80::1%eth0", "1.2.3.4:5", "2001:db8:0:0::0:0",
	} {
		sameAddr(t, text)
	}
	r := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for range 20_000 {
		text := make([]byte, r.IntN(24))
		for i := range text {
			text[i] = "0123af:::..."[r.IntN(12)]
		}
		sameAddr(t, string(text))
	}
}

func FuzzParseAddrAgreesWithNetip(f *testing.F) {
	f.Add("192.0.2.1")
	f.Add("2001:db8::1:0")
	f.Fuzz(sameAddr)
}
