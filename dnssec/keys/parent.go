package keys

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"meridian/dnssec"
)

// DSView is what all servers of the parent zone answered for the DS records of a zone.
type DSView struct {
	Answers [][][]byte // RDATA of the records, one list for each server
}

// hasEverywhere reports whether each server has a DS record of the key.
func (v *DSView) hasEverywhere(k *Key) bool {
	return len(v.Answers) > 0 && !slices.ContainsFunc(v.Answers, func(records [][]byte) bool { return !anyMatches(records, k) })
}

// hasNowhere reports whether no server has a DS record that may be of the key.
func (v *DSView) hasNowhere(k *Key) bool {
	return len(v.Answers) > 0 && !slices.ContainsFunc(v.Answers, func(records [][]byte) bool {
		return slices.ContainsFunc(records, func(ds []byte) bool { return sameKey(ds, k) })
	})
}

// anyMatches reports whether a record has the digest of the key.
func anyMatches(records [][]byte, k *Key) bool {
	return slices.ContainsFunc(records, func(ds []byte) bool {
		return sameKey(ds, k) && bytes.Equal(ds, k.DS(ds[3]))
	})
}

// sameKey reports whether a DS record has the tag and algorithm of the key.
func sameKey(ds []byte, k *Key) bool {
	own := k.DS(dnssec.SHA256)
	return len(ds) > 4 && bytes.Equal(ds[:3], own[:3])
}

// seeDS records since when all servers, or none, have the DS record of each key:
//
//	servers with it    DSPublish     DSRemoved
//	all                first time    zero
//	some               zero          zero
//	none               zero          first time
func (p *planner) seeDS() {
	if p.Parent == nil || len(p.Parent.Answers) == 0 {
		return
	}
	for _, k := range p.plan.Keys {
		if !k.SEP() || k.Publish.IsZero() || !k.Delete.IsZero() && !k.Published(p.Now) {
			continue
		}
		everywhere, nowhere := p.Parent.hasEverywhere(k), p.Parent.hasNowhere(k)
		switch {
		case everywhere && !k.atParent():
			p.note(k, "has its DS record at all servers of the parent")
		case !everywhere && k.atParent():
			p.note(k, "lacks its DS record at some servers of the parent")
		}
		p.since(k, &k.DSPublish, everywhere)
		p.since(k, &k.DSRemoved, nowhere)
	}
	p.reopen()
}

// since keeps the first time of a condition, and forgets it when the condition ends.
func (p *planner) since(k *Key, at *time.Time, holds bool) {
	switch {
	case !holds:
		p.set(k, at, time.Time{})
	case at.IsZero():
		p.set(k, at, p.Now)
	}
}

// reopen takes the end from keys that are still published when the parent no longer has the DS of their successor.
func (p *planner) reopen() {
	successor := p.newest()
	if successor == nil || successor.atParent() {
		return
	}
	for _, k := range p.plan.Keys {
		depends := k.SEP() || k.Algorithm != successor.Algorithm
		if depends && k.Published(p.Now) && !k.Delete.IsZero() {
			p.set(k, &k.Delete, time.Time{})
			p.note(k, "stays: the parent does not have the DS of key %d everywhere", successor.Tag)
		}
	}
}

// Describe says which keys have their DS record at the parent.
func (v *DSView) Describe(all []*Key) string {
	var parts []string
	for _, k := range all {
		switch {
		case !k.SEP():
		case v.hasEverywhere(k):
			parts = append(parts, "all servers have the DS of key "+tagText(k))
		case !v.hasNowhere(k):
			parts = append(parts, "some servers have a DS with the tag of key "+tagText(k))
		}
	}
	if len(parts) == 0 {
		return "no server has the DS of a key"
	}
	return strings.Join(parts, ", ")
}
