package zones

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unsafe"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
)

// updatedZones are two zones, the second below the first one. The first one has a balanced name.
const updatedZones = `
pools: {web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}}
zones:
  example.com: {file: /z, names: {www.p: {pool: web}}}
  sub.c.example.com: {nameservers: {ns.example.net: []}, contact: h@example.com}
`

// compiledText compiles updatedZones with record sets of example.com.
func compiledText(t testing.TB, sets map[string][]string) *Data {
	t.Helper()
	cfg, _, err := config.Parse("m.yaml", []byte(updatedZones))
	if err != nil {
		t.Fatal(err)
	}
	text := "$TTL 60\n"
	for _, key := range slices.Sorted(maps.Keys(sets)) {
		for _, data := range sets[key] {
			text += key + " " + data + "\n"
		}
	}
	data, report := compile(cfg, fstest.MapFS{"z": {Data: []byte(text)}}, time.Unix(1, 0))
	if data == nil {
		_, err := report.Join()
		t.Fatal(err, text)
	}
	return data
}

// changeTo returns the change that makes records the set of a name and a type.
func changeTo(t testing.TB, key string, records []string) SetChange {
	t.Helper()
	name, typ, _ := strings.Cut(key, " ")
	c := SetChange{Type: dns.StringToType[typ], TTL: 60}
	for _, data := range append(records, "") {
		if data == "" && len(c.Data) < len(records) {
			continue
		}
		if c.Owner == nil {
			parsed, err := dnsname.Parse(name)
			if err != nil {
				t.Fatal(err)
			}
			c.Owner = parsed.Wire()
		}
		if data == "" {
			break
		}
		rr, err := dns.NewRR(name + " 60 IN " + typ + " " + data)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		end, err := dns.PackRR(rr, buf, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		c.Data = append(c.Data, buf[end-int(rr.Header().Rdlength):end])
	}
	return c
}

// looked describes what a query finds, without the numbers of nodes.
func looked(d *Data, name dnsname.Wire, qtype uint16) string {
	m := d.Lookup(name, qtype)
	out := fmt.Sprint(m.Kind, m.Zone)
	if m.Node == 0 {
		return out
	}
	out += " " + d.NodeName(m.Node).String()
	for _, set := range d.RRsets(m.Node) {
		out += fmt.Sprint(set.Type, set.TTL, set.Count, set.Data)
	}
	for _, id := range d.Glue(m.Node) {
		count, records := d.GlueRecords(id)
		out += fmt.Sprint("glue", count, records)
	}
	return out + fmt.Sprint(d.Balanced(m.Node) != nil)
}

// TestUpdatedDataIsAsCompiled makes random updates, and compares each result with the data compiled from the same records.
func TestUpdatedDataIsAsCompiled(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	names := []string{"a", "b.a", "c.b.a", "*.a", "x.y.a", "d", "e.d", "*.d", "ns.d", "f.e.d", "p", "q.c"}
	sets := map[string][]string{
		"example.com. SOA": {"ns.example.com. h. 1 2 3 4 5"}, "example.com. NS": {"ns.example.com."}, "ns.example.com. A": {"192.0.2.1"},
		"cut.example.com. NS": {"ns.d.example.com.", "ns.example.com."},
	}
	data := compiledText(t, sets)
	chains := data.NewChains([]bool{true, true})
	for step := range 150 {
		changed := map[string]bool{}
		for range 1 + random.IntN(3) {
			name := names[random.IntN(len(names))] + ".example.com."
			key := name + " " + []string{"A", "TXT", "NS"}[random.IntN(3)]
			if strings.HasSuffix(key, "NS") && (name == "p.example.com." || strings.HasPrefix(name, "*")) {
				continue
			}
			value := map[string][]string{"A": {"192.0.2.7"}, "TXT": {"t"}, "NS": {"ns." + name, "ns.example.com."}}[key[strings.IndexByte(key, ' ')+1:]]
			if sets[key] = value; random.IntN(2) == 0 {
				delete(sets, key)
			}
			changed[key] = true
		}
		serial := fmt.Sprintf("ns.example.com. h. %d 2 3 4 5", step+2)
		sets["example.com. SOA"], changed["example.com. SOA"] = []string{serial}, true
		var changes []SetChange
		for _, key := range slices.Sorted(maps.Keys(changed)) {
			changes = append(changes, changeTo(t, key, sets[key]))
		}
		before := data
		wasThere := contentOf(before)
		if err := data.CheckUpdate(0, changes); err != nil {
			t.Fatal(err)
		}
		var merged *Data
		if random.IntN(3) == 0 {
			merged = data.Merge()
		}
		var err error
		if data, err = data.Update(0, changes); err != nil {
			t.Fatal(err)
		}
		if merged != nil { // an update that came while the data was merged
			chains = merged.NewChains([]bool{true, true})
			if data, err = merged.Update(0, changes); err != nil {
				t.Fatal(err)
			}
		}
		earlier, ring := chains, ringsOf(chains)
		chains = chains.Update(data, []ZoneID{0, 0})
		if got, want := ringsOf(chains), ringsOf(data.NewChains([]bool{true, true})); got != want {
			t.Fatalf("seed %d, step %d: the chains are\n%s\nwant\n%s", seed, step, got, want)
		}
		if ringsOf(earlier) != ring {
			t.Fatalf("seed %d, step %d: the update has changed the chains before it", seed, step)
		}
		if contentOf(before) != wasThere {
			t.Fatalf("seed %d, step %d: the update has changed the data before it", seed, step)
		}
		want := compiledText(t, sets)
		if got, want := contentOf(data), contentOf(want); got != want {
			t.Fatalf("seed %d, step %d: the zones are\n%s\nwant\n%s", seed, step, got, want)
		}
		for _, name := range append(names, "", "zz", "zz.a", "zz.b.a", "zz.d", "ns", "cut", "g.cut", "c", "sub.c", "z.sub.c", "www.p", "y.a", "e.f.e.d") {
			wire := dnsname.Name(strings.TrimPrefix(name+".example.com.", ".")).Wire()
			for _, qtype := range []uint16{dns.TypeA, dns.TypeDS} {
				if got, want := looked(data, wire, qtype), looked(want, wire, qtype); got != want {
					t.Fatalf("seed %d, step %d, %s:\n%s\nwant\n%s\nafter %v", seed, step, name, got, want, changed)
				}
			}
		}
		if data.Serial(0) != uint32(step+2) || before.Serial(0) != uint32(step+1) {
			t.Fatalf("serials %d, before %d", data.Serial(0), before.Serial(0))
		}
		if !bytes.Equal(want.Negative(0).Data, data.Negative(0).Data) || want.Negative(0).TTL != data.Negative(0).TTL {
			t.Fatal("the SOA of negative answers differs")
		}
	}
}

// ringsOf lists the names of chains, with the one that is next and the place of each.
func ringsOf(c *Chains) string {
	var b strings.Builder
	for zone, nodes := range c.zones {
		for _, id := range nodes {
			fmt.Fprintln(&b, zone, c.data.NodeName(id), c.Next(id), c.position[id], c.At(id) == id)
		}
	}
	for id, at := range c.position {
		if at == 0 && c.wanted[c.data.node(NodeID(id)).zone] && NodeID(id) != 0 && c.data.InChain(NodeID(id)) {
			fmt.Fprintln(&b, "missing", c.data.NodeName(NodeID(id)))
		}
	}
	return b.String()
}

// contentOf lists all records of both zones, as a transfer has them, in the order of their texts.
func contentOf(d *Data) string {
	var all []string
	for zone := range ZoneID(2) {
		for node := range d.Walk(zone) {
			for _, set := range d.AppendStaticSets(nil, node) {
				all = append(all, fmt.Sprintln(zone, set.Owner, set.Type, set.TTL, set.Count, set.Data))
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

// TestMergeBoundsTheMemoryOfUpdates makes many updates of one name, and merges when the data asks for it.
func TestMergeBoundsTheMemoryOfUpdates(t *testing.T) {
	data := compiledText(t, map[string][]string{"example.com. SOA": {"ns.example.com. h. 1 2 3 4 5"}, "example.com. NS": {"ns.example.com."}, "ns.example.com. A": {"192.0.2.1"}})
	merges, largest := 0, 0
	const batch = 200 // names of an update
	for i := range 4 * mergeEntries / batch {
		var changes []SetChange
		for k := range batch {
			changes = append(changes, SetChange{Owner: dnsname.Name(fmt.Sprintf("n%d.%d.example.com.", i, k)).Wire(), Type: dns.TypeTXT, TTL: 60, Data: [][]byte{{1, 't'}}})
			if i > 0 {
				changes = append(changes, SetChange{Owner: dnsname.Name(fmt.Sprintf("n%d.%d.example.com.", i-1, k)).Wire(), Type: dns.TypeTXT})
			}
		}
		var err error
		if data, err = data.Update(0, changes); err != nil {
			t.Fatal(err)
		}
		p := data.updated
		largest = max(largest, len(p.names)+len(p.data)+int(unsafe.Sizeof(node{}))*int(p.count)+int(unsafe.Sizeof(rrset{}))*len(p.sets))
		if data.Overgrown() {
			data, merges = data.Merge(), merges+1
		}
	}
	if merges < 3 || largest > 4<<20 {
		t.Errorf("%d merges, and at most %d octets", merges, largest)
	}
	if names := data.Summary()[0].Names; names != 3+batch {
		t.Errorf("%d names, want the apex, ns, the balanced one, and %d of the last update", names, batch)
	}
}

// BenchmarkUpdate adds and removes a name of zones with different numbers of names. Merges are in its time.
func BenchmarkUpdate(b *testing.B) {
	for _, names := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(names), func(b *testing.B) { benchmarkUpdate(b, names) })
	}
}

func benchmarkUpdate(b *testing.B, names int) {
	data := compiledText(b, map[string][]string{
		"example.com. SOA": {"ns.example.com. h. 1 2 3 4 5"}, "example.com. NS": {"ns.example.com."}, "ns.example.com. A": {"192.0.2.1"},
		fmt.Sprintf("$GENERATE 1-%d n$.example.com. A", names): {"192.0.2.1"},
	})
	add := changeTo(b, "_acme-challenge.example.com. TXT", []string{"t"})
	remove := add
	remove.Data = nil
	for b.Loop() {
		for _, c := range []SetChange{add, remove} {
			var err error
			if data, err = data.Update(0, []SetChange{c}); err != nil {
				b.Fatal(err)
			}
			if data.Overgrown() {
				data = data.Merge()
			}
		}
	}
}
