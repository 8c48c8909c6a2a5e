package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestUnitCredentialIsAToken serves with the token file that the comment of the unit describes, in
// a directory such as the service manager makes for LoadCredential.
func TestUnitCredentialIsAToken(t *testing.T) {
	unit, err := os.ReadFile("../../deploy/systemd/meridian.service")
	if err != nil {
		t.Fatal(err)
	}
	setting := regexp.MustCompile(`(?m)^#   admin: \{(token_file: "\$\{(\w+)\}")\}$`).FindSubmatch(unit)
	if setting == nil {
		t.Fatal("the unit describes no credential with a token")
	}
	credential := regexp.MustCompile(`(?m)^#Environment=` + string(setting[2]) + `=%d/(\S+)$`).FindSubmatch(unit)
	if credential == nil || !strings.Contains(string(unit), "\n#LoadCredential="+string(credential[1])+":") {
		t.Fatalf("the unit sets no %s to a credential", setting[2])
	}
	token := filepath.Join(t.TempDir(), string(credential[1]))
	t.Setenv(string(setting[2]), token)
	writeFile(t, token, "0123456789abcdef\n")
	if err := os.Chmod(token, 0o400); err != nil { // as the service manager does
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	writeFile(t, file, "server: {listen: [\"127.0.0.1:0\"]}\nadmin: {listen: \"127.0.0.1:0\", "+string(setting[1])+"}\n")
	_, stderr := background(t, "serve", "-c", file)
	api := "--server=http://" + stderr.await(t, `msg=serving .*admin=(\S+)`)[1]
	expectMatch(t, said(t, exitConfig, "status", api), `missing or wrong token\n  the server asks for a token`)
	expectMatch(t, said(t, exitOK, "status", api, "--token-file="+token), `^serving `)
}

// TestContainerHealthCheckRuns runs the command of HEALTHCHECK with the API of a server, and
// without a server.
func TestContainerHealthCheckRuns(t *testing.T) {
	text, err := os.ReadFile("../../deploy/container/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^HEALTHCHECK .*CMD (\[.*\])$`).FindSubmatch(text)
	var args []string
	if found == nil || json.Unmarshal(found[1], &args) != nil || len(args) < 2 || args[0] != "/meridian" {
		t.Fatalf("the Containerfile has no HEALTHCHECK by /meridian: %q", found)
	}
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	writeFile(t, file, "server: {listen: [\"127.0.0.1:0\"]}\nadmin: {listen: \"127.0.0.1:0\"}\n")
	_, stderr := background(t, "serve", "-c", file)
	api := "http://" + stderr.await(t, `msg=serving .*admin=(\S+)`)[1]
	at := func(api string) []string {
		replaced := strings.ReplaceAll(strings.Join(args[1:], "\n"), "http://127.0.0.1:8053", api)
		return strings.Split(replaced, "\n")
	}
	said(t, exitOK, at(api)...)
	said(t, exitConfig, at("http://"+freeAddress(t))...)
}
