package zones

import (
	"testing"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
)

// aliased makes pool "web" lead, through pool "api", to a name.
func aliased(w *world, cname dnsname.Name) {
	w.cfg.Pools[0].Members = []config.Member{{Name: "nested", Pool: "api"}}
	w.cfg.Pools[1].Members = []config.Member{{Name: "host", CName: cname}}
}

func TestCNAMENameHasNoOtherRecords(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords+"app TXT x\napp MX 1 mail\nfine TXT x\n", "example.com", "app.example.com", "web.example.com")
	aliased(w, "host.example.net.")
	const want = `/etc/meridian.yaml:12:7: zones.example.com.names.@: pool "web" may answer a CNAME, which is not allowed at the apex beside SOA and NS; bind it to a pool without cname members; a target's addresses are allowed here
/z/0.zone:4:1: TXT of "app.example.com.", which is bound to pool "web", which may answer a CNAME: a name with a CNAME has no other records; remove this, or the members with a cname
/z/0.zone:5:1: MX of "app.example.com.", which is bound to pool "web", which may answer a CNAME: a name with a CNAME has no other records; remove this, or the members with a cname
`
	if got := w.faults(t); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestCNAMENameserverIsRejected(t *testing.T) {
	w := newWorld()
	w.zone("example.com", apexRecords+"@ NS app\n", "app.example.com")
	aliased(w, "host.example.net.")
	const want = `/z/0.zone:4:1: nameserver "app.example.com." of "example.com." is an alias, or may be (RFC 2181 10.3); a nameserver within the zone needs an A or AAAA record` + "\n"
	if got := w.faults(t); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// The target of the pool or of its fallback determines how an answer continues.
func TestBindingCName(t *testing.T) {
	for _, test := range []struct {
		behaviour string
		spoil     func(*world)
		want      CName
	}{
		{"none", func(*world) {}, NoCName},
		{"outside, below", func(w *world) { aliased(w, "host.example.net.") }, CNameOutside},
		{"inside, below", func(w *world) { aliased(w, "host.example.com.") }, CNameInside},
		{"the fallback's", func(w *world) {
			w.cfg.Pools[1].Members = []config.Member{{CName: "host.example.com."}}
			w.cfg.Pools[0].Fallback = "api"
		}, CNameInside},
		{"not the fallback's fallback", func(w *world) {
			w.cfg.Pools = append(w.cfg.Pools, config.Pool{Name: "last", Members: []config.Member{{CName: "host.example.com."}}})
			w.cfg.Pools[0].Fallback, w.cfg.Pools[1].Fallback = "api", "last"
		}, NoCName},
	} {
		w := newWorld()
		w.zone("example.com", apexRecords, "web.example.com")
		test.spoil(w)
		s := w.mustCompile(t)
		b := s.Balanced(s.Lookup(wire("web.example.com"), dns.TypeA).Node)
		if b.CName != test.want {
			t.Errorf("%s: %v, want %v", test.behaviour, b.CName, test.want)
		}
	}
}
