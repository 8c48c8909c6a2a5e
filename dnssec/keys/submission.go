package keys

import (
	"fmt"
	"slices"
	"time"

	"meridian/config"
	"meridian/dnssec"
)

// Submission is the DS record that the parent of a zone should have, and the one that replaces it.
type Submission struct {
	Key      *Key      // the key of the record; nil: there is none
	From     time.Time // when it may be handed over; zero: now
	Next     *Key      // the key of the record that replaces it; nil: none does
	NextFrom time.Time // when that may be handed over
}

// SubmissionOf returns which DS record may be handed over to the parent. That of a new key has to wait until all
// resolvers know its DNSKEY record: before that, the DS record of the old key stays the right one.
func SubmissionOf(all []*Key, policy *config.SigningPolicy, now time.Time) Submission {
	newest := Wanted(all, policy)
	if newest == nil {
		return Submission{}
	}
	old := predecessor(all, newest, policy, now)
	if newest.readyForDS(policy, now) || old == nil {
		return Submission{Key: newest, From: newest.waitForDS(policy, now)}
	}
	return Submission{Key: old, From: old.waitForDS(policy, now), Next: newest, NextFrom: newest.dsFrom(policy)}
}

// dsFrom returns when the parent may have the DS record of the key: when CDS records ask for it, and not before all
// resolvers know its DNSKEY record.
func (k *Key) dsFrom(policy *config.SigningPolicy) time.Time {
	return later(k.SyncPublish, k.Publish.Add(leadOf(policy)))
}

func (k *Key) readyForDS(policy *config.SigningPolicy, now time.Time) bool {
	return !k.dsFrom(policy).After(now)
}

// waitForDS returns when the DS record of the key may be handed over; zero if it may be now, or is at the parent.
func (k *Key) waitForDS(policy *config.SigningPolicy, now time.Time) time.Time {
	if k.atParent() || k.readyForDS(policy, now) {
		return time.Time{}
	}
	return k.dsFrom(policy)
}

// predecessor returns the published KSK or CSK that newest replaces, or nil: the latest that the parent may have a DS
// record of, else the oldest.
func predecessor(all []*Key, newest *Key, policy *config.SigningPolicy, now time.Time) *Key {
	var others []*Key
	for _, k := range all {
		if k.SEP() && k != newest && k.Published(now) && k.Revoke.IsZero() {
			others = append(others, k)
		}
	}
	if len(others) == 0 {
		return nil
	}
	slices.SortStableFunc(others, func(a, b *Key) int { return a.Publish.Compare(b.Publish) })
	for _, k := range slices.Backward(others) {
		if k.waitForDS(policy, now).IsZero() {
			return k
		}
	}
	return others[0]
}

// Confirm records that the parent has the DS record that SubmissionOf returns, and no other one. It is for an operator
// with a parent that cannot be asked. It refuses a record of a new key that the parent must not have yet.
func Confirm(r Request) (Result, error) {
	policy := *r.Policy
	policy.Manager = config.ExternalManager // the keys that exist, not those that the policy would make
	look := r
	look.Policy, look.Write = &policy, false
	seen, err := Update(look)
	if err != nil {
		return seen, err
	}
	s := SubmissionOf(seen.Keys, r.Policy, seen.Now)
	if s.Key == nil {
		return seen, fmt.Errorf("zone %s has no KSK or CSK without an end", r.Zone)
	}
	if s.Next != nil {
		return seen, fmt.Errorf("the parent must not have the DS of key %d before %s, when all resolvers know the key, and keeps that of key %d until then; replace it after that, and confirm it when all servers of the parent have it",
			s.Next.Tag, stamp(s.NextFrom), s.Key.Tag)
	}
	r.Parent, r.Write = &DSView{Answers: [][][]byte{{s.Key.DS(dnssec.SHA256)}}}, true
	return Update(r)
}
