package daemon

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"meridian/config"
	"meridian/control"
)

// TestSilentResolverDoesNotDelayFirstProbes checks that configured addresses have health states
// at the first answer, and that a target has the addresses saved by the previous process.
func TestSilentResolverDoesNotDelayFirstProbes(t *testing.T) {
	t.Parallel()
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	folder := saveState(t, &savedState{Targets: map[config.Target][]netip.Addr{
		"known.example.net.": {netip.MustParseAddr("127.0.0.92"), netip.MustParseAddr("224.0.0.1")},
	}})
	r := start(t, fmt.Sprintf(`
server: {listen: ["127.0.0.1:0"], workers: 1, resolvers: [%q]}
admin: {listen: "127.0.0.1:0"}
state: %s
checks: {none-there: {type: tcp, port: 1, interval: 1h}}
pools:
  web:
    policy: failover
    check: none-there
    members:
      - {name: fixed, addresses: [127.0.0.91]}
      - {name: known, target: known.example.net}
      - {name: new, target: new.example.net}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`, silent.LocalAddr(), folder))
	r.expect(t, "when it answers", "web/fixed=down web/known=down web/new=unresolved")
	status, err := r.Status(control.Selector{Pool: "web", Member: "known"})
	if err != nil || len(status.Pools[0].Members[0].Addresses) != 1 {
		t.Errorf("the target that is remembered: %+v, %v", status, err)
	}
}
