package yamldoc

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// author writes YAML at random, in the forms that operators use.
type author struct {
	*rand.Rand
	text strings.Builder
}

// scalars are values of every type, plain and quoted.
func scalars() []string {
	return []string{
		"a", "web-1", "192.0.2.1", `"2001:db8::1"`, "'it''s'", `"tab\tquote\""`, "10", "0x1f", "1.5", "true", "no", "~", "null", "30s", "2001-01-01", "*any", "@", "a b c", "x:y", "a#b", ".inf", "-", "0o17", "1_000", "<<", "é",
	}
}

func (w *author) scalar() string { return scalars()[w.IntN(len(scalars()))] }

// flow returns a value in one line.
func (w *author) flow(depth int) string {
	if depth == 0 || w.IntN(3) == 0 {
		return w.scalar()
	}
	var items []string
	for i := range w.IntN(4) {
		if items = append(items, w.flow(depth-1)); depth%2 == 0 {
			items[i] = fmt.Sprintf("k%d: %s", i, items[i])
		}
	}
	if depth%2 == 0 {
		return "{" + strings.Join(items, ", ") + "}"
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// noise writes what has no meaning: nothing, a comment or an empty line.
func (w *author) noise() {
	w.text.WriteString([]string{"\n", "\n", "\n", " # why\n", "\n\n", "\n  # a comment: x\n"}[w.IntN(6)])
}

// mapping writes a mapping in lines.
func (w *author) mapping(indent string, depth int) {
	for i := range 1 + w.IntN(4) {
		fmt.Fprintf(&w.text, "%s%s%d:", indent, []string{"key", "web", "zone.example."}[w.IntN(3)], i)
		switch {
		case depth == 0 || w.IntN(2) == 0:
			w.text.WriteString(" " + w.flow(3))
			w.noise()
		case w.IntN(2) == 0:
			w.noise()
			w.mapping(indent+"  ", depth-1)
		default:
			w.text.WriteString("\n")
			w.list(indent+strings.Repeat(" ", 2*w.IntN(2)), depth-1)
		}
	}
}

// list writes a list in lines, of values in one line or of mappings.
func (w *author) list(indent string, depth int) {
	for range 1 + w.IntN(3) {
		w.text.WriteString(indent + "- " + w.flow(2))
		w.noise()
	}
	if depth > 0 && w.IntN(2) == 0 {
		w.text.WriteString(indent + "- first: 1\n" + indent + "  rest: " + w.flow(2) + "\n")
	}
}

// collected returns the entries of a node as a document yields them.
func collected(entries iter.Seq2[*yaml.Node, *yaml.Node]) (all []string) {
	for key, value := range entries {
		all = append(all, show(key)+" = "+show(value))
	}
	return all
}

// TestDocumentsAtRandomAgreeWithYAML writes documents at random. The outline of one, which reads its entries one at a time,
// has the nodes, the positions and the counts of the tree of yaml.v3, or uses that.
func TestDocumentsAtRandomAgreeWithYAML(t *testing.T) {
	outlined := 0
	for seed := range uint64(400) {
		w := &author{Rand: rand.New(rand.NewPCG(seed, 9))}
		w.mapping("", 2)
		data := []byte(w.text.String())
		root, problem := Parse(data)
		keys := map[string]*Section{}
		if problem == nil {
			for key := range Pairs(root) {
				keys[key.Value] = &Section{Lazy: true}
			}
		}
		doc := Outline(data, []File{{End: len(data)}}, &Section{Keys: keys}, 1<<20)
		if doc.Fallback() != nil || !doc.Outlined() {
			continue
		}
		if problem != nil {
			t.Fatalf("seed %d: an outline of %q, which is wrong: %s", seed, data, problem.What)
		}
		outlined++
		for key, want := range Pairs(root) {
			got := Child(doc.Root, key.Value)
			if got == nil || want.Kind == yaml.MappingNode && doc.Count(got) < len(want.Content)/2 {
				t.Fatalf("seed %d, key %s of %q: %v", seed, key.Value, data, got)
			}
			if want.Kind != yaml.MappingNode || len(want.Content) == 0 {
				continue
			}
			if got, want := collected(doc.Entries(got)), collected(Pairs(want)); fmt.Sprint(got) != fmt.Sprint(want) && doc.Fallback() == nil {
				t.Fatalf("seed %d, key %s of %q:\n%q\nwant\n%q", seed, key.Value, data, got, want)
			}
		}
	}
	if outlined < 50 {
		t.Errorf("%d outlines of 400: too few", outlined)
	}
}
