package transfer

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
	"meridian/geo"
	"meridian/health"
	"meridian/pools"
	"meridian/transfer/journal"
	"meridian/zones"
)

// balancedConfig has a name for each kind of answer that a pool can give to a transfer.
const balancedConfig = `
regions: {eu: {location: [53, -6]}, us: {location: [39, -77]}}
geo: {default: eu}
checks: {web: {type: tcp, port: 443}}
pools:
  near: {policy: proximity, check: web, answers: 0, members: [{name: e, region: eu, addresses: [192.0.2.1, "2001:db8::1"]}, {name: u, region: us, addresses: [192.0.2.2, "2001:db8::2"]}]}
  every: {policy: all, check: web, members: [{name: a, addresses: [192.0.2.11]}, {name: b, addresses: [192.0.2.12]}, {name: c, addresses: ["2001:db8::13"]}]}
  order: {policy: failover, check: web, members: [{name: a, addresses: [192.0.2.21]}, {name: b, addresses: [192.0.2.22]}]}
  alias: {policy: failover, check: none, members: [{name: a, cname: cdn.example.net}]}
  closed: {policy: failover, check: web, fail_open: never, members: [{name: a, addresses: [192.0.2.31]}]}
zones:
  example.com:
    nameservers: {ns.example.com: [192.0.2.53]}
    contact: host@example.com
    ttl: 30
    serial: increment
    names:
      near: {pool: near}
      every: {pool: every, ttl: 7}
      order: {pool: order}
      alias: {pool: alias}
      closed: {pool: closed}
      www.deep: {pool: every}
      secure: {pool: every, https: {alpn: [h2]}}
    transfer: {pools: live, out: [{addresses: [192.0.2.54]}]}
`

// compiled returns the parts of a snapshot.
func compiled(t testing.TB, text string) (*config.Config, *zones.Data, *pools.Tree) {
	t.Helper()
	cfg, _, err := config.Parse("meridian.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	data, report := zones.Compile(cfg)
	if data == nil {
		_, err := report.Join()
		t.Fatal(err)
	}
	where, err := geo.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = where.Close() })
	tree, err := pools.Compile(cfg, where)
	if err != nil {
		t.Fatal(err)
	}
	return cfg, data, tree
}

// textsOf returns the records that a transfer of the first zone has below a name, without their owner, in order.
func textsOf(c *Content, name string) (all []string) {
	for set := range c.sets {
		if dnsname.Wire(set.Owner).String() != name {
			continue
		}
		for data := range set.RDATA() {
			r := record(&set, data)
			all = append(all, strings.Join(strings.Fields(strings.TrimPrefix(r.String(), name)), " "))
		}
	}
	slices.Sort(all)
	return all
}

func TestTransfersHaveTheAnswerWithAllMembersUp(t *testing.T) {
	cfg, data, tree := compiled(t, balancedConfig)
	for _, member := range [][2]string{{"near", "e"}, {"every", "a"}, {"order", "a"}, {"closed", "a"}} {
		turns, err := tree.SimulateVerdict(member[0], member[1], health.Down)
		if err != nil {
			t.Fatal(err)
		}
		tree.Apply(turns)
	}
	content, err := NewDefaults(data, tree, nil).Content(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"near":     {"30 IN A 192.0.2.1", "30 IN AAAA 2001:db8::1"},
		"every":    {"7 IN A 192.0.2.11", "7 IN A 192.0.2.12", "7 IN AAAA 2001:db8::13"},
		"order":    {"30 IN A 192.0.2.21"},
		"alias":    {"30 IN CNAME cdn.example.net."},
		"closed":   {"30 IN A 192.0.2.31"},
		"www.deep": {"30 IN A 192.0.2.11", "30 IN A 192.0.2.12", "30 IN AAAA 2001:db8::13"},
	} {
		if got := textsOf(content, name+".example.com."); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	secure := strings.Join(textsOf(content, "secure.example.com."), "\n")
	for _, want := range []string{`alpn="h2"`, `ipv6hint="2001:db8::13"`, "192.0.2.11", "192.0.2.12"} {
		if !strings.Contains(secure, want) {
			t.Errorf("the records of secure are %q, want %s in them", secure, want)
		}
	}
}

func TestHintsOfTransfersAreBounded(t *testing.T) {
	for _, n := range []int{1, maxHints - 1, maxHints, maxHints + 1, 3 * maxHints} {
		var set zones.RRset
		set.Type = dns.TypeA
		for i := range n {
			set.Data = appendData(set.Data, []byte{192, 0, 2, byte(i)})
		}
		got := appendHint([]byte("before"), set)
		want := append([]byte("before"), 0, byte(dns.SVCB_IPV4HINT), 0, byte(4*min(n, maxHints)))
		for i := range min(n, maxHints) {
			want = append(want, 192, 0, 2, byte(i))
		}
		if string(got) != string(want) {
			t.Errorf("%d addresses: %x, want %x", n, got, want)
		}
	}
}

// TestMasterFileIsTheTransfer writes the zone and reads it with another parser.
func TestMasterFileIsTheTransfer(t *testing.T) {
	cfg, data, tree := compiled(t, balancedConfig)
	content, err := NewDefaults(data, tree, nil).Content(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := content.WriteMasterFile(&text); err != nil {
		t.Fatal(err)
	}
	balancedLines := 0
	for line := range strings.Lines(text.String()) {
		name, _, _ := strings.Cut(line, "\t")
		if marked := strings.HasSuffix(line, "\t; balanced\n"); marked {
			balancedLines++
		} else if strings.HasPrefix(name, "near.") || strings.HasPrefix(name, "alias.") {
			t.Errorf("%q is not marked as balanced", line)
		}
		if strings.HasPrefix(name, "ns.") && strings.Contains(line, "balanced") {
			t.Errorf("%q is marked as balanced", line)
		}
	}
	var got, want []string
	parser := dns.NewZoneParser(strings.NewReader(text.String()), "", "")
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		got = append(got, rr.String())
	}
	rrs, _ := received(t, content, request(t, "example.com."), messageSize)
	for _, rr := range rrs[:len(rrs)-1] {
		want = append(want, rr.String())
	}
	slices.Sort(got)
	slices.Sort(want)
	if err := parser.Err(); err != nil || !slices.Equal(got, want) || balancedLines != 15 {
		t.Errorf("%v, %d lines are balanced; the file has\n%s\nthe transfer\n%s", err, balancedLines, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// fullDisk fails once it has so many octets.
type fullDisk struct{ room int }

var errFull = errors.New("no space left on device")

func (d *fullDisk) Write(p []byte) (int, error) {
	n := min(len(p), d.room)
	if d.room -= n; n < len(p) {
		return n, errFull
	}
	return n, nil
}

func TestMasterFileReportsAFullDisk(t *testing.T) {
	text, _ := randomZone(t, rand.New(rand.NewPCG(1, 2)), "example.com.")
	c := content(t, "example.com.", text)
	var whole strings.Builder
	if err := c.WriteMasterFile(&whole); err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, 1, 4096, 5000, whole.Len() - 1} {
		if err := c.WriteMasterFile(&fullDisk{room}); !errors.Is(err, errFull) {
			t.Errorf("room for %d of %d octets: %v", room, whole.Len(), err)
		}
	}
	if err := c.WriteMasterFile(&fullDisk{whole.Len()}); err != nil {
		t.Errorf("room for all: %v", err)
	}
}

// member is one with a health state that a test changes.
type member struct{ pool, name string }

// TestLiveChangesLeadFromOneStateToTheNext changes health states at random. The records that a change deletes and adds make
// the zone before it the zone after it, and a zone that is the same has no change.
func TestLiveChangesLeadFromOneStateToTheNext(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	cfg, data, tree := compiled(t, balancedConfig)
	members := []member{{"near", "e"}, {"near", "u"}, {"every", "a"}, {"every", "b"}, {"every", "c"}, {"order", "a"}, {"order", "b"}, {"closed", "a"}}
	wanted := LiveZones(cfg)
	if !slices.Equal(wanted, []zones.ZoneID{0}) {
		t.Fatalf("live zones %v", wanted)
	}
	before, err := CaptureLive(data, tree, cfg, wanted)
	if err != nil {
		t.Fatal(err)
	}
	changes := 0
	for step := range 200 {
		m := members[random.IntN(len(members))]
		turns, err := tree.SimulateVerdict(m.pool, m.name, []health.Verdict{health.Up, health.Down}[random.IntN(2)])
		if err != nil {
			t.Fatal(err)
		}
		tree.Apply(turns)
		after, err := CaptureLive(data, tree, cfg, wanted)
		if err != nil {
			t.Fatal(err)
		}
		deleted, added := before.changeTo(after, data, 0)
		if same := len(deleted)+len(added) == 0; same != before.Same(after, 0) || same != after.Same(before, 0) {
			t.Fatalf("seed %d, step %d: deleted %v, added %v, and Same returns %v", seed, step, deleted, added, !same)
		}
		now := recordsWith(t, cfg, data, tree, before)
		for _, r := range deleted {
			if !now[r] {
				t.Fatalf("seed %d, step %d: %v is deleted and was not there", seed, step, r)
			}
			delete(now, r)
		}
		for _, r := range added {
			if now[r] {
				t.Fatalf("seed %d, step %d: %v is added and was there", seed, step, r)
			}
			now[r] = true
		}
		if want := recordsWith(t, cfg, data, tree, after); !maps.Equal(now, want) {
			t.Fatalf("seed %d, step %d: the changed zone is\n%v\nwant\n%v", seed, step, now, want)
		}
		for name := range cfg.Zones[0].Names {
			owner := string(cfg.Zones[0].Names[name].Name)
			content, _ := NewDefaults(data, tree, after).Content(cfg, 0)
			if len(textsOf(content, owner)) == 0 {
				t.Fatalf("seed %d, step %d: %s does not exist at secondaries", seed, step, owner)
			}
		}
		if len(deleted)+len(added) > 0 {
			changes++
		}
		before = before.With(after, 0)
	}
	if changes < 10 {
		t.Errorf("seed %d: only %d changes", seed, changes)
	}
}

// recordsWith returns the records of the zone with live ones.
func recordsWith(t *testing.T, cfg *config.Config, data *zones.Data, tree *pools.Tree, live *Live) map[journal.Record]bool {
	t.Helper()
	content, err := NewDefaults(data, tree, live).Content(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := map[journal.Record]bool{}
	for set := range content.sets {
		for data := range set.RDATA() {
			all[record(&set, data)] = true
		}
	}
	return all
}

// TestLiveRecordsAreKeptForTheSameNames compiles the configuration again, as a transferred zone or a catalog makes the server do.
func TestLiveRecordsAreKeptForTheSameNames(t *testing.T) {
	cfg, data, tree := compiled(t, balancedConfig)
	turns, err := tree.SimulateVerdict("order", "a", health.Down)
	if err != nil {
		t.Fatal(err)
	}
	tree.Apply(turns)
	live, err := CaptureLive(data, tree, cfg, LiveZones(cfg))
	if err != nil {
		t.Fatal(err)
	}
	otherCfg, otherData, otherTree := compiled(t, balancedConfig) // all members are up in this tree
	moved := live.In(data, otherData, LiveZones(otherCfg))
	if moved == nil {
		t.Fatal("the records of the same names are not kept")
	}
	if got, want := recordsWith(t, otherCfg, otherData, otherTree, moved), recordsWith(t, cfg, data, tree, live); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	fewerCfg, fewer, _ := compiled(t, strings.Replace(balancedConfig, "      order: {pool: order}\n", "", 1))
	if live.In(data, fewer, LiveZones(fewerCfg)) != nil {
		t.Error("records are kept for a zone with other names")
	}
	if (*Live)(nil).In(data, otherData, LiveZones(cfg)) != nil {
		t.Error("records of nothing")
	}
	if none, err := CaptureLive(data, tree, cfg, nil); none != nil || err != nil {
		t.Errorf("without live zones: %v, %v", none, err)
	}
}

// TestLiveChangesAreInTheJournal publishes a change of health, and finds it in the journal of the zone as an incremental transfer.
func TestLiveChangesAreInTheJournal(t *testing.T) {
	cfg, data, tree := compiled(t, balancedConfig)
	before, err := CaptureLive(data, tree, cfg, LiveZones(cfg))
	if err != nil {
		t.Fatal(err)
	}
	served := NewView(cfg, data, tree, before)
	state := t.TempDir()
	j := newJournals(state)
	load(t, j, nil, served)
	of := j.Of("example.com.")
	if of == nil {
		t.Fatal("no journal")
	}
	first := served.Data.Serial(0)
	turns, err := tree.SimulateVerdict("order", "a", health.Down)
	if err != nil {
		t.Fatal(err)
	}
	tree.Apply(turns)
	after, err := CaptureLive(served.Data, tree, cfg, LiveZones(cfg))
	if err != nil {
		t.Fatal(err)
	}
	change, err := before.Publish(after, served, 0, of, time.Unix(2_000_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	next, err := served.Data.Update(0, change.Sets)
	if err != nil {
		t.Fatal(err)
	}
	if next.Serial(0) != first+1 {
		t.Errorf("serial %d after %d", next.Serial(0), first)
	}
	since := of.Since(first, next.Serial(0))
	if since == nil || len(since.Deleted) != 1 || len(since.Added) != 1 || !strings.Contains(since.Deleted[0].String(), "192.0.2.21") || !strings.Contains(since.Added[0].String(), "192.0.2.22") {
		t.Fatalf("the journal has %+v", since)
	}
	nextView := NewView(cfg, next, tree, before.With(after, 0))
	content, err := nextView.Defaults.Content(cfg, 0)
	if kept, _ := of.State(); err != nil || content.Digest() != kept.Digest {
		t.Errorf("%v: the digest of the journal is not that of the zone", err)
	}
	again, err := PublishSerial(nextView, 0, of, time.Unix(2_000_000_000, 0))
	if err != nil || len(again.Sets) != 1 || of.Since(first, first+2) == nil {
		t.Errorf("%v, %+v", err, again)
	}
}

// TestLiveChangeThatCannotBeWrittenIsNotServed takes the state directory away. The change after it begins the journal again.
func TestLiveChangeThatCannotBeWrittenIsNotServed(t *testing.T) {
	cfg, data, tree := compiled(t, balancedConfig)
	before, err := CaptureLive(data, tree, cfg, LiveZones(cfg))
	if err != nil {
		t.Fatal(err)
	}
	served := NewView(cfg, data, tree, before)
	state := filepath.Join(t.TempDir(), "state")
	j := newJournals(state)
	load(t, j, nil, served)
	of := j.Of("example.com.")
	serial, _ := of.State()
	if err := os.RemoveAll(state); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(state, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	j.UseSync(func(*os.File) error { return errFull })
	turns, err := tree.SimulateVerdict("order", "a", health.Down)
	if err != nil {
		t.Fatal(err)
	}
	tree.Apply(turns)
	after, err := CaptureLive(served.Data, tree, cfg, LiveZones(cfg))
	if err != nil {
		t.Fatal(err)
	}
	change, err := before.Publish(after, served, 0, of, time.Unix(2_000_000_000, 0))
	if kept, _ := of.State(); err == nil || len(change.Sets) > 0 || kept.Serial != serial.Serial {
		t.Errorf("%v, %+v; serial %d, want %d", err, change, kept.Serial, serial.Serial)
	}
}

// TestRaisedSerials is the table of the policies at their edges.
func TestRaisedSerials(t *testing.T) {
	at := time.Date(2033, 5, 18, 3, 33, 20, 0, time.UTC) // 2,000,000,000
	for _, c := range []struct {
		policy       config.SerialPolicy
		before, want uint32
	}{
		{config.KeepSerial, 7, 2_000_000_000},
		{config.KeepSerial, 2_000_000_000, 2_000_000_001},
		{config.UnixtimeSerial, 2_000_000_005, 2_000_000_006},
		{config.UnixtimeSerial, 4_294_967_295, 2_000_000_000}, // past the end of the circle, and ahead of it
		{config.IncrementSerial, 7, 8},
		{config.IncrementSerial, 4_294_967_295, 1}, // never 0
		{config.DateSerial, 2033051800, 2033051801},
		{config.DateSerial, 2033051700, 2033051800},
		{config.DateSerial, 2033051799, 2033051800},
		{config.DateSerial, 2033051899, 2033051900}, // the 101st change of a day
		{config.DateSerial, 4_294_967_295, 2033051800},
	} {
		got := raised(c.policy, c.before, at)
		if got != c.want || !journal.Newer(got, c.before) {
			t.Errorf("%s after %d: %d, want %d", c.policy, c.before, got, c.want)
		}
	}
}

// TestNextSerialIsNeverLower makes every policy follow random serials: a changed zone has a higher one, except as its file wants.
func TestNextSerialIsNeverLower(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, policy := range []string{"keep", "unixtime", "increment", "date"} {
		inFile := content(t, "example.com.", "@ 300 IN SOA ns host 7 2 3 4 5\n@ 300 IN NS ns\nns 300 IN A 192.0.2.1\n", fmt.Sprintf(", serial: %s", policy))
		for range 200 {
			before := random.Uint32()
			for _, changed := range []bool{false, true} {
				got := nextSerial(inFile.data, 0, config.SerialPolicy(policy), before, changed, time.Unix(2_000_000_000, 0))
				switch {
				case policy == "keep":
					if got != 7 {
						t.Errorf("keep: %d, want that of the file", got)
					}
				case journal.Newer(before, got), changed && got == before, got == 0 && before != 0:
					t.Errorf("%s: %d after %d, changed %v", policy, got, before, changed)
				}
			}
		}
	}
}
