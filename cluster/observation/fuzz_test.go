package observation

import (
	"bytes"
	"crypto/ed25519"
	"net/netip"
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

// FuzzDecodeExchange checks that each exchange that can be read has one binary form, and that a book never panics.
func FuzzDecodeExchange(f *testing.F) {
	out := outboxOf("ams1", now.UnixNano())
	out.Set(Entry{ID: 7, Verdict: health.Down})
	out.SetAddress(netip.MustParseAddrPort("192.0.2.1:8054"))
	book := NewBook("prod", trustOf("ams1"))
	for _, r := range out.Take(Heartbeat{At: now}) {
		if _, err := book.Receive(r.Value, true, now); err != nil {
			f.Fatal(err)
		}
	}
	e := Exchange{Known: book.Known(), Messages: append(book.Missing(nil, "", now), Passed{Raw: []byte("x"), Age: -1})}
	f.Add(e.Append(nil))
	f.Add((&Exchange{}).Append(nil))
	f.Add([]byte{exchangeVersion, 0xff, 0xff, 1, 'a'})
	f.Add([]byte{exchangeVersion, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := DecodeExchange(raw)
		if err != nil {
			return
		}
		if got := e.Append(nil); !bytes.Equal(got, raw) {
			t.Fatalf("%x is also the exchange %x", raw, got)
		}
		of := NewBook("prod", trustOf("ams1"))
		for _, m := range e.Messages {
			of.ReceivePassed(m, now)
		}
		of.Missing(e.Known, "", now)
	})
}
