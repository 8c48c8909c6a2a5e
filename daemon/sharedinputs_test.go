package daemon

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"meridian/cluster/inputs"
	"meridian/discovery"
)

// TestResolverThatIgnoresSubnetsDoesNotDecide has a first node by name with a resolver that ignores the client subnet of a target:
// the addresses of another node, with one that uses it, are given. If both ignore it, the first one decides.
func TestResolverThatIgnoresSubnetsDoesNotDecide(t *testing.T) {
	const target = "lb.example.net. for 198.51.100.0/24"
	for _, c := range []struct {
		name       string
		own, other discovery.Result
		from       string
	}{
		{"both use it", discovery.Result{}, discovery.Result{}, ""},
		{"only the other one uses it", discovery.Result{SubnetIgnored: true}, discovery.Result{}, "b"},
		{"only the first one uses it", discovery.Result{}, discovery.Result{SubnetIgnored: true}, ""},
		{"both ignore it", discovery.Result{SubnetIgnored: true}, discovery.Result{SubnetIgnored: true}, ""},
		{"one ignores it, and the other one fails", discovery.Result{SubnetIgnored: true}, discovery.Result{Failing: true}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := time.Now()
			found := func(r discovery.Result, addr string) inputs.OwnTarget {
				r.Addresses, r.Found = []netip.Addr{netip.MustParseAddr(addr)}, true
				return ownTarget(r)
			}
			own, other := found(c.own, "192.0.2.1"), found(c.other, "192.0.2.2")
			from := ""
			given, gives := givenBetween(t, target, own, other, now)
			if g, ok := given[target]; ok {
				from = g.From
			}
			if _, decides := gives[target]; from != c.from || decides == (from != "") {
				t.Errorf("given %v, gives %v, want them from %q", given, gives, c.from)
			}
			if from == "b" && !slices.Equal(given[target].Addresses, other.Addresses) {
				t.Errorf("given %v", given[target])
			}
		})
	}
}

// givenBetween has two nodes, a and b, find a target, and returns the targets that a is given by b and those that it gives.
func givenBetween(t *testing.T, target string, own, other inputs.OwnTarget, now time.Time) (given map[string]inputs.GivenTarget, gives map[string]inputs.Target) {
	t.Helper()
	trust := map[string]ed25519.PublicKey{}
	for _, name := range []string{"a", "b"} {
		trust[name] = attackKey(name).Public().(ed25519.PublicKey)
	}
	stored := make(chan []inputs.Entry, 1)
	node := func(name, peer string) *inputs.Exchange {
		return inputs.New(inputs.Options{
			Cluster: "prod", Node: name, Key: attackKey(name), Trust: trust, Changed: func() {}, Report: func(slog.Level, string, ...any) {},
			Peers: func() inputs.Peers {
				return inputs.Peers{Connected: true, Gives: true, Boot: 1, Fresh: map[string]uint64{peer: 1}}
			},
			Put: func(ctx context.Context, entries []inputs.Entry) error {
				select {
				case stored <- entries:
				case <-ctx.Done():
				}
				return nil
			},
		})
	}
	a, b := node("a", "b"), node("b", "a")
	b.Offer(inputs.TargetKind, func(now time.Time) any {
		_, gives := b.Targets(map[string]inputs.OwnTarget{target: other}, now)
		return gives
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); b.Run(ctx) }()
	b.Dirty(inputs.TargetKind)
	a.Receive(<-stored, nil, now)
	stop()
	<-ended
	return a.Targets(map[string]inputs.OwnTarget{target: own}, now)
}
