package inputs

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// maxAddresses is the largest number of addresses of a target in a record: as many as lookups keep, of two families.
const maxAddresses = 128

// Target holds the addresses of a target that a node gives.
type Target struct {
	Addresses []netip.Addr `json:"addresses"`
	// Failing is set if the last lookup has failed: these are the addresses before. It is also set if the resolver ignores the
	// client subnet of the target: these are the addresses for its own place.
	Failing bool `json:"failing,omitempty"`
}

// GivenTarget is a target that another node gives.
type GivenTarget struct {
	Target
	From string
}

// OwnTarget holds the addresses of a target at this node.
type OwnTarget struct {
	Target
	Found bool // a lookup of this node has found addresses
}

// validate returns the first error of t.
func (t *Target) validate() error {
	if len(t.Addresses) == 0 || len(t.Addresses) > maxAddresses {
		return fmt.Errorf("a target with %d addresses, want 1 to %d", len(t.Addresses), maxAddresses)
	}
	for _, a := range t.Addresses {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Is4In6() || a.Zone() != "" {
			return fmt.Errorf("a target with the address %v", a)
		}
	}
	return nil
}

// Targets returns the targets of this node that other nodes give at now, and those that this node gives.
//
// The first node by name of those with a successful last lookup gives the addresses; if every lookup fails, the first one with
// addresses. So a node that cannot resolve a target uses the addresses of another one, and a resolver that answers by place
// decides for all nodes together.
func (x *Exchange) Targets(own map[string]OwnTarget, now time.Time) (given map[string]GivenTarget, gives map[string]Target) {
	records, peers := x.Records(TargetKind, now)
	given, gives = x.givenTargets(records, own), map[string]Target{}
	for name, t := range own {
		other, known := given[name]
		if t.Found && peers.Gives && (!known || t.precedes(x.Node, other)) {
			gives[name] = t.Target
			delete(given, name)
		}
	}
	return given, gives
}

// precedes reports whether the target of a node comes before that of another one.
func (t *OwnTarget) precedes(node string, other GivenTarget) bool {
	if t.Failing != other.Failing {
		return other.Failing
	}
	return node < other.From
}

// givenTargets returns the targets of this node that the records of other nodes, in the order of names, have.
func (x *Exchange) givenTargets(records []Record, own map[string]OwnTarget) map[string]GivenTarget {
	given := map[string]GivenTarget{}
	for i := range records {
		r := &records[i]
		of, err := decodeTargets(r.Body)
		if err != nil {
			x.RejectBody(TargetKind, r, err)
			continue
		}
		for name, t := range of {
			_, wanted := own[name]
			before, known := given[name]
			if wanted && (!known || before.Failing && !t.Failing) {
				given[name] = GivenTarget{t, r.Node}
			}
		}
	}
	return given
}

// decodeTargets reads the body of a record.
func decodeTargets(body json.RawMessage) (of map[string]Target, err error) {
	if err := json.Unmarshal(body, &of); err != nil {
		return nil, err
	}
	for name, t := range of {
		if err := t.validate(); err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
	}
	return of, nil
}
