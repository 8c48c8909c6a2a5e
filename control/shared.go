package control

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"meridian/cluster/rollout"
	"meridian/control/event"
)

// Shared says that all nodes of a cluster apply an override.
type Shared struct {
	Key      string `json:"key"`      // in the store
	Revision uint64 `json:"revision"` // grows with each change of the key
	By       string `json:"by,omitempty"`
	Node     string `json:"node"` // that has set it
}

// SharedRecord is what the store of a cluster has under a key: an override, or what is left of one that was removed. Of two
// records of a key, that with the higher revision counts, wherever it is read: a store that has lost its data gets the
// records back from the nodes.
type SharedRecord struct {
	Key      string    `json:"key"`
	Revision uint64    `json:"revision"`
	Changed  time.Time `json:"changed"`
	By       string    `json:"by,omitempty"`
	Node     string    `json:"node"`
	Removed  bool      `json:"removed,omitempty"`
	Override Override  `json:"override"`
}

// SavedShared is the store of the cluster as this node knows it.
type SavedShared struct {
	Cluster string         `json:"cluster"`
	Seen    time.Time      `json:"seen,omitzero"` // when the node has last read the store
	Records []SharedRecord `json:"records"`
}

// Sharing connects the overrides of a node to the store of its cluster.
type Sharing struct {
	Cluster, Node string
	// Write stores records, unless the store has others than this node knows: then the error is ErrSharedChanged, and what
	// has changed is passed to ApplyShared before Write returns, or soon after.
	Write func([]SharedRecord) error
	// Confirm waits a short time for the nodes to apply what was written last, and returns those that do, and the others.
	Confirm func() (confirmed, unconfirmed []string)
	// Problem returns why the store does not give the overrides, although it can be reached; nil: it does, or it cannot. A nil
	// function finds none.
	Problem func() error
	// Rejected returns how many records of the store could not be read, by reason. A nil function counts none.
	Rejected func() map[string]uint64
}

// RecordRejection is why a record of the store was rejected.
type RecordRejection struct{ Kind, Reason string }

// recordRejections returns how many records of overrides and of the shared configuration were rejected.
func (c *Control) recordRejections() map[RecordRejection]uint64 {
	all := make(map[RecordRejection]uint64)
	c.mu.Lock()
	sharing := c.sharing
	c.mu.Unlock()
	if sharing != nil && sharing.Rejected != nil {
		for reason, n := range sharing.Rejected() {
			all[RecordRejection{"overrides", reason}] = n
		}
	}
	if r := c.rollout.Load(); r != nil {
		for reason, n := range r.Rejected() {
			all[RecordRejection{"configuration", string(reason)}] = n
		}
	}
	return all
}

// sharingProblem returns why the overrides are not shared, although etcd can be reached; empty: they are, or it cannot.
func (c *Control) sharingProblem() string {
	c.mu.Lock()
	s := c.sharing
	c.mu.Unlock()
	if s == nil || s.Problem == nil {
		return ""
	}
	if err := s.Problem(); err != nil {
		return err.Error()
	}
	return ""
}

// sharedRecords is the store of the cluster as Control knows it. The mutex of Control guards it.
type sharedRecords struct {
	records   map[string]SharedRecord // by key
	seen      time.Time               // when the store was last read
	connected bool                    // it is read now
}

// ErrSharedChanged is the error of a change of shared overrides that another node has changed at the same time.
var ErrSharedChanged = errors.New("another node has changed the overrides at the same time; run it again")

// maxSharedAttempts is how often a change is tried while other nodes change the overrides, too.
const maxSharedAttempts = 4

// UseSharing makes overrides shared, before Restore.
func (c *Control) UseSharing(s *Sharing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sharing, c.shared.records = s, make(map[string]SharedRecord)
}

// isSharedChange reports whether a change is one of shared overrides.
func (c *Control) isSharedChange(o ChangeOptions) bool { return c.sharing != nil && !o.Local }

// shareOf returns the scope of a new override.
func (c *Control) shareOf(said *Override, o ChangeOptions) (shared *Shared, local bool) {
	if !c.isSharedChange(o) {
		return nil, c.sharing != nil
	}
	return &Shared{Key: said.sharedKey(), By: o.By, Node: c.sharing.Node}, false
}

// sharedKey returns the key of a shared override in the store. A scheduled override keeps its key when it begins, so its time is
// in it: another one may be scheduled then for the same target.
func (s *Override) sharedKey() string {
	if s.IsScheduled() {
		return laterKeys + s.At.UTC().Format("20060102T150405.999999999Z/") + s.Target.String()
	}
	return "now/" + s.Target.String()
}

// laterKeys begins the keys of overrides that were scheduled.
const laterKeys = "later/"

// otherScope returns the error of a removal that finds an override of the other scope.
func otherScope(found *Override) *RequestError {
	e := &RequestError{What: fmt.Sprintf("%s is %s on this node only", found.Target, found.Effect()), Hint: `remove it with --local; in the API: "local": true`}
	if found.isShared() {
		e.What, e.Hint = fmt.Sprintf("%s is %s on all nodes", found.Target, found.Effect()), "remove it without --local"
	}
	return e
}

// confirm adds the nodes that apply a shared override to the answer.
func (c *Control) confirm(said *Override) {
	if c.sharing != nil && said.isShared() {
		said.Confirmed, said.Unconfirmed = c.sharing.Confirm()
	}
}

// writeShared stores what a change makes of the shared overrides, and returns the records.
func (c *Control) writeShared(before, after overrides, by string) ([]SharedRecord, error) {
	records := c.sharedChanges(before, after, by)
	if len(records) == 0 {
		return nil, nil
	}
	if err := c.checkSharedRoom(records); err != nil {
		return nil, err
	}
	switch err := c.sharing.Write(records); {
	case err == nil:
		return records, nil
	case errors.Is(err, ErrSharedChanged):
		return nil, err
	default:
		return nil, unavailable(err)
	}
}

// unavailable returns the error of a change that cannot be written to the store.
func unavailable(err error) *RequestError {
	if errors.As(err, new(*rollout.UncertainError)) {
		return &RequestError{
			Unavailable: true, What: "etcd is unavailable, and it is not known whether the change is shared: " + err.Error(),
			Hint: `meridian status lists the override if etcd has it, as soon as etcd answers again; if not, make the change again, or with --local on this node only; in the API: "local": true`,
		}
	}
	return &RequestError{
		Unavailable: true, What: "etcd is unavailable, so that the change cannot be shared: " + err.Error(),
		Hint: `--local changes this node only; in the API: "local": true`,
	}
}

// sharedChanges returns the records of a change, by key. An override that begins keeps the record that it was scheduled with.
func (c *Control) sharedChanges(before, after overrides, by string) (records []SharedRecord) {
	if c.sharing == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	was, is, now := before.shared(), after.shared(), time.Now().Round(0)
	record := func(s *Override, removed bool) {
		r := SharedRecord{
			Key: s.Shared.Key, Revision: c.shared.nextRevision(s.Shared.Key, now), Changed: now, By: by, Node: c.sharing.Node,
			Removed: removed, Override: *s,
		}
		r.Override.Shared, r.Override.Unknown, r.Override.Error = nil, false, ""
		records = append(records, r)
	}
	for _, key := range slices.Sorted(maps.Keys(is)) {
		if s := is[key]; was[key] == nil || was[key].Shared != s.Shared {
			record(s, false)
			s.Shared.Revision = records[len(records)-1].Revision
		}
	}
	for _, key := range slices.Sorted(maps.Keys(was)) {
		if is[key] == nil {
			record(was[key], true)
		}
	}
	return records
}

// shared returns the shared overrides, by key.
func (o overrides) shared() map[string]*Override {
	all := make(map[string]*Override)
	for i := range o {
		if o[i].isShared() {
			all[o[i].Shared.Key] = &o[i]
		}
	}
	return all
}

// recordLocked makes records that were written known. It returns false if one is known already, or a later one.
func (c *Control) recordLocked(records []SharedRecord) bool {
	for _, r := range records {
		if c.shared.records[r.Key].Revision >= r.Revision {
			return false
		}
	}
	for _, r := range records {
		c.shared.records[r.Key], c.shared.seen = r, time.Now()
	}
	return true
}

// Validate returns the error of a record that the store has.
func (r *SharedRecord) Validate() error {
	if err := r.Override.Validate(); err != nil {
		return err
	}
	switch {
	case r.Revision == 0:
		return errors.New("no revision")
	case r.Key != r.Override.sharedKey() && !(r.Removed && strings.HasPrefix(r.Key, laterKeys) && strings.HasSuffix(r.Key, "/"+r.Override.Target.String())):
		return fmt.Errorf("the key %q has an override with the key %q", r.Key, r.Override.sharedKey())
	case r.Override.Owner != "" || r.Override.Shared != nil:
		return errors.New("an override that is not of an operator")
	}
	return errors.Join(validReason(r.By), validReason(r.Node))
}

// ApplyShared applies records that the store has. If they are complete, it returns those of this node that the store lacks:
// it has lost them.
func (c *Control) ApplyShared(records []SharedRecord, complete bool) (lost []SharedRecord) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, now, stored := c.currentView(), time.Now(), revisionsOf(records)
	next, changed := at.overrides, false
	if complete {
		next, changed = c.forgetOldLocked(next, stored, now)
	}
	ignored := 0
	for i := range records {
		r := &records[i]
		known, isKnown := c.shared.records[r.Key]
		switch {
		case r.Revision <= known.Revision:
		case !isKnown && len(c.shared.records) >= 2*maxOverrides: // writers stop at maxOverrides
			ignored++
		default:
			c.shared.records[r.Key] = *r
			next, changed = c.applyRecord(next, r, at, now), true
		}
	}
	if ignored > 0 {
		c.log.Error("shared overrides ignored: etcd has too many", "ignored", ignored, "limit", 2*maxOverrides)
	}
	if changed {
		c.overrideLocked(next)
	}
	c.shared.seen, c.shared.connected = now, true
	if complete {
		lost = c.shared.missing(stored)
	}
	return lost
}

// applyRecord returns the overrides after a record of the store, and reports the change.
func (c *Control) applyRecord(o overrides, r *SharedRecord, at *view, now time.Time) overrides {
	before := len(o)
	o = slices.DeleteFunc(slices.Clone(o), func(s Override) bool { return s.isShared() && s.Shared.Key == r.Key })
	s := r.Override
	s.Shared = &Shared{r.Key, r.Revision, r.By, r.Node}
	if r.Removed || s.ended(now) {
		if r.Removed && len(o) < before {
			c.report(slog.LevelWarn, "override removed", s.attributes(), s.event(event.Info, "removed"))
		}
		return o
	}
	if at.Snapshot != nil {
		s.Unknown = findTarget(s.Target, at.Snapshot.Config) != nil
	}
	if s.IsScheduled() {
		c.report(slog.LevelWarn, "override scheduled", s.attributes(), s.event(event.Info, "scheduled"))
		return append(o, s)
	}
	c.report(slog.LevelWarn, "override set", s.attributes(), s.event(event.Warning, "set"))
	return o.with(s)
}

// SaveShared returns what a restart needs to know of the store.
func (c *Control) SaveShared() SavedShared {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sharing == nil {
		return SavedShared{}
	}
	s := SavedShared{Cluster: c.sharing.Cluster, Seen: c.shared.lastSeen(time.Now())}
	for _, key := range slices.Sorted(maps.Keys(c.shared.records)) {
		s.Records = append(s.Records, c.shared.records[key])
	}
	return s
}

// restoreShared returns what was known of the store of this cluster. Shared overrides of another cluster become those of
// this node only.
func (c *Control) restoreShared(saved *Restored) sharedRecords {
	known := sharedRecords{records: make(map[string]SharedRecord)}
	same := c.sharing != nil && c.sharing.Cluster == saved.Shared.Cluster
	if same {
		known.seen = saved.Shared.Seen
		for _, r := range saved.Shared.Records {
			known.records[r.Key] = r
		}
	}
	saved.Overrides = slices.Clone(saved.Overrides)
	for i := range saved.Overrides {
		s := &saved.Overrides[i]
		if !same {
			s.Shared = nil
		}
		s.Local = c.sharing != nil && s.Owner == "" && s.Shared == nil
	}
	return known
}
