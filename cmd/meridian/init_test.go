package main

import (
	"os"
	"strings"
	"testing"
)

// TestInitWritesAConfigurationThatServes serves what init writes, and asks for a name of it.
func TestInitWritesAConfigurationThatServes(t *testing.T) {
	t.Chdir(t.TempDir())
	said(t, exitOK, "init", "-o", "meridian.yaml", "--zone", "gslb.example.com", "--nameserver", "127.0.0.1",
		"--endpoint", "DE=127.0.0.2", "--check", "tcp:1", "--listen", "127.0.0.1:0")
	text, err := os.ReadFile("meridian.yaml")
	if err != nil {
		t.Fatal(err)
	}
	anyPort := strings.ReplaceAll(string(text), `"127.0.0.1:8053"`, `"127.0.0.1:0"`)
	if err := os.WriteFile("meridian.yaml", []byte(anyPort), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr := background(t, "serve", "-c", "meridian.yaml")
	server := stderr.await(t, `msg=serving .*listen=(\S+)`)[1]
	awaitAnswer(t, server, "www.gslb.example.com.", "127.0.0.2")
}
