package dnsname

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestParse(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	longest := strings.Repeat(label63+".", 3) + strings.Repeat("b", 61) + "." // 255 octets on the wire
	tests := []struct{ in, want string }{
		{".", "."},
		{"example.com", "example.com."},
		{"example.com.", "example.com."},
		{"WWW.Example.COM", "www.example.com."},
		{"a", "a."},
		{"*.example.com", "*.example.com."},
		{"_dns._udp.example.com", "_dns._udp.example.com."},
		{"0/25.2.0.192.in-addr.arpa", "0/25.2.0.192.in-addr.arpa."},
		{`a\.b.example`, `a\.b.example.`},
		{`a\046b.example`, `a\.b.example.`},
		{`\097\065.example`, "aa.example."},
		{`\000\255.example`, `\000\255.example.`},
		{`a\ b.example`, `a\ b.example.`},
		{`a\\.example`, `a\\.example.`},
		{`a\.`, `a\..`},
		{`a\\.`, `a\\.`},
		{`\@.example`, `\@.example.`},
		{`x\y.example`, "xy.example."},
		{label63 + ".example", label63 + ".example."},
		{longest, longest},
		{longest[:len(longest)-1], longest},
	}
	for _, test := range tests {
		got, err := Parse(test.in)
		if err != nil || string(got) != test.want {
			t.Errorf("Parse(%q) = %q, %v, want %q", test.in, got, err, test.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	label64 := strings.Repeat("a", 64)
	tooLong := strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("b", 62) // 256 octets
	tests := []struct{ in, reason string }{
		{"", "it is empty"},
		{"..", "it has an empty label"},
		{".a", "it has an empty label"},
		{"a..b", "it has an empty label"},
		{label64 + ".a", "it has a label longer than 63 octets"},
		{`\097` + label64[1:], "it has a label longer than 63 octets"},
		{tooLong, "it is longer than 255 octets"},
		{tooLong + ".", "it is longer than 255 octets"},
		{strings.Repeat("a.", 128), "it is longer than 255 octets"},
		{`a\`, "it ends in a backslash"},
		{`a\25.b`, "it has a backslash with fewer than three digits"},
		{`a\256`, `it has \256, which is more than \255`},
		{"a b", "it contains ' '"},
		{"a\nb", `it contains '\n'`},
		{"a@b", "it contains '@'"},
		{"bücher.example", "it has a character that is not ASCII, write it in punycode (xn--...)"},
	}
	for _, test := range tests {
		name, err := Parse(test.in)
		if err == nil || !strings.HasSuffix(err.Error(), " is not a domain name: "+test.reason) {
			t.Errorf("Parse(%q) = %q, %v, want %q", test.in, name, err, test.reason)
		}
	}
}

func TestWithinComparesLabels(t *testing.T) {
	tests := []struct {
		name, zone string
		want       bool
	}{
		{"example.com", "example.com", true},
		{"www.example.com", "example.com", true},
		{"badexample.com", "example.com", false},
		{`bad\.example.com`, "example.com", false},
		{`bad\\.example.com`, "example.com", true},
		{`bad\\\.example.com`, "example.com", false},
		{"com", "example.com", false},
		{"example.com", ".", true},
		{".", ".", true},
		{".", "com", false},
	}
	for _, test := range tests {
		name, zone := must(t, test.name), must(t, test.zone)
		if got := name.Within(zone); got != test.want {
			t.Errorf("%q within %q: %v, want %v", name, zone, got, test.want)
		}
	}
	if Name("").Within(".") {
		t.Error("no name is within the root")
	}
}

func TestParentEndsAtTheRoot(t *testing.T) {
	var got []Name
	for n := must(t, `a\.b.c\\.d`); n != "."; n = n.Parent() {
		got = append(got, n)
	}
	if want := `[a\.b.c\\.d. c\\.d. d.]`; want != strings.Join([]string{"[", strings.Join(strs(got), " "), "]"}, "") {
		t.Errorf("got %q, want %s", got, want)
	}
}

func strs(names []Name) []string {
	var s []string
	for _, n := range names {
		s = append(s, string(n))
	}
	return s
}

func must(t *testing.T, s string) Name {
	t.Helper()
	name, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// Random names agree with the DNS library: a name that parses here packs there to the same octets except case, and
// parses back to the same Name.
func TestNamesAgreeWithTheDNSLibrary(t *testing.T) {
	const alphabet = `aB09-_*.\.\\"; `
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		raw := make([]byte, random.IntN(80))
		for i := range raw {
			raw[i] = alphabet[random.IntN(len(alphabet))]
		}
		checkName(t, string(raw))
	}
	if t.Failed() {
		t.Logf("seed %d", seed)
	}
}

func checkName(t *testing.T, s string) {
	name, err := Parse(s)
	if err != nil {
		return
	}
	checkWire(t, s, name)
	wire := name.Wire()
	library := make([]byte, 300)
	end, err := dns.PackDomainName(dns.Fqdn(s), library, 0, nil, false)
	if err != nil || !strings.EqualFold(string(library[:end]), string(wire)) {
		t.Errorf("%q packs to %q, by the library to %q (%v)", s, wire, library[:end], err)
	}
	if again, err := Parse(string(name)); again != name {
		t.Errorf("%q reads back as %q, %v", name, again, err)
	}
	if isPlainName(s) && string(name) != s {
		t.Errorf("%q is plain, and still becomes %q", s, name)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{".", "example.com", `a\.b`, `\097`, "a..b", `a\`, "*.A"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkName(t, s) })
}
