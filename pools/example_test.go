package pools_test

import (
	"fmt"
	"net/netip"

	"meridian/config"
	"meridian/geo"
	"meridian/health"
	"meridian/pools"
)

func Example() {
	cfg, _, err := config.Parse("meridian.yaml", []byte(`
geo:
  networks: {198.51.100.0/24: {region: eu-west}}
regions:
  us-east: {location: [39.04, -77.49]}
  eu-west: {location: [53.35, -6.26]}
checks:
  web: {type: tcp, port: 443}
pools:
  web:
    policy: proximity
    check: web
    members:
      - {name: use-1, region: us-east, addresses: [192.0.2.10]}
      - {name: euw-1, region: eu-west, addresses: [192.0.2.20]}
zones:
  gslb.example.com:
    nameservers: {ns1.gslb.example.com: [192.0.2.53]}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	where, err := geo.Open(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer where.Close()
	tree, err := pools.Compile(cfg, where)
	if err != nil {
		fmt.Println(err)
		return
	}

	worker := tree.Scratch()
	question := pools.Request{Pool: 0, Answers: 1, Client: netip.MustParseAddr("198.51.100.7"), Draw: 42}
	tree.Decide(question, worker)
	fmt.Println(worker.Addrs)

	turns, _ := tree.SimulateVerdict("web", "euw-1", health.Down)
	tree.Apply(turns)
	_, steps := tree.Explain(question, worker)
	fmt.Println(worker.Addrs)
	for _, step := range steps {
		fmt.Printf("%s is %s: %s\n", step.Member, step.State, step.Reason)
	}
	// Output:
	// [192.0.2.20]
	// [192.0.2.10]
	// use-1 is unknown: nearest region with an eligible member: 5462 km; "eu-west" is nearer and has none eligible
	// euw-1 is down: down: its IPv4 address is down
}
