package config

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// update makes the tests rewrite the fixtures with their results: check the difference.
var update = flag.Bool("update", false, "rewrite the expected messages of the fixtures")

// Each file of testdata/faults is one broken configuration with its exact messages; those of testdata/warnings are
// valid and have warnings.

func TestFaultFixtures(t *testing.T) {
	eachFixture(t, "testdata/faults/*.txtar", func(t *testing.T, document []byte) string {
		cfg, _, err := Parse("config.yaml", document)
		if err == nil {
			t.Fatal("no error")
		}
		if cfg != nil {
			t.Error("a configuration beside an error")
		}
		return err.Error() + "\n"
	})
}

func TestWarningFixtures(t *testing.T) {
	eachFixture(t, "testdata/warnings/*.txtar", func(t *testing.T, document []byte) string {
		_, warnings, err := Parse("config.yaml", document)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, w := range warnings {
			b.WriteString(w.Error() + "\n")
		}
		return b.String()
	})
}

// eachFixture compares the result of messages for the first file of each archive with its second.
func eachFixture(t *testing.T, pattern string, messages func(*testing.T, []byte) string) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures match %s (%v)", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(archive.Files) != 2 {
				t.Fatalf("%d files, want config.yaml and messages", len(archive.Files))
			}
			got := messages(t, archive.Files[0].Data)
			if *update {
				archive.Files[1].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := archive.Files[1].Data; !bytes.Equal([]byte(got), want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}
