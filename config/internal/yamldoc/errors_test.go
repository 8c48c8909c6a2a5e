package yamldoc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestSyntaxErrorsHaveTheirLine is the table of what operators mistype, with the position that they look at.
func TestSyntaxErrorsHaveTheirLine(t *testing.T) {
	for text, want := range map[string]string{
		"a: b\nc\n":                             "2:1 invalid YAML: could not find expected ':'; ",
		"a:\n  b: c\n d: e\n":                   "3:1 invalid YAML: did not find expected key; ",
		"a: [1, 2\nb: c\n":                      "2:1 invalid YAML: did not find expected ',' or ']'; ",
		"a: {b: c\nd: e\n":                      "2:1 invalid YAML: did not find expected ',' or '}'; ",
		"a: b: c\n":                             "1:1 invalid YAML: mapping values are not allowed in this context; ",
		"a: b\n  c: d\n":                        "2:1 invalid YAML: mapping values are not allowed in this context; ",
		"a: b\n- c\n":                           "2:1 invalid YAML: did not find expected key; ",
		"- a\nb: c\n":                           "2:1 invalid YAML: did not find expected '-' indicator; ",
		"a:\n  - b: c\n   d: e\n":               "3:1 invalid YAML: did not find expected '-' indicator; ",
		"a:\n- b\n  - c\n- d\n e: f\n":          "5:1 invalid YAML: mapping values are not allowed in this context; ",
		"a: |\n  x\n y\n":                       "3:1 invalid YAML: did not find expected key; ",
		"a:\n\tb: c\n":                          "2:1 invalid YAML: found character that cannot start any token; the line is indented with a tab; use spaces",
		"a: [a, ${B}]\n":                        `1:1 invalid YAML: did not find expected ',' or ']'; within brackets an environment variable is quoted: "${NAME}"`,
		"a: @x\n":                               "1:1 invalid YAML: found character that cannot start any token; ",
		"a: ]\n":                                "1:1 invalid YAML: did not find expected node content; ",
		"a: \"\\q\"\n":                          "1:1 invalid YAML: found unknown escape character; ",
		"%YAML 1.2\n---\na: b\n":                "1:1 invalid YAML: found incompatible YAML document; ",
		"a: b\n---\nc: d\n":                     "2:1 a second YAML document; one file holds one document",
		"a: !!foo x\n":                          `1:4 tag "!!foo" is not known; leave the tag out`,
		"a: &x [*x]\n":                          `1:8 alias "*x" is inside its own anchor; an anchor cannot contain itself`,
		"<<: x\n":                               `1:5 "<<" merges "x"; it takes a mapping or a list of mappings`,
		"":                                      "0:0 the file is empty; a configuration has at least zones",
		"# x\n":                                 "0:0 the file is empty; a configuration has at least zones",
		"~\n":                                   "0:0 the file is empty; a configuration has at least zones",
		"a: *none\n":                            `1:4 invalid YAML: unknown anchor "none"; an anchor is written &none before its first alias`,
		"a: &base1 x\nb: *base1\nc: *base\n":    `3:4 invalid YAML: unknown anchor "base"; an anchor is written &base before its first alias`,
		"a: &base-1 x\nb: *base-1\nc: *base\n":  `3:4 invalid YAML: unknown anchor "base"; an anchor is written &base before its first alias`,
		"# *base\na: b # *base\nc: *base\n":     `3:4 invalid YAML: unknown anchor "base"; an anchor is written &base before its first alias`,
		"a: \"*base\"\nb: ' *base'\nc: *base\n": `3:4 invalid YAML: unknown anchor "base"; an anchor is written &base before its first alias`,
		"a: \"x # y\" \nb: {\"k#\": *base, c: d}": `2:11 invalid YAML: unknown anchor "base"; an anchor is written &base before its first alias`,
		"a:\n- x\n- [y,*base]\n":                  `3:6 invalid YAML: unknown anchor "base"; an anchor is written &base before its first alias`,
		"ä: x*base\nö: [ü, *base]\n":              `2:8 invalid YAML: unknown anchor "base"; an anchor is written &base before its first alias`,
		"a: &x b\nc:\n  <<: *base\n":              `3:7 invalid YAML: unknown anchor "base"; an anchor is written &base before its first alias`,
	} {
		_, problem := Parse([]byte(text))
		if problem == nil {
			t.Errorf("%q is accepted, want %s", text, want)
			continue
		}
		if got := fmt.Sprintf("%d:%d %s; %s", problem.Pos.Line, problem.Pos.Column, problem.What, problem.Hint); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
		if problem.Empty() != strings.HasPrefix(want, "0:0") {
			t.Errorf("%q: empty is %v", text, problem.Empty())
		}
	}
}

// TestPositionsOfErrorsAreInTheDocument damages documents at random: an error has a line that exists.
func TestPositionsOfErrorsAreInTheDocument(t *testing.T) {
	failed := 0
	for seed := range uint64(400) {
		w := &author{Rand: rand.New(rand.NewPCG(seed, 10))}
		w.mapping("", 1)
		data := []byte(w.text.String())
		at := w.IntN(len(data))
		switch damage := []byte("\t\n:{}[]\"'*&!-#,"); w.IntN(3) {
		case 0:
			data = slices.Insert(data, at, damage[w.IntN(len(damage))])
		case 1:
			data[at] = damage[w.IntN(len(damage))]
		case 2:
			data = slices.Delete(data, at, at+1)
		}
		if CheckText(data) != nil {
			continue
		}
		_, problem := Parse(data)
		if problem == nil || problem.Empty() {
			continue
		}
		failed++
		lines := uint32(strings.Count(strings.TrimRight(string(data), "\n"), "\n") + 1)
		if problem.Pos.Line < 1 || problem.Pos.Line > lines || problem.Pos.Column < 1 || problem.What == "" {
			t.Errorf("seed %d: %d:%d %s, in %d lines of %q", seed, problem.Pos.Line, problem.Pos.Column, problem.What, lines, data)
		}
	}
	if failed < 50 {
		t.Errorf("%d errors: too few", failed)
	}
}

// TestPositionsCountCharacters compares with a count from the beginning of the text, one character at a time.
func TestPositionsCountCharacters(t *testing.T) {
	text := "a: b\n\nä: öü\n  日本: x\n"
	line, column := uint32(1), uint32(1)
	for offset, r := range text {
		if got := posAt([]byte(text), offset); got != (Pos{line, column}) {
			t.Errorf("offset %d: %v, want %d:%d", offset, got, line, column)
		}
		if column++; r == '\n' {
			line, column = line+1, 1
		}
	}
	order := []Pos{{}, {1, 1}, {1, 2}, {2, 1}, {2, 9}, {3, 1}}
	for i, a := range order {
		for j, b := range order {
			if got := a.Compare(b); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%v and %v: %d", a, b, got)
			}
		}
	}
}

// TestLinesWithATextAreThoseOfEachTime compares with a search of each line.
func TestLinesWithATextAreThoseOfEachTime(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		var text strings.Builder
		for range random.IntN(40) {
			text.WriteString([]string{"a", "ab", "\n", "\n", " "}[random.IntN(5)])
		}
		var want []int
		for i, line := range strings.Split(text.String(), "\n") {
			for range strings.Count(line, "ab") {
				want = append(want, i+1)
			}
		}
		doc := &Document{data: []byte(text.String())}
		if got := doc.LinesWith("ab"); !slices.Equal(got, want) {
			t.Fatalf("%q: lines %v, want %v", text.String(), got, want)
		}
	}
}

// numbers reads items of the form {n: NUMBER}, and keeps what it has read.
type numbers struct{ begun, read int }

func (r *numbers) item(text []byte, at Pos) int {
	end := strings.IndexByte(string(text), '}')
	if !strings.HasPrefix(string(text), "{n: ") || end < 0 || at.Column == 0 {
		return 0
	}
	r.read++
	return end + 1
}

// TestItemsAreThoseOfTheNodes reads lists by an ItemReader where they have its form. What it reads, and what it rejects, has the nodes of
// the list when they are asked for.
func TestItemsAreThoseOfTheNodes(t *testing.T) {
	for text, read := range map[string]int{
		"pools:\n  a:\n    list:\n      - {n: 1}\n      - {n: 2}\n    next: x\n":          2,
		"pools:\n  a:\n    list:\n    - {n: 1}\n    - {n: 2}\n    - {n: 3}\n":             3,
		"pools:\n  a:\n    list:\n    - {n: 1} # why\n\n    # more\n    - {n: 2}\n":       2,
		"pools:\n  a:\n    list:\n    - {n: 1}\n    - n: 2\n":                             -1, // another form
		"pools:\n  a:\n    list:\n    -   {n: 1}\n":                                       -1,
		"pools:\n  a:\n    list: [{n: 1}]\n":                                              -1,
		"pools:\n  a:\n    list:\n      - {n: 1}\n      - {n: 2, m: [a, b]}\n    x: {}\n": 2,
		"pools:\n  a:\n    other:\n    - {n: 1}\n":                                        -1,
	} {
		data := []byte(text)
		root, problem := Parse(data)
		if problem != nil {
			t.Fatal(problem)
		}
		want := Child(Child(Child(root, "pools"), "a"), "list")
		doc := Outline(data, []File{{End: len(data)}}, &Section{Keys: map[string]*Section{"pools": {Lazy: true}}}, 1<<20)
		r := new(numbers)
		visited := false
		doc.WithItems(&ItemReader{Key: "list", Begin: func() { r.begun++; r.read = 0 }, Item: r.item}, func() {
			for _, value := range doc.Entries(Child(doc.Root, "pools")) {
				visited = true
				list := Child(value, "list")
				if list == nil {
					continue
				}
				if has := doc.HasItems(list); has != (read >= 0) || has && (r.read != read || len(list.Content) != 0) {
					t.Errorf("%q: %d items are read, want %d", text, r.read, read)
				}
				if doc.HasItems(list) && !doc.Expand(list) {
					t.Errorf("%q: it cannot be expanded", text)
				}
				if !sameNode(list, want) {
					t.Errorf("%q: %s, want %s", text, show(list), show(want))
				}
				if rest := Child(value, "next"); strings.Contains(text, "next") && (rest == nil || rest.Value != "x") {
					t.Errorf("%q: the key after the list is lost", text)
				}
			}
		})
		if !visited || doc.Fallback() != nil {
			t.Errorf("%q: no outline: %v", text, doc.Fallback())
		}
	}
}

func TestNodesAreDescribedInWords(t *testing.T) {
	for text, want := range map[string]string{"a: {}\n": "a mapping", "a: []\n": "a list", "a: x\n": `"x"`, "a: ~\n": "nothing", "a:\n": "nothing", "a: ''\n": `""`} {
		root, problem := Parse([]byte(text))
		if problem != nil {
			t.Fatal(problem)
		}
		if got := Describe(Child(root, "a")); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	for kind, want := range map[yaml.Kind]string{yaml.MappingNode: "a mapping", yaml.SequenceNode: "a list", yaml.ScalarNode: "a single value"} {
		if got := KindName(kind); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
