package config

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

func TestParseKeepsNoReferenceToTheText(t *testing.T) {
	texts := [][]byte{manyPools(20), manyNames(20)}
	for _, pattern := range []string{"testdata/faults/*.txtar", "testdata/warnings/*.txtar"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no fixtures match %s (%v)", pattern, err)
		}
		for _, file := range files {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, archive.Files[0].Data)
		}
	}
	for _, text := range texts {
		want := outcomeOf(Parse("config.yaml", text))
		released := bytes.Clone(text)
		cfg, warnings, err := Parse("config.yaml", released)
		for i := range released {
			released[i] = '?'
		}
		if got := outcomeOf(cfg, warnings, err); !reflect.DeepEqual(got, want) {
			t.Errorf("the result changes with the text once parsed:\n%s\ngot  %v\nwant %v", text, got, want)
		}
	}
}

func TestLargeFileIsReadLikeASmallOne(t *testing.T) {
	text := manyPools(2)
	padded := append(bytes.Repeat([]byte("# "+strings.Repeat("x", 77)+"\n"), manyBytes/80+1), text...)
	file := filepath.Join(t.TempDir(), "long.yaml")
	if err := os.WriteFile(file, padded, 0o600); err != nil {
		t.Fatal(err)
	}
	want := outcomeOf(Parse(file, padded))
	if got := outcomeOf(Load(file)); got.cfg == nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTextLargerThanItsBufferIsReadWhole(t *testing.T) {
	want := strings.Repeat("grown ", 100_000)
	for _, size := range []int{0, 1, bytes.MinRead, len(want)} {
		got, err := readText(strings.NewReader(want), make([]byte, 0, size))
		if err != nil || string(got) != want {
			t.Errorf("with room for %d: %d octets, error %v; want %d", size, len(got), err, len(want))
		}
	}
}
