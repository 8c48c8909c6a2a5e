package inputs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"
)

// FuzzOpen checks that only what a node has signed is read, for its cluster, kind and key alone, and that no signed body makes
// an exchange panic.
func FuzzOpen(f *testing.F) {
	const targets = `{"lb":{"addresses":["192.0.2.1","2001:db8::1"],"failing":true}}`
	const reports = `{"fingerprint":"f","controllers":{"shedding":[]},"reports":[{"key":"x","load":1,"capacity":2,"age":3,"from":"c"}]}`
	for _, body := range []string{targets, reports, "null", "[]", `{"lb":null}`, `{"reports":null}`, `{"a":{"addresses":["::"]}}`} {
		f.Add(sealed("b", "b", TargetKind, "prod", 1, 1, body))
		f.Add(sealed("b", "b", LoadKind, "prod", 1, 1, body))
		f.Add([]byte(body))
	}
	f.Add([]byte(`{"version":1,"node":"b","boot":1,"seq":1,"body":{},"signature":""}`))
	f.Add([]byte(`{"version":2}`))
	trust := trustOf(allNames)
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, kind := range kinds {
			r, err := open(raw, "prod", kind, "b", trust)
			if err != nil {
				continue
			}
			if again, err := open(r.seal("prod", kind, keyOf("b")), "prod", kind, "b", trust); err != nil || again.Seq != r.Seq || !bytes.Equal(again.Body, r.Body) {
				t.Errorf("sealed again: %v", err)
			}
			for _, other := range kinds {
				if _, err := open(raw, "prod", other, "b", trust); other != kind && err == nil {
					t.Errorf("a record of %s is one of %s, too", kind, other)
				}
			}
			if _, err := open(raw, "test", kind, "b", trust); err == nil {
				t.Error("it is good for another cluster, too")
			}
			if _, err := open(raw, "prod", kind, "c", trust); err == nil {
				t.Error("it is good at the key of another node, too")
			}
		}
		if json.Valid(raw) && len(raw) < maxRecord/2 {
			useBody(t, raw)
		}
	})
}

// useBody uses a body that a trusted node has signed.
func useBody(t *testing.T, body []byte) {
	t.Helper()
	x := New(Options{
		Cluster: "prod", Node: "a", Key: keyOf("a"), Trust: trustOf(allNames), Changed: func() {}, Report: func(slog.Level, string, ...any) {},
		Peers: func() Peers { return Peers{Connected: true, Fresh: map[string]uint64{"b": 1}} },
	})
	now := time.Now()
	for _, kind := range kinds {
		x.Receive([]Entry{{Key: fmt.Sprint(kind, "/b"), Value: sealed("b", "b", kind, "prod", 1, 1, string(body))}}, nil, now)
	}
	given, _ := x.Targets(map[string]OwnTarget{"lb": {}}, now)
	for name, target := range given {
		if err := target.validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for key, r := range x.Loads("f", now.Add(goodFor)).Reported {
		if r.Age < 0 || !isLoad(r.Load) || !isLoad(r.Capacity) {
			t.Errorf("%s: %+v", key, r)
		}
	}
}
