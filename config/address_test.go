package config

import "testing"

func TestParseNetworkTakesAddressesAndNetworks(t *testing.T) {
	for text, want := range map[string]string{
		"198.51.100.7": "198.51.100.7/32", "198.51.100.7/24": "198.51.100.0/24", "2001:db8::1": "2001:db8::1/128",
		"2001:db8::1/32": "2001:db8::/32", "::ffff:198.51.100.7": "198.51.100.7/32",
		"::ffff:198.51.100.0/120": "", "fe80::1%eth0": "", "198.51.100.0/33": "", "web": "", "": "",
	} {
		got, ok := ParseNetwork(text)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%q: %v, %v; want %s", text, got, ok, want)
		}
	}
}
