package keys

import (
	"slices"
	"time"

	"meridian/config"
	"meridian/dnsname"
)

// MaxWait is how long a rollover may wait for the parent until it is reported.
const MaxWait = 7 * 24 * time.Hour

// Report describes the keys of a zone, as JSON.
type Report struct {
	Zone    string      `json:"zone"`
	Policy  string      `json:"policy"`
	Manager string      `json:"manager"`
	Keys    []KeyReport `json:"keys"`
	Next    *StepReport `json:"next,omitempty"`
	Waits   string      `json:"waits,omitempty"` // for the parent
	Since   *time.Time  `json:"since,omitempty"`
	Parent  string      `json:"parent,omitempty"`  // the answer of the parent's servers
	Overdue bool        `json:"overdue,omitempty"` // a rollover waits for longer than MaxWait
	Frozen  bool        `json:"frozen,omitempty"`  // no key changes until the clock is correct
	DSSeen  bool        `json:"ds_seen"`           // all servers of the parent have the DS of the newest KSK or CSK
}

// KeyReport describes a key.
type KeyReport struct {
	Tag       uint16     `json:"tag"`
	Algorithm uint8      `json:"algorithm"`
	Role      string     `json:"role"`
	State     string     `json:"state"`
	Signs     []string   `json:"signs"` // keys, records
	DS        string     `json:"ds,omitempty"`
	File      string     `json:"file"`
	Created   *time.Time `json:"created,omitempty"`
	Publish   *time.Time `json:"publish,omitempty"`
	Activate  *time.Time `json:"activate,omitempty"`
	Inactive  *time.Time `json:"inactive,omitempty"`
	Delete    *time.Time `json:"delete,omitempty"`
	CDS       *time.Time `json:"cds,omitempty"` // since when it asks for the DS
}

// StepReport describes what comes next.
type StepReport struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
}

// ReportOf describes the keys of a zone.
func ReportOf(zone dnsname.Name, policy *config.SigningPolicy, result *Result) Report {
	r := Report{
		Zone: string(zone), Policy: policy.Name, Manager: string(policy.Manager), Keys: []KeyReport{},
		Waits: result.Waits, Since: given(result.Since), Overdue: result.overdue(), Frozen: result.Frozen,
	}
	for _, k := range result.Keys {
		r.Keys = append(r.Keys, reportKey(k, result))
	}
	if wanted := Wanted(result.Keys, policy); wanted != nil {
		r.DSSeen = wanted.atParent()
	}
	if !result.Next.At.IsZero() {
		r.Next = &StepReport{result.Next.At, result.Next.What}
	}
	return r
}

// overdue reports whether a rollover waits for longer than MaxWait. The first key of a zone is no rollover: a zone may
// be signed for long before its parent gets a DS record.
func (r *Result) overdue() bool {
	published := 0
	for _, k := range r.Keys {
		if k.SEP() && k.Published(r.Now) {
			published++
		}
	}
	return r.Waits != "" && !r.Since.IsZero() && r.Now.Sub(r.Since) > MaxWait && published > 1
}

func reportKey(k *Key, result *Result) KeyReport {
	r := KeyReport{
		Tag: k.Tag, Algorithm: k.Algorithm, State: keyState(k, result.Now), Signs: []string{}, File: k.File, Created: given(k.Created), Publish: given(k.Publish),
		Activate: given(k.Activate), Inactive: given(k.Inactive), Delete: given(k.Delete), CDS: given(k.SyncPublish),
	}
	signsKeys, signsRecords := slices.Contains(result.Set.KSK, k.Key), slices.Contains(result.Set.ZSK, k.Key)
	if signsKeys {
		r.Signs = append(r.Signs, "keys")
	}
	if signsRecords {
		r.Signs = append(r.Signs, "records")
	}
	r.Role = k.role(signsRecords)
	if k.SEP() {
		r.DS = DSState(k)
	}
	return r
}

// role returns the role of a key: zsk, ksk or csk. A CSK keeps its role, which its .state file has, while it does not
// sign records in a rollover. One without that file is known by the records that it signs.
func (k *Key) role(signsRecords bool) string {
	switch zsk, _ := k.state.get("ZSK"); {
	case !k.SEP():
		return "zsk"
	case signsRecords || zsk == "yes":
		return "csk"
	}
	return "ksk"
}

// DSState says what is known of the DS record of a KSK or CSK.
func DSState(k *Key) string {
	switch {
	case !k.DSPublish.IsZero():
		return "seen"
	case !k.DSRemoved.IsZero():
		return "absent"
	}
	return "unknown"
}

// keyState is the state of a key at a time.
func keyState(k *Key, now time.Time) string {
	switch {
	case k.Published(now) && k.Active(now):
		return "active"
	case k.Published(now) && !k.Inactive.IsZero() && !now.Before(k.Inactive):
		return "retired"
	case k.Published(now):
		return "published"
	case k.Active(now):
		return "signing, not published" // a change of the algorithm
	case !k.Delete.IsZero() && !now.Before(k.Delete):
		return "removed"
	}
	return "generated"
}

// given returns nil for the zero time.
func given(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
}
