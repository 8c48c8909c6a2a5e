package main

import (
	"bytes"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"meridian/config"
)

func TestWriteGeneratesValidConfigurationAndQueries(t *testing.T) {
	folder := t.TempDir()
	if err := run([]string{"write", "-names", "250", "-out", folder}, os.Stdout, os.Stderr); err != nil {
		t.Fatal(err)
	}
	cfg, warnings, err := config.Load(filepath.Join(folder, "meridian.yaml"))
	if err != nil || len(warnings) > 0 {
		t.Fatalf("error %v, warnings %v", err, warnings)
	}
	if len(cfg.Zones[0].Names) != 250 || len(cfg.Pools) != 3 || len(cfg.Pools[0].Members) != perRegion*len(regions) {
		t.Errorf("%d names, %d pools", len(cfg.Zones[0].Names), len(cfg.Pools))
	}
	names := make(map[string]bool)
	for _, b := range cfg.Zones[0].Names {
		names[string(b.Name)] = true
	}
	data, err := os.ReadFile(filepath.Join(folder, "queries.ecs"))
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for ; len(data) > 0; asked++ {
		length := binary.BigEndian.Uint16(data)
		var q dns.Msg
		if err := q.Unpack(data[2:][:length]); err != nil || !names[q.Question[0].Name] {
			t.Fatalf("question %d is %v, error %v", asked, q.Question, err)
		}
		data = data[2+length:]
	}
	if asked != questions {
		t.Errorf("%d questions, want %d", asked, questions)
	}
}

func TestWorldsOfOnePoolAndOfAPoolForEachName(t *testing.T) {
	for _, test := range []struct {
		args    string
		pools   int
		checked bool
		city    string
	}{
		{"-share 1 -city /data/city.mmdb", 20, true, "/data/city.mmdb"},
		{"-share 20 -unprobed", 1, false, ""},
	} {
		folder := t.TempDir()
		if err := run(append([]string{"write", "-names", "20", "-out", folder}, strings.Fields(test.args)...), os.Stdout, os.Stderr); err != nil {
			t.Fatal(err)
		}
		cfg, warnings, err := config.Load(filepath.Join(folder, "meridian.yaml"))
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%s: error %v, warnings %v", test.args, err, warnings)
		}
		if got := cfg.Pools[0].Members[0].Check != ""; len(cfg.Pools) != test.pools || got != test.checked || cfg.Geo.Database != test.city {
			t.Errorf("%s: %d pools, checked %v, database %q", test.args, len(cfg.Pools), got, cfg.Geo.Database)
		}
	}
}

func TestToggleClosesAndOpensEndpoint(t *testing.T) {
	f := farm{open: map[[2]int]net.Listener{}}
	defer f.close()
	listens := func() bool {
		c, err := net.Dial("tcp", endpoint(6, 6).String())
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	for _, want := range []bool{true, false, true} {
		if err := f.toggle([2]int{6, 6}); err != nil {
			t.Skip("this system has no other loopback addresses: ", err)
		}
		if got := listens(); got != want {
			t.Fatalf("listens is %v, want %v", got, want)
		}
	}
}

func TestWrongArgumentsAreRefused(t *testing.T) {
	for _, args := range []string{"", "grow", "write", "write -names 0 -out x", "write -out x -unknown", "write -share 0 -out x", "serve -every 0s"} {
		if err := run(strings.Fields(args), new(bytes.Buffer), new(bytes.Buffer)); err == nil {
			t.Errorf("farm %s is taken", args)
		}
	}
}
