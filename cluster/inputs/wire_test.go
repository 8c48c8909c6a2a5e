package inputs

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// The files of testdata/wire1 are records of version 1 as nodes write them since the form was fixed. They are never made
// again: nodes of one version and the next work together. Fields may be added, which earlier versions ignore; another meaning needs another version.

// goldenRecord returns a file of testdata/wire1.
func goldenRecord(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "wire1", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

var (
	goldenLoads = &Loads{
		Fingerprint: "9f86d081884c", Controllers: json.RawMessage(`{"web":{"kept":0.75}}`),
		Reports: []Report{{Key: "web/use-1", Load: 0.5, Capacity: 100, Age: 1500 * time.Millisecond}, {Key: "web/euw-1", Load: 12, Age: time.Second, From: "b"}},
	}
	goldenTargets = map[string]Target{
		"lb.example.net": {Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}},
		"old.example.":   {Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.2")}, Failing: true},
	}
)

// has reports whether all that one JSON value has is in another one.
func has(all, part any) bool {
	switch part := part.(type) {
	case map[string]any:
		of, ok := all.(map[string]any)
		for key, value := range part {
			ok = ok && has(of[key], value)
		}
		return ok
	case []any:
		of, ok := all.([]any)
		return ok && slices.EqualFunc(of, part, has)
	}
	return reflect.DeepEqual(all, part)
}

// bodyOf returns the body of a record as JSON values.
func bodyOf(t *testing.T, body []byte) (value any) {
	t.Helper()
	if err := json.Unmarshal(body, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// Each record of version 1 is read as it always was, and a written one has all of its fields.
func TestRecordsOfWireVersion1(t *testing.T) {
	for _, c := range []struct {
		file  string
		kind  Kind
		want  any
		check func(json.RawMessage) (any, error)
	}{
		{"loads", LoadKind, goldenLoads, func(b json.RawMessage) (any, error) { return decodeLoads(b) }},
		{"targets", TargetKind, goldenTargets, func(b json.RawMessage) (any, error) { return decodeTargets(b) }},
	} {
		raw := goldenRecord(t, c.file)
		r, err := open(raw, "prod", c.kind, "a", trustOf("a"))
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		if r.Boot != 1768000000123456789 || r.Seq != 42 {
			t.Errorf("%s: record %d of boot %d", c.file, r.Seq, r.Boot)
		}
		if got, err := c.check(r.Body); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s is read as %+v, %v, want %+v", c.file, got, err, c.want)
		}
		body, err := json.Marshal(c.want)
		if err != nil {
			t.Fatal(err)
		}
		again := record{Node: "a", Boot: r.Boot, Seq: r.Seq, Body: body}
		got, want := bodyOf(t, again.seal("prod", c.kind, keyOf("a"))).(map[string]any), bodyOf(t, raw).(map[string]any)
		delete(want, "signature") // of the body, which may have more fields
		if !has(got, want) {
			t.Errorf("%s is written as\n%v, which lacks something of\n%v", c.file, got, want)
		}
	}
}

// Additions of a later version are ignored: fields of records and of their parts, and kinds.
func TestUnknownFieldsAreIgnored(t *testing.T) {
	body := json.RawMessage(`{"x":{"addresses":["192.0.2.1"],"port":443}}`)
	r := record{Node: "a", Boot: 1, Seq: 1, Body: body}
	raw := r.seal("prod", TargetKind, keyOf("a"))
	raw = append(raw[:len(raw)-1], `,"later":{"a":[1]}}`...)
	opened, err := open(raw, "prod", TargetKind, "a", trustOf("a"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Target{"x": {Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}}
	if got, err := decodeTargets(opened.Body); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	x := receiver(nil)
	x.Receive([]Entry{{Key: "later/a", Value: raw}}, nil, time.Now())
	for reason, n := range x.Status().Rejected {
		t.Errorf("a key of a later version is rejected: %s, %d times", reason, n)
	}
}

// receiver returns an exchange that receives only, and adds what it reports to a list.
func receiver(reports *[]string) *Exchange {
	return New(Options{
		Cluster: "prod", Node: "b", Key: keyOf("b"), Trust: trustOf("a b"), Changed: func() {}, Peers: func() Peers { return Peers{} },
		Report: func(_ slog.Level, message string, of ...any) {
			*reports = append(*reports, message, of[3].(error).Error())
		},
	})
}

// A record of another version is refused, counted as that, and reported.
func TestRecordOfAnotherVersionIsRefused(t *testing.T) {
	var reports []string
	x := receiver(&reports)
	raw := strings.Replace(string(goldenRecord(t, "targets")), `"version":1`, `"version":2`, 1)
	x.Receive([]Entry{{Key: "targets/a", Value: []byte(raw)}}, nil, time.Now())
	want := "shared input rejected: targets of a: it is of version 2, and this program reads 1"
	if n := x.Status().Rejected[OtherVersion]; n != 1 || strings.Join(reports, ": ") != want {
		t.Errorf("counted %d times, reported %q, want %q", n, reports, want)
	}
}
