package keys

import (
	"time"

	"meridian/config"
)

// csk reports whether the zone's KSK signs all records.
func (p *planner) csk() bool { return p.Policy.Keys == config.CSK }

// startSEP makes the first KSK or CSK, or the next one: by double signature (RFC 6781 4.1.2).
//
//	now          the new key is published, and signs the DNSKEY records together with the old one
//	+ lead       CDS records ask for the new DS; a new CSK signs all records, the old one none of them
//	DS seen      see finishSEP
func (p *planner) startSEP() error {
	same, others := p.alive(true, true), p.alive(true, false)
	if len(same) == 0 && len(others) == 0 {
		return p.firstSEP()
	}
	if len(same) != 1 || len(others) > 0 || p.retiring(true) {
		return nil // a rollover, or a change of the algorithm
	}
	old := same[0]
	due := p.Policy.KSKLifetime > 0 && !p.Now.Before(old.Activate.Add(p.Policy.KSKLifetime-p.lead()))
	if p.Policy.CDS == config.CDSDelete || !due && p.Roll != KSK || !old.Published(p.Now) {
		return nil
	}
	_, err := p.add(true, p.doubleSignature(old), "replaces key "+tagText(old))
	return err
}

// doubleSignature returns the times of the successor of a KSK or CSK, and ends the signatures of an old CSK.
func (p *planner) doubleSignature(old *Key) Times {
	begin := p.after(old)
	ready := begin.Add(p.lead())
	times := Times{Publish: begin, Activate: begin, SyncPublish: ready}
	if !old.atParent() {
		times.SyncPublish = later(ready, old.SyncPublish) // resolvers may have unsigned records until then
	}
	if p.csk() {
		times.Activate = ready
		p.set(old, &old.Inactive, ready)
	}
	return times
}

// after returns when the successor of a key is published: now, but later than the key, which makes it the newest.
func (p *planner) after(old *Key) time.Time { return later(p.Now, old.Publish.Add(time.Second)) }

// firstSEP makes a KSK or CSK for a zone without one. A DS record must not exist before resolvers have forgotten the
// unsigned records.
func (p *planner) firstSEP() error {
	times := Times{Publish: p.Now, Activate: p.Now}
	if p.signed() {
		times.Activate = p.Now.Add(p.lead())
	}
	times.SyncPublish = times.Activate.Add(max(p.signatureTTL(), p.lead()) + p.Policy.PublishSafety)
	_, err := p.add(true, times, "the zone has no such key")
	return err
}

// startZSK makes the first ZSK, or the next one: by pre-publication (RFC 6781 4.1.1). All times of the rollover are
// known when it begins.
func (p *planner) startZSK() error {
	if p.csk() || len(p.alive(true, true)) == 0 || len(p.alive(true, false)) > 0 {
		return nil // without a KSK of the algorithm, or while it changes
	}
	zsks := p.alive(false, true)
	ready := p.Now.Add(p.lead())
	if len(zsks) == 0 {
		times := Times{Publish: p.Now, Activate: p.Now}
		if usable(p.Keys, p.Now) == nil {
			times.Activate = ready
		}
		_, err := p.add(false, times, "the zone has no such key")
		return err
	}
	old := zsks[len(zsks)-1]
	due := p.Policy.ZSKLifetime > 0 && !p.Now.Before(old.Activate.Add(p.Policy.ZSKLifetime-p.lead()))
	if len(zsks) > 1 || !due && p.Roll != ZSK || !old.Active(p.Now) || p.retiring(false) {
		return nil
	}
	begin := p.after(old)
	_, err := p.add(false, Times{Publish: begin, Activate: begin.Add(p.lead())}, "replaces key "+tagText(old))
	return err
}

// retiring reports whether a key of an earlier rollover is still in use.
func (p *planner) retiring(sep bool) bool {
	for _, k := range p.plan.Keys {
		if k.SEP() == sep && !k.Delete.IsZero() && (k.Published(p.Now) || k.Active(p.Now)) {
			return true
		}
	}
	return false
}

// finishZSK gives the older of several ZSKs their end, and all of them if a CSK takes over.
func (p *planner) finishZSK() {
	zsks := p.alive(false, true)
	successor := p.newest()
	if !p.csk() && len(zsks) > 0 {
		successor = zsks[len(zsks)-1]
		zsks = zsks[:len(zsks)-1]
	}
	if successor == nil || successor.Algorithm != p.Policy.Algorithm {
		return
	}
	for _, old := range zsks {
		end := later(successor.Activate, successor.Publish.Add(p.lead()))
		if old.Inactive.IsZero() || old.Inactive.Before(end) {
			p.set(old, &old.Inactive, later(end, p.Now))
		}
		p.set(old, &old.Delete, old.Inactive.Add(p.retire()))
		p.note(old, "signs until %s, removed at %s", stamp(old.Inactive), stamp(old.Delete))
	}
}

// newest returns the KSK or CSK that the zone is to have alone, or nil.
func (p *planner) newest() *Key {
	same := p.alive(true, true)
	if len(same) == 0 {
		return nil
	}
	return same[len(same)-1]
}

// changeAlgorithm begins a change of the algorithm, the conservative way (RFC 6781 4.1.4):
//
//	now                 the new key signs all records
//	+ signature TTL     the new key is published
//	+ lead              CDS records ask for the new DS
//	DS seen, old gone   see finishSEP: the old key is removed, and later its signatures
func (p *planner) changeAlgorithm() error {
	others := p.alive(true, false)
	if len(p.alive(true, true)) > 0 || len(others) == 0 || p.retiring(true) || p.retiring(false) || p.Policy.CDS == config.CDSDelete {
		return nil
	}
	publish := p.Now.Add(p.signatureTTL() + p.Policy.PublishSafety)
	times := Times{Activate: p.Now, Publish: publish}
	if !p.csk() {
		if _, err := p.add(false, times, "new algorithm"); err != nil {
			return err
		}
	}
	times.SyncPublish = publish.Add(p.lead())
	_, err := p.add(true, times, "new algorithm, replaces key "+tagText(others[len(others)-1]))
	return err
}

// finishSEP gives the older KSKs and CSKs their end, once the DS record of the newest is seen at the parent.
func (p *planner) finishSEP() {
	successor := p.newest()
	if successor == nil || !successor.Published(p.Now) || !successor.atParent() || p.Policy.CDS == config.CDSDelete {
		return
	}
	seen := later(successor.DSPublish, successor.SyncPublish)
	for _, old := range p.alive(true, true) {
		if old != successor {
			p.end(old, p.forgotten(seen), successor)
		}
	}
	others := p.alive(true, false)
	for _, old := range others {
		if !p.gone(old) {
			return
		}
		seen = p.Now
	}
	at := later(p.forgotten(seen), p.lastOf(others))
	for _, old := range append(others, p.alive(false, false)...) {
		p.set(old, &old.Delete, at)
		p.set(old, &old.Inactive, old.Delete.Add(p.Policy.DNSKEYTTL+p.Policy.RetireSafety))
		p.note(old, "removed at %s, signs until %s", stamp(old.Delete), stamp(old.Inactive))
	}
}

// lastOf returns when the last key of an algorithm with an end leaves the zone: its algorithm must not stay in the DNSKEY
// records without the keys that sign.
func (p *planner) lastOf(others []*Key) time.Time {
	last := p.Now
	for _, k := range p.plan.Keys {
		if len(others) > 0 && k.Algorithm == others[0].Algorithm && k.Published(p.Now) {
			last = later(last, k.Delete)
		}
	}
	return last
}

// gone reports whether the parent has no DS record of a key and cannot get one from CDS records that it read before they
// were removed. Without servers to ask, the operator has confirmed that the DS of its successor replaced it.
func (p *planner) gone(k *Key) bool {
	if len(p.Policy.Parent.Servers) == 0 {
		return true
	}
	return p.Parent != nil && p.Parent.hasNowhere(k) && !p.Now.Before(k.SyncDelete.Add(p.Policy.Parent.Propagation))
}

// forgotten returns when no resolver has the DS records from before a time.
func (p *planner) forgotten(seen time.Time) time.Time {
	parent := &p.Policy.Parent
	return seen.Add(parent.DSTTL + parent.Propagation + p.Policy.RetireSafety)
}

// end retires a key of the same algorithm: its record stays until the DS record and its signatures are forgotten.
func (p *planner) end(old *Key, at time.Time, successor *Key) {
	ready := later(successor.Activate, successor.Publish.Add(p.lead()))
	if old.Inactive.IsZero() || old.Inactive.Before(ready) {
		p.set(old, &old.Inactive, later(ready, p.Now))
	}
	at = later(later(at, p.Now), old.Inactive.Add(p.retire())) // it may have been a CSK
	p.set(old, &old.Delete, at)
	p.note(old, "removed at %s", stamp(at))
}

// askForDS gives the newest key the time of its CDS records, and takes it from the older ones.
func (p *planner) askForDS() {
	k := p.newest()
	if k == nil {
		return
	}
	if k.SyncPublish.IsZero() || !k.SyncDelete.IsZero() { // imported, or wanted again
		ready := later(k.Publish.Add(p.lead()), k.Activate.Add(p.signatureTTL()+p.Policy.PublishSafety))
		p.set(k, &k.SyncPublish, later(ready, p.Now))
		p.set(k, &k.SyncDelete, time.Time{})
	}
	for _, old := range append(p.alive(true, true), p.alive(true, false)...) {
		if old != k && old.SyncDelete.IsZero() {
			p.set(old, &old.SyncDelete, later(k.SyncPublish, p.Now))
		}
	}
}
