package answer

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"meridian/server/answer/answertest"

	"github.com/miekg/dns"
)

// TestClientSubnet checks the answer and the scope for each subnet. 198.51.100.0/25 is in us,
// .128/25 in eu, 203.0.113.0/24 in ap; the packet comes from ap.
func TestClientSubnet(t *testing.T) {
	v4 := func(source byte, address ...byte) []byte { return append([]byte{0, 1, source, 0}, address...) }
	v6 := func(source byte, address ...byte) []byte { return append([]byte{0, 2, source, 0}, address...) }
	mapped := append(make([]byte, 10), 0xff, 0xff)
	const formErr = "FORMERR"

	p := newPaths(answertest.World(t))
	for name, c := range map[string]struct {
		subnet []byte
		want   string // the address for www A, or the rcode
		scope  int
	}{
		"located":                       {v4(24, 198, 51, 100), "192.0.2.1", 25},
		"located, the other half":       {v4(25, 198, 51, 100, 128), "192.0.2.2", 25},
		"located, one address":          {v4(32, 198, 51, 100, 129), "192.0.2.2", 25},
		"IPv6":                          {v6(48, 0x20, 1, 0x0d, 0xb8, 0, 1), "192.0.2.2", 48},
		"IPv4-mapped":                   {v6(120, append(mapped, 198, 51, 100)...), "192.0.2.1", 96 + 25},
		"prefix 0":                      {v4(0), "192.0.2.3", 0},
		"prefix 0 of IPv6":              {v6(0), "192.0.2.3", 0},
		"no family":                     {[]byte{0, 0, 0, 0}, "192.0.2.3", 0},
		"private":                       {v4(24, 192, 168, 1), "192.0.2.3", 16},
		"private, in networks":          {v4(24, 10, 7, 1), "192.0.2.3", 16},
		"private, beside networks":      {v4(24, 10, 6, 1), "192.0.2.3", 16},
		"loopback":                      {v4(8, 127), "192.0.2.3", 8},
		"link-local":                    {v6(16, 0xfe, 0x80), "192.0.2.3", 10},
		"scope in a query":              {[]byte{0, 1, 24, 24, 198, 51, 100}, formErr, 0},
		"family 3":                      {[]byte{0, 3, 8, 0, 1}, formErr, 0},
		"no family, prefix":             {[]byte{0, 0, 8, 0, 1}, formErr, 0},
		"cut":                           {[]byte{0, 1, 0}, formErr, 0},
		"empty":                         {nil, formErr, 0},
		"prefix longer than IPv4":       {v4(33, 198, 51, 100, 1, 0), formErr, 0},
		"prefix longer than IPv6":       {v6(129, make([]byte, 17)...), formErr, 0},
		"bits behind the prefix":        {v4(20, 198, 51, 100), formErr, 0},
		"address shorter than prefix":   {v4(24, 198, 51), formErr, 0},
		"address longer than prefix":    {v4(24, 198, 51, 100, 0), formErr, 0},
		"address longer than prefix, 0": {v4(0, 0), formErr, 0},
	} {
		t.Run(name, func(t *testing.T) {
			query := answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA), answertest.RawOption(dns.EDNS0SUBNET, c.subnet...))
			answer := exchange(t, p, answertest.Packed(t, query), "203.0.113.9", false)
			if c.want == formErr {
				if answer.Rcode != dns.RcodeFormatError || answer.IsEdns0() == nil || len(answer.IsEdns0().Option) != 0 {
					t.Errorf("%v", answer)
				}
				return
			}
			if got := answer.Answer[0].(*dns.A).A.String(); got != c.want {
				t.Errorf("address %s, want %s", got, c.want)
			}
			checkEcho(t, p, answertest.Packed(t, query), c.subnet, byte(c.scope))
		})
	}
}

// checkEcho looks for the query's subnet among the options of the answer.
func checkEcho(t *testing.T, p *paths, query, subnet []byte, scope byte) {
	t.Helper()
	answer := p.wire.Respond(nil, query, netip.MustParseAddr("203.0.113.9"), false)
	want := append([]byte{0, optionSubnet, 0, byte(len(subnet))}, subnet...)
	want[optionHead+3] = scope
	if !bytes.Contains(answer, want) {
		t.Errorf("no subnet option %v in the answer %v", want, answer)
	}
}

func TestScopeIsZeroForClientIndependentAnswers(t *testing.T) {
	p := newPaths(answertest.World(t))
	subnet := []byte{0, 1, 24, 0, 198, 51, 100}
	for _, name := range []string{
		"mail.example.com.", "far.example.com.", "gone.example.com.", "nothing.example.com.", "er.example.com.",
		"a.sub.example.com.", "away.example.com.", "www.example.org.",
	} {
		query := answertest.Packed(t, answertest.WithOptions(answertest.Ask(name, dns.TypeA), answertest.RawOption(dns.EDNS0SUBNET, subnet...)))
		exchange(t, p, query, "203.0.113.9", false)
		checkEcho(t, p, query, subnet, 0)
	}
}

func TestAliasHasScopeOfTarget(t *testing.T) {
	p := newPaths(answertest.World(t))
	subnet := []byte{0, 1, 24, 0, 198, 51, 100}
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		query := answertest.Packed(t, answertest.WithOptions(answertest.Ask("chain.example.com.", qtype), answertest.RawOption(dns.EDNS0SUBNET, subnet...)))
		exchange(t, p, query, "203.0.113.9", false)
		checkEcho(t, p, query, subnet, 25)
	}
}

// TestPrivateMatchesLocator compares the fast path with the direct call at the edges of
// every kind of address and in between.
func TestPrivateMatchesLocator(t *testing.T) {
	s := newActiveSnapshot(answertest.World(t))
	for _, p := range []string{
		"0.0.0.0/32", "10.0.0.0/8", "10.7.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.2.0/24",
		"192.168.0.0/16", "198.51.100.0/24", "224.0.0.0/4", "255.255.255.255/32", "::/128", "::1/128", "64:ff9b::/96", "2001:db8::/32",
		"fc00::/7", "fe80::/10", "fec0::/10", "ff02::/16",
	} {
		prefix := netip.MustParsePrefix(p)
		addrs := []netip.Addr{prefix.Addr().Prev(), prefix.Addr()}
		for range 20 {
			last := prefix.Addr().AsSlice()
			for i := range last {
				if bit := 8*i + 8 - prefix.Bits(); bit > 0 {
					last[i] |= byte(rand.Uint32()) & byte(1<<min(bit, 8)-1)
				}
			}
			addr, _ := netip.AddrFromSlice(last)
			addrs = append(addrs, addr)
		}
		for _, addr := range addrs {
			if !addr.IsValid() {
				continue
			}
			wantBits, want := s.snapshot.Geo.PrivateECS(addr)
			if bits, got := s.private(addr); got != want || bits != wantBits {
				t.Errorf("%s: %d %v, want %d %v", addr, bits, got, wantBits, want)
			}
		}
	}
}

func TestECSOffIgnoresTheOption(t *testing.T) {
	p := newPaths(answertest.World(t, "server: {", "server: {ecs: false, "))
	for _, subnet := range [][]byte{{0, 1, 24, 0, 198, 51, 100}, {0, 1}} {
		query := answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA), answertest.RawOption(dns.EDNS0SUBNET, subnet...))
		answer := exchange(t, p, answertest.Packed(t, query), "203.0.113.9", false)
		if len(answer.IsEdns0().Option) != 0 || answer.Answer[0].(*dns.A).A.String() != "192.0.2.3" {
			t.Errorf("subnet %v: %v", subnet, answer)
		}
	}
}

func TestTwoClientSubnetsAreMalformed(t *testing.T) {
	p := newPaths(answertest.World(t))
	option := answertest.RawOption(dns.EDNS0SUBNET, 0, 1, 24, 0, 198, 51, 100)
	answer := exchange(t, p, answertest.Packed(t, answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA), option, option)), "203.0.113.9", false)
	if answer.Rcode != dns.RcodeFormatError {
		t.Errorf("%v", answer)
	}
}

// slowSubnet parses an option as in RFC 7871 6 and 7.1, with netip.
func slowSubnet(data []byte) (netip.Prefix, bool) {
	if len(data) < 4 || data[0] != 0 || data[3] != 0 {
		return netip.Prefix{}, false
	}
	room := map[byte]int{1: 4, 2: 16}[data[1]]
	if data[1] == 0 && data[2] == 0 && len(data) == 4 {
		return netip.Prefix{}, true
	}
	if room == 0 || len(data)-4 > room {
		return netip.Prefix{}, false
	}
	addr, _ := netip.AddrFromSlice(append(bytes.Clone(data[4:]), make([]byte, room-len(data)+4)...))
	prefix, err := addr.Prefix(int(data[2]))
	return prefix, err == nil && prefix.Addr() == addr && len(data)-4 == (int(data[2])+7)/8
}

func FuzzECS(f *testing.F) {
	f.Add([]byte{0, 1, 24, 0, 198, 51, 100})
	f.Add([]byte{0, 1, 20, 0, 198, 51, 100})
	f.Add([]byte{0, 2, 48, 0, 0x20, 1, 0x0d, 0xb8, 0, 1})
	f.Add([]byte{0, 2, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1})
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0, 3, 0, 0})
	f.Add([]byte{})
	p := newPaths(answertest.World(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		var c clientSubnet
		want, sound := slowSubnet(data)
		if got := c.parse(data); got != sound || sound && want.IsValid() && netip.PrefixFrom(c.addr, int(c.source)) != want {
			t.Errorf("%x: %v %v, want %v %v", data, got, c, sound, want)
		}
		if len(data) > 1000 {
			return
		}
		query := answertest.Packed(t, answertest.WithOptions(answertest.Ask("www.example.com.", dns.TypeA), answertest.RawOption(dns.EDNS0SUBNET, data...)))
		p.compare(t, query, netip.MustParseAddr("203.0.113.9"), false)
		if sound {
			answer := p.wire.Respond(nil, query, netip.MustParseAddr("203.0.113.9"), false)
			echo := answer[len(answer)-len(data):]
			if !bytes.Equal(echo[:3], data[:3]) || !bytes.Equal(echo[4:], data[4:]) {
				t.Errorf("%x comes back as %x", data, echo)
			}
		}
	})
}
