package daemon

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"meridian/cluster/etcd"
	"meridian/control"
	"meridian/pools"
)

// The files of testdata/wire1 are records of overrides as nodes write them since the form was fixed; before-versions.json is of nodes that wrote no
// version. They are never made again: nodes of one version and the next work together.

// goldenOverride returns a file of testdata/wire1, at its key.
func goldenOverride(t *testing.T, file string) etcd.Entry {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "wire1", file))
	if err != nil {
		t.Fatal(err)
	}
	return etcd.Entry{Key: "records/now/web/a", Value: raw}
}

// Each record of version 1 is read as it always was, and a written one has all of its fields.
func TestOverridesOfWireVersion1(t *testing.T) {
	at := time.Unix(1768000000, 0).UTC()
	drained := someRecord()
	weight := drained
	weight.Removed = true
	weight.Override = control.Override{
		Target: drained.Override.Target, Kind: pools.ReducedWeight.String(), Value: "20%", Reason: "kernel", Since: at, Until: at.Add(time.Hour),
		Force: true, OverrideGuardrail: "planned", Replaced: &control.Replaced{Kind: pools.Drained.String()},
	}
	for file, want := range map[string]control.SharedRecord{"before-versions.json": drained, "drained.json": drained, "weight-removed.json": weight} {
		e := goldenOverride(t, file)
		if got, err := decodeRecord(e); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %+v, %v, want %+v", file, got, err, want)
		}
		again := encodeRecords([]control.SharedRecord{want})[0]
		var golden, written map[string]any
		if err := errors.Join(json.Unmarshal(e.Value, &golden), json.Unmarshal(again.Value, &written)); err != nil {
			t.Fatal(err)
		}
		for field, value := range golden {
			if !reflect.DeepEqual(written[field], value) {
				t.Errorf("%s: %s is written as %v, want %v", file, field, written[field], value)
			}
		}
		if again.Key != e.Key {
			t.Errorf("%s: the key is %s, want %s", file, again.Key, e.Key)
		}
	}
	if overrideTable != "overrides" || overrideApplied != "applied/" {
		t.Errorf("the keys are below %s, and the confirmations below %s", overrideTable, overrideApplied)
	}
}

// Additions of a later version are ignored; a record of a later version is refused, counted as that, and not replaced.
func TestOverridesOfLaterVersions(t *testing.T) {
	e := goldenOverride(t, "drained.json")
	more := etcd.Entry{Key: e.Key, Value: []byte(strings.NewReplacer(`"version":1`, `"version":1,"later":[1]`, `"kind":`, `"also":{},"kind":`).Replace(string(e.Value)))}
	if got, err := decodeRecord(more); err != nil || !reflect.DeepEqual(got, someRecord()) {
		t.Errorf("with more fields: %+v, %v", got, err)
	}
	log := new(strings.Builder)
	s := &sharedOverrides{log: slog.New(slog.NewTextHandler(log, nil))}
	later := etcd.Entry{Key: e.Key, Value: []byte(strings.Replace(string(e.Value), `"version":1`, `"version":2`, 1))}
	r := s.read([]etcd.Entry{later, {Key: "records/now/web/b", Value: []byte("{")}})
	if got := s.rejections(); len(r.records) != 0 || got["version"] != 1 || got["malformed"] != 1 {
		t.Errorf("read %v, rejected %v", r.records, got)
	}
	if stored := r.stored["now/web/a"]; stored.revision != unreadable {
		t.Errorf("the record of a later version would be replaced: %+v", stored)
	}
	if !strings.Contains(log.String(), `error="another version: 2, and this program reads 1; upgrade this node"`) {
		t.Errorf("log: %s", log)
	}
}
