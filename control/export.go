package control

import (
	"fmt"

	"meridian/dnsname"
	"meridian/transfer"
)

// ZoneContent returns the records of a served zone, as a transfer sends them.
func (c *Control) ZoneContent(name dnsname.Name) (*transfer.Content, error) {
	at := c.hold()
	defer at.Release()
	s := at.Snapshot
	id, ok := s.Zones.ApexOf(name.Wire())
	switch {
	case !ok:
		return nil, zoneNotServed(name)
	case s.Zones.Missing(id) != 0:
		return nil, &RequestError{What: fmt.Sprintf("zone %s has no data: no primary has sent it, or it has expired", name), Hint: "meridian zone status " + string(name) + " says why"}
	}
	return transfer.NewDefaults(s.Zones, s.Pools, s.Live).Content(s.Config, id)
}
