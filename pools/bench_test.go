package pools

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"

	"meridian/config"
)

// eightRegions returns a pool of two members in each of eight regions, and eight
// networks, one nearest to each region.
func eightRegions(policy string) string {
	var b strings.Builder
	for r := range 8 {
		fmt.Fprintf(&b, "region r%d %d %d\n", r, 10*r-40, 40*r-160)
		fmt.Fprintf(&b, "net 198.51.%d.0/24 r%d\n", r, r)
	}
	fmt.Fprintf(&b, "pool web %s\n", policy)
	for m := range 16 {
		fmt.Fprintf(&b, "  m%d region=r%d weight=%d 192.0.2.%d 2001:db8::%x\n", m, m/2, 1+m%3, m, m)
	}
	b.WriteString("bind web\n")
	return b.String()
}

// benchmarkDecide asks from many places of the world in turn.
func benchmarkDecide(b *testing.B, text, pool string) {
	tree := compile(b, world(b, text))
	q := ask(b, tree, pool, IPv4, "198.51.0.1")
	s := tree.Scratch()
	clients := make([]netip.Addr, 256)
	for i := range clients {
		clients[i] = netip.AddrFrom4([4]byte{198, 51, byte(i % 8), byte(i)})
	}
	b.ReportAllocs()
	for b.Loop() {
		q.Draw++
		q.Client = clients[q.Draw%256]
		tree.Decide(q, s)
	}
}

func BenchmarkDecideProximity(b *testing.B)  { benchmarkDecide(b, eightRegions("proximity"), "web") }
func BenchmarkDecideWeighted(b *testing.B)   { benchmarkDecide(b, eightRegions("weighted"), "web") }
func BenchmarkDecideRoundRobin(b *testing.B) { benchmarkDecide(b, eightRegions("round-robin"), "web") }
func BenchmarkDecideFailover(b *testing.B)   { benchmarkDecide(b, eightRegions("failover"), "web") }

// BenchmarkDecideProximityManyClients asks a thousand pools from everywhere, so that the caches
// hold neither pools nor places: with the built-in table, and with the City database
// in MERIDIAN_CITY_MMDB (bench/README.md describes how to make one).
func BenchmarkDecideProximityManyClients(b *testing.B) {
	b.Run("builtin", func(b *testing.B) { benchmarkManyClients(b, "") })
	b.Run("city", func(b *testing.B) {
		file := os.Getenv("MERIDIAN_CITY_MMDB")
		if file == "" {
			b.Skip("SKIPPED: set MERIDIAN_CITY_MMDB to a City database to measure with it")
		}
		benchmarkManyClients(b, file)
	})
}

func benchmarkManyClients(b *testing.B, database string) {
	cfg := manyPools(b, 1000)
	cfg.Geo.Networks, cfg.Geo.Database = nil, database
	tree := compile(b, cfg)
	random := rand.New(rand.NewPCG(1, 2)) // the same in every run
	questions := make([]Request, 1<<18)
	for i := range questions {
		v := random.Uint32()
		client := netip.AddrFrom4([4]byte{byte(1 + v>>24%223), byte(v >> 16), byte(v >> 8), byte(v)})
		questions[i] = Request{Pool: ID(random.IntN(1000)), Family: IPv4, Answers: 1, Client: client, Draw: random.Uint64()}
	}
	s := tree.Scratch()
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		tree.Decide(questions[i&(len(questions)-1)], s)
		i++
	}
}

func BenchmarkDecideNested(b *testing.B) {
	benchmarkDecide(b, eightRegions("proximity")+"pool outer failover\n  in pool=middle\n  last 192.0.2.99\npool middle weighted\n  a pool=web\n  b pool=web\n", "outer")
}

// manyPools returns a configuration of some pools of 16 members, each with its
// own address and a check, over 8 regions.
func manyPools(t testing.TB, n int) *config.Config {
	cfg := world(t, eightRegions("proximity"))
	template := cfg.Pools[0]
	cfg.Pools = make([]config.Pool, n)
	for p := range cfg.Pools {
		pool := template
		pool.Name = fmt.Sprintf("pool%d", p)
		pool.Members = make([]config.Member, len(template.Members))
		for m := range pool.Members {
			pool.Members[m] = template.Members[m]
			i := p*16 + m
			pool.Members[m].Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}
		}
		cfg.Pools[p] = pool
	}
	return cfg
}

func BenchmarkCompile100000Pools(b *testing.B) {
	cfg := manyPools(b, 100_000)
	where := compile(b, world(b, eightRegions("proximity"))).locator
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(cfg, where); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApply sets one member of one pool among many down and up.
func BenchmarkApply(b *testing.B) {
	tree := compile(b, manyPools(b, 10_000))
	down, err := tree.SimulateVerdict("pool5000", "m3", 2)
	if err != nil {
		b.Fatal(err)
	}
	up, err := tree.SimulateVerdict("pool5000", "m3", 1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		tree.Apply(down)
		tree.Apply(up)
	}
}

// BenchmarkResolve gives one target among 100,000 members a new address.
func BenchmarkResolve(b *testing.B) {
	cfg := manyPools(b, 6250)
	found := map[config.Target]Resolved{}
	for i := range cfg.Pools {
		name := config.Target(fmt.Sprintf("lb%d.example.", i))
		m := &cfg.Pools[i].Members[3]
		found[name] = Resolved{Addresses: m.Addresses}
		m.Target, m.Addresses = name, nil
	}
	tree, err := compile(b, cfg).Resolve(found)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		changed := maps.Clone(found)
		changed["lb5000.example."] = Resolved{Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}}
		if tree, err = tree.Resolve(changed); err != nil {
			b.Fatal(err)
		}
	}
}
