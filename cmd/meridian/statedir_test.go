package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestCheckWarnsOfUnwritableKeys(t *testing.T) {
	dir := t.TempDir()
	shut := filepath.Join(dir, "shut")
	if err := os.Mkdir(shut, 0o500); err != nil {
		t.Fatal(err)
	}
	cases := map[string]bool{filepath.Join(dir, "new"): false} // whether there is a warning
	if runtime.GOOS == "linux" {
		cases["/proc/x"] = true
	}
	if os.Getuid() != 0 { // root writes anywhere
		cases[shut] = true
	}
	for folder, want := range cases {
		file := filepath.Join(dir, "meridian.yaml")
		text := "dnssec: {keys: " + folder + "}\nzones: {example.com: {nameservers: {ns.example.net: []}, contact: h@example.com, dnssec: default}}\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := said(t, exitOK, "check", "-c", file); strings.Contains(got, "this user cannot write the folder of the keys "+folder+": ") != want {
			t.Errorf("%s: got\n%s\nwant a warning: %t", folder, got, want)
		}
	}
}

func TestCheckWarnsOfUnwritableState(t *testing.T) {
	dir := t.TempDir()
	shut := filepath.Join(dir, "shut")
	if err := os.Mkdir(shut, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "there"), 0o700); err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{ // the warning; empty: none
		filepath.Join(dir, "there"):      "",
		filepath.Join(dir, "new", "one"): "",
	}
	if runtime.GOOS == "linux" {
		cases["/proc/x/y"] = "this user cannot write the state directory /proc/x/y: it does not exist, and nothing can be created in /proc: "
		cases["/proc"] = "this user cannot write the state directory /proc: "
	}
	if os.Getuid() != 0 { // root writes anywhere
		cases[shut] = "this user cannot write the state directory " + shut + ": permission denied; name a directory that the server can create or write\n"
		cases[filepath.Join(shut, "x")] = "nothing can be created in " + shut + ": permission denied; "
	}
	for state, want := range cases {
		file := filepath.Join(dir, "meridian.yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, pushConfig+"state: "+state+"\n", ""), 0o600); err != nil {
			t.Fatal(err)
		}
		got := said(t, exitOK, "check", "-c", file)
		if strings.Contains(got, "warning: ") != (want != "") || !strings.Contains(got, want) {
			t.Errorf("%s: got\n%s\nwant %q", state, got, want)
		}
		if json := said(t, exitOK, "check", "-c", file, "-o", "json"); strings.Contains(json, "cannot write the state directory") != (want != "") {
			t.Errorf("%s: got\n%s", state, json)
		}
	}
	for _, folder := range []string{"there", "new"} {
		if left, _ := os.ReadDir(filepath.Join(dir, folder)); len(left) > 0 {
			t.Errorf("left behind in %s: %v", folder, left)
		}
	}
}
