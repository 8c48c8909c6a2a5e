//go:build unix

package geo

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"meridian/config"
)

// Copying a new file over the old one truncates the old one first. A read then returns an error and the result of the
// other sources.
func TestFileTruncatedDuringRead(t *testing.T) {
	var rows, asns []row
	for i := range 250 {
		prefix := fmt.Sprintf("193.%d.0.0/16", i)
		rows = append(rows, row{prefix, cityRecord("FJ", "", fmt.Sprint("city ", i), -17, float64(i)/2)})
		asns = append(asns, row{prefix, asnRecord(uint32(64000 + i))})
	}
	open := func() (l *Locator, files []string) {
		city, asn := writer{kind: "Test"}.file(t, rows...), writer{kind: "Example-ASN"}.file(t, asns...)
		return openWith(t, config.Geo{Database: city, ASN: asn}, cities(3)), []string{city, asn}
	}
	cut := func(files []string, left int64) {
		for _, file := range files {
			if err := os.Truncate(file, left); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		left      int64 // bytes; a page of them contains the search tree
		forgotten bool  // the results of earlier reads
	}{{0, false}, {0, true}, {4096, true}} {
		l, files := open()
		if c.forgotten {
			l.ReleaseBuildData()
		}
		cut(files, c.left)
		_, err := l.Table(cities(3))
		if fault, ok := errors.AsType[config.Error](err); !ok || fault.Path != "geo.database" || !strings.HasPrefix(fault.What, fmt.Sprintf("%q ", files[0])) {
			t.Errorf("cut to %d, forgotten %t: %v, want a fault of the database", c.left, c.forgotten, err)
		}
	}
	for _, left := range []int64{0, 4096} {
		l, files := open()
		table, err := l.Table(cities(3))
		if err != nil {
			t.Fatal(err)
		}
		before := table.Ranking(table.Lookup(addrOf("193.0.6.139")))
		cut(files, left)
		if at := l.Locate(addrOf("193.0.6.139")); left == 0 && (at.From != "built-in" || at.Country != "NL" || at.ASN != 0) {
			t.Errorf("cut after compiling: stands at %+v, want the built-in table's place", at)
		}
		for i := range 250 {
			l.Locate(netip.AddrFrom4([4]byte{193, byte(i), 1, 1})) // some of whose records are left, some not
		}
		if after := table.Ranking(table.Lookup(addrOf("193.0.6.139"))); fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("table ranks %v, did %v", after, before)
		}
	}
}

// A file with the same metadata and other content is copied over the mapped one.
func TestFileOverwrittenBeforeCompiling(t *testing.T) {
	rows := []row{{"198.51.100.0/24", cityRecord("US", "CA", "Oakland", 37.8, -122.27)}, {"203.0.113.0/25", countryRecord("EU", "FR")}}
	file := writer{kind: "Test"}.file(t, rows...)
	l := openWith(t, config.Geo{Database: file}, cities(3))
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int(l.db.treeSize(uint(l.db.nodes))) { // all halves point far beyond the data
		data[i] = 0x7f
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Table(cities(3)); err == nil || !strings.Contains(err.Error(), "was overwritten while it was read") {
		t.Errorf("got %v, want that the file changed", err)
	}
}

func TestRecoverFaultPassesOtherPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a slip of ours was taken for a fault of the file")
		}
	}()
	_ = recoverFault(func() error {
		var none []int
		return fmt.Errorf("%d", none[len(none)])
	})
}
