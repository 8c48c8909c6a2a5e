package plan

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"meridian/geo"
)

// Client is a network of clients that stand in one place.
type Client struct {
	Network netip.Prefix
	At      *geo.Location // shared between clients; do not change it
	ASN     uint32        // 0: unknown
	Weight  float64       // queries, in whatever unit, as long as all clients have the same
}

// Clients are all those whose traffic counts: [Everybody], or those [Listed].
type Clients struct {
	each   func(yield func(Client) bool) error
	place  func(netip.Addr) (*geo.Location, uint32) // of parts of a network; nil: they stand where it does
	stride float64                                  // weight that one client stands for where addresses decide; 0: its own
}

// everyStride is how many addresses one stands for where addresses decide: some
// 56,000 do for all, so that a share of a half is good to 0.2 % and one of 5 % to 0.1 %.
const everyStride = 1 << 16

// AllIPv4 is the IPv4 addresses that the locator's sources place, a query for
// each address: who the clients are when nobody says better. IPv6 is left out, for
// its networks are of sizes that say nothing of how many people are behind them.
func AllIPv4(where *geo.Locator) Clients {
	return Clients{stride: everyStride, each: func(yield func(Client) bool) error {
		return where.Tracts(true, func(t geo.Block) bool {
			return yield(Client{t.Prefix, t.At, t.ASN, float64(uint64(1) << (32 - t.Prefix.Bits()))})
		})
	}}
}

// FromList is the networks of a list, placed by the locator. The queries of a
// network come evenly from all of it. See [ReadList].
func FromList(list []WeightedNetwork, where *geo.Locator) Clients {
	place := func(addr netip.Addr) (*geo.Location, uint32) {
		at := where.Locate(addr)
		asn := at.ASN
		at.Network, at.ASN = netip.Prefix{}, 0
		return &at, asn
	}
	return Clients{place: place, each: func(yield func(Client) bool) error {
		for _, c := range list {
			at, asn := place(c.Network.Addr())
			if !yield(Client{c.Network, at, asn, c.Queries}) {
				break
			}
		}
		return nil
	}}
}

// part is half of a client, with half of its weight.
func (c *Clients) part(of Client, network netip.Prefix) Client {
	of.Network, of.Weight = network, of.Weight/2
	if c.place != nil {
		of.At, of.ASN = c.place(network.Addr())
	}
	return of
}

// WeightedNetwork is a network and how many queries it sends.
type WeightedNetwork struct {
	Network netip.Prefix
	Queries float64
}

// ReadList reads networks or addresses with counts of queries, one a line, the
// two in either order, apart by a comma or white space, so that both a CSV file
// and what `sort | uniq -c` makes of a log will do. A network alone counts 1. Empty
// lines, lines that begin with #, and a first line of words are passed over. The
// error says the line, counted from 1.
func ReadList(r io.Reader) ([]WeightedNetwork, error) {
	var list []WeightedNetwork
	lines := bufio.NewScanner(skipBOM(r))
	for number := 1; lines.Scan(); number++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		c, err := parseCounted(text)
		if err != nil && number == 1 && !strings.ContainsAny(text, "0123456789") {
			continue // a heading
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		list = append(list, c)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("after %d networks: %w", len(list), err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no networks; want lines such as 198.51.100.0/24,1200")
	}
	return list, nil
}

// parseCounted reads one line of a list.
func parseCounted(text string) (WeightedNetwork, error) {
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' || r == ' ' || r == '\t' })
	c := WeightedNetwork{Queries: 1}
	if len(fields) > 2 || len(fields) == 0 {
		return c, fmt.Errorf("%d fields, want a network and a count of queries", len(fields))
	}
	rest := fields[:0:0]
	for _, f := range fields {
		if p, ok := parseNetwork(f); ok && !c.Network.IsValid() {
			c.Network = p
		} else {
			rest = append(rest, f)
		}
	}
	if !c.Network.IsValid() {
		return c, fmt.Errorf("%q has no network; want a line such as 198.51.100.0/24,1200", text)
	}
	if len(rest) == 0 {
		return c, nil
	}
	n, err := strconv.ParseFloat(rest[0], 64)
	if err != nil || !(n >= 0 && n <= maxQueries) {
		return c, fmt.Errorf("%q is not a count of queries; want a number from 0 to %g", rest[0], float64(maxQueries))
	}
	c.Queries = n
	return c, nil
}

// maxQueries is more than any network sends, and few enough to add up.
const maxQueries = 1e15

// parseNetwork reads an address, as the network of itself, or a network.
func parseNetwork(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return p, false
	}
	return p.Masked(), true
}

// skipBOM is r without the byte order mark that some programs begin a file with.
func skipBOM(r io.Reader) io.Reader {
	b := bufio.NewReader(r)
	if head, err := b.Peek(3); err == nil && string(head) == "\ufeff" {
		_, _ = b.Discard(3) // they are there
	}
	return b
}
