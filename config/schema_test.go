package config

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// compiledSchema returns the schema, ready to validate.
func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := json.Marshal(Schema())
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// validates reports whether the schema accepts a YAML document, as an editor reads it.
func validates(t *testing.T, schema *jsonschema.Schema, document []byte) error {
	t.Helper()
	var value any
	if err := yaml.Unmarshal(document, &value); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(withTextKeys(value))
	if err != nil {
		return err // such as .nan, which JSON does not have
	}
	instance, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(instance)
}

// withTextKeys replaces the keys of mappings that YAML reads as numbers.
func withTextKeys(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, v := range value {
			value[key] = withTextKeys(v)
		}
	case map[any]any:
		texts := make(map[string]any)
		for key, v := range value {
			text, _ := json.Marshal(key)
			texts[strings.Trim(string(text), `"`)] = withTextKeys(v)
		}
		return texts
	case []any:
		for i, v := range value {
			value[i] = withTextKeys(v)
		}
	}
	return value
}

func TestSchemaAcceptsValidConfigurations(t *testing.T) {
	schema := compiledSchema(t)
	found := 0
	accepts := func(file string, document []byte) {
		if _, _, err := Parse(file, document); err != nil {
			return // another test requires that the documented ones are valid
		}
		found++
		if err := validates(t, schema, document); err != nil {
			t.Errorf("%s: %v in\n%s", file, err, document)
		}
	}
	for _, folder := range []string{"testdata", "../docs", "../README.md", "../testdata", "../deploy", "../cmd", "../server"} {
		err := filepath.WalkDir(folder, func(file string, _ fs.DirEntry, err error) error {
			for _, document := range documentsIn(t, file) {
				accepts(file, document)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 100 {
		t.Errorf("only %d configurations found", found)
	}
}

var documentedYAML = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")

// documentsIn returns the configurations in a file.
func documentsIn(t *testing.T, file string) (all [][]byte) {
	t.Helper()
	switch filepath.Ext(file) {
	case ".md":
		for _, block := range documentedYAML.FindAllSubmatch(readFile(t, file), -1) {
			all = append(all, block[1])
		}
	case ".txtar":
		for _, f := range txtar.Parse(readFile(t, file)).Files {
			if filepath.Ext(f.Name) == ".yaml" {
				all = append(all, f.Data)
			}
		}
	case ".yaml":
		all = append(all, readFile(t, file))
	}
	return all
}

func readFile(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// shapeErrors matches the messages about what a schema can express: keys, kinds of values, closed sets of words.
var shapeErrors = regexp.MustCompile(`unknown (key|policy|check type|load type|dual_stack|fail_open) |; it should be |is neither true nor false` +
	`|has no unit|is not a whole number|does not fit a (check|load) of type|: no (policy|type|name|members|pool|location); `)

// TestSchemaRejectsWhatTheDecoderRejects checks every broken configuration of the fixtures with an error that a
// schema can express.
func TestSchemaRejectsWhatTheDecoderRejects(t *testing.T) {
	schema := compiledSchema(t)
	files, err := filepath.Glob("testdata/faults/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		fixture := txtar.Parse(readFile(t, file))
		document, messages := fixture.Files[0].Data, fixture.Files[1].Data
		var value any
		if !shapeErrors.Match(messages) || yaml.Unmarshal(document, &value) != nil {
			continue
		}
		found++
		if validates(t, schema, document) == nil {
			t.Errorf("%s: the schema accepts it", file)
		}
	}
	if found < 20 {
		t.Errorf("only %d fixtures found", found)
	}
}

func TestSchemaRejectsSingleErrors(t *testing.T) {
	schema := compiledSchema(t)
	for _, document := range []string{
		"frobnicate: 1",
		"server: {listn: [\"127.0.0.1:53\"]}",
		"server: 5",
		"server: {udp_size: 1}",
		"server: {udp_size: \"1232\"}",
		"server: {ecs: 1}",
		"server:",
		"checks: {web: {port: 80}}",
		"checks: {web: {type: htp}}",
		"checks: {web: {type: http, command: [x]}}",
		"checks: {web: {type: exec}}",
		"checks: {web: {type: http, interval: 5}}",
		"checks: {web: {type: http, interval: soon}}",
		"pools: {web: {members: []}}",
		"pools: {web: {policy: weighted, members: {}}}",
		"pools: {web: {policy: weighted, members: [{name: a}]}}",
		"pools: {web: {policy: weighted, members: [{name: a, addresses: [192.0.2.1], target: a.example}]}}",
		"regions: {de: {}}",
		"zones: {example.com: {names: {www: {}}, file: x}}",
		"zones: {example.com: {names: {www: {pool: a, https: {alpn: [spdy]}}}, file: x}}",
	} {
		if _, _, err := Parse("f", []byte(document)); err == nil {
			t.Errorf("the decoder accepts %s", document)
		}
		if validates(t, schema, []byte(document)) == nil {
			t.Errorf("the schema accepts %s", document)
		}
	}
}

func TestSchemaTakesEnvironmentVariablesOnlyWhereTheDecoderDoes(t *testing.T) {
	schema := compiledSchema(t)
	t.Setenv("SIZE", "1232")
	for document, want := range map[string]bool{
		"server: {udp_size: \"${SIZE}\"}":                           true,
		"server: {udp_size: \"${SIZE:-512}\", ecs: \"${E:-true}\"}": true,
		"metrics: {max_series: \"${SIZE}\"}":                        false,
	} {
		if _, _, err := Parse("f", []byte(document)); (err == nil) != want {
			t.Errorf("%s: the decoder says %v", document, err)
		}
		if err := validates(t, schema, []byte(document)); (err == nil) != want {
			t.Errorf("%s: the schema says %v", document, err)
		}
	}
}

// TestSchemaHasEveryKeyOfTheReference checks that no key of the decoder is missing from the schema.
func TestSchemaHasEveryKeyOfTheReference(t *testing.T) {
	text, err := json.Marshal(Schema())
	if err != nil {
		t.Fatal(err)
	}
	for section, keys := range tables(readPage(t)) {
		for _, key := range keys {
			if !strings.Contains(string(text), `"`+key+`":{`) {
				t.Errorf("the schema lacks %s of %s", key, section)
			}
		}
	}
}
