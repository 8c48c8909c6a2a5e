package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// reloadConfig writes a configuration of one zone with these names.
func reloadConfig(t *testing.T, file string, names ...string) {
	t.Helper()
	text := `server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
pools: {web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}}
zones:
  gslb.example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names:
`
	for _, name := range names {
		text += fmt.Sprintf("      %s: {pool: web}\n", name)
	}
	if len(names) == 0 {
		text = strings.Split(text, "zones:")[0]
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReloadPrintsSummaryAndRejectsRemoval(t *testing.T) {
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	reloadConfig(t, file, "a", "b", "c", "d")
	_, stderr := background(t, "serve", "-c", file)
	found := stderr.await(t, `msg=serving listen=(\S+) zones=1 admin=(\S+)`)
	at, api := found[1], "--server=http://"+found[2]

	reloadConfig(t, file, "a", "b")
	expectMatch(t, said(t, exitOK, "reload", api), `^loaded \S+meridian.yaml in \S+: 1 zones, 3 names \(2 balanced\), 1 pools\n$`)
	reloadConfig(t, file, "a", "b", "c", "d", "e")
	expectMatch(t, said(t, exitOK, "reload", api, "-o=json"), `(?s)"zones": 1,\s+"names": 6,\s+"balanced": 5`)

	reloadConfig(t, file, "a", "b")
	expectMatch(t, said(t, exitConfig, "reload", api),
		`^meridian: the new configuration has 2 balanced names, fewer than half of the 5 that are served\n  meridian reload --allow-removal`)
	reloadConfig(t, file)
	expectMatch(t, said(t, exitConfig, "reload", api), `^meridian: the new configuration has no zones; 1 are served\n  meridian reload --allow-removal`)
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	stderr.await(t, `(?s)reload refused.*reload refused.*reload refused; the old configuration keeps serving" error="the new configuration has no zones; 1 are served" hint="meridian reload --allow-removal`)
	if got := lookUp(t, at, "e.gslb.example.com."); got != "192.0.2.1" {
		t.Errorf("after refused reloads: %s", got)
	}

	if err := os.WriteFile(file, []byte("servr: {}\npools: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	expectMatch(t, said(t, exitConfig, "reload", api, "--allow-removal"),
		`^meridian: the server refuses the configuration; the old one keeps serving\n  \S+meridian.yaml:1:1: servr: unknown key "servr"; did you mean "server"\?\n  \S+meridian.yaml:2:8: pools: `)
	reloadConfig(t, file, "a")
	said(t, exitOK, "reload", api, "--allow-removal")
	if got := lookUp(t, at, "e.gslb.example.com."); got != "NXDOMAIN" {
		t.Errorf("after a removal that was allowed: %s", got)
	}
	reloadConfig(t, file)
	said(t, exitOK, "reload", api, "--allow-removal")
	if got := lookUp(t, at, "a.gslb.example.com."); got != "REFUSED" {
		t.Errorf("after the removal of all: %s", got)
	}
}

// TestServeBindsBeforeTheGeoDatabaseIsRead checks that serve reports a port in use before it
// reads the geo database: the database is a pipe without data, so reading it never ends.
func TestServeBindsBeforeTheGeoDatabaseIsRead(t *testing.T) {
	dir := t.TempDir()
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	pipe, file := filepath.Join(dir, "geo.mmdb"), filepath.Join(dir, "meridian.yaml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skipf("no pipes here: %v", err)
	}
	for _, text := range []string{
		fmt.Sprintf("server: {listen: [%q]}\ngeo: {database: geo.mmdb}\n", taken.LocalAddr()),
		"server: {listen: [\"127.0.0.1:0\"]}\nadmin: {listen: \"192.0.2.1:1\", token_file: t}\ngeo: {database: geo.mmdb}\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code := run(context.Background(), []string{"serve", "-c", file}, io.Discard, io.Discard)
		if code != exitBind {
			t.Errorf("exit %d, want %d, of\n%s", code, exitBind, text)
		}
	}
}
