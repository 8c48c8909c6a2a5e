package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// writeAdminConfig writes the configuration of writeConfig, with an API on a free port and a state
// directory.
func writeAdminConfig(t *testing.T, file, listen string, port int, more string) {
	t.Helper()
	writeConfig(t, file, listen, "gslb.example.com", port)
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "admin: {listen: \"127.0.0.1:0\"}\nstate: %s\n%s\n", filepath.Join(filepath.Dir(file), "state"), more); err != nil {
		t.Fatal(err)
	}
}

// said runs a command, checks its exit code, and returns the output of both streams.
func said(t *testing.T, code int, args ...string) string {
	t.Helper()
	var out transcript
	if got := run(t.Context(), args, &out, &out); got != code {
		t.Errorf("meridian %v: exit %d, want %d\n%s", args, got, code, out.String())
	}
	return out.String()
}

func expectMatch(t *testing.T, text, pattern string) {
	t.Helper()
	if !regexp.MustCompile(pattern).MatchString(text) {
		t.Errorf("no %q in\n%s", pattern, text)
	}
}

func TestOverrideCommands(t *testing.T) {
	_, port := endpoint(t, "127.0.0.61", 0)
	endpoint(t, "127.0.0.62", port)
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	writeAdminConfig(t, file, "127.0.0.1:0", port, "")
	_, stderr := background(t, "serve", "-c", file)
	found := stderr.await(t, `msg=serving listen=(\S+) zones=1 admin=(\S+)`)
	at, api := found[1], "--server=http://"+found[2]
	www := func(want string) {
		t.Helper()
		if got := lookUp(t, at, "www.gslb.example.com."); got != want {
			t.Errorf("www is %s, want %s", got, want)
		}
	}

	www("127.0.0.61")
	expectMatch(t, said(t, 0, "drain", "web/first", api, "--for=1h", "--reason=kernel upgrade"),
		`^web/first is drained until \d{4}-.*: "kernel upgrade"\npool web, failover: eligible 1, needed 1\n$`)
	www("127.0.0.62")
	expectMatch(t, said(t, 0, "status", api), `(?s)override: web/first is drained until .*first +- +drained +\d+s +by an operator: "kernel upgrade" +ends at .*second +- +up +\d+s +status 200 +down after 2 failures`)
	expectMatch(t, said(t, 0, "status", "web/second", api), `127\.0\.0\.62, check web\n.*changed from unknown to up: status 200\n.*passed in `)
	expectMatch(t, said(t, 0, "status", "web/first", api, "-o", "json"), `"state": "drained"`)
	expectMatch(t, said(t, 0, "explain", "www.gslb.example.com", "--client=198.51.100.7", api), `(?s)first .*drained.*second`)
	expectMatch(t, said(t, 0, "undrain", "web/first", api), `^web/first is no longer drained\npool web`)
	www("127.0.0.61")
	expectMatch(t, said(t, 0, "force", "down", "web", "--yes", api), `^web is forced down\npool web, failover: eligible 0 \(nodata for \d+s\), needed 1\n$`)
	expectMatch(t, said(t, 1, "undrain", "web", api), `^meridian: web is forced down\n  undrain ends a drain, force off ends a force\n$`)
	expectMatch(t, said(t, 0, "force", "off", "web", api), `web is no longer forced down`)
	expectMatch(t, said(t, 0, "force", "up", "web/second", api, "-o=json"), `"kind": "forced up"`)
	said(t, 0, "drain", "web/first", api, "--reason=kernel upgrade")
	expectMatch(t, said(t, 0, "force", "up", "web/first", api), `^web/first is forced up\nreplaces: web/first is drained: "kernel upgrade"\npool web`)
	expectMatch(t, said(t, 0, "force", "off", "web/first", api), `^web/first is no longer forced up\nit had replaced this override, which is not restored: web/first is drained: "kernel upgrade"\npool web`)
	const scheduled = `web/first is scheduled to be drained from 2\d{3}-.* until 2\d{3}-.*: "planned"\n`
	expectMatch(t, said(t, 1, "drain", "web/first", api, "--at=2100-01-01T02:00:00Z"), `^meridian: it would begin at 2100-01-01T02:00:00Z; want a time from now on, at most 10 years from now\n$`)
	expectMatch(t, said(t, 0, "drain", "web/first", api, "--at=23:59", "--for=1h", "--reason=planned"), `^`+scheduled+`pool web`)
	expectMatch(t, said(t, 0, "status", api), `override: `+scheduled)
	expectMatch(t, said(t, 0, "drain", "web/first", api, "--at=23:58", "--reason=later"),
		`^web/first is scheduled to be drained from .*:58.*: "later"\nreplaces: `+scheduled+`pool web`)
	expectMatch(t, said(t, 0, "undrain", "web/first", api), `^cancelled: .*"later"\nit had replaced this override, which is not restored: `+scheduled+`$`)
	said(t, 0, "weight", "web/first", "0%", api, "--for=1h", "--reason=shrink")
	expectMatch(t, said(t, 0, "status", api), `first +- +drained +\d+s +weight 0% by an operator: "shrink" +ends at .*\n +127\.0\.0\.61 +(up|unknown) .*(down after|fail)`)
	said(t, 0, "weight", "web/first", "off", api)
	expectMatch(t, said(t, 1, "drain", "web/first", api, "--at=noon"), `"noon" is not a time; want one such as 02:00`)
	expectMatch(t, said(t, 0, "clear", "web/first", api), `web/first was not held down`)
	expectMatch(t, said(t, 1, "force", "off", "web/first", api), `web/first has no override\n  known: web/second is forced up`)
	expectMatch(t, said(t, 1, "drain", "wbe", api), `^meridian: no pool "wbe"\n  known: web\n$`)
	expectMatch(t, said(t, 1, "force", "sideways", "web", api), `"sideways" is not a state to force; want up, down or off`)
	expectMatch(t, said(t, 1, "drain", "a/b/c", api), `"a/b/c" is not a target`)
}

func TestExplainShowsProbeResults(t *testing.T) {
	broken, port := endpoint(t, "127.0.0.61", 0)
	endpoint(t, "127.0.0.62", port)
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	writeAdminConfig(t, file, "127.0.0.1:0", port, "")
	_, stderr := background(t, "serve", "-c", file)
	found := stderr.await(t, `msg=serving listen=(\S+) zones=1 admin=(\S+)`)
	broken.Store(true)
	awaitAnswer(t, found[1], "www.gslb.example.com.", "127.0.0.62")
	text := said(t, exitOK, "explain", "www.gslb.example.com", "--client=192.0.2.1", "--server=http://"+found[2])
	expectMatch(t, text, `(?m)^address   127.0.0.61, check web, of web/\S+: down for \d+s: status 503, want 200-299; up after \d`)
	expectMatch(t, text, `(?m)^  \d+s ago  changed from up to down: status 503, want 200-299\n  .* changed from unknown to up: status 200\n  \d+s ago  failed in \S+: status 503, want 200-299$`)
	if strings.Contains(text, "address   127.0.0.62") {
		t.Errorf("lists an address that is up:\n%s", text)
	}
	asJSON := said(t, exitOK, "explain", "www.gslb.example.com", "--client=192.0.2.1", "--server=http://"+found[2], "-o", "json")
	expectMatch(t, asJSON, `(?s)"steps": \[.*"addresses": \[.*"verdict": "down".*"results": \[.*"transitions": \[`)
}

func TestCommandsReportUnreachableServer(t *testing.T) {
	expectMatch(t, said(t, 1, "status", "--server", "http://"+freeAddress(t)),
		`^meridian: no server answers at http://127\S+: .*connection refused\n  does its configuration have admin: .*--server URL`)
	expectMatch(t, said(t, 1, "status", "--server", "127.0.0.1:8053"), `"127.0.0.1:8053" is not a URL; e.g. http://127.0.0.1:8053`)
	_, port := endpoint(t, "127.0.0.61", 0)
	expectMatch(t, said(t, 1, "status", "--server", fmt.Sprintf("http://127.0.0.61:%d", port)), `is not that of a Meridian`)
}

func TestTokenIsRequired(t *testing.T) {
	_, port := endpoint(t, "127.0.0.61", 0)
	dir := t.TempDir()
	file, token, other := filepath.Join(dir, "meridian.yaml"), filepath.Join(dir, "token"), filepath.Join(dir, "other")
	writeConfig(t, file, "127.0.0.1:0", "gslb.example.com", port)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		file:  string(text) + "admin: {listen: \"127.0.0.1:0\", token_file: token}\n",
		token: "0123456789abcdef\n",
		other: "fedcba9876543210\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, stderr := background(t, "serve", "-c", file)
	api := "--server=http://" + stderr.await(t, `admin=(\S+)`)[1]
	expectMatch(t, said(t, 1, "status", api), `missing or wrong token\n  the server asks for a token: --token-file FILE`)
	expectMatch(t, said(t, 1, "status", api, "--token-file", other), `missing or wrong token`)
	expectMatch(t, said(t, 0, "drain", "web", "--yes", api, "--token-file", token), `in memory only: a restart loses overrides`)

	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	expectMatch(t, said(t, 1, "check", "-c", file), `meridian.yaml:\d+:\d+: admin.token_file: cannot be read: .*no such file`)
}

// serverProcess starts a server in a separate process, which can be killed.
func serverProcess(t *testing.T, file string) (server *exec.Cmd, stderr *transcript) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	stderr = new(transcript)
	server = exec.Command(self)
	server.Args = []string{"meridian", "serve", "-c", file} // see TestMain
	server.Stderr = stderr
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Process.Kill(); server.Wait() })
	return server, stderr
}

// TestStateSurvivesKill kills a server with SIGKILL just after it acknowledged an
// override. The next server restores the override and the health states, although nothing can
// be probed.
func TestStateSurvivesKill(t *testing.T) {
	broken, port := endpoint(t, "127.0.0.61", 0)
	endpoint(t, "127.0.0.62", port)
	broken.Store(true)
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	writeAdminConfig(t, file, "127.0.0.1:0", port, "")
	for round, target := range []string{"web/second", "region:none", "web/second", "web/second"} {
		server, stderr := serverProcess(t, file)
		found := stderr.await(t, `msg=serving listen=(\S+) zones=1 admin=(\S+)`)
		api := "--server=http://" + found[2]
		if round > 0 {
			stderr.await(t, `msg="state restored".* verdicts=2 overrides=1`)
			expectMatch(t, said(t, 0, "status", api), `(?s)override: web/second is drained.*first +- +down .*status 503.*second +- +drained`)
		}
		if target == "region:none" {
			said(t, 1, "drain", target, api)
		} else {
			said(t, 0, "drain", target, api, fmt.Sprintf("--reason=round %d", round))
		}
		if err := server.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		server.Wait()
	}
}
