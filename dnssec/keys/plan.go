package keys

import (
	"fmt"
	"slices"
	"time"

	"meridian/config"
	"meridian/dnsname"
	"meridian/dnssec"
)

// Role is a role that a rollover replaces the key of.
type Role string

// The roles. Under a policy of keys: csk, KSK is the CSK.
const (
	KSK Role = "ksk"
	ZSK Role = "zsk"
)

// maxClockStep is how far the clock may go back before no key is changed.
const maxClockStep = time.Hour

// Input is all that a plan depends on.
type Input struct {
	Zone     dnsname.Name
	Policy   *config.SigningPolicy
	Keys     []*Key   // in the order of Folder.Keys
	Extra    [][]byte // the DNSKEY records of other signers, as RDATA
	Now      time.Time
	LastSeen time.Time     // the latest time that a plan was made at; zero: unknown
	MaxTTL   time.Duration // the longest TTL in the zone; 0: unknown
	Parent   *DSView       // the DS records at the parent; nil: unknown
	Roll     Role          // a rollover that an operator asked for; empty: none

	Generate func(zone dnsname.Name, flags uint16, algorithm uint8) (*dnssec.Key, error) // nil: dnssec.Generate
}

// Plan has the changes to make now, and the next step.
type Plan struct {
	Keys    []*Key // all keys after the changes
	Changed []*Key // those that differ from the files
	Notes   []Note // what the changes mean
	Next    Step   // the next time at which something changes by itself
	Waits   string // what else a change waits for; empty: nothing
	Since   time.Time
	Frozen  bool      // the clock went back too far: no key is changed
	Now     time.Time // the time to evaluate keys at: Now, or LastSeen if the clock went back too far
}

// Note describes a change of a key.
type Note struct {
	Tag  uint16
	What string
}

// Step is a change at a time that is known.
type Step struct {
	At   time.Time // zero: none
	What string
}

// planner makes one plan.
type planner struct {
	Input
	plan    Plan
	changed map[*Key]bool
}

// Make returns the plan for a zone. It changes nothing of its input.
func Make(in Input) (Plan, error) {
	in.Now = in.Now.Truncate(time.Second)
	p := &planner{Input: in, changed: map[*Key]bool{}}
	p.plan.Now = in.Now
	for _, k := range in.Keys {
		p.plan.Keys = append(p.plan.Keys, k.clone())
	}
	if behind := in.LastSeen.Sub(in.Now); behind > maxClockStep {
		p.plan.Now, p.plan.Frozen = in.LastSeen, true
		p.plan.Waits = fmt.Sprintf("a correct clock: it is %s behind the last time seen, %s", behind, in.LastSeen.UTC().Format(time.RFC3339))
		return p.plan, nil
	}
	if in.Policy.Manager == config.AutoManager {
		if err := p.change(); err != nil {
			return Plan{}, err
		}
	}
	p.next()
	return p.plan, nil
}

// change applies the rules of the policy.
func (p *planner) change() error {
	p.seeDS()
	for _, rule := range []func() error{p.startSEP, p.startZSK, p.changeAlgorithm} {
		if err := rule(); err != nil {
			return err
		}
	}
	p.askForDS()
	p.finishSEP()
	p.finishZSK()
	for _, k := range p.plan.Keys {
		if p.changed[k] {
			p.plan.Changed = append(p.plan.Changed, k)
		}
	}
	return nil
}

// lead is the time from the publication of a key until every validator has its record.
func (p *planner) lead() time.Duration { return leadOf(p.Policy) }

func leadOf(policy *config.SigningPolicy) time.Duration {
	return policy.DNSKEYTTL + policy.PublishSafety
}

// signatureTTL is how long resolvers keep a signature: not longer than the records, nor than it is valid.
func (p *planner) signatureTTL() time.Duration {
	if p.MaxTTL > 0 && p.MaxTTL < p.Policy.Validity {
		return p.MaxTTL
	}
	return p.Policy.Validity
}

// retire is the time after the last signature of a key until no resolver has one.
func (p *planner) retire() time.Duration { return p.signatureTTL() + p.Policy.RetireSafety }

// alive returns the keys of a role and algorithm without an end, the oldest first.
func (p *planner) alive(sep, sameAlgorithm bool) []*Key {
	var found []*Key
	for _, k := range p.plan.Keys {
		same := k.Algorithm == p.Policy.Algorithm
		if k.SEP() == sep && same == sameAlgorithm && k.Delete.IsZero() && k.Revoke.IsZero() && !k.Publish.IsZero() {
			found = append(found, k)
		}
	}
	slices.SortStableFunc(found, func(a, b *Key) int { return a.Publish.Compare(b.Publish) })
	return found
}

// signed reports whether the zone has keys in use, so that a new one has to be published before it signs.
func (p *planner) signed() bool { return usable(p.plan.Keys, p.Now) == nil }

// set changes a time of a key, if it differs.
func (p *planner) set(k *Key, to *time.Time, at time.Time) {
	if !to.Equal(at) {
		*to = at
		p.changed[k] = true
	}
}

func (p *planner) note(k *Key, format string, args ...any) {
	p.plan.Notes = append(p.plan.Notes, Note{k.Tag, fmt.Sprintf(format, args...)})
}

// add generates a key with these times. Its tag differs from those of all keys of the zone, revoked or not, and of other
// signers.
func (p *planner) add(sep bool, times Times, why string) (*Key, error) {
	generate := p.Generate
	if generate == nil {
		generate = dnssec.Generate
	}
	flags := dnssec.ZoneKey
	if sep {
		flags |= dnssec.SEP
	}
	for range 100 {
		made, err := generate(p.Zone, flags, p.Policy.Algorithm)
		if err != nil {
			return nil, fmt.Errorf("generating a key for %s: %w", p.Zone, err)
		}
		if p.tagTaken(made.Tag) {
			continue
		}
		times.Created = p.Now
		k := &Key{Key: made, Times: times, ttl: uint32(p.Policy.DNSKEYTTL / time.Second)}
		k.state = k.firstState(p.Policy.Keys == config.CSK)
		p.plan.Keys = append(p.plan.Keys, k)
		slices.SortFunc(p.plan.Keys, compare)
		p.changed[k] = true
		p.note(k, "generated: %s", why)
		return k, nil
	}
	return nil, fmt.Errorf("generating a key for %s: no free key tag", p.Zone)
}

// tagTaken reports whether a key has the tag, or would have it when it is revoked (RFC 5011 3).
func (p *planner) tagTaken(tag uint16) bool {
	others := slices.ContainsFunc(p.Extra, func(rdata []byte) bool { return dnssec.Tag(rdata) == tag })
	return others || slices.ContainsFunc(p.plan.Keys, func(k *Key) bool {
		return k.Tag == tag || k.Tag+dnssec.Revoked == tag || tag+dnssec.Revoked == k.Tag
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
