package dnssec

import (
	"hash/crc32"
	"time"

	"meridian/dnsname"
)

// Timing holds how long signatures are valid. All are whole seconds.
type Timing struct {
	Validity  time.Duration // from the beginning of a slot to the expiration of its signatures
	Refresh   time.Duration // the length of a slot, after which there is a new signature
	Inception time.Duration // how long before its slot a signature becomes valid, for clocks that are behind
}

// slot is the time in which one signature of a set is used. All signatures made in it are equal. Slots of different
// owners and types begin at different times, so that new signatures are spread evenly.
type slot struct {
	number                uint32
	inception, expiration uint32 // in seconds since 1970
}

// SignaturePeriod is the time in which a signature is valid.
type SignaturePeriod struct{ Inception, Expiration time.Time }

// Period returns when the signature of a set that is used at now is valid.
func (z *Zone) Period(owner dnsname.Wire, typ uint16, now time.Time) SignaturePeriod {
	at := z.timing.slotAt(owner, typ, now.Unix())
	return SignaturePeriod{time.Unix(int64(at.inception), 0).UTC(), time.Unix(int64(at.expiration), 0).UTC()}
}

// castagnoli has hardware support on common processors.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// slotAt returns the slot of a set at now, in seconds since 1970. Every server finds the same.
func (t *Timing) slotAt(owner dnsname.Wire, typ uint16, now int64) slot {
	refresh := int64(t.Refresh / time.Second)
	phase := int64(crc32.Update(uint32(typ), castagnoli, owner)) % refresh
	number := (now + phase) / refresh
	begin := number*refresh - phase
	return slot{
		number:     uint32(number),
		inception:  uint32(begin - int64(t.Inception/time.Second)),
		expiration: uint32(begin + int64(t.Validity/time.Second)),
	}
}
