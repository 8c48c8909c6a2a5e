package yamldoc

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// The scanner accepts only text for which it returns exactly the nodes of yaml.v3.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{
		"a: b", "a:\n  b: c\n  d:\n  - e\n  - f: g\n    h: i\n", "- a", "a: {b: [c, 'd', \"e\"], f: {}, g: []}", "a: [1, 0x1f, 1.5, ~, yes, true]",
		"a: # x\n  b: c # x\n\n  # x\n  d:\n", "a: {b: c,\n d: e}", "2001-01-01: 10.0.0.1", "a:\n- b\n-\n- c: d\n", "a: b c # d", "a: .inf", "-1: +.5",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if CheckText(data) != nil || invalidLineBreak(data) >= 0 {
			return
		}
		l := lineScanner{data: data, line: 1}
		if l.skipBlank(); l.indent < 0 || l.takeEntry().end != len(data) {
			return
		}
		s := newScanner()
		s.begin(data, lineSpan{end: len(data), first: 1})
		key, value := s.entry()
		if key == nil {
			return
		}
		root, problem := parseTree(data)
		if problem != nil {
			t.Fatalf("%q is %v", data, problem.What)
		}
		if len(root.Content) != 2 || !sameNode(root.Content[0], key) || !sameNode(root.Content[1], value) {
			t.Fatalf("%q: scanned %s %s, want %s", data, show(key), show(value), show(root))
		}
	})
}

func sameNode(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Tag != b.Tag || a.Style != b.Style || a.Value != b.Value || a.Line != b.Line || a.Column != b.Column || len(a.Content) != len(b.Content) {
		return false
	}
	for i := range a.Content {
		if !sameNode(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}

func show(n *yaml.Node) string {
	s := fmt.Sprintf("%d:%d %s %q %d", n.Line, n.Column, n.Tag, n.Value, n.Style)
	for _, c := range n.Content {
		s += " (" + show(c) + ")"
	}
	return s
}

func TestPiecesOfPlainYAMLShareMemory(t *testing.T) {
	const entries = 10_000
	data := []byte("pools:\n" + strings.Repeat("  web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}\n", entries))
	doc := Outline(data, []File{{End: len(data)}}, &Section{Keys: map[string]*Section{"pools": {Lazy: true}}}, 1<<20)
	pools := Child(doc.Root, "pools")
	allocs := testing.AllocsPerRun(1, func() {
		n := 0
		for range doc.Entries(pools) {
			n++
		}
		if n != entries {
			t.Fatalf("%d entries", n)
		}
	})
	if allocs > 10 || len(doc.scanner.nodes.blocks) > 1 {
		t.Errorf("%v allocations, %d blocks of nodes", allocs, len(doc.scanner.nodes.blocks))
	}
}

func TestASCIIPrefix(t *testing.T) {
	plain := func(data []byte) int {
		for i, c := range data {
			if (c < ' ' || c > '~') && c != '\n' {
				return i
			}
		}
		return len(data)
	}
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				data := bytes.Repeat([]byte{' '}, length)
				data[at] = byte(c)
				if got, want := asciiPrefix(data), plain(data); got != want {
					t.Fatalf("%q: %d octets, want %d", data, got, want)
				}
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	edges := []byte{0, '\t', '\n', '\r', 0x1f, ' ', '~', 0x7f, 0x80, 0x8a, 0xa0, 0xff}
	for range 100_000 {
		data := make([]byte, random.IntN(24))
		for i := range data {
			data[i] = edges[random.IntN(len(edges))]
		}
		if got, want := asciiPrefix(data), plain(data); got != want {
			t.Fatalf("%q: %d octets, want %d", data, got, want)
		}
	}
}
