package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"
)

// TestBundleIsCurrent builds the dashboard and compares it with the files that the binary embeds.
func TestBundleIsCurrent(t *testing.T) {
	files, err := bundle("..")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", "dist", name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("dist/%s is not current (%v): run go generate ./admin/dashboard", name, err)
		}
	}
	present, err := os.ReadDir(filepath.Join("..", "dist"))
	if err != nil || len(present) != len(files) {
		t.Errorf("dist has %d files, want %d (%v)", len(present), len(files), err)
	}
}

// TestBundleIsSmall holds the size of the whole page, compressed, to its budget.
func TestBundleIsSmall(t *testing.T) {
	const budget = 120_000
	files, err := bundle("..")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, data := range files {
		w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(data) //nolint:errcheck // a bytes.Buffer takes everything
		w.Close()     //nolint:errcheck // as above
	}
	t.Logf("%d bytes compressed", b.Len())
	if b.Len() > budget {
		t.Errorf("%d bytes compressed, more than %d", b.Len(), budget)
	}
}
