package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/control/top"
	"meridian/counterpart"
)

// TestTopShowsWhatIsAsked asks a server until the sample has it.
func TestTopShowsWhatIsAsked(t *testing.T) {
	server, api := serveResolvers(t, "")
	counterpart.Await(t, func() error {
		for _, name := range []string{"www.example.com.", "none.example.com."} {
			if _, err := dns.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), server); err != nil {
				return err
			}
		}
		if text := said(t, exitOK, "top", api, "--once"); !strings.Contains(text, "\nwww.example.com. ") || !strings.Contains(text, "\nNXDOMAIN ") {
			return errors.New(text)
		}
		return nil
	})
	text := said(t, exitOK, "top", api) // the output is no terminal
	expectMatch(t, text, `(?m)^[0-9.]+ queries a second in the last \d+ s$`)
	expectMatch(t, text, `(?m)^SOURCE +PER SECOND +PERCENT\n127\.0\.0\.0/24 +\S+ +100\.0$`)
	expectMatch(t, text, `(?m)^ZONE +PER SECOND +PERCENT +RANDOM\nexample\.com\. +\S+ +100\.0 +\d\d %$`)
	if text := said(t, exitOK, "top", api, "--by", "type"); strings.Contains(text, "NAME") || !strings.Contains(text, "\nA ") {
		t.Errorf("--by type:\n%s", text)
	}
	expectMatch(t, said(t, exitOK, "top", api, "-o", "json"), `"floods": \[\]`)
	expectMatch(t, said(t, exitConfig, "top", api, "--by", "pool"), `--by: "pool" is not a list of top; want name, source`)
	expectMatch(t, said(t, exitConfig, "top", api, "--interval", "1ms"), `--interval: 1ms is too short; want at least 200ms`)
}

func TestTopPrintsFloodsWithTheirCommands(t *testing.T) {
	at := time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)
	r := &top.Report{At: at, Seconds: 60, Rate: 12345, Floods: []top.Flood{
		{Number: 3, Kind: top.ByZone, Key: "example.com.", Since: at, Rate: 9876, Usual: 12, Command: "meridian filter add flood-3 --name '*.example.com.' --action truncate --for 1h"},
		{Number: 4, Kind: top.BySource, Key: "203.0.113.0/24", Since: at, Rate: 1234, Usual: 0},
	}}
	var out bytes.Buffer
	if err := printTop(&out, r, "name"); err != nil {
		t.Fatal(err)
	}
	expectMatch(t, out.String(), `(?m)^12345 queries a second in the last 60 s
FLOOD: queries for random names in example\.com\.: 9900 a second, usual 12, since 2026-01-01.*
  meridian filter add flood-3 --name '\*\.example\.com\.' --action truncate --for 1h
FLOOD: queries from 203\.0\.113\.0/24: 1200 a second, usual 0, since 2026-01-01.*\n`)
}

// TestNullDeviceIsNoTerminal checks that top ends after a page if its output is discarded.
func TestNullDeviceIsNoTerminal(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if isTerminal(null) {
		t.Errorf("%s is taken for a terminal", os.DevNull)
	}
}

// TestCommandsOfFloodsNameTheServer checks that the command of another server than the default has its URL.
func TestCommandsOfFloodsNameTheServer(t *testing.T) {
	const command = "meridian filter add flood-1 --type ANY --action drop --for 1h"
	t.Setenv(serverVariable, "http://192.0.2.1:8053")
	for server, want := range map[string]string{
		"http://192.0.2.1:8053": command,
		"http://192.0.2.2:8053": command + " --server 'http://192.0.2.2:8053'",
	} {
		floods := []top.Flood{{Command: command}, {}}
		s := servers{client: client{server: server}}
		if s.addressFloods(floods); floods[0].Command != want || floods[1].Command != "" {
			t.Errorf("%s: %q", server, floods[0].Command)
		}
	}
}
