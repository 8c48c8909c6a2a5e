package keys

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"meridian/config"
	"meridian/dnsname"
	"meridian/dnssec"
)

// newKey generates a key of the zone of the tests.
func newKey(t *testing.T, flags uint16) *dnssec.Key {
	t.Helper()
	k, err := dnssec.Generate(zoneName, flags, dnssec.ED25519)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestCDSHasTheKeysOfAllSigners checks that a parent that follows CDS records does not remove the DS of another signer.
func TestCDSHasTheKeysOfAllSigners(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	own := &Key{Key: newKey(t, dnssec.ZoneKey|dnssec.SEP), Times: Times{Publish: begin, Activate: begin, SyncPublish: begin.Add(time.Hour)}}
	ksk, zsk, revoked := newKey(t, dnssec.ZoneKey|dnssec.SEP), newKey(t, dnssec.ZoneKey), newKey(t, dnssec.ZoneKey|dnssec.SEP|dnssec.Revoked)
	extra := [][]byte{ksk.DNSKEY(), zsk.DNSKEY(), revoked.DNSKEY(), own.DNSKEY()}
	both := [][]byte{own.DS(dnssec.SHA256), ksk.DS(dnssec.SHA256)}
	for _, test := range []struct {
		name  string
		cds   config.CDSMode
		extra [][]byte
		after time.Duration
		seen  bool // the parent has the DS of the own key
		want  [][]byte
	}{
		{"alone, the DS is wanted", config.CDSRollover, nil, time.Hour, false, both[:1]},
		{"alone, the DS is there", config.CDSRollover, nil, time.Hour, true, nil},
		{"several, the own key is too new", config.CDSRollover, extra, time.Minute, false, nil},
		{"several, the DS is wanted", config.CDSRollover, extra, time.Hour, false, both},
		{"several, the DS is there", config.CDSRollover, extra, time.Hour, true, both},
		{"several, always", config.CDSAlways, extra, time.Hour, true, both},
		{"several, only a ZSK of another", config.CDSRollover, extra[1:2], time.Hour, true, nil},
		{"several, none", config.CDSNone, extra, time.Hour, false, nil},
		{"several, delete", config.CDSDelete, extra, time.Hour, false, [][]byte{deleteCDS}},
	} {
		k := *own
		if test.seen {
			k.DSPublish = begin.Add(time.Hour)
		}
		set, err := At([]*Key{&k}, &config.SigningPolicy{CDS: test.cds}, test.extra, begin.Add(test.after))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(set.CDS, test.want, bytes.Equal) || len(set.CDNSKEY) != len(test.want) {
			t.Errorf("%s: CDS %x, want %x; %d CDNSKEY", test.name, set.CDS, test.want, len(set.CDNSKEY))
		}
	}
}

// TestNewKeyHasNoTagOfAnotherSigner has the generator make a key of another signer first.
func TestNewKeyHasNoTagOfAnotherSigner(t *testing.T) {
	other, free := newKey(t, dnssec.ZoneKey|dnssec.SEP), newKey(t, dnssec.ZoneKey|dnssec.SEP)
	made := []*dnssec.Key{other, free}
	policy := config.SigningPolicy{Keys: config.CSK, Algorithm: dnssec.ED25519, Manager: config.AutoManager, CDS: config.CDSRollover}
	plan, err := Make(Input{
		Zone: zoneName, Policy: &policy, Now: time.Now(), Extra: [][]byte{other.DNSKEY()},
		Generate: func(dnsname.Name, uint16, uint8) (*dnssec.Key, error) {
			next := made[0]
			made = made[1:]
			return next, nil
		},
	})
	if err != nil || len(plan.Keys) != 1 || plan.Keys[0].Tag != free.Tag {
		t.Errorf("keys %v, %v; want one with the tag %d", plan.Keys, err, free.Tag)
	}
}
