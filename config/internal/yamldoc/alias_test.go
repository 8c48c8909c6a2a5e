package yamldoc

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// sharing returns a document at random with anchors, aliases and merge keys.
func sharing(random *rand.Rand) string {
	var b strings.Builder
	anchors := 0
	scalar := func() string { return []string{"1", "a", "true", "~", "'q'", "1.5"}[random.IntN(6)] }
	value := func() string {
		if anchors > 0 && random.IntN(2) == 0 {
			return fmt.Sprintf("*b%d", random.IntN(anchors))
		}
		return scalar()
	}
	for i := range 1 + random.IntN(6) {
		fmt.Fprintf(&b, "k%d: ", i)
		switch form := random.IntN(5); {
		case form == 0 || anchors == 0:
			fmt.Fprintf(&b, "&b%d {a: %s, b: [%s, %s], c%d: %s}\n", anchors, value(), value(), value(), i, scalar())
			anchors++
		case form == 1:
			fmt.Fprintf(&b, "*b%d\n", random.IntN(anchors))
		case form == 2:
			fmt.Fprintf(&b, "{<<: *b%d, a: %s, d: %s}\n", random.IntN(anchors), scalar(), value())
		case form == 3:
			fmt.Fprintf(&b, "\n  <<: [*b%d, {e: %s}, *b%d]\n  c: %s\n", random.IntN(anchors), scalar(), random.IntN(anchors), value())
		default:
			fmt.Fprintf(&b, "[%s, {f: %s}, [%s]]\n", value(), value(), value())
		}
	}
	return b.String()
}

// TestSharedBlocksAgreeWithYAML compares a tree without aliases and merge keys with what yaml.v3 decodes from the text.
func TestSharedBlocksAgreeWithYAML(t *testing.T) {
	for seed := range uint64(2000) {
		text := sharing(rand.New(rand.NewPCG(seed, 5)))
		var want, got any
		if err := yaml.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("seed %d: %q: %v", seed, text, err)
		}
		root, problem := Parse([]byte(text))
		if problem != nil {
			t.Fatalf("seed %d: %q: %+v", seed, text, problem)
		}
		if left := shared(root); left != "" {
			t.Fatalf("seed %d: %q still has %s", seed, text, left)
		}
		if err := root.Decode(&got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: %q:\n%v\nwant\n%v (%v)", seed, text, got, want, err)
		}
	}
}

// shared returns what a tree has of aliases and merge keys, or "".
func shared(n *yaml.Node) string {
	if n.Kind == yaml.AliasNode || n.Tag == mergeTag {
		return "an alias or a merge key: " + show(n)
	}
	for _, c := range n.Content {
		if left := shared(c); left != "" {
			return left
		}
	}
	return ""
}

// laughs returns a document with aliases that make it a power of ten times as large.
func laughs(power int) string {
	text := "k0: &b0 [a, a, a, a, a, a, a, a, a, a]\n"
	for i := 1; i < power; i++ {
		text += fmt.Sprintf("k%d: &b%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*b%d, ", i-1), 10), ", "))
	}
	return text
}

func TestDocumentsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		pos  Pos
		what string // a part of it
		hint string
	}{
		"nothing":                    {"", Pos{}, empty, "at least zones"},
		"only a comment":             {"# zones\n", Pos{}, empty, "at least zones"},
		"null":                       {"~", Pos{}, empty, "at least zones"},
		"two documents":              {"a: 1\n---\nb: 2\n", Pos{2, 1}, "a second YAML document", "one file holds one document"},
		"unknown anchor":             {"a: 1\nb: *none\n", Pos{Line: 2}, `unknown anchor "none"`, "&none before its first alias"},
		"anchor in itself":           {"a: &x\n  b: *x\n", Pos{2, 6}, `alias "*x" is inside its own anchor`, "cannot contain itself"},
		"billion laughs":             {laughs(9), Pos{Line: 4}, "aliases make the document more than 10 times as large", "write their values out"},
		"merge of a scalar":          {"a: {<<: 1}\n", Pos{1, 9}, `"<<" merges`, "a mapping or a list of mappings"},
		"merge of a list of scalars": {"a: {<<: [1]}\n", Pos{1, 10}, `"<<" merges`, "a mapping or a list of mappings"},
		"tag of a program":           {"a: !!python/object:os.system x\n", Pos{1, 4}, `tag "!!python/object:os.system" is not known`, "leave the tag out"},
		"local tag":                  {"a:\n  - !secret x\n", Pos{2, 5}, `tag "!secret" is not known`, "leave the tag out"},
		"tab":                        {"a:\n\tb: 1\n", Pos{Line: 2}, "invalid YAML", "the line is indented with a tab; use spaces"},
		"variable in brackets":       {"a: [${NAME}]\nb: {c\n", Pos{}, "invalid YAML", ""},
	} {
		root, problem := Parse([]byte(c.text))
		switch {
		case problem == nil:
			t.Errorf("%s: accepted as %s", name, show(root))
		case !strings.Contains(problem.What, c.what) || !strings.Contains(problem.Hint, c.hint):
			t.Errorf("%s: %q, %q; want %q, %q", name, problem.What, problem.Hint, c.what, c.hint)
		case c.pos.Line != 0 && problem.Pos.Line != c.pos.Line || c.pos.Column != 0 && problem.Pos.Column != c.pos.Column:
			t.Errorf("%s: at %v, want %v", name, problem.Pos, c.pos)
		}
	}
	if _, problem := Parse([]byte(laughs(3))); problem != nil {
		t.Errorf("a thousand nodes by aliases are refused: %v", problem.What)
	}
}

func TestTextThatIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		pos  Pos
		what string
	}{
		"NUL":              {"a: b\nc: \x00", Pos{2, 4}, "a NUL byte: not a text file"},
		"control":          {"a: \x1b[0m", Pos{1, 4}, "a control character (0x1b)"},
		"delete":           {"\x7f", Pos{1, 1}, "a control character (0x7f)"},
		"Latin-1":          {"a: caf\xe9", Pos{1, 7}, "byte 0xe9 is not UTF-8"},
		"cut in a letter":  {"a: \xc3", Pos{1, 4}, "byte 0xc3 is not UTF-8"},
		"surrogate":        {"a: \xed\xa0\x80", Pos{1, 4}, "byte 0xed is not UTF-8"},
		"after a letter é": {"é: \x01", Pos{Line: 1}, "a control character (0x01)"},
	} {
		problem := CheckText([]byte(c.text))
		if problem == nil || problem.What != c.what || problem.Pos.Line != c.pos.Line || c.pos.Column != 0 && problem.Pos.Column != c.pos.Column {
			t.Errorf("%s: %+v, want %q at %v", name, problem, c.what, c.pos)
		}
	}
	for _, text := range []string{"", "a: b\n", "a:\tb\r\n", "é: 日本\n", strings.Repeat("x", 100) + "\u00a0"} {
		if problem := CheckText([]byte(text)); problem != nil {
			t.Errorf("%q: %v", text, problem.What)
		}
	}
}

// TestTreesOfSeveralFiles merges mappings under the same key, and keeps other keys twice, for the error of a duplicate.
func TestTreesOfSeveralFiles(t *testing.T) {
	doc := Tree(nil)
	for i, text := range []string{"pools: {a: 1}\nttl: 1\n", "pools:\n  b: 2\nzones: {}\n", "ttl: 3\npools: {a: 4}\n"} {
		root, problem := Parse([]byte(text))
		if problem != nil {
			t.Fatal(problem.What)
		}
		doc.AddTree(root, 10*i)
	}
	var got []string
	for key, value := range doc.Entries(doc.Root) {
		got = append(got, fmt.Sprintf("%s@%d %s", key.Value, key.Line, value.Value))
	}
	if want := "[pools@1  ttl@2 1 zones@13  ttl@21 3]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	got = nil
	for key, value := range doc.Entries(Child(doc.Root, "pools")) {
		got = append(got, fmt.Sprintf("%s@%d %s", key.Value, key.Line, value.Value))
	}
	if want := "[a@1 1 b@12 2 a@22 4]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}
