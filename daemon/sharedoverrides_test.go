package daemon

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"meridian/cluster/etcd"
	"meridian/control"
	"meridian/pools"
)

// someRecord is a record that a node has written.
func someRecord() control.SharedRecord {
	return control.SharedRecord{
		Key: "now/web/a", Revision: 3, Changed: time.Unix(1768000000, 0).UTC(), By: "alice", Node: "ams1",
		Override: control.Override{
			Target: control.Selector{Pool: "web", Member: "a"}, Kind: pools.Drained.String(), Reason: "kernel", Since: time.Unix(1768000000, 0).UTC(),
		},
	}
}

func TestSharedRecordRoundTrip(t *testing.T) {
	want := someRecord()
	e := encodeRecords([]control.SharedRecord{want})[0]
	got, err := decodeRecord(e)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

func TestInvalidSharedRecords(t *testing.T) {
	e := encodeRecords([]control.SharedRecord{someRecord()})[0]
	replaced := func(from, to string) etcd.Entry {
		return etcd.Entry{Key: e.Key, Value: []byte(strings.Replace(string(e.Value), from, to, 1))}
	}
	for _, c := range []struct {
		what  string
		entry etcd.Entry
		want  string
	}{
		{"another part", etcd.Entry{Key: "other/x", Value: e.Value}, "not a key of an override"},
		{"another key", etcd.Entry{Key: "records/now/web/b", Value: e.Value}, "it is of the key now/web/a"},
		{"no JSON", etcd.Entry{Key: e.Key, Value: []byte("{")}, "unexpected end of JSON"},
		{"too long", etcd.Entry{Key: e.Key, Value: make([]byte, maxRecord+1)}, "too long"},
		{"another target", replaced(`"target":"web/a"`, `"target":"web/b"`), `the key "now/web/a" has an override with the key "now/web/b"`},
		{"no revision", replaced(`"revision":3`, `"revision":0`), "no revision"},
		{"another kind", replaced(`"kind":"drained"`, `"kind":"gone"`), `"gone" is not a kind of override`},
		{"of a maintenance window", replaced(`"kind":"drained"`, `"kind":"drained","owner":"maintenance x"`), "not of an operator"},
		{"a name that does not print", replaced(`"by":"alice"`, `"by":"\u0007"`), "do not print"},
	} {
		if _, err := decodeRecord(c.entry); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.what, err, c.want)
		}
	}
}

// FuzzSharedRecord reads records that the store of a cluster may have: they are refused, or can be applied and written.
func FuzzSharedRecord(f *testing.F) {
	e := encodeRecords([]control.SharedRecord{someRecord()})[0]
	f.Add(strings.TrimPrefix(e.Key, overrideRecords), e.Value)
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		r, err := decodeRecord(etcd.Entry{Key: overrideRecords + key, Value: value})
		if err != nil {
			return
		}
		if again, err := decodeRecord(encodeRecords([]control.SharedRecord{r})[0]); err != nil || again.Key != r.Key || again.Revision != r.Revision {
			t.Errorf("%+v is read again as %+v: %v", r, again, err)
		}
	})
}
