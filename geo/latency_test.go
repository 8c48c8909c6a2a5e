package geo

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/config"
)

// someRow is a row of a table made for a test.
type someRow struct {
	client, region string
	ms             float64
	samples        int // 0: not given
}

// someRows returns a table of rows with distinct clients and regions; some regions are unknown.
func someRows(r *rand.Rand, regions []config.Region) []someRow {
	var rows []someRow
	seen := map[[2]string]bool{}
	clients := []string{"AS64500", "AS64501", "as64502", "DE", "us", "JP", "BR"}
	for range r.IntN(16) {
		clients = append(clients, somePrefix(r).String())
	}
	for range 1 + r.IntN(60) { // a file without a row is an error
		row := someRow{clients[r.IntN(len(clients))], fmt.Sprint("r", r.IntN(len(regions)+2)), float64(1+r.IntN(3000)) / 8, r.IntN(20)}
		if key := [2]string{row.client, row.region}; !seen[key] {
			seen[key] = true
			rows = append(rows, row)
		}
	}
	return rows
}

func writeRows(rows []someRow) string {
	var b strings.Builder
	b.WriteString("client,region,rtt_ms,samples\n")
	for _, r := range rows {
		if r.samples == 0 {
			fmt.Fprintf(&b, "%s,%s,%g\n", r.client, r.region, r.ms)
		} else {
			fmt.Fprintf(&b, "%s,%s,%g,%d\n", r.client, r.region, r.ms, r.samples)
		}
	}
	return b.String()
}

// slowestRow returns the row for a region of a client at a location, or nil.
func slowestRow(rows []someRow, addr netip.Addr, at Location, region string) *someRow {
	var found *someRow
	rank := -1
	for i := range rows {
		row, specific := &rows[i], -1
		p, err := netip.ParsePrefix(row.client)
		switch {
		case row.region != region:
		case err == nil && p.Contains(addr):
			specific = 2 + p.Bits()
		case at.ASN != 0 && strings.EqualFold(row.client, fmt.Sprint("AS", at.ASN)):
			specific = 1
		case at.Country != "" && strings.EqualFold(row.client, at.Country):
			specific = 0
		}
		if specific > rank {
			found, rank = row, specific
		}
	}
	return found
}

// slowLatency is the slow, obvious reference of LatencyTable.
func slowLatency(l *Locator, rows []someRow, regions []config.Region, addr netip.Addr) decision {
	_, private := l.PrivateECS(addr)
	d := decision{private: private || addr.Is4In6()}
	at := l.Locate(addr)
	type estimate struct {
		region uint16
		km, ms float64
	}
	var left []estimate
	for i, region := range regions {
		e := estimate{region: uint16(i)}
		if at.From != "" {
			e.km = Biased(Distance(config.Location{Lat: at.Lat, Lon: at.Lon}, region.Location), region.Bias)
		}
		e.ms = 10 + e.km/50
		if row := slowestRow(rows, addr.Unmap(), at, region.Name); row != nil {
			switch n, of := row.samples, l.cfg.Latency.Samples; {
			case n == 0 || n >= of:
				e.ms = row.ms
			default:
				e.ms = (float64(n)*row.ms + float64(of-n)*e.ms) / float64(of)
			}
		}
		left = append(left, e)
	}
	tolerance := float64(l.cfg.Latency.Tolerance.Microseconds()) / 1000
	for len(left) > 0 {
		quickest := slices.MinFunc(left, func(a, b estimate) int { return cmp.Compare(a.ms, b.ms) }).ms
		next := -1
		for i, e := range left {
			if e.ms <= quickest+tolerance && (next < 0 || e.km < left[next].km) {
				next = i
			}
		}
		d.ranking = append(d.ranking, left[next].region)
		left = slices.Delete(left, next, next+1)
	}
	return d
}

// measure reads a Latency from text.
func (l *Locator) measure(t testing.TB, text string) *Latency {
	t.Helper()
	r := l.latencyReader("latency.csv")
	r.read([]byte(text))
	table, faults := r.finish()
	if len(faults) > 0 {
		t.Fatal(config.Join(faults))
	}
	return table
}

func TestLatencyTableAgreesWithSlowReference(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 5 {
		w := newMatchWorld(r)
		l := w.open(t)
		l.cfg.Regions = w.regions
		l.cfg.Latency = config.Latency{Samples: 10, Tolerance: []time.Duration{0, 5 * time.Millisecond, time.Second}[r.IntN(3)]}
		rows := someRows(r, w.regions)
		lat := l.measure(t, writeRows(rows))
		table, err := l.LatencyTable(lat, w.regions)
		if err != nil {
			t.Fatal(err)
		}
		reference := func(a netip.Addr) decision { return slowLatency(l, rows, w.regions, a) }
		corners := w.corners()
		for _, row := range rows {
			if p, err := netip.ParsePrefix(row.client); err == nil {
				corners = append(corners, cornersOf(p)...)
			}
		}
		slow := map[netip.Addr]decision{}
		for _, a := range corners {
			slow[a] = reference(a)
		}
		for _, a := range corners {
			leaf, want := table.Lookup(a), slow[a].ranking
			if a.Is4In6() {
				want = reference(a.Unmap()).ranking
			}
			if got := table.Ranking(leaf); !slices.Equal(got, want) {
				t.Fatalf("%s ranks %v, want %v by\n%s", a, got, want, writeRows(rows))
			}
			for i, e := range l.Estimates(a, lat, w.regions) {
				if e.Region != int(want[i]) {
					t.Fatalf("%s: the estimates have region %d at %d, want %d", a, e.Region, i, want[i])
				}
			}
			if a.Is4In6() {
				continue
			}
			if first, scope := table.Nearest(a); first != want[0] || scope != table.Scope(leaf, 0) {
				t.Fatalf("%s: quickest %d with scope %d, want %d with %d", a, first, scope, want[0], table.Scope(leaf, 0))
			}
			for k := range w.regions {
				if got, want := int(table.Scope(leaf, k)), slowScope(slow, a, k, reference); got != want {
					t.Fatalf("scope %d of %s is %d, want %d", k, a, got, want)
				}
			}
		}
	}
}

func TestLatencyWithoutRowsRanksByDistance(t *testing.T) {
	r := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for range 20 {
		w := newWorld(r)
		l := w.open(t)
		l.cfg.Latency = config.Latency{Samples: 10, Tolerance: 5 * time.Millisecond}
		l.cfg.Regions = append(slices.Clone(w.regions), config.Region{Name: "elsewhere"})
		lat := l.measure(t, "192.0.2.0/24,elsewhere,5\nDE,elsewhere,5") // of a region that no pool here has
		got, err := l.LatencyTable(lat, w.regions)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range w.corners() {
			if got, want := got.Ranking(got.Lookup(a)), decide(l, w.regions, a.Unmap()).ranking; !slices.Equal(got, want) {
				t.Fatalf("%s ranks %v, want %v", a, got, want)
			}
		}
	}
}

// latencyWorld opens a Locator with a client in Germany and regions in Dublin, Ashburn and Tokyo.
func latencyWorld(t testing.TB) *Locator {
	l := openWith(t, config.Geo{Networks: []config.Network{
		{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Country: "DE"},
		{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Country: "DE"},
	}}, cities(3))
	l.cfg.Regions = cities(3)
	l.cfg.Latency = config.Latency{Samples: 10}
	l.builtin, l.sources = &builtin{}, nil // quick to compile
	return l
}

func TestMostSpecificRowApplies(t *testing.T) {
	l := latencyWorld(t)
	regions := l.cfg.Regions
	lat := l.measure(t, strings.Join([]string{
		"DE," + regions[0].Name + ",30,100", "DE," + regions[1].Name + ",40,100",
		"198.51.100.0/24," + regions[1].Name + ",20", "198.51.100.0/28," + regions[2].Name + ",35,5",
	}, "\n"))
	for addr, want := range map[string]string{
		"203.0.113.1":   "country DE, country DE, ",
		"198.51.100.99": "network 198.51.100.0/24, country DE, ",
		"198.51.100.1":  "network 198.51.100.0/24, country DE, network 198.51.100.0/28",
	} {
		var by []string
		for _, e := range l.Estimates(addrOf(addr), lat, regions) {
			by = append(by, e.By)
		}
		if got := strings.Join(by, ", "); got != want {
			t.Errorf("%s: by %q, want %q", addr, got, want)
		}
	}
}

func TestFewSamplesHaveLittleWeight(t *testing.T) {
	l := latencyWorld(t)
	region := l.cfg.Regions[0]
	ask := func(row string) Estimate {
		lat := l.measure(t, "DE,"+region.Name+","+row)
		all := l.Estimates(addrOf("203.0.113.1"), lat, l.cfg.Regions)
		return all[slices.IndexFunc(all, func(e Estimate) bool { return e.Region == 0 })]
	}
	by := ask("1000").Expected
	for row, want := range map[string]time.Duration{
		"1000":     time.Second, // enough: the table has no samples
		"1000,10":  time.Second,
		"1000,999": time.Second,
		"1000,1":   (time.Second + 9*by) / 10,
		"1000,9":   (9*time.Second + by) / 10,
	} {
		if got := ask(row).RTT; (got - want).Abs() > time.Microsecond {
			t.Errorf("%s: %s, want %s", row, got, want)
		}
	}
}

func TestAfterAveragesTables(t *testing.T) {
	l := latencyWorld(t)
	names := []string{l.cfg.Regions[0].Name, l.cfg.Regions[1].Name}
	before := l.measure(t, "DE,gone,7\nDE,"+names[1]+",100\n198.51.100.0/24,"+names[0]+",10,5")
	next := l.measure(t, "198.51.100.0/24,"+names[0]+",20,9\nDE,"+names[0]+",50\nDE,"+names[1]+",200")
	table := func(l *Latency) string {
		var b strings.Builder
		for _, r := range l.rows {
			fmt.Fprintf(&b, "%s %s %g %d\n", r.of, l.regions[r.region], r.ms, r.samples)
		}
		return b.String()
	}
	want := fmt.Sprintf("network 198.51.100.0/24 %[1]s 12.5 9\ncountry DE %[1]s 50 0\ncountry DE %[2]s 125 0\n", names[0], names[1])
	if got := table(next.After(before, 25)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	again := l.measure(t, "198.51.100.0/24,"+names[0]+",20,9\nDE,"+names[0]+",50\nDE,"+names[1]+",200")
	if got := table(again.After(next.After(before, 25), 25)); got != want {
		t.Errorf("the same content once more\n%swant\n%s", got, want)
	}
	if again.After(next.After(before, 25), 100) != again {
		t.Error("without alpha the content does not count as it is")
	}
	if next.After(nil, 25) != next || next.After(before, 100) != next {
		t.Error("where nothing is to be mixed there is another table")
	}
}

// Each file of testdata/latency is an invalid table, or a valid one with warnings, with its messages.
func TestLatencyFileMessages(t *testing.T) {
	files, err := filepath.Glob("testdata/latency/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	for _, file := range files {
		if filepath.Ext(file) == ".want" {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r := latencyWorld(t).latencyReader(filepath.Base(file))
			r.read(data)
			table, faults := r.finish()
			if faults == nil {
				faults = table.Warnings
			}
			got := ""
			for _, f := range faults {
				got += f.Error() + "\n"
			}
			if faults != nil && table != nil {
				got += fmt.Sprintf("%d rows\n", table.Rows)
			}
			want, _ := os.ReadFile(file + ".want")
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func FuzzReadLatency(f *testing.F) {
	files, _ := filepath.Glob("testdata/latency/*")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	l := latencyWorld(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		r := l.latencyReader("f")
		r.read(data)
		table, faults := r.finish()
		if (table == nil) != (len(faults) > 0) {
			t.Fatalf("table %v beside faults %v", table, faults)
		}
		if table == nil {
			return
		}
		if table.Rows != len(table.rows) || !slices.IsSortedFunc(table.rows, compareRows) {
			t.Fatal("the rows are not in order")
		}
		for _, row := range table.rows {
			if !(row.ms > 0 && row.ms <= maxRoundTrip) {
				t.Fatalf("%+v", row)
			}
		}
		for _, a := range []string{"198.51.100.1", "2001:db8::1"} {
			want := slices.Collect(func(yield func(uint16) bool) {
				for _, e := range l.Estimates(addrOf(a), table, l.cfg.Regions) {
					yield(uint16(e.Region))
				}
			})
			compiled, err := l.LatencyTable(table, l.cfg.Regions)
			if err != nil {
				t.Fatal(err)
			}
			if got := compiled.Ranking(compiled.Lookup(addrOf(a))); !slices.Equal(got, want) {
				t.Fatalf("%s ranks %v, want %v", a, got, want)
			}
		}
	})
}
