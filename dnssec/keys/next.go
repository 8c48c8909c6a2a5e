package keys

import (
	"fmt"
	"strconv"
	"time"

	"meridian/config"
)

func tagText(k *Key) string { return strconv.Itoa(int(k.Tag)) }

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 UTC") }

// next finds the next step, and what waits for the parent.
func (p *planner) next() {
	for _, k := range p.plan.Keys {
		for _, s := range k.steps() {
			if s.At.After(p.Now) && (p.plan.Next.At.IsZero() || s.At.Before(p.plan.Next.At)) {
				p.plan.Next = s
			}
		}
		p.lifetimeEnd(k)
	}
	p.waits()
}

// steps returns what happens at each time of the key.
func (k *Key) steps() []Step {
	name := "key " + tagText(k)
	return []Step{
		{k.Publish, name + " is published"},
		{k.Activate, name + " begins to sign"},
		{k.SyncPublish, "CDS records ask for the DS of " + name},
		{k.SyncDelete, "CDS records of " + name + " are removed"},
		{k.Inactive, name + " stops signing"},
		{k.Delete, name + " is removed"},
	}
}

// lifetimeEnd notes when the successor of a key will be made.
func (p *planner) lifetimeEnd(k *Key) {
	lifetime := p.Policy.ZSKLifetime
	if k.SEP() {
		lifetime = p.Policy.KSKLifetime
	}
	if lifetime == 0 || !k.Delete.IsZero() || k.Activate.IsZero() || p.Policy.Manager != config.AutoManager {
		return
	}
	at := k.Activate.Add(lifetime - p.lead())
	if at.After(p.Now) && (p.plan.Next.At.IsZero() || at.Before(p.plan.Next.At)) {
		p.plan.Next = Step{at, "the successor of key " + tagText(k) + " is generated"}
	}
}

// waits says which DS records have to change at the parent.
func (p *planner) waits() {
	k := p.newest()
	switch {
	case k == nil:
	case p.Policy.CDS == config.CDSDelete && p.anyAtParent():
		p.plan.Waits, p.plan.Since = "the parent to remove the DS records", p.Now
	case p.Policy.CDS == config.CDSDelete:
		p.plan.Waits = "nothing: the parent has no DS record; write dnssec: none after its TTL"
	case !k.atParent() && !k.SyncPublish.After(p.Now):
		p.plan.Waits, p.plan.Since = fmt.Sprintf("all servers of the parent to have the DS of key %d", k.Tag), k.SyncPublish
	default:
		p.waitsForRemoval()
	}
}

// waitsForRemoval says which DS record of an old algorithm has to go.
func (p *planner) waitsForRemoval() {
	for _, old := range p.alive(true, false) {
		p.plan.Waits = fmt.Sprintf("all servers of the parent to remove the DS of key %d", old.Tag)
		p.plan.Since = old.SyncDelete
	}
}

func (p *planner) anyAtParent() bool {
	for _, k := range p.plan.Keys {
		if k.atParent() {
			return true
		}
	}
	return false
}
