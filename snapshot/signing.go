package snapshot

import (
	"meridian/dnssec"
)

// Signing holds the zones that this server signs.
type Signing struct {
	Settings
	Zones []*dnssec.Zone // by zones.ZoneID; nil: not signed
}

// Settings are those of signing that no zone has of its own.
type Settings struct {
	CacheSize int // of signatures, in octets
	Signers   int // signatures that are made at the same time
}
