package daemon

import (
	"context"
	"errors"
	"time"

	"meridian/dnsname"
	"meridian/snapshot"
	"meridian/transfer"
	"meridian/transfer/journal"
	"meridian/zones"
)

// signPoll is the time between two looks at zones that are transferred with signatures: their keys may have changed, or signatures
// are due.
const signPoll = time.Second

// signTransfers signs the zones that are transferred with signatures, before secondaries ask for them, and gives a zone a higher serial
// when its keys or signatures have changed. A goroutine runs it until ctx ends.
func (l *instance) signTransfers(ctx context.Context) {
	ticker := time.NewTicker(signPoll)
	defer ticker.Stop()
	failed := map[dnsname.Name]string{} // by zone: the last error
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			updateSafely(l.control, func() { l.signDue(ctx, now, failed) })
		}
	}
}

// signDue signs what is due, in the background: a large zone takes seconds.
func (l *instance) signDue(ctx context.Context, now time.Time, failed map[dnsname.Name]string) {
	served := l.served()
	for _, zone := range transfer.SigningZones(served.Config) {
		name, signing := served.Config.Zones[zone].Name, served.Signing.Of(zone)
		if signing == nil || served.Zones.Missing(zone) != 0 {
			continue
		}
		if l.journals.SignedZones().Due(name, signing, now) {
			l.publishSignatures(name)
		}
		_, err := buildSafely(ctx, l, func() (struct{}, error) { return struct{}{}, l.signZone(name) })
		if ctx.Err() != nil {
			return
		}
		l.noteSigned(name, err, failed)
	}
}

// signZone signs a zone at its present serial, unless that is done.
func (l *instance) signZone(name dnsname.Name) error {
	g := l.hold() // pools may read its files
	defer g.Release()
	served := l.snapshotOf(g)
	id, ok := served.Zones.ApexOf(name.Wire())
	if !ok || !served.Config.Zones[id].Transfer.Sign || l.journals.SignedZones().Current(name, served.Zones.Serial(id)) {
		return nil
	}
	plain, err := viewOf(served).Defaults.Content(served.Config, id)
	if err == nil {
		_, err = l.journals.SignedZones().Content(&served.Config.Zones[id], served.Signing.Of(id), plain)
	}
	return err
}

// noteSigned logs an error of a zone when it differs from the last one.
func (l *instance) noteSigned(zone dnsname.Name, err error, failed map[dnsname.Name]string) {
	switch {
	case err == nil:
		delete(failed, zone)
	case failed[zone] != err.Error():
		failed[zone] = err.Error()
		l.Logger.Error("cannot sign a zone for its secondaries; they keep their copy until its signatures expire", "zone", zone, "error", err)
	}
}

// publishSignatures serves a zone with a higher serial. A transfer of it has new signatures.
func (l *instance) publishSignatures(name dnsname.Name) {
	g := l.hold()
	defer g.Release()
	zone, ok := l.snapshotOf(g).Zones.ApexOf(name.Wire())
	if !ok {
		return
	}
	published, err := l.publishSerial(g, zone, func(served *snapshot.Snapshot, of *journal.Journal) (zones.ZoneChange, *transfer.Live, error) {
		change, err := transfer.PublishSerial(viewOf(served), zone, of, time.Now())
		return change, nil, err
	})
	switch {
	case errors.Is(err, errReplaced), errors.Is(err, errSuspended): // tried again
	case err != nil:
		l.Logger.Error("cannot publish signatures to secondaries; they keep the old ones", "zone", name, "error", err, "retry_in", signPoll)
	default:
		l.Logger.Info("signatures published to secondaries", "zone", name, "serial", published.Zones.Serial(zone))
	}
}
