package keys

import (
	"strings"
	"testing"
	"time"
)

// A DS record of a key that resolvers do not know would break the chain of trust.
func TestDSOfANewKeyWaitsForItsDNSKEY(t *testing.T) {
	r := request(t)
	r.Policy.KSKLifetime = 0
	old := update(t, r).Keys[0]
	s := SubmissionOf(update(t, r).Keys, r.Policy, r.Now)
	if signed := r.Now.Add(r.Policy.Validity); s.Key.Tag != old.Tag || !s.From.Equal(signed) || s.Next != nil {
		t.Fatalf("first key: %+v, want it from %s on", s, signed)
	}
	r.Roll = KSK
	rolled := update(t, r)
	r.Roll = ""
	s = SubmissionOf(rolled.Keys, r.Policy, r.Now)
	if s.Key.Tag != old.Tag || s.Next == nil || s.NextFrom.Before(s.From) {
		t.Fatalf("after the start of the rollover: %+v, want key %d, and the other one not before it", s, old.Tag)
	}
	if _, err := Confirm(r); err == nil || !strings.Contains(err.Error(), "before "+stamp(s.NextFrom)) {
		t.Errorf("confirmed at once: error %v, want the time %s", err, s.NextFrom)
	}
	if got := update(t, r); len(got.Changed) > 0 || got.Keys[0].atParent() || got.Keys[1].atParent() {
		t.Errorf("the refused confirmation changed %v", got.Notes)
	}
	successor := s.Next.Tag
	r.Now = s.NextFrom
	if s = SubmissionOf(rolled.Keys, r.Policy, r.Now); s.Key.Tag != successor || !s.From.IsZero() || s.Next != nil {
		t.Errorf("at %s: %+v, want key %d alone", r.Now, s, successor)
	}
	if _, err := Confirm(r); err != nil {
		t.Error(err)
	}
}

// With a DS record at the parent, resolvers have no unsigned records: the new key waits for its own record only.
func TestDSOfANewKeyDoesNotWaitForUnsignedRecords(t *testing.T) {
	r := request(t)
	r.Policy.KSKLifetime = 0
	update(t, r)
	if _, err := Confirm(r); err != nil {
		t.Fatalf("the first key cannot be confirmed: %v", err)
	}
	r.Roll, r.Now = KSK, r.Now.Add(time.Minute)
	s := SubmissionOf(update(t, r).Keys, r.Policy, r.Now)
	if want := r.Now.Add(leadOf(r.Policy)); s.Next == nil || !s.NextFrom.Equal(want) || !s.From.IsZero() {
		t.Errorf("%+v, want the new key at %s", s, want)
	}
}

// A CSK does not sign records at the start and at the end of its life.
func TestRoleOfACSKStaysInARollover(t *testing.T) {
	r := request(t)
	r.Policy.KSKLifetime = 0
	update(t, r)
	r.Roll, r.Now = KSK, r.Now.Add(2*time.Hour)
	update(t, r)
	r.Roll = ""
	for _, after := range []time.Duration{0, 30 * time.Second, 2 * time.Minute} {
		r.Now = r.Now.Add(after)
		result := update(t, r)
		for _, k := range ReportOf(r.Zone, r.Policy, &result).Keys {
			if k.Role != "csk" {
				t.Errorf("%s: key %d, %s, has the role %s", r.Now, k.Tag, k.State, k.Role)
			}
		}
	}
}

// The name of the file is right: it is the wrong zone that the operator has to correct.
func TestImportNamesTheZoneOfTheKey(t *testing.T) {
	r := request(t)
	file := update(t, r).Changed[0].File
	_, err := Import(r.Folder, "example.org.", []string{file})
	if err == nil || !strings.HasSuffix(err.Error(), ": a key of zone example.com., not of example.org.") {
		t.Errorf("error %v", err)
	}
}
