package transfer

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/transfer/tsig"
	"meridian/zones"
)

// content compiles the zone example.com, or another one, from a master file and more keys of the zone.
func content(t testing.TB, zone, file string, keys ...string) *Content {
	t.Helper()
	path := filepath.Join(t.TempDir(), "zone")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Parse("meridian.yaml", []byte(fmt.Sprintf("zones: {%q: {file: %s%s}}\n", zone, path, strings.Join(keys, ""))))
	if err != nil {
		t.Fatal(err)
	}
	data, report := zones.Compile(cfg)
	if data == nil {
		_, err := report.Join()
		t.Fatal(err)
	}
	c, err := NewDefaults(data, nil, nil).Content(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// request returns a granted request for a zone.
func request(t testing.TB, zone string) *Request {
	t.Helper()
	packet, err := new(dns.Msg).SetAxfr(zone).Pack()
	if err != nil {
		t.Fatal(err)
	}
	return &Request{Head: packet, Clock: time.Now}
}

// received unpacks the messages of a transfer. It checks what holds for each of them.
func received(t *testing.T, c *Content, r *Request, most int) (rrs []dns.RR, messages int) {
	t.Helper()
	for frame := range c.Messages(r, nil) {
		msg := new(dns.Msg)
		if err := msg.Unpack(frame[2:]); err != nil {
			t.Fatal(err)
		}
		if len(frame)-2 > most && len(msg.Answer) > 1 {
			t.Errorf("message %d has %d octets", messages, len(frame)-2)
		}
		if msg.Rcode != dns.RcodeSuccess || !msg.Authoritative || len(msg.Question) != 1 || len(msg.Answer) == 0 || (msg.IsEdns0() != nil) != (r.EDNS && messages == 0) {
			t.Errorf("message %d: %v", messages, msg.MsgHdr)
		}
		rrs = append(rrs, msg.Answer...)
		messages++
	}
	return rrs, messages
}

// randomZone returns the text of a zone with records of many sizes, and its records.
func randomZone(t *testing.T, random *rand.Rand, origin string) (text string, all []string) {
	t.Helper()
	lines := []string{"@ 300 IN SOA ns host 7 2 3 4 5", "@ 300 IN NS ns", "ns 300 IN A 192.0.2.1"}
	for i := range 200 + random.IntN(400) {
		name := fmt.Sprintf("n%d%s", i, strings.Repeat(".x", random.IntN(3)))
		lines = append(lines, fmt.Sprintf("%s 60 IN A 192.0.2.%d", name, random.IntN(256)))
		if random.IntN(4) == 0 {
			lines = append(lines, fmt.Sprintf("%s 60 IN TXT %s", name, strings.Repeat(`"`+strings.Repeat("t", 200)+`" `, random.IntN(60)+1)))
		}
	}
	lines = append(lines, "big 60 IN TXT "+strings.Repeat(`"`+strings.Repeat("b", 255)+`" `, 240))
	text = strings.Join(lines, "\n") + "\n"
	parser := dns.NewZoneParser(strings.NewReader(text), origin, "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		all = append(all, rr.String())
	}
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	return text, all
}

// TestTransferHasEveryRecordOnce compares random zones with what miekg/dns reads from the same text, and from the
// transfer of it.
func TestTransferHasEveryRecordOnce(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for _, origin := range []string{"example.com.", "."} {
		text, want := randomZone(t, random, origin)
		r := request(t, origin)
		r.EDNS = true
		rrs, messages := received(t, content(t, origin, text), r, messageSize)
		first, last := rrs[0], rrs[len(rrs)-1]
		if first.Header().Rrtype != dns.TypeSOA || first.String() != last.String() {
			t.Errorf("the transfer begins with %v and ends with %v", first, last)
		}
		var got []string
		for _, rr := range rrs[:len(rrs)-1] {
			got = append(got, rr.String())
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || messages < 3 {
			t.Errorf("seed %d, zone %s: %d records in %d messages, want %d", seed, origin, len(got), messages, len(want))
		}
	}
}

// A name with whoami exists at secondaries, with a record that says why they do not answer for it.
func TestTransferOfWhoami(t *testing.T) {
	file := "@ 300 IN SOA ns.example.net. host 7 2 3 4 5\n@ 300 IN NS ns.example.net.\nwho 60 IN MX 10 mail.example.net.\n"
	rrs, _ := received(t, content(t, "example.com.", file, ", names: {who: {whoami: true}}"), request(t, "example.com."), messageSize)
	var got []string
	for _, rr := range rrs {
		if rr.Header().Name == "who.example.com." {
			got = append(got, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
	}
	slices.Sort(got)
	if want := []string{`"answered by the primary server only"`, "10 mail.example.net."}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestEveryMessageIsSigned verifies each message as the next one of a stream.
func TestEveryMessageIsSigned(t *testing.T) {
	const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ=="
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := new(tsig.Keyring)
	if err := keys.Add("xfr.", tsig.DefaultAlgorithm, file); err != nil {
		t.Fatal(err)
	}
	text, _ := randomZone(t, rand.New(rand.NewPCG(1, 2)), "example.com.")
	r := request(t, "example.com.")
	unsigned := len(r.Head)
	packet, sent := keys.Key("xfr.").Sign(slices.Clone(r.Head), time.Now())
	response, err := tsig.Verify(keys, packet, unsigned, time.Now())
	if err != nil || response.Error != tsig.NoError {
		t.Fatal(err, response)
	}
	r.TSIG = response
	messages := 0
	for frame := range content(t, "example.com.", text).Messages(r, nil) {
		if err := sent.Verify(frame[2:], time.Now()); err != nil {
			t.Fatalf("message %d: %v", messages, err)
		}
		messages++
	}
	if err := sent.End(); err != nil || messages < 3 {
		t.Errorf("%d messages, %v", messages, err)
	}
}

func TestTransferEndsWithItsReader(t *testing.T) {
	text, _ := randomZone(t, rand.New(rand.NewPCG(1, 2)), "example.com.")
	c := content(t, "example.com.", text)
	for most := range 4 {
		n := 0
		for range c.Messages(request(t, "example.com."), nil) {
			if n++; n > most {
				break
			}
		}
		if n != most+1 {
			t.Errorf("%d messages, want %d", n, most+1)
		}
	}
}

func TestRefusalIsEmpty(t *testing.T) {
	frame := request(t, "example.com.").Refusal(dns.RcodeServerFailure, nil)
	msg := new(dns.Msg)
	if err := msg.Unpack(frame[2:]); err != nil || msg.Rcode != dns.RcodeServerFailure || msg.Authoritative || len(msg.Answer) > 0 {
		t.Errorf("%v, %s", err, hex.EncodeToString(frame))
	}
}

// TestTransferAllocatesOncePerTransfer sends two zones of different sizes: a transfer needs the memory of one message,
// whatever the size of the zone.
func TestTransferAllocatesOncePerTransfer(t *testing.T) {
	allocations := func(names int) float64 {
		var text strings.Builder
		text.WriteString("@ 300 IN SOA ns host 7 2 3 4 5\n@ 300 IN NS ns\nns 300 IN A 192.0.2.1\n")
		for i := range names {
			fmt.Fprintf(&text, "host%d 300 IN A 192.0.2.1\n", i)
		}
		c, r := content(t, "example.com.", text.String()), request(t, "example.com.")
		return testing.AllocsPerRun(5, func() {
			for range c.Messages(r, nil) {
			}
		})
	}
	if small, large := allocations(2000), allocations(20000); large > small+2 {
		t.Errorf("%v allocations for 2000 names, %v for 20000", small, large)
	}
}

// BenchmarkTransfer sends a zone with a million names.
func BenchmarkTransfer(b *testing.B) {
	const names = 1_000_000
	var text strings.Builder
	text.WriteString("@ 300 IN SOA ns host 7 2 3 4 5\n@ 300 IN NS ns\nns 300 IN A 192.0.2.1\n")
	for i := range names - 1 {
		fmt.Fprintf(&text, "host%d 300 IN A 10.%d.%d.%d\n", i, i>>16&255, i>>8&255, i&255)
	}
	c := content(b, "example.com.", text.String())
	r := request(b, "example.com.")
	b.ReportAllocs()
	for b.Loop() {
		octets := 0
		for frame := range c.Messages(r, nil) {
			octets += len(frame)
		}
		b.SetBytes(int64(octets))
	}
}
