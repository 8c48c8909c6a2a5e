package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"meridian/cluster/etcd"
	"meridian/control"
)

// The keys of the overrides in etcd, below PREFIX/CLUSTER/overrides/: a record for each target, and for each node the
// revision of etcd up to which it has applied them.
const (
	overrideTable   = "overrides"
	overrideRecords = "records/"
	overrideApplied = "applied/"
)

const (
	shareTimeout   = 3 * time.Second // for a write to etcd
	changedTimeout = time.Second     // to read what another node has written
	confirmTimeout = 2 * time.Second // for the other nodes to apply a change
	maxRecord      = 16 << 10        // octets
)

// sharedOverrides carries the overrides of a node to and from etcd. Its methods are safe for concurrent use.
type sharedOverrides struct {
	node    string
	control *control.Control
	table   *etcd.Table
	log     *slog.Logger
	nodes   func() []string // whose confirmation is expected
	changed chan struct{}   // capacity 1: something is to be written

	mu        sync.Mutex // guards the fields below
	revision  int64      // of etcd, as of which the records are known; 0: etcd cannot be read
	problem   error      // why etcd does not give them, although it answers; nil: it does
	unwritten error      // why the last write of run failed; nil: it did not
	written   int64      // the last write of this process
	applied   map[string]int64
	confirmed int64                   // this node has published that it has applied the records up to it
	stored    map[string]storedRecord // what etcd has, by key of the record
	lost      []control.SharedRecord
	updated   chan struct{} // closed when one of these changes

	malformed, otherVersion uint64 // records that cannot be read
}

// storedRecord is a record that etcd has.
type storedRecord struct {
	revision uint64 // of the record
	modified int64  // the revision of etcd
}

// unreadable is the revision of a record that this node cannot read, such as one of a newer version: it is not replaced.
const unreadable = math.MaxUint64

// shareOverrides makes the overrides of the node shared, before the saved state is restored. It runs with the node.
func (l *instance) shareOverrides(cluster string) {
	s := &sharedOverrides{
		node: l.member.Name, control: l.control, log: l.Logger, changed: make(chan struct{}, 1),
		applied: make(map[string]int64), stored: make(map[string]storedRecord), updated: make(chan struct{}),
	}
	s.nodes = l.member.freshNodes
	s.table = l.member.store.Table(overrideTable, s.receive)
	l.member.overrides = s
	l.control.UseSharing(&control.Sharing{Cluster: cluster, Node: s.node, Write: s.write, Confirm: s.confirm, Problem: s.currentProblem, Rejected: s.rejections})
}

// receive applies what etcd has.
func (s *sharedOverrides) receive(u etcd.TableUpdate) {
	if !u.Connected {
		s.control.SharedLost()
		s.note(u, received{}, nil)
		return
	}
	r := s.read(u.Entries)
	s.keep(&r, u.Complete)
	var lost []control.SharedRecord
	if len(r.records) > 0 || u.Complete {
		lost = s.control.ApplyShared(r.records, u.Complete)
	}
	if len(r.deleted) > 0 {
		s.control.SharedRemoved(r.deleted)
	}
	s.note(u, r, lost)
}

// received holds the content of entries of the table.
type received struct {
	records []control.SharedRecord
	stored  map[string]storedRecord
	deleted []string // keys of records
	applied map[string]int64
}

// read reads entries.
func (s *sharedOverrides) read(entries []etcd.Entry) received {
	r := received{stored: make(map[string]storedRecord), applied: make(map[string]int64)}
	for _, e := range entries {
		if node, ok := strings.CutPrefix(e.Key, overrideApplied); ok {
			r.applied[node], _ = strconv.ParseInt(string(e.Value), 10, 64)
			continue
		}
		key := strings.TrimPrefix(e.Key, overrideRecords)
		if e.Deleted {
			r.deleted = append(r.deleted, key)
			continue
		}
		record, err := decodeRecord(e)
		if err != nil {
			s.reject(err)
			s.log.Warn("shared override ignored", "key", e.Key, "error", err)
			r.stored[key] = storedRecord{unreadable, e.Revision}
			continue
		}
		r.records = append(r.records, record)
		r.stored[key] = storedRecord{record.Revision, e.Revision}
	}
	return r
}

// keep notes what etcd has.
func (s *sharedOverrides) keep(r *received, complete bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if complete {
		s.stored = r.stored
		return
	}
	maps.Copy(s.stored, r.stored)
	for _, key := range r.deleted {
		delete(s.stored, key)
	}
}

// note records what was received. Records that were applied are confirmed.
func (s *sharedOverrides) note(u etcd.TableUpdate, r received, lost []control.SharedRecord) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision, s.problem = u.Revision, u.Err
	maps.Copy(s.applied, r.applied)
	if u.Connected && (len(r.records) > 0 || u.Complete) {
		s.applied[s.node] = u.Revision
	}
	if u.Complete {
		s.lost, s.confirmed = lost, 0
	}
	close(s.updated)
	s.updated = make(chan struct{})
	s.wake()
}

// recordVersion is the version of the records. A node reads those of its own version, and of earlier ones, which have none;
// fields that it does not know are ignored, so that only a change of the meaning needs another version.
const recordVersion = 1

// versionedRecord is the form of a record in etcd.
type versionedRecord struct {
	Version int `json:"version"`
	control.SharedRecord
}

// errRecordVersion is the error of a record of a later version.
var errRecordVersion = errors.New("another version")

// reject counts a record that cannot be read.
func (s *sharedOverrides) reject(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(err, errRecordVersion) {
		s.otherVersion++
		return
	}
	s.malformed++
}

// rejections returns how many records could not be read, by reason.
func (s *sharedOverrides) rejections() map[string]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return map[string]uint64{"malformed": s.malformed, "version": s.otherVersion}
}

// decodeRecord reads a record of etcd.
func decodeRecord(e etcd.Entry) (r control.SharedRecord, err error) {
	key, ok := strings.CutPrefix(e.Key, overrideRecords)
	switch {
	case !ok:
		return r, errors.New("not a key of an override; another version may have written it")
	case len(e.Value) > maxRecord:
		return r, errors.New("too long")
	}
	var stored versionedRecord
	if err := json.Unmarshal(e.Value, &stored); err != nil {
		return r, err
	}
	if stored.Version > recordVersion {
		return r, fmt.Errorf("%w: %d, and this program reads %d; upgrade this node", errRecordVersion, stored.Version, recordVersion)
	}
	r = stored.SharedRecord
	if r.Key != key {
		return r, errors.New("it is of the key " + r.Key)
	}
	return r, r.Validate()
}

// encodeRecords returns records as etcd has them.
func encodeRecords(records []control.SharedRecord) []etcd.Entry {
	entries := make([]etcd.Entry, len(records))
	for i := range records {
		text, err := json.Marshal(versionedRecord{recordVersion, records[i]})
		if err != nil {
			panic(err) // it is one of our types
		}
		entries[i] = etcd.Entry{Key: overrideRecords + records[i].Key, Value: text}
	}
	return entries
}

// write implements control.Sharing.Write.
func (s *sharedOverrides) write(records []control.SharedRecord) error {
	s.mu.Lock()
	since, problem := s.revision, s.problem
	s.mu.Unlock()
	if since == 0 {
		return cmp.Or(problem, errors.New("it cannot be read"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), shareTimeout)
	defer cancel()
	revision, err := s.table.PutIfUnchanged(ctx, overrideRecords, since, encodeRecords(records))
	switch {
	case errors.Is(err, etcd.ErrChanged):
		s.await(changedTimeout, func() bool { return s.revision != since })
		return control.ErrSharedChanged
	case err != nil:
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written = revision
	return nil
}

// currentProblem implements control.Sharing.Problem.
func (s *sharedOverrides) currentProblem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cmp.Or(s.problem, s.unwritten)
}

// confirm implements control.Sharing.Confirm.
func (s *sharedOverrides) confirm() (confirmed, unconfirmed []string) {
	nodes := s.nodes()
	s.await(confirmTimeout, func() bool {
		confirmed, unconfirmed = nil, nil
		for _, node := range nodes {
			if node == s.node || s.applied[node] >= s.written {
				confirmed = append(confirmed, node)
			} else {
				unconfirmed = append(unconfirmed, node)
			}
		}
		return len(unconfirmed) == 0
	})
	return confirmed, unconfirmed
}

// await returns when a condition is true, which is called under mu, or after a time.
func (s *sharedOverrides) await(most time.Duration, condition func() bool) {
	limit := time.NewTimer(most)
	defer limit.Stop()
	for {
		s.mu.Lock()
		done, updated := condition(), s.updated
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-updated:
		case <-limit.C:
			return
		}
	}
}

// run writes what is to be written until ctx ends: which records this node has applied, and those that etcd has lost. Once an
// hour it removes what ended long ago.
func (s *sharedOverrides) run(ctx context.Context) {
	compact := time.NewTimer(time.Minute + rand.N(compactInterval)) // not all nodes at once
	defer compact.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-compact.C:
			compact.Reset(compactInterval)
			s.compact(ctx, time.Now())
			continue
		case <-s.changed:
		}
		s.mu.Lock()
		applied, lost := s.applied[s.node], s.lost
		if s.revision == 0 || applied == s.confirmed && len(lost) == 0 {
			s.mu.Unlock()
			continue
		}
		s.lost, s.confirmed = nil, applied
		s.mu.Unlock()
		if !s.store(ctx, applied, lost) {
			s.again(ctx, lost)
		}
	}
}

// compactInterval is how often a node removes the records of overrides that ended long ago.
const compactInterval = time.Hour

// compact removes the records of overrides that ended long ago from etcd, unless they have changed.
func (s *sharedOverrides) compact(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, shareTimeout)
	defer cancel()
	var entries []etcd.Entry
	ended := s.control.EndedShared(now)
	s.mu.Lock()
	for key, revision := range ended {
		if stored, ok := s.stored[key]; ok && stored.revision == revision {
			entries = append(entries, etcd.Entry{Key: overrideRecords + key, Revision: stored.modified})
		}
	}
	s.mu.Unlock()
	for part := range slices.Chunk(entries, maxOperations) {
		if err := s.table.DeleteIfSame(ctx, part); err != nil && !errors.Is(err, etcd.ErrChanged) {
			s.log.Warn("records of ended shared overrides cannot be removed from etcd; tried again in an hour", "error", err)
			return
		}
	}
}

// again makes run write again, after a pause, what could not be written.
func (s *sharedOverrides) again(ctx context.Context, lost []control.SharedRecord) {
	select {
	case <-ctx.Done():
	case <-time.After(changedTimeout):
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.confirmed = 0
	if s.lost == nil {
		s.lost = lost
	}
	s.wake()
}

func (s *sharedOverrides) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// store writes that this node has applied the records up to a revision, and records that etcd has lost.
func (s *sharedOverrides) store(ctx context.Context, applied int64, lost []control.SharedRecord) bool {
	ctx, cancel := context.WithTimeout(ctx, shareTimeout)
	defer cancel()
	err := s.restore(ctx, lost)
	if err == nil {
		err = s.table.Put(ctx, etcd.Entry{Key: overrideApplied + s.node, Value: strconv.AppendInt(nil, applied, 10)})
	}
	s.noteWrite(err)
	return err == nil
}

// noteWrite records the outcome of a write of run, and logs an error once. After ErrChanged, another node was faster: run
// looks again at what is missing.
func (s *sharedOverrides) noteWrite(err error) {
	if errors.Is(err, etcd.ErrChanged) {
		err = nil
	}
	s.mu.Lock()
	before := s.unwritten
	s.unwritten = err
	s.mu.Unlock()
	if err != nil && (before == nil || before.Error() != err.Error()) {
		s.log.Warn("shared overrides cannot be written to etcd", "error", err)
	}
}

// restore writes records that etcd has lost. Another node may have written the same ones, or later ones, at the same time:
// a record replaces only what this node knows that etcd has, and only an earlier one.
func (s *sharedOverrides) restore(ctx context.Context, lost []control.SharedRecord) error {
	entries := encodeRecords(lost)
	s.mu.Lock()
	left := entries[:0]
	for i, e := range entries {
		stored := s.stored[lost[i].Key]
		if stored.revision < lost[i].Revision {
			e.Revision = stored.modified
			left = append(left, e)
		}
	}
	s.mu.Unlock()
	if len(left) == 0 {
		return nil
	}
	s.log.Warn("etcd lacks shared overrides that this node knows; they are written again", "overrides", len(left))
	for part := range slices.Chunk(left, maxOperations) {
		if err := s.table.PutIfSame(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// maxOperations is the number of keys in a transaction; etcd allows 128.
const maxOperations = 100
