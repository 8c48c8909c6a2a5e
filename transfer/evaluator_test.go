package transfer

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
	"meridian/transfer/journal"
	"meridian/zones"
)

// TestUpdatesTogetherAreAsOneByOne makes random updates with prerequisites, several by one evaluator. Their outcomes, their changes and
// the zone are those of the same updates, each made in the data with those before it.
func TestUpdatesTogetherAreAsOneByOne(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	c := content(t, "example.com.", "@ 300 IN SOA ns host 7 2 3 4 5\n@ 300 IN NS ns\nns 300 IN A 192.0.2.1\na 60 IN TXT a\n")
	other := content(t, "example.com.", "@ 300 IN SOA ns host 7 2 3 4 5\n@ 300 IN NS ns\nns 300 IN A 192.0.2.1\na 60 IN TXT a\n")
	cfg := &config.Config{Zones: []config.Zone{{Name: "example.com.", Update: []config.UpdateRule{{Key: "acme.", Names: []string{"*", "@"}}}}}}
	together, single := c.data, other.data
	state := journal.State{Digest: c.Digest()}
	for step := range 100 {
		several := NewEvaluator(cfg, together, 0, state)
		for range 1 + random.IntN(6) {
			r := &UpdateRequest{Packet: randomUpdate(t, random), Key: "acme.", At: time.Unix(1, 0)}
			got := several.Evaluate(r)
			one := NewEvaluator(cfg, single, 0, state)
			want := one.Evaluate(r)
			if got.Rcode != want.Rcode || got.Reason != want.Reason || !reflect.DeepEqual(got.Change, want.Change) {
				t.Fatalf("seed %d, step %d: %+v, want %+v", seed, step, got, want)
			}
			if want.Change == nil {
				continue
			}
			state.Digest, state.Added = want.Change.Digest, state.Added+len(want.Change.Added)+len(want.Change.Deleted)
			var err error
			if single, err = single.Update(0, one.Sets()); err != nil {
				t.Fatal(err)
			}
		}
		if len(several.Changes()) == 0 {
			continue
		}
		var err error
		if together, err = together.Update(0, several.Sets()); err != nil {
			t.Fatal(err)
		}
		got, want := allRecords(together), allRecords(single)
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d, step %d: the zones are\n%v\n%v", seed, step, got, want)
		}
		if digest := (&Content{data: together}).Digest(); digest != state.Digest {
			t.Fatalf("seed %d, step %d: the digest is not that of the zone", seed, step)
		}
	}
}

// randomUpdate returns an update of few names, so that updates concern the same ones.
func randomUpdate(t *testing.T, random *rand.Rand) []byte {
	t.Helper()
	msg := new(dns.Msg).SetUpdate("example.com.")
	some := func() []dns.RR {
		name := []string{"a", "b", "c.b", "*.d", "ns"}[random.IntN(5)]
		return []dns.RR{rr(t, fmt.Sprintf("%s.example.com. %d IN TXT %d", name, 60*(1+random.IntN(2)), random.IntN(3)))}
	}
	if random.IntN(2) == 0 {
		[]func([]dns.RR){msg.NameUsed, msg.NameNotUsed, msg.RRsetUsed, msg.RRsetNotUsed, msg.Used}[random.IntN(5)](some())
	}
	for range 1 + random.IntN(3) {
		[]func([]dns.RR){msg.Insert, msg.Insert, msg.Remove, msg.RemoveName, msg.RemoveRRset}[random.IntN(5)](some())
	}
	packet, err := msg.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packet
}

// recordsOf returns the records of the first zone in an order of their own.
func allRecords(data *zones.Data) (all []string) {
	for node := range data.Walk(0) {
		for _, r := range currentRecords(data, 0, dnsname.Wire(data.NodeName(node))) {
			all = append(all, string(r))
		}
	}
	slices.Sort(all)
	return all
}
