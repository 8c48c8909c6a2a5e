package snapshot

import (
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"meridian/config"
	"meridian/dnssec"
	"meridian/dnssec/keys"
	"meridian/zones"
)

// Signing holds the zones that this server signs.
type Signing struct {
	Settings
	Zones []*dnssec.Zone // by zones.ZoneID, of the zones that are written in the configuration; nil: not signed

	cfg     *config.Config
	changed []int                         // zones with changes in their plan, to be written before they are used
	parents []parent                      // by zones.ZoneID
	known   []atomic.Pointer[keys.Result] // by zones.ZoneID: the keys that are used now
	maxTTLs []time.Duration               // by zones.ZoneID: the largest TTL; 0: unknown
}

// Settings are those of signing that no zone has of its own.
type Settings struct {
	CacheSize int // of signatures, in octets
	Signers   int // signatures that are made at the same time
}

// openSigning reads the keys of the zones that a policy signs, and plans what this server has to change. It returns
// nil if there is no such zone, and adds errors to report. data is nil if the zones have errors.
func openSigning(cfg *config.Config, data *zones.Data, report *zones.Report) *Signing {
	s := &Signing{cfg: cfg, Zones: make([]*dnssec.Zone, len(cfg.Zones)), parents: make([]parent, len(cfg.Zones)), Settings: settingsOf(&cfg.DNSSEC)}
	s.known = make([]atomic.Pointer[keys.Result], len(cfg.Zones))
	folder, signed := (*keys.Folder)(nil), false
	for i := range cfg.Zones {
		z := &cfg.Zones[i]
		policy := cfg.DNSSECPolicy(z)
		if policy == nil {
			continue
		}
		signed = true
		if folder == nil {
			if folder = openKeys(cfg, report); folder == nil {
				return nil
			}
			s.maxTTLs = largestTTLs(cfg, data)
		}
		result, err := s.keysOf(folder, i, policy, time.Now())
		if err != nil {
			report.AddError(cfg.ErrorAt(z.Pos, z.Path()+".dnssec", err.Error(), ""))
			continue
		}
		s.Zones[i] = dnssec.NewZone(z.Name.Wire(), timingOf(policy), denialOf(policy), &result.Set)
		s.known[i].Store(result)
		if len(result.Changed) > 0 {
			s.changed = append(s.changed, i)
		}
	}
	if !signed {
		return nil
	}
	return s
}

// Of returns how a zone is signed; nil: it is not.
func (s *Signing) Of(zone zones.ZoneID) *dnssec.Zone {
	if s == nil || int(zone) >= len(s.Zones) { // zones of catalogs are not signed here
		return nil
	}
	return s.Zones[zone]
}

// openKeys opens the folder of the key files; nil: it cannot, and has reported that. It warns of an unreadable time last
// seen, which is no reason not to serve.
func openKeys(cfg *config.Config, report *zones.Report) *keys.Folder {
	folder, err := keys.Open(cfg.DNSSEC.Keys)
	if err != nil {
		report.AddError(cfg.ErrorAt(cfg.DNSSEC.KeysPos, "dnssec.keys", err.Error(), ""))
		return nil
	}
	if _, err := folder.LastSeen(); err != nil {
		report.AddWarnings(cfg.ErrorAt(cfg.DNSSEC.KeysPos, "dnssec.keys", err.Error(), "until then the zones are signed with the keys that they have, and a running server changes none"))
	}
	return folder
}

// PresignAhead returns how long before the end of its use a signature is replaced in the background: a tenth of the
// shortest refresh of any zone; 0 if no zone is signed.
func (s *Snapshot) PresignAhead() time.Duration {
	if s.Signing == nil {
		return 0
	}
	least := time.Duration(0)
	for _, z := range s.Signing.Zones {
		if z != nil && (least == 0 || z.Refresh() < least) {
			least = z.Refresh()
		}
	}
	return (least / 10).Truncate(time.Second)
}

func settingsOf(c *config.DNSSEC) Settings {
	signers := c.Signers
	if signers == 0 {
		signers = max(1, runtime.GOMAXPROCS(0)/2)
	}
	return Settings{CacheSize: c.Cache, Signers: signers}
}

func timingOf(p *config.SigningPolicy) dnssec.Timing {
	return dnssec.Timing{Validity: p.Validity, Refresh: p.Refresh, Inception: p.Inception}
}

func denialOf(p *config.SigningPolicy) dnssec.Denial {
	if p.Denial == config.NSECDenial {
		return dnssec.Chain
	}
	return dnssec.Compact
}

// largestTTLs returns the largest TTL of each zone; 0 if the zones have errors.
func largestTTLs(cfg *config.Config, data *zones.Data) []time.Duration {
	all := make([]time.Duration, len(cfg.Zones))
	if data != nil {
		for i, ttl := range data.LargestTTLs() {
			all[i] = time.Duration(ttl) * time.Second
		}
	}
	return all
}

// LargestTTL returns the largest TTL of a zone of a configuration; 0 if the zones have errors.
func LargestTTL(cfg *config.Config, zone int) time.Duration {
	data, _ := zones.Compile(cfg)
	return largestTTLs(cfg, data)[zone]
}

// keysOf returns what a zone is signed with at now, after the changes that its policy asks for.
func (s *Signing) keysOf(folder *keys.Folder, zone int, policy *config.SigningPolicy, now time.Time) (*keys.Result, error) {
	z := &s.cfg.Zones[zone]
	all, err := folder.Keys(z.Name)
	if err != nil {
		return nil, err
	}
	last, _ := folder.LastSeen() // openKeys and UpdateKeys report an error
	extra, err := keys.ReadExtra(z.ExtraDNSKEYs, z.Name)
	if err != nil {
		return nil, err
	}
	plan, err := keys.Make(keys.Input{Zone: z.Name, Policy: policy, Keys: all, Extra: extra, Now: now, LastSeen: last, MaxTTL: s.maxTTLs[zone]})
	if err != nil {
		return nil, err
	}
	set, err := keys.At(plan.Keys, policy, extra, plan.Now)
	if err != nil {
		return nil, fmt.Errorf("%w in %s; %s", err, s.cfg.DNSSEC.Keys, unsignedHint(policy, &plan))
	}
	return &keys.Result{Plan: plan, Set: set}, nil
}

// unsignedHint says what makes a zone without a usable key signed.
func unsignedHint(policy *config.SigningPolicy, plan *keys.Plan) string {
	switch {
	case plan.Waits != "":
		return "the zone waits for " + plan.Waits + "; remove the file clock in the folder if that time was wrong"
	case policy.Manager == config.AutoManager:
		return "correct the times of the keys, or the clock"
	}
	return "copy the keys of the zone there, or write manager: auto in the policy"
}

// WritingKeys returns a builder for a server that serves the result: keys that it makes or changes are written to
// their folder first, so that they survive a restart. An error is that of a build: the old snapshot keeps serving.
func WritingKeys(build Builder) Builder {
	return func(cfg *config.Config) (*Snapshot, []config.Error, error) {
		s, warnings, err := build(cfg)
		if err != nil || s.Signing == nil {
			return s, warnings, err
		}
		if err := s.Signing.writeKeys(); err != nil {
			_ = s.Close()
			return nil, warnings, cfg.ErrorAt(cfg.DNSSEC.KeysPos, "dnssec.keys", err.Error(), "the server must be able to write the folder, or manager: external must be set")
		}
		return s, warnings, nil
	}
}

// writeKeys writes the changes of the plans. It plans again with the folder locked: while the snapshot was built, a
// command or the snapshot in use may have changed keys.
func (s *Signing) writeKeys() error {
	if len(s.changed) == 0 {
		return nil
	}
	folder, err := keys.OpenLocked(s.cfg.DNSSEC.Keys)
	if err != nil {
		return err
	}
	defer folder.Close()
	for _, i := range s.changed {
		result, err := s.keysOf(folder, i, s.cfg.DNSSECPolicy(&s.cfg.Zones[i]), time.Now())
		if err != nil {
			return err
		}
		for _, k := range result.Changed {
			if err := folder.Write(k); err != nil {
				return err
			}
		}
		s.Zones[i].SetKeys(&result.Set)
		s.known[i].Store(result)
	}
	s.changed = nil
	return nil
}

// KeyUpdate is the result of UpdateKeys.
type KeyUpdate struct {
	Next    time.Time // when a key changes by itself; zero: never
	Changes []KeyChange
}

// KeyChange is a change of a key by its plan.
type KeyChange struct {
	Zone string
	Key  uint16 // tag
	What string
}

// UpdateKeys reads the key files again, makes the changes that are due, and signs with what the files say then. It is
// for one goroutine at a time. After an error, the zones that have none are updated, and the others keep their keys.
func (s *Signing) UpdateKeys(now time.Time) (done KeyUpdate, first error) {
	open := keys.Open
	if slices.ContainsFunc(s.cfg.DNSSEC.Policies, func(p config.SigningPolicy) bool { return p.Manager == config.AutoManager }) {
		open = keys.OpenLocked
	}
	folder, err := open(s.cfg.DNSSEC.Keys)
	if err != nil {
		return done, err
	}
	defer folder.Close()
	for i, zone := range s.Zones {
		if zone == nil {
			continue
		}
		if err := s.updateZone(folder, i, now, &done); err != nil {
			first = errOr(first, err)
		}
	}
	return done, first
}

// updateZone updates the keys of one zone.
func (s *Signing) updateZone(folder *keys.Folder, i int, now time.Time, done *KeyUpdate) error {
	z := &s.cfg.Zones[i]
	policy := s.cfg.DNSSECPolicy(z)
	result, err := folder.Update(keys.Request{
		Folder: s.cfg.DNSSEC.Keys, Zone: z.Name, Policy: policy, Extra: z.ExtraDNSKEYs, Now: now, MaxTTL: s.maxTTLs[i],
		Parent: s.parents[i].view.Swap(nil), Write: policy.Manager == config.AutoManager,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", z.Name, err)
	}
	s.Zones[i].SetKeys(&result.Set)
	s.known[i].Store(&result)
	for _, n := range result.Notes {
		done.Changes = append(done.Changes, KeyChange{string(z.Name), n.Tag, n.What})
	}
	if at := result.Next.At; !at.IsZero() && (done.Next.IsZero() || at.Before(done.Next)) {
		done.Next = at
	}
	s.parents[i].waits.Store(result.Waits != "")
	return nil
}

func errOr(first, err error) error {
	if first != nil {
		return first
	}
	return err
}

func trimDot(name string) string {
	if len(name) > 1 {
		return name[:len(name)-1]
	}
	return name
}
