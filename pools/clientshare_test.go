package pools

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
)

// The share of the networks is the one asked for, in both families, and another seed selects others.
func TestClientShareIsThatPartOfTheNetworks(t *testing.T) {
	for _, family := range []string{"10.%d.%d.7", "2001:db8:%x:%x00::7"} {
		for _, parts := range []uint32{1, 500, 2500, 5000, WholeShare - 1} {
			share, other := NewClientShare("12 abcdef", parts), NewClientShare("13 abcdef", parts)
			const networks = 256 * 200
			n, both := 0, 0
			for i := range networks {
				client := netip.MustParseAddr(fmt.Sprintf(family, i/256, i%256))
				in, _ := share.Includes(client)
				inOther, _ := other.Includes(client)
				if in {
					n++
				}
				if in && inOther {
					both++
				}
			}
			p := float64(parts) / WholeShare
			if want := networks * p; math.Abs(float64(n)-want) > 6*math.Sqrt(networks*p*(1-p))+1 {
				t.Errorf("%s: %d parts select %d of %d networks, want about %.0f", family, parts, n, networks, want)
			}
			if want := networks * p * p; math.Abs(float64(both)-want) > 6*math.Sqrt(networks*p*p*(1-p*p))+1 {
				t.Errorf("%s: two seeds share %d networks of %d parts, want about %.0f", family, both, parts, want)
			}
		}
	}
}

// All clients of a network are selected together, and more parts keep those of fewer. IPv4-mapped addresses are IPv4.
func TestClientShareKeepsNetworksTogether(t *testing.T) {
	for i := range 2000 {
		first, last := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 255})
		wide := netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x:aa00::/56", i))
		end := wide.Addr().As16()
		for b := 7; b < 16; b++ {
			end[b] = 255
		}
		included := false
		for _, parts := range []uint32{0, 100, 500, 5000, WholeShare} {
			share := NewClientShare("seed", parts)
			in, bits := share.Includes(first)
			if also, _ := share.Includes(last); in != also || bits != 24 || included && !in {
				t.Fatalf("%v of %d parts: %v, last %v, bits %d, with fewer parts %v", first, parts, in, also, bits, included)
			}
			if mapped, bits := share.Includes(netip.AddrFrom16(first.As16())); mapped != in || bits != 24 {
				t.Fatalf("%v mapped: %v, bits %d", first, mapped, bits)
			}
			included = in
			six, bits := share.Includes(wide.Addr())
			if also, _ := share.Includes(netip.AddrFrom16(end)); six != also || bits != 56 {
				t.Fatalf("%v of %d parts: %v, last %v, bits %d", wide, parts, six, also, bits)
			}
			if (parts == 0 && (in || six)) || (parts == WholeShare && !(in && six)) {
				t.Fatalf("%d parts: %v %v", parts, in, six)
			}
		}
	}
	if in, _ := (ClientShare{}).Includes(netip.MustParseAddr("192.0.2.1")); in {
		t.Error("the zero value selects a client")
	}
}

// Nodes of all versions must select the same clients.
func TestClientShareNeverChanges(t *testing.T) {
	share, got := NewClientShare("42 0123456789ab", 2500), ""
	for i := range 40 {
		for _, client := range []netip.Addr{netip.AddrFrom4([4]byte{198, 51, byte(i), 1}), netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::1", i))} {
			if in, _ := share.Includes(client); in {
				got += fmt.Sprint(client, " ")
			}
		}
	}
	const want = "198.51.0.1 2001:db8:3::1 198.51.4.1 198.51.5.1 198.51.7.1 2001:db8:7::1 2001:db8:9::1 198.51.13.1 198.51.14.1 198.51.15.1 2001:db8:11::1 198.51.19.1 198.51.20.1 " +
		"2001:db8:15::1 198.51.22.1 198.51.23.1 2001:db8:18::1 198.51.25.1 2001:db8:1c::1 2001:db8:1d::1 198.51.30.1 2001:db8:20::1 198.51.35.1 2001:db8:26::1 198.51.39.1 "
	if got != want {
		t.Errorf("selected:\n%s\nwant\n%s", got, want)
	}
}
