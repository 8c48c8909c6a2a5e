package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

// TestAsyncWriterNeverBlocks checks that dropped lines are counted, and that queued
// lines are written in order once the stream is read.
func TestAsyncWriterNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		s := newAsyncWriter(w)
		const more = 10
		fmt.Fprintln(s, "line 0")
		synctest.Wait() // the writer blocks: the pipe has no reader
		for i := range asyncLines + more {
			fmt.Fprintf(s, "line %d\n", i+1)
		}
		text := make(chan string)
		go func() {
			all, _ := io.ReadAll(r)
			text <- string(all)
		}()
		s.close()
		w.Close()
		lines := strings.Split(strings.TrimSpace(<-text), "\n")
		if len(lines) != 1+1+asyncLines {
			t.Fatalf("%d lines", len(lines))
		}
		if lines[0] != "line 0" || !strings.Contains(lines[1], fmt.Sprintf("dropped=%d", more)) || lines[2] != "line 1" ||
			lines[len(lines)-1] != fmt.Sprintf("line %d", asyncLines) {
			t.Errorf("got %q ... %q", lines[:3], lines[len(lines)-1])
		}
	})
}

func TestAsyncWriterClosesWithoutReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		s := newAsyncWriter(w)
		fmt.Fprintln(s, "never read")
		s.close()
		r.Close()
	})
}
