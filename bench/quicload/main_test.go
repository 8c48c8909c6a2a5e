package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

func TestWrongArgumentsAreErrors(t *testing.T) {
	for _, args := range [][]string{{}, {"127.0.0.1:1"}, {"-queries", "q"}, {"-queries", "q", "-outstanding", "1", "127.0.0.1:1"}, {"-queries", "q", "-seconds", "601", "127.0.0.1:1"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func TestQueriesAreFramedWithoutID(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queries")
	for text, want := range map[string]int{"www.example.com. A\nexample.com AAAA\n": 2, "www.example.com\n": 0, "www.example.com NONE\n": 0, "": 0} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		frames, err := readQueries(file)
		if len(frames) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d queries, %v", text, len(frames), err)
		}
		for _, f := range frames {
			if int(binary.BigEndian.Uint16(f)) != len(f)-2 || f[2] != 0 || f[3] != 0 {
				t.Errorf("%q: %x", text, f)
			}
		}
	}
}
