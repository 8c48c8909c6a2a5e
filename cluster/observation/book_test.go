package observation

import (
	"crypto/ed25519"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"meridian/health"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// keyOf returns the private key of a test vantage.
func keyOf(name string) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	return ed25519.NewKeyFromSeed(seed)
}

func trustOf(names ...string) map[string]ed25519.PublicKey {
	trust := make(map[string]ed25519.PublicKey)
	for _, name := range names {
		trust[name] = keyOf(name).Public().(ed25519.PublicKey)
	}
	return trust
}

func outboxOf(name string, boot int64) *Outbox {
	return NewOutbox("prod", keyOf(name), Sender{Vantage: name, Region: "eu", Boot: uint64(boot)})
}

// send makes a book receive records, and fails the test if it rejects one.
func send(t *testing.T, b *Book, records []Record) (changed []health.ProbeID) {
	t.Helper()
	for _, r := range records {
		ids, err := b.Receive(r.Value, true, now)
		if err != nil {
			t.Fatal(err)
		}
		changed = append(changed, ids...)
	}
	return changed
}

func TestBookHoldsWhatTheOutboxHas(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	book, out := NewBook("prod", trustOf("ams1")), outboxOf("ams1", now.UnixNano())
	want := map[health.ProbeID]Entry{}
	for range 300 {
		before := maps.Clone(want)
		for range rnd.IntN(20) {
			id := health.ProbeID(rnd.Uint64()>>60<<60 | uint64(rnd.IntN(8)))
			if rnd.IntN(4) == 0 {
				delete(want, id)
				out.Remove(id)
				continue
			}
			e := Entry{id, health.Verdict(rnd.IntN(3)), health.ReasonCode(rnd.IntN(5)), rnd.Uint32()}
			want[id] = e
			out.Set(e)
		}
		changed := send(t, book, out.Take(Heartbeat{At: now}))
		v := book.Vantages()["ams1"]
		if !maps.Equal(v.entries, want) || !v.Complete {
			t.Fatalf("got %v, complete %v, want %v", v.entries, v.Complete, want)
		}
		for id, e := range want {
			if old, ok := before[id]; (!ok || old != e) != slices.Contains(changed, id) {
				t.Fatalf("probe %x: changed %v", id, slices.Contains(changed, id))
			}
		}
	}
}

func TestBookRejects(t *testing.T) {
	boot := now.UnixNano()
	heartbeat := func(name string, boot int64) []byte {
		return outboxOf(name, boot).Take(Heartbeat{At: now})[0].Value
	}
	forged := heartbeat("ams1", boot)
	forged[len(forged)-1] ^= 1
	changed := heartbeat("ams1", boot)
	changed[len(changed)-ed25519.SignatureSize-1] ^= 1
	foreign := NewOutbox("other", keyOf("ams1"), Sender{Vantage: "ams1", Region: "eu", Boot: uint64(boot)}).Take(Heartbeat{At: now})[0].Value
	impostor := NewOutbox("prod", keyOf("fra1"), Sender{Vantage: "ams1", Region: "eu", Boot: uint64(boot)}).Take(Heartbeat{At: now})[0].Value
	newer := heartbeat("ams1", boot)
	newer[0] = 9
	for name, c := range map[string]struct {
		raw  []byte
		want Rejection
	}{
		"empty":                         {nil, Malformed},
		"cut":                           {heartbeat("ams1", boot)[:90], Malformed},
		"another version":               {newer, OtherVersion},
		"a vantage that is not trusted": {heartbeat("evil", boot), UnknownVantage},
		"a forged signature":            {forged, BadSignature},
		"a changed digest":              {changed, BadSignature},
		"another cluster":               {foreign, BadSignature},
		"the key of another vantage":    {impostor, BadSignature},
		"a clock in the future":         {heartbeat("ams1", now.Add(2*time.Hour).UnixNano()), ClockDiffers},
	} {
		book := NewBook("prod", trustOf("ams1", "fra1"))
		_, err := book.Receive(c.raw, true, now)
		var rejected *RejectionError
		if !errors.As(err, &rejected) || rejected.Reason != c.want || book.Rejected()[c.want] != 1 {
			t.Errorf("%s: %v, counted %v, want %s", name, err, book.Rejected(), c.want)
		}
		if len(book.Vantages()) > 0 {
			t.Errorf("%s: it is in the book", name)
		}
	}
}

func TestBookRejectsReplays(t *testing.T) {
	book, old, out := NewBook("prod", trustOf("ams1")), outboxOf("ams1", now.UnixNano()-1), outboxOf("ams1", now.UnixNano())
	entry := Entry{ID: 7, Verdict: health.Down}
	old.Set(entry)
	before := old.Take(Heartbeat{At: now})
	send(t, book, before)
	out.Set(Entry{ID: 7, Verdict: health.Up})
	first := out.Take(Heartbeat{At: now})
	send(t, book, first)
	out.Set(entry)
	send(t, book, out.Take(Heartbeat{At: now}))
	for _, r := range append(slices.Clone(before), first...) {
		if _, err := book.Receive(r.Value, true, now); err == nil {
			t.Errorf("%s: a replay was accepted", r.Key)
		}
		if _, err := book.Receive(r.Value, false, now); err != nil {
			t.Errorf("%s: a stored older message: %v", r.Key, err)
		}
	}
	if n := book.Rejected()[Replay]; n != 4 {
		t.Errorf("%d replays counted, want 4", n)
	}
	if e, _ := book.Vantages()["ams1"].Entry(7); e != entry {
		t.Errorf("a replay changed the opinion to %v", e)
	}
}

// A vantage that starts again publishes only what it probes now; what it published before ends with its first heartbeat.
func TestRestartEndsEarlierBlocks(t *testing.T) {
	book := NewBook("prod", trustOf("ams1"))
	old := outboxOf("ams1", now.UnixNano()-1)
	old.Set(Entry{ID: 7 << 56, Verdict: health.Down})
	old.Set(Entry{ID: 9 << 56, Verdict: health.Down})
	send(t, book, old.Take(Heartbeat{At: now}))
	out := outboxOf("ams1", now.UnixNano())
	out.Set(Entry{ID: 9 << 56, Verdict: health.Up})
	changed := send(t, book, out.Take(Heartbeat{At: now}))
	v := book.Vantages()["ams1"]
	if _, ok := v.Entry(7 << 56); ok || !v.Complete || !slices.Contains(changed, 7<<56) {
		t.Errorf("opinion of the earlier boot: kept %v, complete %v, changed %v", ok, v.Complete, changed)
	}
}

func TestLostBlockMakesVantageIncomplete(t *testing.T) {
	book, out := NewBook("prod", trustOf("ams1")), outboxOf("ams1", now.UnixNano())
	out.Set(Entry{ID: 7 << 56, Verdict: health.Up})
	out.Set(Entry{ID: 9 << 56, Verdict: health.Up})
	send(t, book, out.Take(Heartbeat{At: now})[1:])
	if book.Vantages()["ams1"].Complete {
		t.Error("complete without a block")
	}
	out.PublishAgain()
	send(t, book, out.Take(Heartbeat{At: now}))
	if !book.Vantages()["ams1"].Complete {
		t.Error("not complete after all blocks were published again")
	}
}

func TestStoredHeartbeatIsNotAnArrival(t *testing.T) {
	book, out := NewBook("prod", trustOf("ams1")), outboxOf("ams1", now.UnixNano())
	raw := out.Take(Heartbeat{At: now})[0].Value
	if _, err := book.Receive(raw, false, now); err != nil {
		t.Fatal(err)
	}
	if _, err := book.Receive(raw, true, now); err != nil { // the same, watched
		t.Fatal(err)
	}
	if at := book.Vantages()["ams1"].ArrivedAt; !at.IsZero() {
		t.Errorf("a stored heartbeat arrived at %v", at)
	}
}

func TestIdentityIsWrittenOnceAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.ed25519")
	public, err := CreateIdentity(path)
	if err != nil {
		t.Fatal(err)
	}
	private, err := ReadIdentity(path)
	if err != nil || !public.Equal(private.Public()) {
		t.Fatalf("read %v, %v", private.Public(), err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if _, err := CreateIdentity(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("an identity was replaced: %v", err)
	}
	os.WriteFile(path, []byte("no key"), 0o600)
	if _, err := ReadIdentity(path); err == nil {
		t.Error("a file without a key was read")
	}
}

// A block that became empty and was not received is published again.
func TestEmptiedBlockIsPublishedAgain(t *testing.T) {
	book, out := NewBook("prod", trustOf("ams1")), outboxOf("ams1", now.UnixNano())
	out.Set(Entry{ID: 7 << 56, Verdict: health.Up})
	out.Set(Entry{ID: 9 << 56, Verdict: health.Up})
	send(t, book, out.Take(Heartbeat{At: now}))
	out.Remove(7 << 56)
	out.Take(Heartbeat{At: now}) // lost
	out.PublishAgain()
	send(t, book, out.Take(Heartbeat{At: now}))
	if _, ok := book.Vantages()["ams1"].Entry(7 << 56); ok || !book.Vantages()["ams1"].Complete {
		t.Errorf("opinion that was removed: kept %v, complete %v", ok, book.Vantages()["ams1"].Complete)
	}
}

// A heartbeat that was recorded long ago does not make its vantage fresh at a node that has just started.
func TestBookRejectsOldLiveHeartbeat(t *testing.T) {
	book, out := NewBook("prod", trustOf("ams1")), outboxOf("ams1", now.Add(-2*time.Hour).UnixNano())
	raw := out.Take(Heartbeat{At: now.Add(-maxBehind - time.Second)})[0].Value
	if _, err := book.Receive(raw, true, now); err == nil || book.Rejected()[ClockDiffers] != 1 {
		t.Errorf("an old heartbeat: %v, counted %v", err, book.Rejected())
	}
	if _, err := book.Receive(raw, false, now); err != nil {
		t.Errorf("the same, stored: %v", err)
	}
	if _, err := book.Receive(out.Take(Heartbeat{At: now.Add(-time.Minute)})[0].Value, true, now); err != nil {
		t.Errorf("of a clock that is a minute behind: %v", err)
	}
}

// The heartbeat of an agent says so, and the last message of a process is after all others of it, and before its next process.
func TestHeartbeatOfAgentAndLast(t *testing.T) {
	book, out := NewBook("prod", trustOf("ams1")), outboxOf("ams1", now.UnixNano())
	send(t, book, out.Take(Heartbeat{At: now}))
	if v := book.Vantages()["ams1"]; v.Heartbeat.Agent || v.Ended() {
		t.Errorf("a node: %+v", v.Heartbeat)
	}
	out.Set(Entry{ID: 7, Verdict: health.Up})
	send(t, book, out.Take(Heartbeat{At: now, Agent: true}))
	if v := book.Vantages()["ams1"]; !v.Heartbeat.Agent || v.Ended() {
		t.Errorf("an agent: %+v", v.Heartbeat)
	}
	late := out.Take(Heartbeat{At: now, Agent: true})
	out.Set(Entry{ID: 7, Verdict: health.Down})
	send(t, book, out.Last(Heartbeat{At: now, Agent: true}))
	if e, _ := book.Vantages()["ams1"].Entry(7); e.Verdict != health.Down {
		t.Errorf("the last opinion is not published: %v", e)
	}
	if v := book.Vantages()["ams1"]; !v.Ended() || !v.Complete || !v.Heartbeat.Agent {
		t.Errorf("at its end: %+v", v)
	}
	if _, err := book.Receive(late[0].Value, true, now); err == nil {
		t.Error("a message was accepted after the last one")
	}
	out.Restart(out.Boot() + 1)
	send(t, book, out.Take(Heartbeat{At: now, Agent: true}))
	if v := book.Vantages()["ams1"]; v.Ended() || !v.Complete {
		t.Errorf("after a restart: %+v", v)
	}
}
