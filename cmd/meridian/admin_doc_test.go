package main

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"meridian/counterpart"
)

// TestAPIPage runs every command of docs/reference/api.md, in order, against a server with
// the README's configuration and the YAML of the page.
func TestAPIPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, port := endpoint(t, "127.0.0.61", 0)
	endpoint(t, "127.0.0.62", port)
	file := filepath.Join(t.TempDir(), "meridian.yaml")
	writeConfig(t, file, "127.0.0.1:0", "gslb.example.com", port)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	yaml := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(page)
	if yaml == nil {
		t.Fatal("the page has no configuration")
	}
	beside := strings.NewReplacer("127.0.0.1:8053", "'127.0.0.1:0'", "/var/lib/meridian", "state").Replace(string(yaml[1]))
	regions := "regions: {us-east: {location: [39.04, -77.49]}}\n"
	world := strings.Replace(string(text), "name: first,", "name: use-1, region: us-east,", 1)
	if err := os.WriteFile(file, []byte(world+regions+beside), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr := background(t, "serve", "-c", file)
	api := "http://" + stderr.await(t, `admin=(\S+)`)[1]

	ran := 0
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllSubmatch(page, -1) {
		for line := range strings.Lines(string(block[1])) {
			ran++
			runShown(t, api, strings.TrimPrefix(strings.TrimSpace(line), "$ "))
		}
	}
	if ran < 12 {
		t.Errorf("only %d commands were found", ran)
	}
}

// runShown runs a command as a shell would, with the server at api.
func runShown(t *testing.T, api, line string) {
	t.Helper()
	line = strings.ReplaceAll(line, "http://127.0.0.1:8053", api)
	if rest, ok := strings.CutPrefix(line, "meridian "); ok {
		words := strings.ReplaceAll(strings.SplitN(rest, "#", 2)[0], `"kernel upgrade"`, "kernel_upgrade")
		words = strings.ReplaceAll(words, `"answers 200 and is broken"`, "broken")
		said(t, exitOK, append(strings.Fields(words), "--server", api)...)
		return
	}
	if stream, ok := strings.CutPrefix(line, "curl -N "); ok { // it has no end
		response, err := http.Get(strings.Trim(stream, "'"))
		if err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s, %v", line, response.Status, err)
		}
		return
	}
	if !strings.HasPrefix(line, "curl ") {
		t.Errorf("%q: nothing runs it", line)
		return
	}
	counterpart.Find(t, "curl")
	line = "curl --fail-with-body -sS " + strings.TrimPrefix(line, "curl ")
	if out, err := exec.CommandContext(context.Background(), "sh", "-c", line).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", line, err, out)
	}
}
