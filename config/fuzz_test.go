package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-multierror"
	"github.com/rogpeppe/go-internal/txtar"
)

// No input causes a panic. Every error is on one line, at a position in the file, in order. A valid configuration has
// every referenced object.
func FuzzParse(f *testing.F) {
	for _, data := range seeds(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, warnings, err := Parse("config.yaml", data)
		checkPlaces(t, data, warnings)
		if err == nil {
			checkComplete(t, cfg)
			return
		}
		var joined *multierror.Error
		if !errors.As(err, &joined) || len(joined.Errors) == 0 || cfg != nil {
			t.Fatalf("error %#v, configuration %v", err, cfg)
		}
		var errs []Error
		for _, err := range joined.Errors {
			errs = append(errs, err.(Error))
		}
		checkPlaces(t, data, errs)
	})
}

// seeds returns all configurations of the fixtures.
func seeds(f testing.TB) [][]byte {
	example, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	all := [][]byte{example}
	files, err := filepath.Glob("testdata/*/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, archive.Files[0].Data)
	}
	return all
}

func checkPlaces(t *testing.T, data []byte, errs []Error) {
	last := Pos{}
	lines := uint32(1)
	for _, lineBreak := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} { // as YAML 1.1 counts lines
		lines += uint32(bytes.Count(data, []byte(lineBreak)))
	}
	for _, f := range errs {
		if strings.ContainsAny(f.Error(), "\n\r") || f.What == "" {
			t.Errorf("error %q is not one line", f.Error())
		}
		if f.What == "the file is empty" {
			continue
		}
		if f.Pos.Line < 1 || f.Pos.Line > lines || f.Pos.Column < 1 {
			t.Errorf("error %q is outside the file of %d lines", f, lines)
		}
		if f.Pos.Line < last.Line || f.Pos.Line == last.Line && f.Pos.Column < last.Column {
			t.Errorf("error %q comes after one at %v", f, last)
		}
		last = f.Pos
	}
}

func checkComplete(t *testing.T, cfg *Config) {
	pools := make(map[string]bool)
	for _, p := range cfg.Pools {
		pools[p.Name] = true
		if p.Policy == "" || len(p.Members) == 0 {
			t.Errorf("pool %+v", p)
		}
	}
	for _, z := range cfg.Zones {
		z.Name.Wire()
		for _, b := range z.Names {
			if !pools[b.Pool] || !b.Name.Within(z.Name) || b.Answers < 0 {
				t.Errorf("name %+v in zone %s", b, z.Name)
			}
			b.Name.Wire()
		}
	}
}
