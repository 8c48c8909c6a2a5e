package observation

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"meridian/health"
)

// FuzzDecode checks that each message that can be read has one binary form, and that a book never panics.
func FuzzDecode(f *testing.F) {
	out := outboxOf("ams1", now.UnixNano())
	out.Set(Entry{ID: 7, Verdict: health.Down, Reason: health.ProbeTimedOut, Since: 9})
	out.Set(Entry{ID: 8, Verdict: health.Up})
	for _, r := range out.Take(Heartbeat{At: now}) {
		f.Add(r.Value)
		f.Add(r.Value[:len(r.Value)-1])
	}
	f.Add(out.Last(Heartbeat{At: now, Agent: true})[0].Value)
	f.Add([]byte{version, kindBlock})
	trust := trustOf("ams1")
	f.Fuzz(func(t *testing.T, raw []byte) {
		NewBook("prod", trust).Receive(raw, true, now)
		m, err := Decode(raw)
		if err != nil {
			return
		}
		if body := raw[:len(raw)-ed25519.SignatureSize]; !bytes.Equal(m.append(nil), body) {
			t.Fatalf("%x is also the message %x", body, m.append(nil))
		}
		if signed := m.Sign("prod", keyOf(m.Vantage)); !Verify(signed, "prod", keyOf(m.Vantage).Public().(ed25519.PublicKey)) {
			t.Fatalf("the signature of %+v does not verify", m)
		}
	})
}
