package config

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"meridian/config/internal/yamldoc"
)

// result is the complete result of reading a configuration.
type result struct {
	cfg      *Config
	warnings []Error
	err      string
}

func outcomeOf(cfg *Config, warnings []Error, err error) result {
	if err != nil {
		return result{cfg, warnings, err.Error()}
	}
	return result{cfg, warnings, ""}
}

// outlined returns the outline of one file.
func outlined(data []byte) *yamldoc.Document {
	return yamldoc.Outline(data, []yamldoc.File{{End: len(data)}}, layout(), maxWhole)
}

// sameAsOutline checks that data has the same result as an outline and as a whole, and reports whether it can be read
// as an outline.
func sameAsOutline(t testing.TB, data []byte) bool {
	t.Helper()
	if yamldoc.CheckText(data) != nil {
		return false
	}
	doc := outlined(data)
	if doc.Fallback() != nil {
		return false
	}
	got := outcomeOf(newDecoder("config.yaml", doc).decode())
	if doc.Fallback() != nil {
		return false
	}
	want := outcomeOf(parseAtOnce("config.yaml", data))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("by outline\n%+v\nas a whole\n%+v\nof\n%s", got, want, data)
	}
	return true
}

func TestOutlineHasTheSameResultAsTheWhole(t *testing.T) {
	if !sameAsOutline(t, []byte(blockStyle)) || !sameAsOutline(t, manyPools(300)) || !sameAsOutline(t, manyNames(300)) {
		t.Error("what programs write is no outline")
	}
	outlines := 0
	for _, data := range seeds(t) {
		if sameAsOutline(t, data) {
			outlines++
		}
	}
	if outlines < len(seeds(t))/2 {
		t.Errorf("%d of %d fixtures are outlines", outlines, len(seeds(t)))
	}
}

// Random edits produce files like those of editors, templates and typing errors, which no fixture covers.
func TestOutlineOfAnAlteredFileHasTheSameResult(t *testing.T) {
	documents := 5000
	if testing.Short() {
		documents = 500
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	files := append(seeds(t), []byte(blockStyle), []byte(blockStyle), []byte(blockStyle), manyPools(2))
	outlines := 0
	for range documents {
		lines := strings.SplitAfter(string(files[random.IntN(len(files))]), "\n")
		for range 1 + random.IntN(4) {
			lines = altered(random, lines)
		}
		if sameAsOutline(t, []byte(strings.Join(lines, ""))) {
			outlines++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if outlines < documents/10 {
		t.Errorf("%d of %d documents are outlines", outlines, documents)
	}
}

// blockStyle is a configuration in the style of programs.
const blockStyle = `---
# written by a program
geo:
  default: us
  networks:
    10.0.0.0/8:
      region: us
    "2001:db8::/32": {region: eu}
regions:
  us:
    location:
    - 39
    - -77.5
  eu: {location: [50.1, 8.7]}
pools:
  web:
    policy: proximity
    min_up: 50%
    members:
    - addresses:
      - 10.0.0.1
      - 2001:db8::1
      name: a-1
      region: us
      weight: 70
    - name: 'b-1'
      region: eu
      addresses: [10.0.0.2,
        "2001:db8::2"]

  "api":
    policy: weighted # by hand
    members:
      -
        name: x
        addresses: [10.0.0.3]
      - {name: web, pool: web}
zones:
  example.com:
    nameservers: {ns1.example.net: []}
    contact: hostmaster@example.com
    names:
      www: {pool: web}
      "*.t":
        pool: api
        ttl: 5
        https:
          alpn: [h2, h3]
          port: 8443
      # the last one
      2.api: {pool: api, answers: 2}
  example.org:
    file: example.org.zone
    names: {www: {pool: api}}
`

// altered changes one thing in a file.
func altered(random *rand.Rand, lines []string) []string {
	i := random.IntN(len(lines))
	line := lines[i]
	pad := strings.Repeat(" ", random.IntN(7))
	word := pick(random, "~", "null", "yes", "1", "0x1f", "1.5", "2001-01-01", "10.0.0.1", "'a'", `"a b"`, "''", "a b", "a#b", "- a", "-", "{}", "[]", "[a, b]",
		"{a: b}", "{a: , b}", "? a", "a: b", "a:b", "|", ">", "&x", "*x", "!!str a", "<<", "...", "---", "# a", "\t", "é", "\"\\n\"", "'it''s'", "a  ", ":", "::", "a::", "%", "@", ",", "]", "\"")
	switch random.IntN(10) {
	case 0: // another indentation
		lines[i] = pad + strings.TrimLeft(line, " ")
	case 1:
		lines[i] = line + pad + word + "\n"
	case 2:
		lines[i] = line + pad + "# a comment\n"
	case 3:
		lines[i] = line + pad + "\n"
	case 4: // another value
		key, _, _ := strings.Cut(line, ":")
		lines[i] = key + ": " + word + "\n"
	case 5: // a value on a line of its own
		lines[i] = strings.Replace(line, ": ", ":\n"+pad, 1)
	case 6: // a line break or blank in brackets
		at := random.IntN(len(line) + 1)
		lines[i] = line[:at] + pick(random, " ", "\n", "\n"+pad, " "+word+" ", word) + line[at:]
	case 7:
		lines[i] = ""
	case 8: // twice
		lines[i] = line + line
	case 9: // a separate line for each item
		lines[i] = strings.NewReplacer("{", pick(random, "{", "{\n"+pad), ", ", pick(random, ", ", ",", ",\n"+pad), "]", pick(random, "]", " ]", ",]")).Replace(line)
	}
	return lines
}

func pick(random *rand.Rand, words ...string) string { return words[random.IntN(len(words))] }

func FuzzOutline(f *testing.F) {
	for _, data := range append(seeds(f), []byte(blockStyle), []byte(plainFile+"...  a: b\n")) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { sameAsOutline(t, data) })
}

// plainFile is longer than the limit that the tests set.
const plainFile = `pools:
  p: {policy: weighted, members: [{name: a, addresses: [192.0.2.1]}]}
zones:
  example.com:
    file: x
    names:
      www: {pool: p}
`

func TestLargeFileMustBePlain(t *testing.T) {
	tests := []struct{ name, data, want string }{
		{"anchor", plainFile + "geo: &a {}\n", `^f:8:6: an anchor, tag or merge key; a file longer than`},
		{"alias", plainFile + "geo: *a\n", `^f:8:6: an alias; a file longer than`},
		{"tag", plainFile + "      api: {pool: !!str p}\n", `^f:8:19: an anchor, tag or merge key; `},
		{"merge key", plainFile + "      api: {<<: {pool: p}}\n", `^f:8:13: an anchor, tag or merge key; `},
		{"second document", plainFile + "---\nzones: {}\n", `^f:8:1: a document mark`},
		{"CRLF", strings.ReplaceAll(plainFile, "\n", "\r\n"), `^f:1:7: a line break other than LF`},
		{"not in the first column", " a: {}\n" + strings.ReplaceAll(plainFile, "\n", "\n "), `^f:1:2: no key in the first column`},
		{"syntax", plainFile + "      api: [p\n", `^f:8:1: invalid YAML: did not find expected ',' or ']'$`},
		{"indentation", plainFile + "     api: {}\n", `^f:8:6: a document mark, or an indentation other than that of the keys before; `},
		{"long piece", plainFile + "      api: {pool: " + strings.Repeat("é", 60) + "}\n", `^f:8:7: more than that is not in plain form; `},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := parseWithin("f", []byte(test.data), 100)
			expectOneError(t, err, test.want)
		})
	}
	if _, _, err := parseWithin("f", []byte(plainFile), 100); err != nil {
		t.Error(err)
	}
}

// Parts that the decoder skips, such as a duplicate key, must still be valid YAML.
func TestSkippedPartsAreParsedToo(t *testing.T) {
	for _, odd := range []string{"      www: {pool: p}\n    names:\n      a: [\n", "pools:\n  a: b\n  c: [\n"} {
		_, _, err := parseWithin("f", []byte(plainFile+odd), 100)
		expectOneError(t, err, `invalid YAML`)
	}
}
