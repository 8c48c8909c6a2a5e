package keys

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/config"
	"meridian/dnssec"
)

// request returns an update of a new folder with a policy of one key.
func request(t *testing.T) Request {
	policy := config.SigningPolicy{
		Keys: config.CSK, Algorithm: dnssec.ED25519, Validity: time.Hour, Refresh: time.Minute, DNSKEYTTL: time.Minute,
		KSKLifetime: 24 * time.Hour, CDS: config.CDSRollover, Manager: config.AutoManager,
	}
	return Request{
		Folder: filepath.Join(t.TempDir(), "keys"), Zone: zoneName, Policy: &policy,
		Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Write: true,
	}
}

func update(t *testing.T, r Request) Result {
	t.Helper()
	result, err := Update(r)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestNoKeyChangesWhileTheClockIsBehind(t *testing.T) {
	r := request(t)
	first := update(t, r)
	begin := r.Now
	r.Now = begin.Add(23 * time.Hour)
	if got := update(t, r); len(got.Changed) > 0 {
		t.Fatalf("changes %v before the end of the lifetime", got.Notes)
	}
	r.Roll = KSK
	r.Now = begin.Add(21 * time.Hour)
	got := update(t, r)
	if len(got.Changed) > 0 || !strings.Contains(got.Waits, "a correct clock: it is 2h0m0s behind the last time seen") {
		t.Errorf("changes %v, waits %q", got.Notes, got.Waits)
	}
	if !got.Now.Equal(begin.Add(23*time.Hour)) || len(got.Set.DNSKEY) != 1 || got.Set.ZSK[0].Tag != first.Keys[0].Tag {
		t.Errorf("keys of %s, want those of the last time seen", got.Now)
	}
	r.Now = begin.Add(22*time.Hour + 30*time.Minute) // a correction of less than an hour
	if got := update(t, r); len(got.Changed) != 2 {
		t.Errorf("%d keys changed, want the rollover: %v", len(got.Changed), got.Notes)
	}
}

func TestOldKeyStaysUntilTheParentHasTheNewDS(t *testing.T) {
	r := request(t)
	r.Policy.KSKLifetime, r.Policy.Parent.DSTTL = 0, time.Hour
	old := update(t, r).Keys[0]
	r.Now, r.Roll = r.Now.Add(2*time.Hour), KSK
	update(t, r)
	r.Roll = ""
	for day := range 40 { // a parent that does nothing
		r.Now = r.Now.Add(24 * time.Hour)
		r.Parent = &DSView{Answers: [][][]byte{{old.DS(dnssec.SHA256)}}}
		result := update(t, r)
		if len(result.Set.DNSKEY) != 2 || len(result.Set.KSK) != 2 {
			t.Fatalf("%s: %d DNSKEY records, want both", r.Now, len(result.Set.DNSKEY))
		}
		if !strings.HasPrefix(result.Waits, "all servers of the parent to have the DS of key ") {
			t.Fatalf("waits for %q", result.Waits)
		}
		if report := ReportOf(r.Zone, r.Policy, &result); report.Overdue != (day >= 7) || report.DSSeen {
			t.Fatalf("after %d days: overdue %v, DS seen %v", day+1, report.Overdue, report.DSSeen)
		}
	}
	successor := update(t, r).Set.ZSK[0]
	r.Parent = &DSView{Answers: [][][]byte{{successor.DS(dnssec.SHA384)}, {successor.DS(dnssec.SHA256), old.DS(dnssec.SHA256)}}}
	result := update(t, r)
	if len(result.Set.DNSKEY) != 2 || result.Next.At.IsZero() {
		t.Errorf("%d DNSKEY records, next %+v; want the old one for one more TTL", len(result.Set.DNSKEY), result.Next)
	}
	r.Now, r.Parent = result.Next.At, nil
	if result = update(t, r); len(result.Set.DNSKEY) != 1 || result.Set.KSK[0].Tag != successor.Tag {
		t.Errorf("%d DNSKEY records, want the new one alone", len(result.Set.DNSKEY))
	}
}

func TestDeleteAsksTheParentToRemoveTheDS(t *testing.T) {
	r := request(t)
	update(t, r)
	r.Policy.CDS = config.CDSDelete
	set := update(t, r).Set
	if string(set.CDS[0]) != "\x00\x00\x00\x00\x00" || string(set.CDNSKEY[0]) != "\x00\x00\x03\x00\x00" || len(set.ZSK) != 1 {
		t.Errorf("CDS %x, CDNSKEY %x; want those of RFC 8078 4, and signatures", set.CDS, set.CDNSKEY)
	}
}

func TestExtraKeysArePublished(t *testing.T) {
	r := request(t)
	update(t, r)
	other, err := dnssec.Generate(zoneName, 257, dnssec.ED25519)
	if err != nil {
		t.Fatal(err)
	}
	r.Extra = filepath.Join(t.TempDir(), "other")
	text := (&Key{Key: other}).formatPublic()
	if err := os.WriteFile(r.Extra, []byte(text+text), 0o600); err != nil {
		t.Fatal(err)
	}
	if set := update(t, r).Set; len(set.DNSKEY) != 2 || len(set.KSK) != 1 {
		t.Errorf("%d DNSKEY records signed by %d keys, want 2 by 1", len(set.DNSKEY), len(set.KSK))
	}
	for content, want := range map[string]string{
		"@ A 192.0.2.1\n":  "want at most 16 DNSKEY records of example.com., and nothing else",
		"@ DNSKEY 257 x\n": "at line: 1",
		strings.Replace(text, "\nexample.com", "\nexample.org", 1): "want at most 16",
	} {
		if err := os.WriteFile(r.Extra, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Update(r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", content, err, want)
		}
	}
}
