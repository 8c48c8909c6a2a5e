package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

// The checked-in picture is the one that this program draws.
func TestPictureIsUpToDate(t *testing.T) {
	got, err := os.ReadFile("../meridian.svg")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != draw() {
		t.Error("docs/meridian.svg is out of date; run: go generate ./docs/picture")
	}
}

func TestPictureIsWellFormed(t *testing.T) {
	for d := xml.NewDecoder(strings.NewReader(draw())); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
