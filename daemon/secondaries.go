package daemon

import (
	"meridian/dnsname"
	"meridian/snapshot"
	"meridian/transfer"
	"meridian/zones"
)

// notifySecondaries notifies the secondaries of the zones with another serial; at start, of all. No update is made at that
// time: an older serial must not follow that of the update.
func (l *instance) notifySecondaries() {
	l.updates.gate.lock()
	defer l.updates.gate.unlock()
	l.secondaries.Use(noticesOf(l.served()))
}

// notifyAgain notifies the secondaries of a zone, also if they have confirmed its serial, and returns their number.
func (l *instance) notifyAgain(name dnsname.Name) int {
	served := l.served()
	zone, ok := served.Zones.ApexOf(name.Wire())
	if !ok {
		return 0
	}
	notices := noticesOfZone(served, zone)
	l.secondaries.Resend(notices)
	return len(notices)
}

// noticesOf lists the zones of a snapshot with the secondaries that are to know of them.
func noticesOf(s *snapshot.Snapshot) (notices []transfer.Notice) {
	for i := range s.Config.Zones {
		notices = append(notices, noticesOfZone(s, zones.ZoneID(i))...)
	}
	return notices
}

// noticesOfZone lists the secondaries that are to know of a zone.
func noticesOfZone(s *snapshot.Snapshot, zone zones.ZoneID) (notices []transfer.Notice) {
	z := &s.Config.Zones[zone]
	if s.Zones.Missing(zone) != 0 {
		return nil
	}
	for _, to := range z.Transfer.Notify {
		notice := transfer.Notice{Zone: z.Name, Serial: s.Zones.Serial(zone), To: to.Address, Source: to.Source}
		if rule := transfer.RuleFor(z.Transfer.Out, to.Address.Addr()); rule != nil {
			notice.Key = s.TSIG.Key(rule.Key)
		}
		notices = append(notices, notice)
	}
	return notices
}
