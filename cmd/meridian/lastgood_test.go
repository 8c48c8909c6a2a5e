package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/miekg/dns"

	"meridian/config"
)

// goodFiles is a configuration that names a file of each saved kind.
var goodFiles = map[string]string{
	"conf.d/10-server.yaml": "server: {listen: [\"127.0.0.1:0\"], workers: 1, nsid: \"${MERIDIAN_TEST_NODE}\"}\nadmin: {listen: \"127.0.0.1:0\", token_file: ../token}\n",
	"conf.d/20-state.yaml":  "state: ../state # beside\ngeo: {database: ../geo.mmdb}\n",
	"conf.d/30-zone.yaml":   "zones:\n  gslb.example.com:\n    file: ../zones/gslb.zone\n    names: {www: {pool: web}}\npools:\n  web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}\n",
	"zones/gslb.zone":       "@ 300 SOA ns1.example.net. h.example.com. 7 1 2 3 4\n@ 300 NS ns1.example.net.\n$INCLUDE more.zone\n",
	"zones/more.zone":       "static 60 A 192.0.2.9\n",
	"token":                 "0123456789abcdef\n",
}

// goodServer serves the configuration in dir until the returned function is called.
func goodServer(t *testing.T, dir string, more ...string) (at, api string, stderr *transcript, stop func() int) {
	t.Helper()
	stderr = new(transcript)
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	args := append([]string{"serve", "-c", filepath.Join(dir, "conf.d")}, more...)
	go func() { code <- run(ctx, args, stderr, stderr) }()
	stop = func() int { cancel(); return <-code }
	found := stderr.await(t, `msg=serving listen=(\S+) zones=1 admin=(\S+)|meridian: .*\n`)
	if found[1] == "" {
		t.Fatalf("not serving: %s", stderr)
	}
	return found[1], "--server=http://" + found[2], stderr, stop
}

// startGoodServer writes the files, with a geo database, and serves them once.
func startGoodServer(t *testing.T) (dir, token string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range goodFiles {
		writeFile(t, filepath.Join(dir, name), text)
	}
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Country"})
	if err != nil {
		t.Fatal(err)
	}
	_, network, _ := net.ParseCIDR("81.2.69.0/24")
	if err := tree.Insert(network, mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String("GB")}}); err != nil {
		t.Fatal(err)
	}
	var database strings.Builder
	if _, err := tree.WriteTo(&database); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "geo.mmdb"), database.String())
	t.Setenv("MERIDIAN_TEST_NODE", "ams1")
	_, _, _, stop := goodServer(t, dir)
	if code := stop(); code != exitOK {
		t.Fatalf("exit %d", code)
	}
	return dir, "--token-file=" + filepath.Join(dir, "token")
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// readiness returns what /readyz says of a server that is ready.
func readiness(t *testing.T, api string) string {
	t.Helper()
	response, err := http.Get(strings.TrimPrefix(api, "--server=") + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", response.Status, err)
	}
	return string(body)
}

func TestInvalidConfigurationAtStartServesLastGood(t *testing.T) {
	for name, broken := range map[string]struct{ file, text, message string }{
		"syntax":      {"conf.d/10-server.yaml", "server: {", `10-server.yaml:1:1: invalid YAML`},
		"a reference": {"conf.d/30-zone.yaml", goodFiles["conf.d/30-zone.yaml"] + "  api: {policy: weighted, check: none-such, members: []}\n", `30-zone.yaml:7:34: pools.api.check: no check "none-such"`},
		"a zone file": {"zones/gslb.zone", "@ 300 SOA", `gslb.zone:1:9: the record has no data`},
		"an include":  {"zones/more.zone", "static 60 A 192.0.2\n", `more.zone:1:19: bad A "192.0.2"`},
		"no zones":    {"zones/gslb.zone", "", `gslb.zone: the file has no record`},
		"a token":     {"token", "short", `admin.token_file: it holds a token of 5 bytes`},
	} {
		t.Run(name, func(t *testing.T) {
			dir, token := startGoodServer(t)
			writeFile(t, filepath.Join(dir, broken.file), broken.text)
			writeFile(t, filepath.Join(dir, "valid-token"), goodFiles["token"])
			if broken.file == "token" {
				token = "--token-file=" + filepath.Join(dir, "valid-token")
			}
			at, api, stderr, stop := goodServer(t, dir)
			defer stop()
			if got := lookUp(t, at, "static.gslb.example.com."); got != "192.0.2.9" {
				t.Errorf("static is %s", got)
			}
			if got := lookUp(t, at, "www.gslb.example.com."); got != "192.0.2.1" {
				t.Errorf("www is %s", got)
			}
			stderr.await(t, `level=ERROR msg="the configuration is invalid; serving the last good one, fix the errors and reload"`)
			if !strings.Contains(stderr.String(), broken.message) {
				t.Errorf("no %q in\n%s", broken.message, stderr)
			}
			status := said(t, exitOK, "status", api, token)
			if !strings.Contains(status, "WARNING: SERVING THE LAST GOOD CONFIGURATION") || !strings.Contains(status, broken.message) {
				t.Errorf("status is\n%s", status)
			}
			if ready := readiness(t, api); !strings.Contains(ready, "the last good configuration serves") || strings.Contains(ready, broken.message) {
				t.Errorf("readyz, which needs no token, is\n%s", ready)
			}
			expectMatch(t, said(t, exitConfig, "reload", api, token), `the server refuses the configuration; the old one keeps serving`)

			writeFile(t, filepath.Join(dir, broken.file), goodFiles[broken.file])
			expectMatch(t, said(t, exitOK, "reload", api, token), `^loaded `)
			if status := said(t, exitOK, "status", api, token); strings.Contains(status, "LAST GOOD") {
				t.Errorf("status after a reload is\n%s", status)
			}
			if ready := readiness(t, api); strings.Contains(ready, "last") {
				t.Errorf("readyz after a reload is\n%s", ready)
			}
		})
	}
}

func TestLastGoodKeepsEnvironmentWithoutGeoDatabase(t *testing.T) {
	dir, token := startGoodServer(t)
	os.Unsetenv("MERIDIAN_TEST_NODE")
	if err := os.Remove(filepath.Join(dir, "geo.mmdb")); err != nil {
		t.Fatal(err)
	}
	at, api, stderr, stop := goodServer(t, dir)
	defer stop()
	stderr.await(t, `the last good configuration serves without a file that cannot be read" key=geo.database`)
	if got := lookUp(t, at, "www.gslb.example.com."); got != "192.0.2.1" {
		t.Errorf("www is %s", got)
	}
	expectMatch(t, said(t, exitOK, "status", api, token), `environment variable MERIDIAN_TEST_NODE is not set`)
}

func TestLastGoodNotUsed(t *testing.T) {
	dir, _ := startGoodServer(t)
	kept := filepath.Join(dir, "state", "last-good.zip")
	good, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	_, _, _, stop := goodServer(t, dir)
	stop()
	if again, err := os.ReadFile(kept); err != nil || string(again) != string(good) {
		t.Errorf("a start with the same files wrote another copy: %v", err)
	}
	writeFile(t, filepath.Join(dir, "conf.d/10-server.yaml"), "server: {")
	serve := func(more ...string) string {
		t.Helper()
		return said(t, exitConfig, append([]string{"serve", "-c", filepath.Join(dir, "conf.d")}, more...)...)
	}
	expectMatch(t, serve("--strict"), `meridian: 1 error in the configuration\n$`)
	expectMatch(t, serve("--state", filepath.Join(dir, "elsewhere")), `meridian: 1 error in the configuration\n$`)
	moved := filepath.Join(dir, "moved")
	if err := os.Rename(filepath.Join(dir, "conf.d"), moved); err != nil {
		t.Fatal(err)
	}
	expectMatch(t, said(t, exitConfig, "serve", "-c", moved), `last good configuration ignored: it belongs to another -c`)
	if err := os.Rename(moved, filepath.Join(dir, "conf.d")); err != nil {
		t.Fatal(err)
	}

	at := strings.Index(string(good), "static 60 A")
	writeFile(t, kept, string(good[:at])+"X"+string(good[at+1:]))
	expectMatch(t, serve(), `last good configuration corrupt, quarantined.*checksum`)
	if found, _ := filepath.Glob(kept + ".corrupt-*"); len(found) != 1 {
		t.Errorf("quarantined: %v", found)
	}
	writeFile(t, kept, string(good[:len(good)/2]))
	expectMatch(t, serve(), `last good configuration corrupt, quarantined`)
	expectMatch(t, serve(), `meridian: 1 error in the configuration\n$`)
}

func TestReloadEndsLastGoodWithRelativeState(t *testing.T) {
	dir, token := startGoodServer(t)
	t.Chdir(dir)
	good, err := os.ReadFile(filepath.Join("conf.d", "10-server.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join("conf.d", "10-server.yaml"), "server: {")
	_, api, _, stop := goodServer(t, "")
	defer stop()
	expectMatch(t, said(t, exitOK, "status", api, token), "SERVING THE LAST GOOD CONFIGURATION")
	writeFile(t, filepath.Join("conf.d", "10-server.yaml"), string(good))
	expectMatch(t, said(t, exitOK, "reload", api, token), `^loaded `)
}

// TestStartThatRemovesZonesServesLastGood checks that a change that a reload refuses does not
// happen at the next start either.
func TestStartThatRemovesZonesServesLastGood(t *testing.T) {
	dir, token := startGoodServer(t)
	writeFile(t, filepath.Join(dir, "conf.d/30-zone.yaml"), "")
	conf := filepath.Join(dir, "conf.d")
	expectMatch(t, said(t, exitConfig, "serve", "-c", conf, "--strict"), `the new configuration has no zones; 1 are served`)
	at, api, stderr, stop := goodServer(t, dir)
	if got := lookUp(t, at, "www.gslb.example.com."); got != "192.0.2.1" {
		t.Errorf("www is %s", got)
	}
	stderr.await(t, `level=ERROR msg="the configuration removes most of what was served; serving the last good one" error="the new configuration has no zones; 1 are served" hint="meridian reload --allow-removal .*serve --allow-removal"`)
	expectMatch(t, said(t, exitOK, "status", api, token), `WARNING: SERVING THE LAST GOOD CONFIGURATION, saved at .*: the current one is refused: the new configuration has no zones; 1 are served\n  meridian reload --allow-removal`)
	expectMatch(t, readiness(t, api), `the present configuration removes most of what was served: the last good`)
	expectMatch(t, said(t, exitConfig, "reload", api, token), `the new configuration has no zones; 1 are served`)
	if got := lookUp(t, at, "www.gslb.example.com."); got != "192.0.2.1" {
		t.Errorf("www after a reload that was refused is %s", got)
	}
	expectMatch(t, said(t, exitOK, "reload", "--allow-removal", api, token), `: 0 zones`)
	if status := said(t, exitOK, "status", api, token); strings.Contains(status, "LAST GOOD") {
		t.Errorf("status after a reload is\n%s", status)
	}
	stop()
	if _, err := os.Stat(filepath.Join(dir, "state", "last-good")); !os.IsNotExist(err) {
		t.Errorf("the files of the copy are still there: %v", err)
	}
	_, stderr = background(t, "serve", "-c", conf)
	stderr.await(t, `msg=serving listen=\S+ zones=0`)
}

func TestServeAllowRemoval(t *testing.T) {
	dir, _ := startGoodServer(t)
	writeFile(t, filepath.Join(dir, "conf.d/30-zone.yaml"), "")
	_, stderr := background(t, "serve", "-c", filepath.Join(dir, "conf.d"), "--allow-removal")
	stderr.await(t, `msg=serving listen=\S+ zones=0`)
}

func TestLastGoodListsChangedEnvironment(t *testing.T) {
	dir, token := startGoodServer(t)
	writeFile(t, filepath.Join(dir, "zones/gslb.zone"), "")
	t.Setenv("MERIDIAN_TEST_NODE", "fra1")
	_, api, stderr, stop := goodServer(t, dir)
	defer stop()
	stderr.await(t, `serving the last good one, fix the errors and reload.* saved_environment=\[MERIDIAN_TEST_NODE\]`)
	expectMatch(t, said(t, exitOK, "status", api, token), `these environment variables have their saved values, not the present ones: MERIDIAN_TEST_NODE\n`)
}

func TestInvalidConfigurationWithoutStateNamesStateFlag(t *testing.T) {
	if _, err := os.Stat(config.DefaultState); err == nil {
		t.Skip("SKIPPED: this machine has " + config.DefaultState + ", where a last good configuration may be")
	}
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	writeFile(t, file, "server: {")
	expectMatch(t, said(t, exitConfig, "serve", "-c", file), `no last good configuration: the state directory is unknown" hint="serve --state DIR `)
}

// TestUpdatesAreNotCountedAsRemoved makes more updates than the configuration has names, then reloads and restarts with the same
// files, with an edited file, and with one that has fewer than half of its names.
func TestUpdatesAreNotCountedAsRemoved(t *testing.T) {
	const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ=="
	dir := t.TempDir()
	write := func(names ...string) {
		writeFile(t, filepath.Join(dir, "key"), secret)
		writeFile(t, filepath.Join(dir, "conf.d/meridian.yaml"), `server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
state: ../state
tsig: {acme: {secret_file: ../key}}
pools: {web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}}
zones:
  gslb.example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    update: [{key: acme, names: ["_acme-challenge", "_acme-challenge.*"], types: [TXT]}]
    names: {`+strings.Join(names, ": {pool: web}, ")+`: {pool: web}}
`)
	}
	write("www", "api", "ftp", "img")
	at, api, _, stop := goodServer(t, dir)
	client := &dns.Client{Timeout: time.Minute, TsigSecret: map[string]string{"acme.": secret}}
	for i := range 9 {
		msg := new(dns.Msg).SetUpdate("gslb.example.com.")
		rr, err := dns.NewRR(fmt.Sprintf("_acme-challenge.%d.gslb.example.com. 60 IN TXT x", i))
		if err != nil {
			t.Fatal(err)
		}
		msg.Insert([]dns.RR{rr})
		msg.SetTsig("acme.", dns.HmacSHA256, 300, time.Now().Unix())
		if answer, _, err := client.Exchange(msg, at); err != nil || answer.Rcode != dns.RcodeSuccess {
			t.Fatalf("update: %v, %v", err, answer)
		}
	}
	expectMatch(t, said(t, exitOK, "reload", api), `^loaded .* 1 zones, 5 names \(4 balanced\)`)
	expectMatch(t, said(t, exitOK, "reload", api), `^loaded `) // what serves by now was loaded while there were updates
	stop()

	_, _, stderr, stop := goodServer(t, dir)
	stop()
	write("www", "api", "ftp", "new")
	at, _, edited, stop := goodServer(t, dir)
	if got := lookUp(t, at, "new.gslb.example.com."); got != "192.0.2.1" {
		t.Errorf("after an edit and a restart, new is %s", got)
	}
	if logged := stderr.String() + edited.String(); strings.Contains(logged, "last good one") {
		t.Errorf("a restart does not serve the configuration:\n%s", logged)
	}
	stop() // waits until the last good configuration is saved
	_, api, refused, stop := goodServer(t, dir)
	write("www")
	expectMatch(t, said(t, exitConfig, "reload", api), `^meridian: the new configuration has 2 names, fewer than half of the 5 that are served`)
	stop()
	at, _, restarted, stop := goodServer(t, dir)
	defer stop()
	if got := lookUp(t, at, "new.gslb.example.com."); got != "192.0.2.1" {
		t.Errorf("after a restart with too few names, new is %s; before it:\n%s\nafter it:\n%s", got, refused, restarted)
	}
}
