package plan

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"meridian/config"
	"meridian/geo"
)

// Client is a network of clients in one location.
type Client struct {
	Network netip.Prefix
	At      *geo.Location // shared between clients; do not change it
	ASN     uint32        // 0: unknown
	Weight  float64       // queries, in any unit that all clients share
}

// Clients are the clients of a forecast: [AllIPv4] or [FromList].
type Clients struct {
	each   func(yield func(Client) bool) error
	place  func(netip.Addr) (*geo.Location, uint32) // of parts of a network; nil: the network's location
	stride float64                                  // weight of one sample if addresses decide; 0: its own
}

// everyStride is the number of addresses that one sample represents if addresses decide:
// about 56,000 samples in all, so the error of a 50 % share is 0.2 % and of a 5 % share 0.1 %.
const everyStride = 1 << 16

// AllIPv4 returns the IPv4 addresses that the locator can locate, one query each: the
// default clients. It omits IPv6, because the size of an IPv6 network does not indicate
// its number of users.
func AllIPv4(where *geo.Locator) Clients {
	return Clients{stride: everyStride, each: func(yield func(Client) bool) error {
		return where.Blocks(true, func(t geo.Block) bool {
			return yield(Client{t.Prefix, t.At, t.ASN, float64(uint64(1) << (32 - t.Prefix.Bits()))})
		})
	}}
}

// FromList returns the networks of a list, located by the locator. The queries of a
// network are spread evenly over its addresses. See [ReadList].
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

// part returns one half of a client, with half of its weight.
func (c *Clients) part(of Client, network netip.Prefix) Client {
	of.Network, of.Weight = network, of.Weight/2
	if c.place != nil {
		of.At, of.ASN = c.place(network.Addr())
	}
	return of
}

// WeightedNetwork is a network and its number of queries.
type WeightedNetwork struct {
	Network netip.Prefix
	Queries float64
}

// ReadList reads networks or addresses with query counts, one per line, in either order,
// separated by a comma or white space: a CSV file, or a log after `sort | uniq -c`. A
// network without a count counts 1. It skips empty lines, lines that begin with #, and a
// heading in the first line. Errors name the line, counted from 1.
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

// parseCounted parses one line of a list.
func parseCounted(text string) (WeightedNetwork, error) {
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' || r == ' ' || r == '\t' })
	c := WeightedNetwork{Queries: 1}
	if len(fields) > 2 || len(fields) == 0 {
		return c, fmt.Errorf("%d fields, want a network and a count of queries", len(fields))
	}
	rest := fields[:0:0]
	for _, f := range fields {
		if p, ok := config.ParseNetwork(f); ok && !c.Network.IsValid() {
			c.Network = p
		} else {
			rest = append(rest, f)
		}
	}
	if !c.Network.IsValid() {
		return c, fmt.Errorf("%q has no network; want a line such as 198.51.100.0/24,1200", text)
	}
	var err error
	if len(rest) > 0 {
		c.Queries, err = parseQueries(rest[0])
	}
	return c, err
}

// parseQueries parses a count of queries.
func parseQueries(text string) (float64, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n <= maxQueries) {
		return 1, fmt.Errorf("%q is not a count of queries; want a number from 0 to %g", text, float64(maxQueries))
	}
	return n, nil
}

// maxQueries is more than any network sends, and small enough for exact sums.
const maxQueries = 1e15

// skipBOM returns r without a leading byte order mark, which some programs write.
func skipBOM(r io.Reader) io.Reader {
	b := bufio.NewReader(r)
	if head, err := b.Peek(3); err == nil && string(head) == "\ufeff" {
		_, _ = b.Discard(3) // cannot fail after Peek
	}
	return b
}
