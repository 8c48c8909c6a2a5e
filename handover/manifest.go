package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
)

// variable is the environment variable that describes the descriptors which a process gets from its predecessor.
const variable = "MERIDIAN_HANDOVER"

// The descriptors of a successor. The sockets are in the order of the manifest.
const (
	channelFD     = 3 // for messages
	connectionsFD = 4 // for TCP connections
	firstFD       = 5
)

// manifest describes the descriptors.
type manifest struct {
	Version int         `json:"version"`
	Sockets []described `json:"sockets"`
}

// described describes the sockets of one address and use, one after the other: the first is that of worker 0.
type described struct {
	Use     Use            `json:"use"`
	Address netip.AddrPort `json:"address"`
	Count   int            `json:"count"`
}

// manifestVersion changes when a process could not understand the descriptors of another version.
const manifestVersion = 1

// maxSockets is the largest number of sockets: far more than an operating system grants.
const maxSockets = 1 << 20

// parseManifest reads the environment variable.
func parseManifest(text string) (*manifest, error) {
	m := new(manifest)
	if err := json.Unmarshal([]byte(text), m); err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("%s: version %d, want %d: restart instead of an upgrade", variable, m.Version, manifestVersion)
	}
	count := 0
	for _, s := range m.Sockets {
		if s.Count < 1 || s.Count > maxSockets {
			return nil, fmt.Errorf("%s: %d sockets of %s %s", variable, s.Count, s.Use, s.Address)
		}
		if count += s.Count; count > maxSockets {
			return nil, errors.New(variable + ": too many sockets")
		}
	}
	return m, nil
}

// open returns the descriptors of m.
func (m *manifest) open() *Sockets {
	next, sockets := firstFD, &Sockets{shared: true}
	for _, s := range m.Sockets {
		g := group{use: s.Use, address: s.Address}
		for range s.Count {
			closeOnExec(next)
			g.files = append(g.files, os.NewFile(uintptr(next), string(s.Use)))
			next++
		}
		sockets.groups = append(sockets.groups, g)
	}
	return sockets
}

// describe returns the manifest of sockets.
func describe(sockets []Open) *manifest {
	m := &manifest{Version: manifestVersion}
	for _, s := range sockets {
		m.Sockets = append(m.Sockets, described{s.Use, s.Address, len(s.Conns)})
	}
	return m
}
