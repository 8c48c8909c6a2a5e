package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"meridian/counterpart"
)

// guides lists the pages with commands to run.
const guides = "../../docs/guides/*.md"

// shellOnly lists programs that a guide may show and that no test runs.
var shellOnly = []string{"dig", "go", "curl", "jq"}

var guideBlock = regexp.MustCompile("(?s)```(\\w*)\n(.*?)```")

// TestGuides runs the console lines of every guide, in order, with the configuration
// that the guide shows last. Where a command is followed by output, each line of it
// must be in what the command prints; "..." stands for lines that the guide leaves out.
func TestGuides(t *testing.T) {
	files, err := filepath.Glob(guides)
	if err != nil || len(files) < 10 {
		t.Fatalf("%d guides, %v", len(files), err)
	}
	for _, file := range files {
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".md"), func(t *testing.T) {
			t.Chdir(t.TempDir())
			blocks := guideBlock.FindAllStringSubmatch(string(page), -1)
			g := &guide{t: t, config: firstConfig(blocks)}
			for _, block := range blocks {
				switch block[1] {
				case "yaml":
					g.config = block[2]
				case "console":
					g.play(strings.Split(block[2], "\n"))
				case "bash", "dns", "lua", "haproxy", "bind", "nsd", "knot": // TestGuidesOfOtherServers runs the last three
				default:
					t.Errorf("a block in %q; want yaml, console, bash, dns, lua, haproxy, bind, nsd or knot", block[1])
				}
			}
		})
	}
}

// TestGuidesOfOtherServers has the programs of other name servers check the configurations that guides show for them.
func TestGuidesOfOtherServers(t *testing.T) {
	files, err := filepath.Glob(guides)
	if err != nil {
		t.Fatal(err)
	}
	checked := map[string]int{}
	for _, file := range files {
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range guideBlock.FindAllStringSubmatch(string(page), -1) {
			if check, known := confChecks[block[1]]; known {
				conf := filepath.Join(t.TempDir(), block[1]+".conf")
				if err := os.WriteFile(conf, []byte(strings.ReplaceAll(block[2], "SECRET", "c2VjcmV0LXNlY3JldC1zZWNyZXQ=")), 0o600); err != nil {
					t.Fatal(err)
				}
				counterpart.Output(t, check[0], strings.Fields(fmt.Sprintf(check[1], conf))...)
				checked[block[1]]++
			}
		}
	}
	for server := range confChecks {
		if checked[server] < 2 {
			t.Errorf("%d configurations of %s, want that of a primary and that of a secondary", checked[server], server)
		}
	}
}

// confChecks holds the program that checks a configuration of each server, and its arguments.
var confChecks = map[string][2]string{
	"bind": {"named-checkconf", "%s"},
	"nsd":  {"nsd-checkconf", "%s"},
	"knot": {"knotc", "-c %s conf-check"},
}

// firstConfig returns the first configuration of a page, for commands above it.
func firstConfig(blocks [][]string) string {
	for _, block := range blocks {
		if block[1] == "yaml" {
			return block[2]
		}
	}
	return ""
}

// guide runs the commands of one page.
type guide struct {
	t      *testing.T
	config string // the latest one that the page shows
	api    string // URL of the server's API, once it runs
}

// play runs the lines that begin with "$ ", and compares the lines below each.
func (g *guide) play(lines []string) {
	for i, line := range lines {
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			continue
		}
		var want []string
		for _, shown := range lines[i+1:] {
			if strings.HasPrefix(shown, "$ ") {
				break
			}
			want = append(want, shown)
		}
		g.run(strings.TrimSpace(command), want)
	}
}

func (g *guide) run(line string, want []string) {
	g.t.Helper()
	args, ok := strings.CutPrefix(line, "meridian ")
	if !ok {
		if program, _, _ := strings.Cut(line, " "); !slices.Contains(shellOnly, program) {
			g.t.Errorf("%q: no test runs it", line)
		}
		return
	}
	argv := shellWords(args)
	switch argv[0] {
	case "demo", "serve": // TestReadme runs both
	case "init": // the rest of the page uses what it writes
		g.expect(line, said(g.t, exitOK, argv...), want)
		g.config = g.read("meridian.yaml")
	case "version":
		g.expect(line, said(g.t, exitOK, argv...), want)
	case "status", "drain", "undrain", "force", "clear", "reload", "config":
		g.expect(line, said(g.t, exitOK, append(argv, "--server", g.server())...), want)
	default:
		g.write("meridian.yaml", g.config)
		for i := range argv {
			if argv[i] == "http://127.0.0.1:8053" {
				argv[i] = g.server()
			}
		}
		g.expect(line, said(g.t, exitOK, argv...), want)
	}
}

func (g *guide) write(file, config string) {
	g.t.Helper()
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

func (g *guide) read(file string) string {
	g.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(text)
}

// plainConfig is the configuration for commands of a page that shows none.
const plainConfig = `admin: {listen: 127.0.0.1:8053}
server: {listen: ["127.0.0.1:0"]}
zones: {gslb.example.com: {nameservers: {ns1.example.net: []}, contact: hostmaster@example.com}}
`

// server starts a server with the page's configuration, on loopback, unless one runs.
func (g *guide) server() string {
	g.t.Helper()
	if g.api == "" {
		g.write("server.yaml", strings.NewReplacer("127.0.0.1:8053", "'127.0.0.1:0'", "/var/lib/meridian", "state").Replace(onLoopback.Replace(cmp.Or(g.config, plainConfig))))
		_, stderr := background(g.t, "serve", "-c", "server.yaml")
		g.api = "http://" + stderr.await(g.t, `admin=(\S+)`)[1]
	}
	return g.api
}

// expect compares the lines that a page shows with those that a command printed.
func (g *guide) expect(line, got string, want []string) {
	g.t.Helper()
	printed := strings.Split(got, "\n")
	for _, shown := range want {
		if shown = strings.TrimSpace(shown); shown == "..." || shown == "" {
			continue
		}
		prefix, open := strings.CutSuffix(shown, "...")
		at := slices.IndexFunc(printed, func(p string) bool {
			p = strings.TrimSpace(p)
			return p == shown || open && strings.HasPrefix(p, strings.TrimSpace(prefix))
		})
		if at < 0 {
			g.t.Errorf("%s: the guide shows %q, which is not in\n%s", line, shown, got)
			return
		}
		printed = printed[at+1:]
	}
}

// shellWords splits a command line as a shell does, with double quotes.
func shellWords(line string) []string {
	line, _, _ = strings.Cut(line, " #")
	var argv []string
	for _, word := range regexp.MustCompile(`[^\s"]*"[^"]*"|\S+`).FindAllString(line, -1) {
		argv = append(argv, strings.ReplaceAll(word, `"`, ""))
	}
	return argv
}
