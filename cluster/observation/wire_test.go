package observation

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"meridian/health"
)

// The files of testdata/wire1 are messages of version 1 as nodes send them since the form was fixed, in hex. They are never made again: nodes of
// one version and the next work together. Another form needs another version, with a folder of its own, and this version goes on
// to be read.

// goldenHex returns the octets of a file of testdata/wire1.
func goldenHex(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "wire1", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// goldenSender is the sender of the messages.
func goldenSender(seq uint64) Sender {
	return Sender{Vantage: "ams1", Region: "eu-west", Boot: 0x1843a5c0f1e2d3c4, Seq: seq}
}

// goldenMessages are the messages of testdata/wire1, by file.
func goldenMessages() map[string]Message {
	digests := func() (d [3]Digest) {
		for i := range d {
			for j := range d[i] {
				d[i][j] = byte(16*i + j)
			}
		}
		return d
	}()
	heartbeat := Heartbeat{At: time.UnixMilli(1768000000123), Blocks: digests[0], Probes: digests[1], Agreed: digests[2]}
	agent := heartbeat
	agent.Agent = true
	return map[string]Message{
		"block": {Sender: goldenSender(7), Block: &Block{0xa1, []Entry{
			{ID: 0xa100000000000001, Verdict: health.Unknown},
			{ID: 0xa100000000000002, Verdict: health.Up, Reason: health.ProbeTimedOut, Since: 1768000000},
			{ID: 0xa1ffffffffffffff, Verdict: health.Down, Reason: 63, Since: 0xffffffff},
		}}},
		"empty-block":     {Sender: goldenSender(8), Block: &Block{0xa1, []Entry{}}},
		"heartbeat":       {Sender: goldenSender(9), Heartbeat: heartbeat},
		"agent-heartbeat": {Sender: goldenSender(10), Heartbeat: agent},
		"last-heartbeat":  {Sender: goldenSender(LastSeq), Heartbeat: heartbeat},
		"record-ipv4":     {Sender: goldenSender(11), Record: &NodeRecord{netip.MustParseAddrPort("192.0.2.1:8054")}},
		"record-ipv6":     {Sender: goldenSender(12), Record: &NodeRecord{netip.MustParseAddrPort("[2001:db8::1]:8054")}},
	}
}

// Each message of version 1 is read as it always was, and written so.
func TestMessagesOfWireVersion1(t *testing.T) {
	key := keyOf("ams1")
	for name, want := range goldenMessages() {
		raw := goldenHex(t, name)
		if got, err := Decode(raw); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %+v, %v, want %+v", name, got, err, want)
		}
		if !Verify(raw, "prod", key.Public().(ed25519.PublicKey)) {
			t.Errorf("%s: the signature does not verify: what is signed has changed", name)
		}
		if got := want.Sign("prod", key); !bytes.Equal(got, raw) {
			t.Errorf("%s is written as\n%x, want\n%x: other nodes cannot read it; a new form needs a new version", name, got, raw)
		}
	}
}

// An exchange of version 1 is read as it always was, and written so.
func TestExchangeOfWireVersion1(t *testing.T) {
	want := Exchange{
		Known: []Known{
			{Vantage: "ams1", Heartbeat: Position{0x1843a5c0f1e2d3c4, 9}, Record: Position{0x1843a5c0f1e2d3c4, 11}},
			{Vantage: "probe.1"},
		},
		Messages: []Passed{{Raw: goldenHex(t, "block"), Age: 1500 * time.Millisecond}, {Raw: goldenHex(t, "heartbeat"), Age: -1}},
	}
	raw := goldenHex(t, "exchange")
	if got, err := DecodeExchange(raw); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("it is read as %+v, %v, want %+v", got, err, want)
	}
	if got := want.Append(nil); !bytes.Equal(got, raw) {
		t.Errorf("it is written as\n%x, want\n%x: other nodes cannot read it; a new form needs a new version", got, raw)
	}
}

// The keys and the digests are parts of the wire format, too: nodes with other ones would disagree for ever.
func TestKeysAndDigestsOfWireVersion1(t *testing.T) {
	out := NewOutbox("prod", keyOf("ams1"), goldenSender(0))
	out.Set(Entry{ID: 0xa100000000000002, Verdict: health.Up, Reason: health.ProbeTimedOut, Since: 1768000000})
	out.SetAddress(netip.MustParseAddrPort("192.0.2.1:8054"))
	var keys []string
	records := out.Take(Heartbeat{At: time.UnixMilli(1768000000123)})
	for _, r := range records {
		keys = append(keys, r.Key)
	}
	if got, want := strings.Join(keys, " "), "obs/ams1/a1 node/ams1 beat/ams1"; got != want {
		t.Errorf("keys %s, want %s", got, want)
	}
	m, err := Decode(records[2].Value)
	if err != nil {
		t.Fatal(err)
	}
	verdicts := DigestVerdicts(map[health.ProbeID]health.Verdict{2: health.Up, 1: health.Down})
	for what, c := range map[string]struct{ got, want string }{
		"blocks": {hex.EncodeToString(m.Heartbeat.Blocks[:]), "62d3d006471affa5988d7155cfc6d9d5"}, "verdicts": {hex.EncodeToString(verdicts[:]), "2b7a94fa14eec6657138aebaf0cec495"},
	} {
		if c.got != c.want {
			t.Errorf("the digest of %s is %s, want %s", what, c.got, c.want)
		}
	}
}

// A message of another version, or of a kind of a later one, is refused, counted as that, and changes nothing.
func TestMessagesOfAnotherVersionAreRefused(t *testing.T) {
	block := goldenMessages()["block"]
	for _, c := range []struct {
		what   string
		octet  int
		value  byte
		reason Rejection
		says   string
	}{
		{"version 2", 0, 2, OtherVersion, "message of another version: 2, want 1"},
		{"version 0", 0, 0, OtherVersion, "message of another version: 0, want 1"},
		{"a kind of a later version", 1, 9, OtherVersion, "a kind that this version does not know: 9"},
	} {
		book := NewBook("prod", trustOf("ams1"))
		body := block.append(nil)
		body[c.octet] = c.value
		raw := append(body, ed25519.Sign(keyOf("ams1"), signed("prod", body))...)
		changed, err := book.Receive(raw, true, now)
		var rejected *RejectionError
		if !errors.As(err, &rejected) || rejected.Reason != c.reason || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %s: %s", c.what, err, c.reason, c.says)
		}
		if n := book.Rejected()[c.reason]; n != 1 || len(changed) > 0 || len(book.Vantages()) > 0 {
			t.Errorf("%s: counted %d times, changed %v, known vantages %v", c.what, n, changed, book.Vantages())
		}
	}
	exchange := goldenHex(t, "exchange")
	exchange[0] = 2
	if _, err := DecodeExchange(exchange); !errors.Is(err, ErrExchangeVersion) || err.Error() != "exchange of another version: 2, want 1" {
		t.Errorf("an exchange of version 2: %v", err)
	}
}

// A message that an exchange passes on is verified for itself: those of a later version do not make the others be refused.
func TestExchangeWithAMessageOfAnotherVersion(t *testing.T) {
	later := goldenHex(t, "heartbeat")
	later[0] = 2
	e := Exchange{Messages: []Passed{{Raw: later}, {Raw: goldenHex(t, "block")}}}
	read, err := DecodeExchange(e.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	book, at := NewBook("prod", trustOf("ams1")), time.Unix(0, int64(goldenSender(1).Boot))
	accepted := 0
	for _, m := range read.Messages {
		if _, err := book.ReceivePassed(m, at); err == nil {
			accepted++
		}
	}
	if accepted != 1 || book.Rejected()[OtherVersion] != 1 {
		t.Errorf("%d messages accepted, rejected %v", accepted, book.Rejected())
	}
}
