package config

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// writeFiles writes files into a new directory and returns it.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const teamZone = `
zones:
  a.example:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names: {www: {pool: web}}
`

func TestLoadMergesSeveralFiles(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"10-server.yaml":      "server: {listen: [\"127.0.0.1:0\"]}\nadmin: {listen: \"127.0.0.1:0\", token_file: t}\n",
		"20-pools.yaml":       "pools:\n  web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}",
		"30-zone.yaml":        teamZone,
		"40-nsid.yaml":        "# a comment\nserver:\n  nsid: ams1\n",
		"50-comments.yaml":    "# nothing yet\n",
		"notes.txt":           "not read",
		".hidden.yaml":        "not: read",
		"more/60-zone.yaml":   "zones:\n  b.example:\n    file: b.zone\n    names:\n      www: {pool: web}\n",
		"more/70-names.yaml":  "zones:\n  a.example:\n    names:\n      api: {pool: web}\n",
		"more/80-module.yaml": "---\npools:\n  api: {policy: weighted, members: [{name: b, addresses: [192.0.2.2]}]}\n",
	})
	cfg, warnings, err := Load(dir, filepath.Join(dir, "more"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, z := range cfg.Zones {
		for _, n := range z.Names {
			names = append(names, string(n.Name))
		}
	}
	if got := strings.Join(names, " "); got != "www.a.example. api.a.example. www.b.example." || len(cfg.Pools) != 2 {
		t.Errorf("names %s, %d pools", got, len(cfg.Pools))
	}
	if cfg.Server.NSID != "ams1" || len(cfg.Server.Listen) != 1 {
		t.Errorf("server is %+v", cfg.Server)
	}
	if cfg.Admin.TokenFile != filepath.Join(dir, "t") || cfg.Zones[1].File != filepath.Join(dir, "more", "b.zone") {
		t.Errorf("paths are not relative to their files: %s, %s", cfg.Admin.TokenFile, cfg.Zones[1].File)
	}
	if len(warnings) != 1 || !strings.HasPrefix(warnings[0].Error(), filepath.Join(dir, "more", "80-module.yaml")+":3:3: pools.api: ") {
		t.Errorf("warnings: %v", warnings)
	}
	if f := cfg.ErrorAt(cfg.Zones[1].FilePos, "zones.b.example.file", "missing", ""); f.Error() != filepath.Join(dir, "more", "60-zone.yaml")+":3:11: zones.b.example.file: missing" {
		t.Errorf("an error found later is %v", f)
	}
}

func TestErrorsNamePositionsInBothFiles(t *testing.T) {
	pool := "{policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}"
	for name, c := range map[string]struct{ a, b, want string }{
		"a value":            {"server: {nsid: a}", "# x\nserver: {nsid: b}", "b.yaml:2:10: server.nsid: duplicate key \"nsid\"; it is first at a.yaml:1:10"},
		"a value in a block": {"state: x\n", "state: y\n", `b.yaml:1:1: state: duplicate key "state"; it is first at a.yaml:1:1`},
		"a pool":             {"pools:\n  web: " + pool, "pools:\n  web:\n    policy: weighted\n", `b.yaml:3:5: pools.web.policy: duplicate key "policy"; it is first at a.yaml:2:9`},
		"a list":             {"server:\n  listen: [\"127.0.0.1:1\"]", "server:\n  listen: [\"127.0.0.1:2\"]", `b.yaml:2:3: server.listen: duplicate key "listen"; it is first at a.yaml:2:3`},
		"in one file":        {"server: {nsid: a, nsid: b}", "state: s", `a.yaml:1:19: server.nsid: duplicate key "nsid"; it is first on line 1`},
		"both":               {"servr: {}", "pools: []", "a.yaml:1:1: servr: unknown key \"servr\"; did you mean \"server\"?\nb.yaml:1:8: pools: found a list; it should be a mapping"},
		"syntax of both":     {"pools: {", "\n\nzones: }", "a.yaml:1:1: invalid YAML: did not find expected node content\nb.yaml:3:1: invalid YAML: did not find expected node content"},
		"no mapping":         {"pools: {}", "web", `b.yaml:1:1: found "web"; it should be a mapping`},
		"nothing":            {"# a", "", "FILES: the files are empty; a configuration has at least zones"},
		"a reference":        {"pools:\n  web: {policy: weighted, check: c, members: [{name: a, addresses: [192.0.2.1]}]}", "regions: {}", `a.yaml:2:34: pools.web.check: no check "c"; define it under checks`},
		"control characters": {"a: \x01", "b: \x02", "a.yaml:1:4: a control character (0x01); a configuration is YAML in UTF-8\nb.yaml:1:4: a control character (0x02); a configuration is YAML in UTF-8"},
		"syntax and values":  {"pools: {\n", "server: {nsid: 1, workers: x}\nzones:\n  z.example:\n    nameservers: {ns1.example.net: []}\n    ttl: -1\n    names: {www: {pool: web}}\n", "a.yaml:1:1: invalid YAML: did not find expected node content\nb.yaml:1:28: server.workers: \"x\" is not a whole number; 0 to 1024\nb.yaml:5:10: zones.z.example.ttl: \"-1\" is out of range; 0 to 2147483647"},
		"values and no text": {"server: {workers: x}\n", "b: \x02", "a.yaml:1:19: server.workers: \"x\" is not a whole number; 0 to 1024\nb.yaml:1:4: a control character (0x02); a configuration is YAML in UTF-8"},
	} {
		dir := writeFiles(t, map[string]string{"a.yaml": c.a, "b.yaml": c.b})
		a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
		_, _, err := Load(a, b)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		got := strings.NewReplacer(a+", "+b, "FILES", dir+"/", "").Replace(err.Error())
		if got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

func TestFilesWithAnotherExtensionAreAWarning(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"a.yaml": "pools:\n  web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}", "b.yaml": teamZone,
		"c.yml": "pools: {", "d.YAML": "", ".e.yml": "", "f.yaml.old": "",
	})
	_, warnings, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, w := range warnings {
		got.WriteString(strings.TrimPrefix(w.Error(), dir+"/") + "\n")
	}
	const hint = ": the file is not read; a configuration is in files whose names end in .yaml\n"
	if want := "c.yml" + hint + "d.YAML" + hint; got.String() != want {
		t.Errorf("warnings\n%swant\n%s", got.String(), want)
	}
}

func TestDirectoryErrors(t *testing.T) {
	dir := writeFiles(t, map[string]string{"a.yaml": "pools: {}", "empty/x.txt": ""})
	for _, c := range []struct {
		paths []string
		want  string
	}{
		{[]string{filepath.Join(dir, "empty")}, "empty: the directory has no *.yaml file"},
		{[]string{dir, filepath.Join(dir, "a.yaml")}, "a.yaml: the file is given twice"},
		{[]string{dir, filepath.Join(dir, "none.yaml")}, "none.yaml: cannot be read: no such file"},
	} {
		if _, _, err := Load(c.paths...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s", c.paths, err, c.want)
		}
	}
}

// clearPositions sets every Pos below v to zero, and the files that they count through.
func clearPositions(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() && v.Type() != reflect.TypeFor[*yaml.Node]() {
			clearPositions(v.Elem())
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			clearPositions(v.Index(i))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[Pos]() {
			v.SetZero()
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				clearPositions(v.Field(i))
			}
		}
	}
}

// TestSplitConfigurationIsTheSame cuts a configuration between the entries of its sections, at random, and
// reads the parts as an outline and as whole trees.
func TestSplitConfigurationIsTheSame(t *testing.T) {
	var b strings.Builder
	b.WriteString("regions:\n")
	for i := range 6 {
		fmt.Fprintf(&b, "  r%d: {location: [%d, 0]}\n", i, i)
	}
	b.WriteString("checks:\n  web: {type: tcp, port: 80}\ngeo:\n  default: r3\n  networks:\n    10.0.0.0/8: {country: DE}\n    11.0.0.0/8: {country: FR}\npools:\n")
	for i := range 6 {
		fmt.Fprintf(&b, "  p%d:\n    policy: proximity\n    check: web\n    members:\n      - {name: a, region: r%d, addresses: [192.0.2.%d]}\n", i, i, i)
	}
	b.WriteString("zones:\n")
	for i := range 3 {
		fmt.Fprintf(&b, "  z%d.example:\n    nameservers: {ns1.example.net: []}\n    contact: h@example.com\n    names:\n      a: {pool: p%d}\n      b: {pool: p%d}\n", i, i, i+3)
	}
	text := b.String()
	want, _, err := Parse("whole", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	clearPositions(reflect.ValueOf(want))
	for seed := range uint64(60) {
		texts := cutIntoFiles(rand.New(rand.NewPCG(seed, 0)), text)
		for _, read := range []func() (*Config, []Error, error){
			func() (*Config, []Error, error) { return parseSeveral("whole", texts, maxWhole, os.LookupEnv) },
			func() (*Config, []Error, error) { return parseSeveralAtOnce("whole", texts, os.LookupEnv) },
		} {
			got, _, err := read()
			if err != nil {
				t.Fatalf("seed %d: %v\n%v", seed, err, texts)
			}
			got.sources = nil
			clearPositions(reflect.ValueOf(got))
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d: got\n%+v\nwant\n%+v", seed, got, want)
			}
		}
	}
}

// cutIntoFiles cuts text before lines at random; each part begins with the parent keys of its first line.
func cutIntoFiles(random *rand.Rand, text string) (texts []namedText) {
	var above []string // the parent keys of the next line
	part := ""
	for line := range strings.Lines(text) {
		depth := (len(line) - len(strings.TrimLeft(line, " "))) / 2
		above = above[:min(depth, len(above))]
		if isItem := strings.HasPrefix(strings.TrimSpace(line), "-"); part != "" && !isItem && !strings.HasSuffix(part, ":\n") && random.IntN(4) == 0 {
			texts = append(texts, namedText{file: fmt.Sprintf("%d.yaml", len(texts)), data: []byte(part)})
			part = strings.Join(above, "")
		}
		part += line
		above = append(above, line)
	}
	return append(texts, namedText{file: fmt.Sprintf("%d.yaml", len(texts)), data: []byte(part)})
}

// FuzzSeveralFiles compares the result of two files as an outline with the result as whole trees.
func FuzzSeveralFiles(f *testing.F) {
	f.Add("pools:\n  a: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}\n", teamZone)
	f.Add("zones:\n  a.example: {names: {www: {pool: web}}}\n", teamZone)
	f.Add("server: {nsid: a}\n", "---\nserver:\n  nsid: b\n")
	f.Add("geo:\n  networks:\n    10.0.0.0/8: {country: DE}", "geo:\n  networks: {11.0.0.0/8: {country: DE}}\n")
	f.Add("a: &x {}\n", "b: *x\n")
	f.Add("checks: {a: {type: exec, command: [x, \"${Y}\"]}}\n", "checks: &x {b: {type: exec, command: [x, \"${Y}\"]}}\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		texts := []namedText{{file: "a.yaml", data: []byte(a)}, {file: "b.yaml", data: []byte(b)}}
		if yamldoc.CheckText(texts[0].data) != nil || yamldoc.CheckText(texts[1].data) != nil {
			return
		}
		got, gotWarnings, gotErr := parseSeveral("both", texts, maxWhole, os.LookupEnv)
		want, wantWarnings, wantErr := parseSeveralAtOnce("both", texts, os.LookupEnv)
		if (gotErr == nil) != (wantErr == nil) || gotErr != nil && gotErr.Error() != wantErr.Error() {
			t.Fatalf("outline: %v\nwhole: %v", gotErr, wantErr)
		}
		if fmt.Sprint(gotWarnings) != fmt.Sprint(wantWarnings) || !reflect.DeepEqual(got, want) {
			t.Fatalf("outline: %+v, %v\nwhole: %+v, %v", got, gotWarnings, want, wantWarnings)
		}
	})
}
