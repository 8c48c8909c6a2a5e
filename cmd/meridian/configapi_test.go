package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// configRequest sends a request with a configuration, or JSON, and returns the status, the ETag and the body.
func configRequest(t *testing.T, method, url, body string, header ...string) (code int, tag, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/yaml")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("ETag"), string(got)
}

func TestConfigurationIsReplacedAndRolledBackByTheAPI(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "meridian.yaml")
	reloadConfig(t, file, "a", "b")
	_, stderr := background(t, "serve", "-c", file, "--state", filepath.Join(dir, "state"))
	found := stderr.await(t, `msg=serving listen=(\S+) zones=1 admin=(\S+)`)
	at, api := found[1], "http://"+found[2]+"/v1/config"
	first, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(code, want int, text, part string) {
		t.Helper()
		if code != want || !strings.Contains(text, part) {
			t.Errorf("%d %s\nwant %d %s", code, text, want, part)
		}
	}
	code, tag, text := configRequest(t, "GET", api, "")
	expect(code, 200, text, string(first))
	second := strings.Replace(text, "192.0.2.1]", "192.0.2.2]", 1)

	code, _, text = configRequest(t, "POST", api+"/check", second)
	expect(code, 200, text, `"valid": true`)
	code, _, text = configRequest(t, "POST", api+"/plan", second)
	expect(code, 200, text, `"moved": 1`)
	code, _, text = configRequest(t, "PUT", api+"?max_moved=10%", second)
	expect(code, 409, text, "would move 100.0 % of the clients, more than max_moved")
	code, _, text = configRequest(t, "PUT", api, second+"nonsense: 1\n")
	expect(code, 422, text, `"path": "nonsense"`)
	if got := lookUp(t, at, "a.gslb.example.com."); got != "192.0.2.1" {
		t.Errorf("after refused changes: %s", got)
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != string(first) {
		t.Errorf("the file changed: %v", err)
	}

	code, next, text := configRequest(t, "PUT", api+"?reason=move", second, "If-Match", tag)
	expect(code, 200, text, `"generation": 2`)
	if got := lookUp(t, at, "a.gslb.example.com."); got != "192.0.2.2" || next == tag {
		t.Errorf("after the change: %s, tag %s", got, next)
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != second {
		t.Errorf("the file is not the new one: %v", err)
	}
	code, _, text = configRequest(t, "PUT", api, string(first), "If-Match", tag)
	expect(code, 412, text, "the configuration has changed")

	code, _, text = configRequest(t, "POST", api+"/rollback", `{"generation": 1}`, "Content-Type", "application/json")
	expect(code, 200, text, `"generation": 3`)
	if got := lookUp(t, at, "a.gslb.example.com."); got != "192.0.2.1" {
		t.Errorf("after the rollback: %s", got)
	}
	code, _, text = configRequest(t, "GET", api+"/generations", "")
	expect(code, 200, text, `"source": "rollback"`)
	expect(code, 200, text, `"reason": "move"`)
}

func TestConfigurationThatCannotBeStoredKeepsTheOldOne(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "meridian.yaml")
	reloadConfig(t, file, "a", "b")
	state := filepath.Join(dir, "state")
	_, stderr := background(t, "serve", "-c", file, "--state", state)
	found := stderr.await(t, `msg=serving listen=(\S+) zones=1 admin=(\S+)`)
	if err := os.Mkdir(filepath.Join(state, "generations", "2.json.gz"), 0o700); err != nil { // the rename fails, as a write on a full disk
		t.Fatal(err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	code, _, text := configRequest(t, "PUT", "http://"+found[2]+"/v1/config", strings.Replace(string(before), "192.0.2.1]", "192.0.2.2]", 1))
	if code != 409 || !strings.Contains(text, "generation 2 of the configuration cannot be stored") {
		t.Errorf("%d %s", code, text)
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != string(before) || lookUp(t, found[1], "a.gslb.example.com.") != "192.0.2.1" {
		t.Errorf("the old configuration is not kept: %v", err)
	}
}
