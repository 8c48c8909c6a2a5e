package transfer

import (
	"errors"
	"sync"
	"time"

	"meridian/config"
	"meridian/dnsname"
	"meridian/dnssec"
	"meridian/transfer/journal"
	"meridian/zones"
)

// SignedZones holds the zones with transfer.sign as transfers have them: each serial has one content, with the signatures of the time
// at which it was first asked for, and the changes between them. They are in memory: after a restart a zone has a new serial, and
// secondaries take it whole. It is safe for concurrent use.
type SignedZones struct {
	mu    sync.Mutex // guards zones
	zones map[dnsname.Name]*signedZone
}

// signedZone is a zone of SignedZones.
type signedZone struct {
	signing sync.Mutex // held while the zone is signed: several transfers wait for one image

	mu      sync.Mutex // guards the fields below
	last    *Content   // nil: the zone has not been signed yet
	history *journal.Journal
}

// NewSignedZones returns an empty set of zones.
func NewSignedZones() *SignedZones { return &SignedZones{zones: map[dnsname.Name]*signedZone{}} }

// of returns a zone.
func (s *SignedZones) of(zone dnsname.Name) *signedZone {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.zones[zone]
	if z == nil {
		z = &signedZone{}
		s.zones[zone] = z
	}
	return z
}

// retain forgets the zones that a configuration does not transfer with signatures.
func (s *SignedZones) retain(cfg *config.Config) {
	kept := map[dnsname.Name]bool{}
	for _, zone := range SigningZones(cfg) {
		kept[cfg.Zones[zone].Name] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.zones {
		if !kept[name] {
			delete(s.zones, name)
		}
	}
}

// has reports whether a zone has been signed.
func (s *SignedZones) has(zone dnsname.Name) bool { return s.of(zone).content() != nil }

// forget forgets a zone of which the serial may be lower than before.
func (s *SignedZones) forget(zone dnsname.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.zones, zone)
}

// SigningZones returns the zones that are transferred with signatures.
func SigningZones(cfg *config.Config) (all []zones.ZoneID) {
	for i := range cfg.Zones {
		if z := &cfg.Zones[i]; z.Transfer.Sign && z.Journaled() {
			all = append(all, zones.ZoneID(i))
		}
	}
	return all
}

var errNoSignedZones = errors.New("this server signs no zones for transfers")

// Content returns a zone with signatures: that of the serial of plain, or of a later one. It signs the zone if that was not done for
// the serial yet: BenchmarkSign measures the time.
func (s *SignedZones) Content(z *config.Zone, zone *dnssec.Zone, plain *Content) (*Content, error) {
	if s == nil || zone == nil {
		return nil, errNoSignedZones
	}
	of := s.of(z.Name)
	of.signing.Lock()
	defer of.signing.Unlock()
	last := of.content()
	if last != nil && !journal.Newer(plain.Serial(), last.Serial()) {
		return last, nil
	}
	var before *signedContent
	if last != nil {
		before = last.signed
	}
	next, err := plain.sign(zone.At(time.Now()), before)
	if err != nil {
		return nil, err
	}
	of.use(z, last, next)
	return next, nil
}

// content returns the last content; nil: there is none.
func (z *signedZone) content() *Content {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.last
}

// use makes next the content, and keeps what changes with it.
func (z *signedZone) use(from *config.Zone, last, next *Content) {
	bounds := journal.Bounds{Size: int64(from.Journal.Size), Depth: from.Journal.Depth}
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.history == nil {
		z.history, _ = journal.Open("", from.Name, bounds) // in memory: never fails
	}
	z.history.SetBounds(bounds)
	z.last = next
	if last != nil {
		change, _, octets := compare(last, next)
		if size := sizeOf(change); (size <= octets || size <= messageSize) && z.history.Append(change) == nil {
			return
		}
	}
	z.history.Begin(next.Serial(), journal.Digest{})
}

// Since returns what changed in a zone with signatures from a serial to the last one that was signed; nil: it is not known.
func (s *SignedZones) Since(zone dnsname.Name, serial uint32) *journal.Change {
	if s == nil {
		return nil
	}
	of := s.of(zone)
	of.mu.Lock()
	defer of.mu.Unlock()
	if of.last == nil {
		return nil
	}
	return of.history.Since(serial, of.last.Serial())
}

// Current reports whether a zone has been signed at a serial or a later one.
func (s *SignedZones) Current(zone dnsname.Name, serial uint32) bool {
	last := s.of(zone).content()
	return last != nil && !journal.Newer(serial, last.Serial())
}

// Due reports whether a zone needs another serial, because its keys or signatures have changed since the last one was signed.
func (s *SignedZones) Due(zone dnsname.Name, signing *dnssec.Zone, now time.Time) bool {
	last := s.of(zone).content()
	return last != nil && last.signed.due(signing, now)
}
