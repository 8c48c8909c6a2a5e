// Command meridian is an authoritative DNS server that balances load over the globe.
package main

import (
	_ "github.com/gaissmai/bart"
	_ "github.com/hashicorp/go-multierror"
	_ "github.com/oschwald/geoip2-golang/v2"
	_ "github.com/oschwald/maxminddb-golang/v2"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "github.com/rogpeppe/go-internal/txtar"
	_ "github.com/spf13/cobra"
	_ "golang.org/x/sys/unix"
	_ "gopkg.in/yaml.v3"

	_ "meridian/zones"
)

func main() {}
