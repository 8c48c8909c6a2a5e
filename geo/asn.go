package geo

import (
	"fmt"
	"net/netip"

	"github.com/oschwald/geoip2-golang/v2"
)

// asnFile is an open ASN file, which maps networks to autonomous systems.
type asnFile struct{ *database }

// openASN opens the file and checks that it contains autonomous systems.
func (l *Locator) openASN(name string) error {
	if name == "" {
		return nil
	}
	return recoverFault(func() error {
		db, err := openDatabase(name)
		if err != nil {
			return err
		}
		l.asn = &asnFile{db}
		return l.asn.verify()
	})
}

// verify reads every record.
func (f *asnFile) verify() error {
	set, err := f.offsets()
	if err != nil {
		return err
	}
	known := false
	set.each(func(offset uint32) bool {
		var n uint32
		if n, err = f.read(offset); err != nil {
			err = fmt.Errorf("is broken: its record at offset %d cannot be read: %w", offset, err)
		}
		known = known || n != 0
		return err == nil
	})
	if err == nil && !known {
		err = fmt.Errorf("has no autonomous system for any network (its type is %q)", f.reader.Metadata.DatabaseType)
	}
	return err
}

// number returns the autonomous system of addr, or 0.
func (f *asnFile) number(addr netip.Addr) uint32 {
	var n uint32
	err := recoverFault(func() (err error) {
		k, v4 := keyOf(addr)
		if offset, _, ok := f.find(k, v4); ok {
			n, err = f.read(offset)
		}
		return err
	})
	if err != nil {
		return 0 // openASN has read every record, so the file has been replaced since
	}
	return n
}

// numbers returns the autonomous system of each record of the search tree.
func (f *asnFile) numbers() (map[record]uint32, error) {
	set, err := f.offsets()
	if err != nil {
		return nil, err
	}
	all := make(map[record]uint32)
	set.each(func(offset uint32) bool {
		all[record(f.nodes+separator+offset)], err = f.read(offset)
		return err == nil
	})
	return all, err
}

func (f *asnFile) read(offset uint32) (uint32, error) {
	var r geoip2.ASN
	err := f.reader.LookupOffset(uintptr(offset)).Decode(&r)
	return uint32(r.AutonomousSystemNumber), err
}
