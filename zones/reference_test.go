package zones

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// reference is the slow, obvious lookup: a direct reading of RFC 1034 4.3.2, RFC 4592 and RFC 6672 over maps of
// strings. Names are absolute, with labels without escapes.
type reference struct {
	zones []string
	types map[string]map[string][]string // zone, name, types; a pool is the type "pool"
}

func (r *reference) has(zone, name, typ string) bool {
	return slices.Contains(r.types[zone][name], typ)
}

// zoneOf returns the closest zone that contains name.
func (r *reference) zoneOf(name string) (string, bool) {
	for {
		if slices.Contains(r.zones, name) {
			return name, true
		}
		if name == "." {
			return "", false
		}
		name = up(name)
	}
}

// exists reports whether a name, or one below it, is in a zone.
func (r *reference) exists(zone, name string) bool {
	for owner := range r.types[zone] {
		if z, _ := r.zoneOf(owner); z == zone && dns.IsSubDomain(name, owner) {
			return true
		}
	}
	for _, inner := range r.zones {
		if inner != zone && dns.IsSubDomain(name, inner) && dns.IsSubDomain(zone, inner) {
			return true
		}
	}
	return name == zone
}

func (r *reference) lookup(name, qtype string) string {
	zone, ok := r.zoneOf(name)
	if !ok {
		return "refused"
	}
	if name == zone && qtype == "DS" && name != "." {
		if outer, ok := r.zoneOf(up(name)); ok {
			if got := r.lookupIn(outer, name, qtype); strings.HasPrefix(got, "exact ") {
				return got
			}
		}
	}
	return r.lookupIn(zone, name, qtype)
}

// lookupIn walks down from the apex, label by label.
func (r *reference) lookupIn(zone, name, qtype string) string {
	for at := zone; at != name; {
		if r.has(zone, at, "DNAME") {
			return fmt.Sprintf("dname %s %s", zone, at)
		}
		next := oneDown(at, name)
		if !r.exists(zone, next) {
			if wild := join("*", at); r.exists(zone, wild) {
				return fmt.Sprintf("wildcard %s %s", zone, wild)
			}
			return "nxdomain " + zone
		}
		if r.has(zone, next, "NS") && !slices.Contains(r.zones, next) && (next != name || qtype != "DS") {
			return fmt.Sprintf("referral %s %s", zone, next)
		}
		at = next
	}
	return fmt.Sprintf("exact %s %s", zone, name)
}

// up returns name without its first label.
func up(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	if rest == "" {
		return "."
	}
	return rest
}

// oneDown returns the name one label below at, towards name.
func oneDown(at, name string) string {
	for up(name) != at {
		name = up(name)
	}
	return name
}

func join(label, name string) string {
	if name == "." {
		return label + "."
	}
	return label + "." + name
}

// randomName returns a name of few labels, so that names often collide.
func randomName(r *rand.Rand, below string) string {
	for range r.IntN(4) {
		below = join([]string{"a", "b", "c", "*"}[r.IntN(4)], below)
	}
	return below
}

// fits reports whether a type may be added at a name without a compile error.
func (r *reference) fits(zone, name, typ string) bool {
	if z, _ := r.zoneOf(name); z != zone {
		return typ != "pool"
	}
	wild := strings.Contains(strings.TrimSuffix(name, zone), "*")
	for at := name; ; at = up(at) {
		if at != name && r.has(zone, at, "DNAME") || at != zone && r.has(zone, at, "NS") && typ == "pool" {
			return false
		}
		if at == zone {
			break
		}
	}
	alone := func(types ...string) bool {
		return !slices.ContainsFunc(types, func(typ string) bool { return r.has(zone, name, typ) })
	}
	switch typ {
	case "CNAME":
		return name != zone && len(r.types[zone][name]) == 0
	case "NS":
		return name != zone && !wild && alone("CNAME", "DNAME", "pool") && !r.below(zone, name, "pool")
	case "DNAME":
		return !wild && alone("CNAME", "NS", "DNAME") && !r.below(zone, name, "")
	case "A":
		return alone("CNAME", "pool")
	case "pool":
		return alone("CNAME", "A", "pool")
	}
	return alone("CNAME")
}

// below reports whether a type (any, when empty) is at a name of the zone strictly below name.
func (r *reference) below(zone, name, typ string) bool {
	for owner, types := range r.types[zone] {
		z, _ := r.zoneOf(owner)
		if owner != name && z == zone && dns.IsSubDomain(name, owner) && (typ == "" || slices.Contains(types, typ)) {
			return true
		}
	}
	return false
}

var rdataOf = map[string]string{
	"A": "192.0.2.1", "TXT": "text", "CNAME": "outside.test.", "NS": "outside.test.", "DNAME": "outside.test.",
	"DS": "1 8 2 0000000000000000000000000000000000000000000000000000000000000000",
}

// randomWorld returns valid zones and their reference.
func randomWorld(r *rand.Rand) (*world, *reference) {
	ref := &reference{types: make(map[string]map[string][]string)}
	for _, zone := range []string{".", "b.", "a.b.", "c.a.b.", "c.b.", "b.c.a.b.", "c."} {
		if r.IntN(3) == 0 {
			ref.zones = append(ref.zones, zone)
			ref.types[zone] = map[string][]string{zone: {"SOA"}}
		}
	}
	w := newWorld()
	for _, zone := range ref.zones {
		text := strings.ReplaceAll(apexRecords, "outside.", "outside.test.")
		if zone == "." {
			text += "ns.outside.test. A 192.0.2.1\n"
			ref.types[zone]["ns.outside.test."] = []string{"A"}
			text += "outside.test. A 192.0.2.1\n"
			ref.types[zone]["outside.test."] = []string{"A"}
		}
		var balanced []string
		for range r.IntN(14) {
			name := randomName(r, zone)
			typ := []string{"A", "TXT", "TXT", "CNAME", "NS", "DNAME", "DS", "pool"}[r.IntN(8)]
			if !ref.fits(zone, name, typ) || ref.has(zone, name, typ) {
				continue
			}
			if typ == "pool" {
				balanced = append(balanced, name)
			} else {
				text += fmt.Sprintf("%s %s %s\n", name, typ, rdataOf[typ])
			}
			if typ != "DS" || name != zone { // a DS at the apex is dropped
				ref.types[zone][name] = append(ref.types[zone][name], typ)
			}
		}
		w.zone(zone, text, balanced...)
	}
	return w, ref
}

func TestLookupAgreesWithTheReference(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 1500 {
		w, ref := randomWorld(r)
		s := w.mustCompile(t)
		for range 60 {
			compareLookup(t, s, w, ref, randomName(r, randomName(r, ".")), []string{"A", "DS"}[r.IntN(2)])
		}
	}
}

func compareLookup(t *testing.T, s *Data, w *world, ref *reference, name, qtype string) {
	t.Helper()
	got, want := s.ask(name, qtype), ref.lookup(name, qtype)
	if got == want {
		return
	}
	var files strings.Builder
	for _, z := range w.cfg.Zones {
		fmt.Fprintf(&files, "-- %s --\n%s", z.Name, w.files[z.File[1:]].Data)
		for _, b := range z.Names {
			fmt.Fprintf(&files, "%s -> %s\n", b.Name, b.Pool)
		}
	}
	t.Fatalf("%s %s is %q, the reference says %q, in\n%s", name, qtype, got, want, files.String())
}

func FuzzLookup(f *testing.F) {
	f.Add(uint64(1), "ab", true, []byte("\x01a\x01b\x00"))
	f.Add(uint64(2), "*ab", false, []byte("\x01a\x01"))
	f.Add(uint64(3), "cccccccc", false, []byte{0xff})
	f.Fuzz(func(t *testing.T, seed uint64, question string, ds bool, raw []byte) {
		w, ref := randomWorld(rand.New(rand.NewPCG(seed, 0)))
		s := w.mustCompile(t)
		s.Lookup(raw, dns.TypeA)
		name := "."
		for _, c := range question[:min(len(question), 20)] {
			name = join(string("abc*"[int(c)%4]), name)
		}
		qtype := "A"
		if ds {
			qtype = "DS"
		}
		compareLookup(t, s, w, ref, name, qtype)
	})
}
