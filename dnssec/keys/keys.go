// Package keys stores the DNSSEC keys of zones and plans their life.
//
// A key is three files in the form of BIND: K<zone>.+013+12345.key has the public half, .private the private half and
// the times of the key, .state what is known of its DS record. The times are the plan:
//
//	Publish .. Delete             the DNSKEY record is in the zone; a KSK or CSK signs the DNSKEY, CDS and CDNSKEY records
//	Activate .. Inactive          the key signs all other records, if it is a ZSK or CSK
//	SyncPublish .. SyncDelete     CDS and CDNSKEY records ask the parent zone for a DS record of the key
//
// State computes what a zone has at one time from these times alone, so each node with the same files has the same.
// Plan decides which keys and times to add, from the policy of the zone and the DS records that the parent's servers
// answer. Nothing else changes keys.
package keys

import (
	"time"

	"meridian/dnssec"
)

// Key is a key of a zone with its times. The zero time means never.
type Key struct {
	*dnssec.Key
	Times
	File string // path of its files without the ending; empty: not written yet

	private, state fields // the lines of the files
	ttl            uint32 // of the record in the .key file; 0: none
}

// Times are the times of a key, in whole seconds.
type Times struct {
	Created, Publish, Activate, Inactive, Delete, Revoke time.Time
	SyncPublish, SyncDelete                              time.Time

	DSPublish time.Time // since when all servers of the parent have the DS record
	DSRemoved time.Time // since when none has it
}

// timeField is one time of a key, with its names in the files; an empty name is not in that file.
type timeField struct {
	private, state string
	at             *time.Time
}

// named returns the times in the order of the files.
func (t *Times) named() []timeField {
	return []timeField{
		{"Created", "Generated", &t.Created},
		{"Publish", "Published", &t.Publish},
		{"Activate", "Active", &t.Activate},
		{"Inactive", "Retired", &t.Inactive},
		{"Revoke", "Revoked", &t.Revoke},
		{"Delete", "Removed", &t.Delete},
		{"SyncPublish", "PublishCDS", &t.SyncPublish},
		{"SyncDelete", "DeleteCDS", &t.SyncDelete},
		{"", "DSPublish", &t.DSPublish},
		{"", "DSRemoved", &t.DSRemoved},
	}
}

// within reports whether now is in the time from begin until end; a zero begin never comes.
func within(now, begin, end time.Time) bool {
	return !begin.IsZero() && !now.Before(begin) && (end.IsZero() || now.Before(end))
}

// Published reports whether the key's DNSKEY record is in the zone.
func (k *Key) Published(now time.Time) bool { return within(now, k.Publish, k.Delete) }

// Active reports whether the key signs records, if its role is to sign them. The record may be removed before the key
// stops signing, but a key without an end of its own ends with its record.
func (k *Key) Active(now time.Time) bool {
	end := k.Inactive
	if end.IsZero() {
		end = k.Delete
	}
	return within(now, k.Activate, end)
}

// SEP reports whether the key is a KSK or CSK.
func (k *Key) SEP() bool { return k.Flags&dnssec.SEP != 0 }

// atParent reports whether all servers of the parent had the DS record of the key when they were asked last.
func (k *Key) atParent() bool { return !k.DSPublish.IsZero() }

// clone returns a copy of the key that can be changed.
func (k *Key) clone() *Key {
	c := *k
	c.private, c.state = append(fields(nil), k.private...), append(fields(nil), k.state...)
	return &c
}
