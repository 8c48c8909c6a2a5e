package snapshot

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/transfer"
	"meridian/zones"
)

// checkSignedTransfers checks the zones with transfer.sign, each of at most so many names. data is nil if the zones have errors.
func checkSignedTransfers(cfg *config.Config, data *zones.Data, most int, report *zones.Report) {
	if data == nil {
		return
	}
	summary := data.Summary()
	for _, zone := range transfer.SigningZones(cfg) {
		z := &cfg.Zones[zone]
		policy := cfg.DNSSECPolicy(z)
		if policy == nil {
			continue
		}
		path := z.Path() + ".transfer.sign"
		if names := summary[zone].Names; names > most {
			report.AddError(cfg.ErrorAt(z.Pos, path, fmt.Sprintf("the zone has %d names; a transfer with signatures is for at most %d", names, most),
				"leave sign out, and let the secondary sign the zone with the same keys"))
		}
		if expire, left := expireOf(data, zone), transfer.LeastLifetime(policy.Validity, policy.Refresh); expire > left {
			report.AddWarnings(cfg.ErrorAt(z.Pos, path, fmt.Sprintf("a secondary that cannot reach this server serves its copy for %s (expire of the SOA), and signatures in it may end after %s", expire, left),
				"lower expire in the SOA, or raise validity in the policy"))
		}
	}
}

// expireOf returns how long a secondary serves a zone without its primary; 0: the zone has no data.
func expireOf(data *zones.Data, zone zones.ZoneID) time.Duration {
	soa, ok := data.RRset(data.ApexNode(zone), dns.TypeSOA)
	if !ok || len(soa.Data) < 8 {
		return 0
	}
	return time.Duration(binary.BigEndian.Uint32(soa.Data[len(soa.Data)-8:])) * time.Second
}
