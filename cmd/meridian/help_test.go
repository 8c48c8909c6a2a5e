package main

import (
	"strings"
	"testing"

	"meridian/config"
)

// TestHelpNamesEveryPolicy checks that --help uses the policy names of the configuration.
func TestHelpNamesEveryPolicy(t *testing.T) {
	help := said(t, 0, "--help")
	for _, p := range []config.Policy{
		config.Proximity, config.LatencyPolicy, config.Geolocation, config.Weighted, config.Hash,
		config.RoundRobin, config.Failover, config.Fastest, config.LeastLoad, config.AllMembers,
	} {
		if !strings.Contains(help, "("+string(p)+")") {
			t.Errorf("--help does not name %s", p)
		}
	}
}
