package daemon

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"meridian/control"
	"meridian/dnsname"
	"meridian/transfer/journal"
)

const (
	maxUpdateEvents  = 10 // a second: a flood of updates does not displace other events
	maxUpdateRecords = 10 // records that an event names
	maxUpdateClients = 3  // addresses that an event names
)

// updateEvents collects the dynamic updates of a second, so that hundreds of them are one event for each zone and key.
type updateEvents struct {
	mu      sync.Mutex
	waiting []*control.ZoneUpdates // the first one that was made is first
}

// add adds an update that is on disk.
func (e *updateEvents) add(zone, key dnsname.Name, client netip.Addr, change *journal.Change) {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := slices.IndexFunc(e.waiting, func(u *control.ZoneUpdates) bool { return u.Zone == zone && u.Key == key })
	if at < 0 {
		e.waiting, at = append(e.waiting, &control.ZoneUpdates{Zone: zone, Key: key, From: change.From()}), len(e.waiting)
	}
	u := e.waiting[at]
	u.Updates, u.To = u.Updates+1, change.To()
	u.Added, u.Deleted = u.Added+len(change.Added), u.Deleted+len(change.Deleted)
	if !slices.Contains(u.Clients, client) && len(u.Clients) < maxUpdateClients {
		u.Clients = append(u.Clients, client)
	}
	for i, records := range [...][]journal.Record{change.Deleted, change.Added} {
		for _, r := range records[:min(len(records), max(0, maxUpdateRecords-len(u.Records)))] {
			u.Records = append(u.Records, fmt.Sprintf("%c%s %s", "-+"[i], strings.TrimSuffix(r.Owner().String(), "."), dns.Type(r.Type())))
		}
	}
}

// take returns those to report in this second; all: without a bound.
func (e *updateEvents) take(all bool) []*control.ZoneUpdates {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(e.waiting)
	if !all {
		n = min(n, maxUpdateEvents)
	}
	taken := e.waiting[:n:n]
	e.waiting = slices.Clone(e.waiting[n:])
	return taken
}

// recordUpdates adds the events of the updates that wait; all: without a bound.
func (l *instance) recordUpdates(all bool) {
	for _, u := range l.updateEvents.take(all) {
		l.control.RecordUpdates(u)
	}
}
