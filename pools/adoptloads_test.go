package pools

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"meridian/config"
)

// loadNodes simulates nodes of a cluster that answer equal parts of the clients. Each node polls all members on its own. The
// first node, by name, that is not cut off runs the controllers; the others adopt its reports and its state after a delay.
type loadNodes struct {
	all   []*simulation
	delay int          // seconds from one node to another
	cut   map[int]bool // nodes that reach no other node
	off   map[int]bool // nodes that do not run
	sent  []sentLoads
}

// sentLoads holds the loads that a node has given the others.
type sentLoads struct {
	from, at int
	loads    []Load
	memory   []byte
}

// newLoadNodes returns n nodes of a configuration.
func (r row) newLoadNodes(t *testing.T, n, delay int, world func() (*config.Config, [][]string), of func(*simulation)) *loadNodes {
	t.Helper()
	nodes := &loadNodes{delay: delay, cut: map[int]bool{}, off: map[int]bool{}}
	for i := range n {
		cfg, places := world()
		s := r.simulate(t, cfg, places)
		s.rnd = rand.New(rand.NewPCG(uint64(i+1), 0)) // each polls at its own times
		of(s)
		nodes.all = append(nodes.all, s)
	}
	return nodes
}

// giver returns the node that node i adopts from; i: none.
func (n *loadNodes) giver(i int) int {
	if n.cut[i] {
		return i
	}
	for j := range i {
		if !n.cut[j] && !n.off[j] {
			return j
		}
	}
	return i
}

// tick runs one second: clients ask, members report to each node, and nodes give and adopt.
func (n *loadNodes) tick(t *testing.T) (loads []float64) {
	t.Helper()
	for i, s := range n.all {
		if n.off[i] { // its clients ask the others
			continue
		}
		own := s.serve()
		if loads == nil {
			loads = make([]float64, len(own))
		}
		for place, load := range own {
			loads[place] += load
		}
	}
	running := 0
	for i := range n.all {
		if !n.off[i] {
			running++
		}
	}
	for place := range loads {
		loads[place] *= float64(len(n.all)) / float64(running)
	}
	for i, s := range n.all {
		if n.off[i] {
			continue
		}
		reported := s.poll(loads)
		if n.giver(i) != i {
			n.adopt(t, i)
		} else if reported {
			s.tree.SetLoads(s.loads)
			n.send(t, i)
		}
	}
	for i := range n.all {
		n.all[i].now++
	}
	return loads
}

func (n *loadNodes) send(t *testing.T, i int) {
	t.Helper()
	memory, err := json.Marshal(n.all[i].tree.LoadMemory())
	if err != nil {
		t.Fatal(err)
	}
	n.sent = append(n.sent, sentLoads{i, n.all[i].now, slices.Clone(n.all[i].loads), memory})
}

// adopt applies the last that has arrived at node i from its giver.
func (n *loadNodes) adopt(t *testing.T, i int) {
	t.Helper()
	for _, sent := range slices.Backward(n.sent) {
		if sent.from != n.giver(i) || sent.at+n.delay > n.all[i].now {
			continue
		}
		var memory LoadMemory
		if err := json.Unmarshal(sent.memory, &memory); err != nil {
			t.Fatal(err)
		}
		skew := time.Duration(n.all[i].now-sent.at) * time.Second // the clock of the receiver: arrival is now
		shift := func(at time.Time) time.Time { return at.Add(skew) }
		loads := slices.Clone(sent.loads)
		for k := range loads {
			loads[k].At = shift(loads[k].At)
		}
		n.all[i].tree.AdoptLoads(loads, memory.MapTimes(shift))
		return
	}
}

// shares returns the parts that the answers of a node depend on.
func (s *simulation) shares() string {
	st := s.tree.state.Load()
	var rooms []uint64
	for i := range s.tree.balancers {
		p := &s.tree.pools[s.tree.balancers[i].pool]
		for m := range p.members {
			rooms = append(rooms, st.word(s.tree.withFreeCapacity+p.room+m))
		}
	}
	return fmt.Sprint(st.shedding, st.bounded, rooms)
}

// equalNodes returns the number of nodes that run with the same shares as the first one that does.
func (n *loadNodes) equalNodes() (equal, running int) {
	first := ""
	for i, s := range n.all {
		if n.off[i] {
			continue
		}
		if running++; first == "" {
			first = s.shares()
		}
		if s.shares() == first {
			equal++
		}
	}
	return equal, running
}

// run runs for seconds, and returns the lowest and the highest load of each place in the last of them.
func (n *loadNodes) run(t *testing.T, seconds, last int) (low, high []float64) {
	t.Helper()
	for i := range seconds {
		loads := n.tick(t)
		if i < seconds-last {
			continue
		}
		if low == nil {
			low, high = slices.Clone(loads), slices.Clone(loads)
		}
		for place, load := range loads {
			low[place], high[place] = min(low[place], load), max(high[place], load)
		}
	}
	return low, high
}

// shedWorld is three regions of three members each that shed between 70 and 90 %.
func shedWorld(t *testing.T) (*config.Config, [][]string) {
	t.Helper()
	var b strings.Builder
	b.WriteString(nearMidFar + "pool web proximity\n")
	places := make([][]string, 3)
	for place, region := range []string{"near", "mid", "far"} {
		for i := range 3 {
			fmt.Fprintf(&b, "  %s%d region=%s load=%d 192.0.%d.%d\n", region, i, region, []int{800, 800, 8000}[place], place, i)
			places[place] = append(places[place], fmt.Sprintf("web/%s%d", region, i))
		}
	}
	return shedding(world(t, b.String()+"bind web\n")), places
}

// Nodes that get the same reports have the same shares, whatever has happened to them: one that joins late, also as the first
// by name, one that was cut off, and the loss of the one that runs the controllers. No load oscillates.
func TestNodesOfAClusterShedEqually(t *testing.T) {
	where := openSmall(t, world(t, nearMidFar))
	for _, r := range []row{{where, 5, 5, 1, 120}, {where, 15, 5, 1, 160}, {where, 60, 15, 1, 120}} {
		if raceEnabled && r.ttl != 15 {
			continue // the simulation has one goroutine, so that all rows run the same code
		}
		for _, delay := range []int{1, 4} {
			t.Run(fmt.Sprintf("ttl=%d/interval=%d/demand=%.0f/delay=%d", r.ttl, r.interval, r.demand, delay), func(t *testing.T) {
				n := r.newLoadNodes(t, 4, delay, func() (*config.Config, [][]string) { return shedWorld(t) }, func(s *simulation) {
					s.demand = 24 * r.demand / 4
					s.networksOf(t, "web", 400)
				})
				fixed := make([]float64, 3)
				fixed[0], fixed[1] = shedAt(24*r.demand, 2400)
				fixed[1], fixed[2] = shedAt(fixed[1], 2400)
				// within is the time in which nodes become equal: a report interval and a tenth, and the delay.
				within := 2*r.interval + delay + 2
				settled := func(what string) {
					t.Helper()
					low, high := n.run(t, 10*r.ttl+3*r.interval, 3*max(r.ttl, r.interval))
					for place := range fixed {
						if fixed[place] < 24*r.demand/15 { // one network is too large a part of so few clients
							continue
						}
						if low[place] < 0.9*fixed[place] || high[place] > 1.1*fixed[place] {
							t.Errorf("%s: loads between %.0f and %.0f, want %.0f", what, low, high, fixed)
						}
					}
					n.equalWithin(t, what, within)
				}
				n.off[0], n.off[3] = true, true
				settled("two nodes")
				n.off[3] = false // joins late, and follows
				n.equalWithin(t, "a node joins", within)
				n.joinAsFirst(t, within)
				settled("all nodes")
				n.cut[2] = true // decides alone
				n.run(t, 5*r.ttl, 1)
				delete(n.cut, 2)
				n.equalWithin(t, "the partition has healed", within)
				settled("after the partition")
				n.off[0] = true
				settled("after the loss of the first node")
			})
		}
	}
}

// joinAsFirst lets the first node adopt the loads of the second before it gives itself, as a node does after it has connected.
func (n *loadNodes) joinAsFirst(t *testing.T, within int) {
	t.Helper()
	joined := n.all[0]
	n.all = append(n.all[1:], joined) // after the others, as long as it follows
	n.sent = nil
	rotate := func(of map[int]bool) {
		first := of[0]
		for i := range len(n.all) - 1 {
			of[i] = of[i+1]
		}
		of[len(n.all)-1] = first
	}
	rotate(n.off)
	rotate(n.cut)
	n.off[len(n.all)-1] = false
	n.equalWithin(t, "the first node joins", within)
	n.all = append([]*simulation{joined}, n.all[:len(n.all)-1]...)
	n.sent = nil
}

// equalWithin runs until all nodes are equal twice in a row, which must be within seconds.
func (n *loadNodes) equalWithin(t *testing.T, what string, seconds int) {
	t.Helper()
	for range seconds {
		n.tick(t)
		if equal, running := n.equalNodes(); equal == running {
			return
		}
	}
	t.Errorf("%s: not equal within %d seconds", what, seconds)
}

// Members of a least-load pool get the same free capacities on all nodes, to the last bit.
func TestNodesOfAClusterDrawEqually(t *testing.T) {
	where := openSmall(t, world(t, nearMidFar))
	r := row{where, 15, 5, 3, 120}
	n := r.newLoadNodes(t, 3, 1, func() (*config.Config, [][]string) {
		text := "pool web least-load\n"
		var places [][]string
		for place := range 3 {
			text += fmt.Sprintf("  m%d load=%d 192.0.%d.1\n", place, 100+100*place, place)
			places = append(places, []string{fmt.Sprintf("web/m%d", place)})
		}
		return world(t, text+"bind web\n"), places
	}, func(s *simulation) {
		s.demand, s.odds = 100, true
		s.networksOf(t, "web", 1)
	})
	for range 20 {
		n.run(t, 7, 1)
		n.equalWithin(t, "three nodes", 2*r.interval+3)
	}
}

// Adopted state replaces all that a node has found itself, and a tree of another configuration has another fingerprint.
func TestAdoptedStateReplacesOwn(t *testing.T) {
	where := openSmall(t, world(t, nearMidFar))
	compile := func(edit func(*config.Config)) *Tree {
		cfg, _ := shedWorld(t)
		edit(cfg)
		tree, err := Compile(cfg, where)
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	busy, idle := compile(func(*config.Config) {}), compile(func(c *config.Config) { c.Loads[0].Timeout = time.Minute })
	loads := make([]Load, len(busy.LoadTargets()))
	for second := range 60 {
		for i := range loads {
			loads[i] = Load{Load: 790, At: time.Unix(int64(1000+5*second+i%3), 0), Fresh: true}
		}
		busy.SetLoads(loads)
	}
	shares := func(of *Tree) string { return (&simulation{tree: of}).shares() }
	before := shares(idle)
	if shares(busy) == before {
		t.Fatal("the busy tree sheds nothing")
	}
	if busy.LoadFingerprint() != idle.LoadFingerprint() {
		t.Error("a timeout changes the fingerprint")
	}
	if !idle.AdoptLoads(loads, busy.LoadMemory()) || shares(idle) != shares(busy) {
		t.Errorf("adopted %s, want %s", shares(idle), shares(busy))
	}
	if idle.AdoptLoads(loads, busy.LoadMemory()) {
		t.Error("adopting the same again has changed something")
	}
	empty := make([]Load, len(loads))
	if !idle.AdoptLoads(empty, LoadMemory{}) || !strings.HasPrefix(shares(idle), "[] []") {
		t.Errorf("after the state of a node without reports: %s", shares(idle))
	}
	for what, edit := range map[string]func(*config.Config){
		"marks":    func(c *config.Config) { c.Pools[0].Shed.Low = 60 },
		"interval": func(c *config.Config) { c.Loads[0].Interval += time.Hour },
		"port":     func(c *config.Config) { c.Loads[0].Port++ },
		"TTL":      func(c *config.Config) { c.Zones[0].Names[0].TTL = 7 },
		"capacity": func(c *config.Config) { c.Pools[0].Members[0].Load.Capacity++ },
		"member":   func(c *config.Config) { c.Pools[0].Members = c.Pools[0].Members[1:] },
	} {
		if compile(edit).LoadFingerprint() == busy.LoadFingerprint() {
			t.Errorf("another %s does not change the fingerprint", what)
		}
	}
}
