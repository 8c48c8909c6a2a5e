package admin_test

import (
	"bufio"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"meridian/admin"
)

// TestScripts runs testdata/*.txtar. Each holds a configuration, meridian.yaml, further files, and in its comment
// requests with what their answers have:
//
//	> PUT /v1/config?reason=test @new.yaml   a request: its body is a file of the archive (YAML), or JSON
//	= lead                                   the user: a token of that role; without one there are no tokens
//	< 200                                    the status
//	< "generation": 2                        a part of the answer, without repeated white space
//	! "errors"                               the answer does not have it
//	# text                                   a comment
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			runScript(t, archive)
		})
	}
}

// script is a running script.
type script struct {
	*testing.T
	files  map[string]string
	server http.Handler
	user   string // the role of the next request; empty: no token

	line            int
	request, answer string
}

func runScript(t *testing.T, archive *txtar.Archive) {
	s := &script{T: t, files: map[string]string{}}
	for _, f := range archive.Files {
		s.files[f.Name] = string(f.Data)
	}
	options := admin.Options{Version: "v1.2.3"}
	if strings.Contains(string(archive.Comment), "\n= ") {
		for _, role := range []admin.Role{admin.Viewer, admin.Operator, admin.Admin} {
			options.Tokens = append(options.Tokens, admin.Token{Name: "my " + string(role), Role: role, Secret: secretOf(string(role))})
		}
	}
	world := strings.ReplaceAll(s.files["meridian.yaml"], "FOLDER", t.TempDir())
	s.server, _ = serveWorld(t, world, options)
	lines := bufio.NewScanner(strings.NewReader(string(archive.Comment)))
	for s.line = 1; lines.Scan(); s.line++ {
		s.step(lines.Text())
	}
}

// secretOf returns the token of a role.
func secretOf(role string) string { return strings.Repeat(role, 4) }

// step runs a line of a script.
func (s *script) step(line string) {
	s.Helper()
	mark, text, _ := strings.Cut(line, " ")
	switch mark {
	case "", "#":
	case "=":
		s.user = text
	case ">":
		s.send(text)
	case "<", "!":
		if _, err := strconv.Atoi(text); err == nil && len(text) == 3 {
			text = "status " + text
		}
		if strings.Contains(s.answer, text) != (mark == "<") {
			s.Errorf("line %d: %s: %s %s\n%.1500s", s.line, s.request, mark, text, s.answer)
		}
	default:
		s.Fatalf("line %d: unknown mark %q", s.line, mark)
	}
}

// send sends a request.
func (s *script) send(text string) {
	s.Helper()
	s.request = text
	method, rest, _ := strings.Cut(text, " ")
	path, body, _ := strings.Cut(rest, " ")
	file, fromFile := strings.CutPrefix(body, "@")
	if fromFile {
		if body = s.files[file]; body == "" {
			s.Fatalf("line %d: no file %s", s.line, file)
		}
	}
	r := asked(method, path, body)
	if fromFile {
		r.Header.Set("Content-Type", "application/yaml")
	}
	if s.user != "" {
		r.Header.Set("Authorization", "Bearer "+secretOf(s.user))
	}
	code, answer := answered(s.server, r)
	s.answer = "status " + strconv.Itoa(code) + " " + answer
}
