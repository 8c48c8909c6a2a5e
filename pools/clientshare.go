package pools

import (
	"encoding/binary"
	"math"
	"net/netip"
)

// ClientShare selects a share of all clients by the hash of their network, so that every node selects the same clients at
// every query. The zero value selects none. It is immutable.
type ClientShare struct{ key, bound uint64 }

// The networks of a ClientShare: clients of one network are selected together.
const (
	shareV4 = 24
	shareV6 = 56
)

// WholeShare is the number of parts of all clients.
const WholeShare = 10_000

// NewClientShare returns the share of so many parts of WholeShare. Each seed selects other clients.
func NewClientShare(seed string, parts uint32) ClientShare {
	if parts >= WholeShare {
		return ClientShare{keyOf("", seed), math.MaxUint64}
	}
	return ClientShare{keyOf("", seed), uint64(parts) * (math.MaxUint64 / WholeShare)}
}

// Includes reports whether a client is in the share, and the length of the prefix with clients that are in it together. It
// must never change: nodes of two versions would select other clients.
func (s ClientShare) Includes(client netip.Addr) (included bool, bits uint8) {
	if client = client.Unmap(); client.Is4() {
		a := client.As4()
		return mix(mix(uint64(binary.BigEndian.Uint32(a[:])>>(32-shareV4))+golden)^s.key) < s.bound, shareV4
	}
	a := client.As16()
	return mix(mix(binary.BigEndian.Uint64(a[:8])>>(64-shareV6)|1<<63)^s.key) < s.bound, shareV6
}
