package rollout

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"log/slog"
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
	raw, err := os.ReadFile(filepath.Join("testdata", "wire1", name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// goldenSigner returns the signer of a node.
func goldenSigner(name string) *signer {
	s := &signer{cluster: "prod", node: name, key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)), trust: map[string]ed25519.PublicKey{}}
	s.trust["ams1"] = s.key.Public().(ed25519.PublicKey)
	return s
}

// wireTest is a record of testdata/wire1: the value that it has, and where to read it.
type wireTest struct {
	file, key  string
	want, into any
}

var goldenTime = time.Date(2026, 11, 30, 12, 0, 0, 5e8, time.UTC)

func goldenRecords() []wireTest {
	target := Target{Seq: 9, Generation: 41, Hash: "9f86d081884c", Previous: 40, Latest: 42, Owner: "alice", Reason: "more capacity", Time: goldenTime, Since: goldenTime.Add(-time.Hour), TakenBack: true}
	nodes, share := target, target
	nodes.Canary = &Canary{Generation: 42, Nodes: []string{"ams1", "fra1"}, For: 10 * time.Minute, Hash: "0123456789ab"}
	share.Canary = &Canary{Generation: 42, For: 10 * time.Minute, Hash: "0123456789ab", Parts: 500}
	ack := Ack{Generation: 41, Hash: "9f86d081884c", State: Serving, Digest: "abcdef012345", Time: goldenTime, Splits: true}
	rejected, split := ack, ack
	rejected.State, rejected.Why = Rejected, "m.yaml:3:1: no such file"
	split.Split = SplitAck{Generation: 42, Hash: "0123456789ab", State: Rejected, Why: "no"}
	manifest := Manifest{
		Number: 41, Hash: HashText(goldenText), Content: "8e9a02d10389af7413b16e2d27ac232338030cb654d3cb3c6c3f838072a0467f", Chunks: 1, Size: 101, Time: goldenTime,
		Source: "api", Owner: "alice", Node: "ams1", Reason: "more capacity", AllowRemoval: true, OverrideGuardrail: "planned",
	}
	return []wireTest{
		{"target.json", targetKey, &target, new(Target)},
		{"target-canary.json", targetKey, &nodes, new(Target)},
		{"target-share.json", targetKey, &share, new(Target)},
		{"ack.json", ackKeys + "ams1", &ack, new(Ack)},
		{"ack-rejected.json", ackKeys + "ams1", &rejected, new(Ack)},
		{"ack-share.json", ackKeys + "ams1", &split, new(Ack)},
		{"manifest.json", fmt.Sprintf(manifestOf, 41), &manifest, new(Manifest)},
	}
}

const goldenText = "pools: {web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}}\n"

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

// values returns a record as JSON values, without the signature, which is of a body that may have more fields.
func values(t *testing.T, raw []byte) (all map[string]any) {
	t.Helper()
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	delete(all, "signature")
	return all
}

// Each record of version 1 is read as it always was, at the key that it always had, and a written one has all of its fields.
func TestRecordsOfWireVersion1(t *testing.T) {
	s := goldenSigner("ams1")
	for _, c := range goldenRecords() {
		raw := goldenRecord(t, c.file)
		if from, err := s.open(c.key, raw, c.into); err != nil || from != "ams1" || !reflect.DeepEqual(c.into, c.want) {
			t.Errorf("%s is read as %+v of %q, %v, want %+v", c.file, c.into, from, err, c.want)
		}
		again, err := s.seal(c.key, c.want)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := values(t, again), values(t, raw); !has(got, want) {
			t.Errorf("%s is written as\n%v, which lacks something of\n%v", c.file, got, want)
		}
	}
	keys := []string{targetKey, ackKeys, fmt.Sprintf(manifestOf, 41), chunkKey("c", 1)}
	if got, want := strings.Join(keys, " "), "state/target state/node/ generation/000000000041 text/c/0001"; got != want {
		t.Errorf("keys %s, want %s", got, want)
	}
}

// The text of a generation is read from its chunks as it always was.
func TestChunksOfWireVersion1(t *testing.T) {
	var m Manifest
	if _, err := goldenSigner("ams1").open(fmt.Sprintf(manifestOf, 41), goldenRecord(t, "manifest.json"), &m); err != nil {
		t.Fatal(err)
	}
	if text, err := expand(&m, goldenRecord(t, "text.gz")); err != nil || text != goldenText {
		t.Errorf("%q, %v, want %q", text, err, goldenText)
	}
}

// Additions of a later version to a record and to its body are ignored.
func TestUnknownFieldsAreIgnored(t *testing.T) {
	s := goldenSigner("ams1")
	body := json.RawMessage(`{"generation":7,"state":"serving","digest":"d","time":"2026-11-30T12:00:00Z","later":{"a":[1]}}`)
	raw, err := s.seal(ackKeys+"ams1", body)
	if err != nil {
		t.Fatal(err)
	}
	raw = append(raw[:len(raw)-1], `,"later":true}`...)
	var a Ack
	if _, err := s.open(ackKeys+"ams1", raw, &a); err != nil || a.Generation != 7 || a.State != Serving {
		t.Errorf("%+v, %v", a, err)
	}
}

// A record that cannot be accepted is counted by its reason and reported once, however often it is read; the target stops the
// node from following, and an acknowledgement counts as none.
func TestRejectedRecordsAreCounted(t *testing.T) {
	s := goldenSigner("ams1")
	raw := string(goldenRecord(t, "ack.json"))
	for _, c := range []struct {
		what, raw string
		reason    Rejection
		says      string
	}{
		{"another version", strings.Replace(raw, `"version":1`, `"version":2`, 1), OtherVersion, "state/node/ams1: it is of version 2, and this program reads 1; upgrade all nodes"},
		{"no JSON", "{", Malformed, "state/node/ams1: it is malformed"},
		{"an unknown node", strings.Replace(raw, `"node":"ams1"`, `"node":"x"`, 1), UnknownNode, `it was signed by "x", which cluster.trust does not name`},
		{"another signature", strings.Replace(raw, `"generation":41`, `"generation":42`, 1), BadSignature, "state/node/ams1 of ams1: its signature is wrong"},
	} {
		var reports []string
		store := &memory{records: map[string]Value{}}
		n := New(Options{
			Cluster: "prod", Name: "ams1", Key: s.key, Trust: s.trust, Store: store.store(), Shared: true,
			Report: func(_ slog.Level, _, message string) { reports = append(reports, message) },
		})
		write := func(key, raw string) {
			if _, err := store.write(t.Context(), Change{Puts: map[string][]byte{key: []byte(raw)}}); err != nil {
				t.Fatal(err)
			}
		}
		write(ackKeys+"ams1", c.raw)
		for range 3 {
			if _, _, err := n.look(t.Context()); err != nil || len(n.Status().Acks) > 0 {
				t.Errorf("%s: %v, acknowledgements %v", c.what, err, n.Status().Acks)
			}
		}
		if got := n.Rejected(); got[c.reason] != 1 || len(reports) != 1 || !strings.Contains(reports[0], c.says) {
			t.Errorf("%s: counted %v, reported %q, want one of %s: %s", c.what, got, reports, c.reason, c.says)
		}
		write(ackKeys+"ams1", c.raw) // again: it is counted, and was reported
		write(targetKey, strings.Replace(string(goldenRecord(t, "target.json")), `"version":1`, `"version":7`, 1))
		if _, _, err := n.look(t.Context()); err == nil || !strings.Contains(err.Error(), "state/target: it is of version 7") {
			t.Errorf("a target of version 7: %v", err)
		}
		write(targetKey, string(goldenRecord(t, "target.json")))
		write(ackKeys+"ams1", raw)
		if target, _, err := n.look(t.Context()); err != nil || target.Generation != 41 || len(n.Status().Acks) != 1 {
			t.Errorf("afterwards: %+v, %v, acknowledgements %v", target, err, n.Status().Acks)
		}
		if len(n.notes) > 0 {
			t.Errorf("accepted records have notes: %v", n.notes)
		}
		write(ackKeys+"gone", c.raw)
		for _, removed := range []bool{false, true} {
			if removed {
				delete(store.records, ackKeys+"gone")
			}
			if _, _, err := n.look(t.Context()); err != nil || len(n.notes) > 0 == removed {
				t.Errorf("removed %v: %v, notes %v", removed, err, n.notes)
			}
		}
		if got := n.Rejected()[OtherVersion]; got == 0 {
			t.Error("the target of another version is not counted")
		}
	}
}
