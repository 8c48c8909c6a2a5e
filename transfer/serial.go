package transfer

import (
	"time"

	"meridian/config"
	"meridian/transfer/journal"
	"meridian/zones"
)

// after returns the serial after another one. It is never 0, which some servers take for no serial.
func after(serial uint32) uint32 { return max(1, serial+1) }

// higher returns the higher one of two serials.
func higher(a, b uint32) uint32 {
	if journal.Newer(a, b) {
		return a
	}
	return b
}

// nextSerial returns the serial of a zone in a snapshot that is not served yet, after the one before, of which it differs in
// its records if changed is true:
//
//	serial               not changed                             changed
//	keep                 that of the file                        that of the file, even if it is not higher
//	unixtime, or no SOA  the time of the files, if higher        the same, but at least the one before + 1
//	increment            the one before, or the file's if higher the one before + 1, or the file's if higher
//	date                 the same                                the day of the change, if higher, else as increment
func nextSerial(data *zones.Data, zone zones.ZoneID, policy config.SerialPolicy, before uint32, changed bool, now time.Time) uint32 {
	own, made := data.Serial(zone), data.MadeSOA(zone)
	switch policy {
	case config.IncrementSerial, config.DateSerial:
		if made {
			own = before // the time of the files is only the first one
		}
	case config.UnixtimeSerial:
	default:
		if !made {
			return own
		}
	}
	if !changed {
		return higher(own, before)
	}
	if policy == config.DateSerial {
		own = higher(own, dateSerial(now))
	}
	return higher(own, after(before))
}

// raised returns the serial after a change that the server has made at a time.
func raised(policy config.SerialPolicy, before uint32, at time.Time) uint32 {
	switch policy {
	case config.IncrementSerial:
		return after(before)
	case config.DateSerial:
		return higher(after(before), dateSerial(at))
	}
	return higher(after(before), uint32(at.Unix()))
}

// firstSerial returns the serial of a zone of which none is known.
func firstSerial(data *zones.Data, zone zones.ZoneID, policy config.SerialPolicy) uint32 {
	if policy == config.DateSerial && data.MadeSOA(zone) {
		return dateSerial(data.Changed(zone))
	}
	return data.Serial(zone)
}

// dateSerial returns the first serial of a day (RFC 1912 2.2).
func dateSerial(t time.Time) uint32 {
	year, month, day := t.UTC().Date()
	return uint32(((year*100+int(month))*100 + day) * 100)
}
