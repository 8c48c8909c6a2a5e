package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"meridian/counterpart"
)

// TestReloadParsesOnlyFilesThatChanged edits files without a change of their times, breaks one, and corrects it. The second reload of each step finds no change.
func TestReloadParsesOnlyFilesThatChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := "$TTL 300\n@ SOA ns.outside. host.outside. 1 60 30 3600 60\n@ NS ns.outside.\n$INCLUDE " + dir + "/part\n"
	for name, content := range map[string]string{"a.zone": text, "b.zone": text, "part": "www A 192.0.2.1\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := start(t, fmt.Sprintf(`
server: {listen: ["127.0.0.1:0"], workers: 1}
admin: {listen: "127.0.0.1:0"}
zones: {a.example: {file: %[1]s/a.zone}, b.example: {file: %[1]s/b.zone}}
`, dir))
	server := r.listens(t)
	parsed := regexp.MustCompile(`msg=reloaded .*parsed=(\d+)`)
	edit := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		info, err := os.Stat(file)
		if err == nil {
			err = os.WriteFile(file, []byte(text), 0o600)
		}
		if err == nil {
			err = os.Chtimes(file, info.ModTime(), info.ModTime())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	reloads := 0
	for _, step := range []struct{ name, file, text, parsed, address string }{
		{"nothing changed", "part", "www A 192.0.2.1\n", "[0 0]", "192.0.2.1"},
		{"a part of both zones changed", "part", "www A 192.0.2.2\n", "[2 0]", "192.0.2.2"},
		{"one zone changed", "a.zone", strings.Replace(text, "outside. 1", "outside. 2", 1), "[1 0]", "192.0.2.2"},
		{"an error", "part", "www A 192.0.2\n", "[]", "192.0.2.2"},
		{"the error is corrected", "part", "www A 192.0.2.2\n", "[0 0]", "192.0.2.2"},
	} {
		edit(step.file, step.text)
		before := len(parsed.FindAllString(r.log.all(), -1))
		r.reload(r.text.Load().(string))
		reloads += 2
		counterpart.Await(t, func() error {
			all := r.log.all()
			if n := strings.Count(all, "msg=reloaded ") + strings.Count(all, `msg="reload refused`); n < reloads {
				return fmt.Errorf("%s: %d reloads have ended, want %d", step.name, n, reloads)
			}
			return nil
		})
		var got []string
		for _, found := range parsed.FindAllStringSubmatch(r.log.all(), -1)[before:] {
			got = append(got, found[1])
		}
		if fmt.Sprint(got) != step.parsed {
			t.Errorf("%s: %v files are parsed, want %s", step.name, got, step.parsed)
		}
		for _, name := range []string{"www.a.example.", "www.b.example."} {
			answer, _, err := (&dns.Client{Timeout: time.Minute}).Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), server)
			if err != nil {
				t.Fatal(err)
			}
			if len(answer.Answer) != 1 || answer.Answer[0].(*dns.A).A.String() != step.address {
				t.Errorf("%s: %s has %v, want %s", step.name, name, answer.Answer, step.address)
			}
		}
	}
}
