package transfer

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/transfer/journal"
)

// FuzzUpdate evaluates messages of any content.
func FuzzUpdate(f *testing.F) {
	c := content(f, "example.com.", "@ 300 IN SOA ns host 7 2 3 4 5\n@ 300 IN NS ns\nns 300 IN A 192.0.2.1\na 60 IN TXT a\n")
	cfg := &config.Config{Zones: []config.Zone{{Name: "example.com.", Update: []config.UpdateRule{{Key: "acme.", Names: []string{"*"}}}}}}
	rr, err := dns.NewRR("b.example.com. 60 IN TXT b")
	if err != nil {
		f.Fatal(err)
	}
	for _, edit := range []func(*dns.Msg){
		func(m *dns.Msg) { m.Insert([]dns.RR{rr}) },
		func(m *dns.Msg) { m.Remove([]dns.RR{rr}); m.NameNotUsed([]dns.RR{rr}) },
		func(m *dns.Msg) { m.RemoveName([]dns.RR{rr}); m.RRsetUsed([]dns.RR{rr}) },
		func(m *dns.Msg) { m.RemoveRRset([]dns.RR{rr}); m.Used([]dns.RR{rr}) },
	} {
		msg := new(dns.Msg).SetUpdate("example.com.")
		edit(msg)
		packet, err := msg.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		u := NewEvaluator(cfg, c.data, 0, journal.State{}).Evaluate(&UpdateRequest{Packet: packet, Key: "acme.", At: time.Unix(1, 0)})
		if u.Change == nil {
			return
		}
		if u.Rcode != dns.RcodeSuccess || !journal.Newer(u.Change.To(), u.Change.From()) {
			t.Errorf("%+v", u)
		}
		if _, err := c.data.Update(0, u.Sets); err != nil {
			t.Errorf("%v: %+v", err, u)
		}
	})
}
