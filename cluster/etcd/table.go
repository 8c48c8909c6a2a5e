package etcd

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Table is a part of the keys of the cluster beside the records of the vantages: PREFIX/CLUSTER/NAME/. Its methods are safe
// for concurrent use.
type Table struct {
	store   *Store
	prefix  string
	receive func(TableUpdate)
}

// Entry is a key of a table with its value.
type Entry struct {
	Key      string // below the table
	Value    []byte
	Revision int64 // of etcd, of the last change of the key; 0: the table does not have it
	Deleted  bool  // the key was deleted at Revision
}

// TableUpdate holds the entries that a table has received. The zero value says that etcd cannot be read.
type TableUpdate struct {
	Entries   []Entry
	Complete  bool  // Entries are all of the table; false: they have been written just now
	Revision  int64 // of etcd: everything up to it has been received
	Connected bool
	Err       error // why the table cannot be read although etcd can; nil: it can, or etcd cannot
}

// accessRetry is how often a table is tried again that the user of this node may not read.
const accessRetry = 10 * time.Second

// ErrChanged is the error of a write that depends on keys which have changed.
var ErrChanged = errors.New("the keys have changed")

// Table returns a table of s. [Store.Watch] passes to receive what the table has, and then what is written to it. Tables are
// made before Watch is called.
func (s *Store) Table(name string, receive func(TableUpdate)) *Table {
	t := &Table{s, s.base + name + "/", receive}
	s.tables = append(s.tables, t)
	return t
}

// Put writes entries, in one transaction.
func (t *Table) Put(ctx context.Context, entries ...Entry) error {
	_, err := t.commit(ctx, nil, entries)
	return err
}

// PutIfUnchanged writes entries in one transaction, if no key that begins with guard has been written after a revision of
// etcd; else the error is ErrChanged. It returns the revision of the transaction.
func (t *Table) PutIfUnchanged(ctx context.Context, guard string, since int64, entries []Entry) (revision int64, err error) {
	return t.commit(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(t.prefix+guard), "<", since+1).WithPrefix()}, entries)
}

// PutIfSame writes entries in one transaction, if each key still has its Revision; else the error is ErrChanged.
func (t *Table) PutIfSame(ctx context.Context, entries []Entry) error {
	_, err := t.commit(ctx, t.same(entries), entries)
	return err
}

// DeleteIfSame deletes the keys of entries in one transaction, if each still has its Revision; else the error is ErrChanged.
func (t *Table) DeleteIfSame(ctx context.Context, entries []Entry) error {
	deletes := make([]clientv3.Op, len(entries))
	for i, e := range entries {
		deletes[i] = clientv3.OpDelete(t.prefix + e.Key)
	}
	_, err := t.do(ctx, t.same(entries), deletes)
	return err
}

// same returns the conditions that each key still has its Revision.
func (t *Table) same(entries []Entry) []clientv3.Cmp {
	all := make([]clientv3.Cmp, len(entries))
	for i, e := range entries {
		all[i] = clientv3.Compare(clientv3.ModRevision(t.prefix+e.Key), "=", e.Revision)
	}
	return all
}

func (t *Table) commit(ctx context.Context, conditions []clientv3.Cmp, entries []Entry) (revision int64, err error) {
	puts := make([]clientv3.Op, len(entries))
	for i, e := range entries {
		puts[i] = clientv3.OpPut(t.prefix+e.Key, string(e.Value))
	}
	return t.do(ctx, conditions, puts)
}

func (t *Table) do(ctx context.Context, conditions []clientv3.Cmp, ops []clientv3.Op) (revision int64, err error) {
	r, err := t.store.client.Txn(ctx).If(conditions...).Then(ops...).Commit()
	switch {
	case err != nil:
		return 0, explainWrite(err)
	case !r.Succeeded:
		return 0, ErrChanged
	}
	return r.Header.Revision, nil
}

// tableResponse is what the watch of a table received; ok is false at its end.
type tableResponse struct {
	table    *Table
	response clientv3.WatchResponse
	ok       bool
	all      *TableUpdate // in place of a response: it can be read now, and this is all of it
}

// watchTables reads all tables, passes them on, and returns what is written to them from then on, until ctx ends. A table that
// the user of this node may not read does not stop the others.
func (s *Store) watchTables(ctx context.Context) (<-chan tableResponse, error) {
	responses := make(chan tableResponse)
	for _, t := range s.tables {
		all, err := t.readAll(ctx)
		if errors.Is(err, rpctypes.ErrPermissionDenied) {
			s.Logger.Error("a part of etcd may not be read", "keys", t.prefix, "error", explain(err))
			t.receive(TableUpdate{Err: explain(err)})
			go t.awaitAccess(ctx, responses)
			continue
		}
		if err != nil {
			return nil, err
		}
		t.receive(all)
		go t.watch(ctx, all.Revision, responses)
	}
	return responses, nil
}

// readAll reads t.
func (t *Table) readAll(ctx context.Context) (TableUpdate, error) {
	stored, err := t.store.read(ctx, t.prefix)
	if err != nil {
		return TableUpdate{}, err
	}
	all := TableUpdate{Complete: true, Revision: stored.Header.Revision, Connected: true}
	for _, kv := range stored.Kvs {
		all.Entries = append(all.Entries, t.entry(kv))
	}
	return all, nil
}

// awaitAccess watches t as soon as it may be read.
func (t *Table) awaitAccess(ctx context.Context, responses chan<- tableResponse) {
	tick := time.NewTicker(t.store.accessRetry)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		all, err := t.readAll(ctx)
		if err != nil {
			continue // the watches of the other tables notice if etcd is lost
		}
		select {
		case responses <- tableResponse{table: t, ok: true, all: &all}:
			t.watch(ctx, all.Revision, responses)
		case <-ctx.Done():
		}
		return
	}
}

// watch passes what is written to t after a revision to responses.
func (t *Table) watch(ctx context.Context, since int64, responses chan<- tableResponse) {
	t.forward(ctx, t.store.client.Watch(ctx, t.prefix, clientv3.WithPrefix(), clientv3.WithRev(since+1)), responses)
}

// forward passes what a watch of t receives to responses.
func (t *Table) forward(ctx context.Context, changes clientv3.WatchChan, responses chan<- tableResponse) {
	for ok := true; ok; {
		r := tableResponse{table: t}
		r.response, ok = <-changes
		r.ok = ok
		select {
		case responses <- r:
		case <-ctx.Done():
			return
		}
	}
}

// update returns what a response has.
func (t *Table) update(r clientv3.WatchResponse) TableUpdate {
	u := TableUpdate{Revision: r.Header.Revision, Connected: true}
	for _, e := range r.Events {
		entry := t.entry(e.Kv)
		entry.Deleted = e.Type == clientv3.EventTypeDelete
		u.Entries = append(u.Entries, entry)
	}
	return u
}

func (t *Table) entry(kv *mvccpb.KeyValue) Entry {
	return Entry{Key: strings.TrimPrefix(string(kv.Key), t.prefix), Value: kv.Value, Revision: kv.ModRevision}
}
