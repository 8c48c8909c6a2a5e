package answertest

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/snapshot"
	"meridian/zones"
)

// WithCopy returns a snapshot that has records as the copy of a secondary zone, which its primary confirmed at a time.
func WithCopy(t testing.TB, s *snapshot.Snapshot, zone dnsname.Name, confirmed time.Time, records ...string) *snapshot.Snapshot {
	t.Helper()
	var b zones.CopyBuilder
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		packed, err := b.Pack(rr)
		if err != nil {
			t.Fatal(err)
		}
		b.Add(packed)
	}
	c, err := b.Copy(zone, "192.0.2.1:53", confirmed)
	if err != nil {
		t.Fatal(err)
	}
	next, _, err := s.WithCopies(zones.Copies{c.Zone: c}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return next
}
