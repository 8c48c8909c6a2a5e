package daemon

import (
	"meridian/snapshot"
	"meridian/transfer"
	"meridian/zones"
)

// notifySecondaries notifies the secondaries of the zones whose serial has changed; at start, of all.
func (l *instance) notifySecondaries(served *snapshot.Snapshot) {
	l.secondaries.Use(noticesOf(served))
}

// noticesOf lists the zones of a snapshot with the secondaries that are to know of them.
func noticesOf(s *snapshot.Snapshot) (notices []transfer.Notice) {
	for i := range s.Config.Zones {
		z := &s.Config.Zones[i]
		if s.Zones.Missing(zones.ZoneID(i)) != 0 {
			continue
		}
		for _, to := range z.Transfer.Notify {
			notice := transfer.Notice{Zone: z.Name, Serial: s.Zones.Serial(zones.ZoneID(i)), To: to}
			if rule := transfer.RuleFor(z.Transfer.Out, to.Addr()); rule != nil {
				notice.Key = s.TSIG.Key(rule.Key)
			}
			notices = append(notices, notice)
		}
	}
	return notices
}
