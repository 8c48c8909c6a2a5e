package config

import (
	"maps"
	"slices"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// Schema returns a JSON Schema (draft 2020-12) of a configuration. It is made by the decoder: this reads documents with
// one value of each kind at each place, and records what the decoder accepts there. The schema accepts every
// configuration that the decoder accepts. It rejects unknown keys, missing keys, and values of a wrong kind; it does not
// know references, addresses and what depends on several keys other than type.
func Schema() map[string]any {
	schema := schemaOf(nil)
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = "Configuration of Meridian"
	return schema
}

// place is a path in a document: the keys from the root, and item for the only item of a list.
type place []string

const item = ""

// under returns the place of a key, or of the item, below p.
func (p place) under(key string) place { return append(slices.Clip(p), key) }

// sampleKeys are keys of which a mapping with the user's own keys accepts at least one: a name, a network, a country.
func sampleKeys() []string { return []string{"ns1.example.com", "10.0.0.0/8", "DE", "eu", "X-Header"} }

// shapeAt decodes a document that has only one value, at p, and returns what the decoder accepts there.
func shapeAt(p place, value *yaml.Node) *shape {
	root := value
	for _, key := range slices.Backward(p) {
		if key == item {
			root = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{root}}
		} else {
			root = mappingOf("", key, root)
		}
	}
	d := newDecoder("schema", &yamldoc.Document{Root: root})
	d.shapes = newShapes()
	d.document()
	return d.shapes.at(value)
}

// mappingOf returns a mapping with a key, unless that is empty, after the key type, unless that is empty.
func mappingOf(kind, key string, value *yaml.Node) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	if kind != "" {
		m.Content = append(m.Content, textNode("type"), textNode(kind))
	}
	if key != "" {
		m.Content = append(m.Content, textNode(key), value)
	}
	return m
}

func textNode(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

// schemaOf returns the schema of the value at a place.
func schemaOf(p place) map[string]any {
	if !seen(p) {
		return map[string]any{} // any value: the decoder reads it only in some documents
	}
	var forms []map[string]any
	for _, of := range []map[string]any{mappingAt(p), listAt(p), scalarAt(p), nullAt(p)} {
		if of != nil {
			forms = append(forms, of)
		}
	}
	if len(forms) == 1 {
		return forms[0]
	}
	return map[string]any{"anyOf": forms}
}

// seen reports whether the decoder looks at a value at p, if it is the only one of the document.
func seen(p place) bool {
	for _, leaf := range []*yaml.Node{textNode("q"), mappingOf("", "", nil), {Kind: yaml.SequenceNode, Tag: "!!seq"}} {
		if shapeAt(p, leaf).seen {
			return true
		}
	}
	return false
}

// mappingAt returns the schema of a mapping at a place; nil if none is accepted.
func mappingAt(p place) map[string]any {
	leaf := mappingOf("", "", nil)
	got := shapeAt(p, leaf)
	switch {
	case got.rejected:
		return nil
	case got.userKeys:
		return userMappingAt(p)
	case got.keys == nil:
		return map[string]any{"type": "object"}
	}
	properties := make(map[string]any)
	for _, key := range got.keys {
		properties[key] = schemaOf(p.under(key))
	}
	schema := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	maps.Copy(schema, presenceAt(p, "", got.keys))
	if types := enumOf(properties["type"]); types != nil {
		schema["allOf"] = variantsAt(p, types, got.keys)
	}
	return schema
}

// enumOf returns the values of a schema that lists them.
func enumOf(schema any) []string {
	of, _ := schema.(map[string]any)
	words, _ := of["enum"].([]string)
	return words
}

// userMappingAt returns the schema of a mapping with the user's own keys.
func userMappingAt(p place) map[string]any {
	schema := map[string]any{"type": "object"}
	for _, key := range sampleKeys() {
		leaf := textNode("q")
		if shapeAt(p.under(key), leaf).entered {
			schema["additionalProperties"] = schemaOf(p.under(key))
			return schema
		}
	}
	return schema
}

// variantsAt returns, for each type of a mapping, the keys that it must and must not have.
func variantsAt(p place, types, keys []string) []map[string]any {
	var all []map[string]any
	for _, kind := range types {
		leaf := mappingOf(kind, "", nil)
		fits := shapeAt(p, leaf).keys
		then := presenceAt(p, kind, fits)
		refused := make(map[string]any)
		for _, key := range keys {
			if !slices.Contains(fits, key) {
				refused[key] = false
			}
		}
		then["properties"] = refused
		all = append(all, map[string]any{
			"if":   map[string]any{"properties": map[string]any{"type": map[string]any{"const": kind}}, "required": []string{"type"}},
			"then": then,
		})
	}
	return all
}

// presenceAt returns the keys that a mapping of a type lacks, whichever other key it has.
func presenceAt(p place, kind string, keys []string) map[string]any {
	leaf := mappingOf(kind, "", nil)
	first := shapeAt(p, leaf)
	required, groups := first.required, first.exactlyOne
	for _, key := range keys {
		if key == "type" {
			continue
		}
		leaf := mappingOf(kind, key, textNode("q"))
		got := shapeAt(p, leaf)
		required = slices.DeleteFunc(slices.Clone(required), func(k string) bool { return k != key && !slices.Contains(got.required, k) })
		groups = slices.DeleteFunc(slices.Clone(groups), func(g oneOfKeys) bool { return !slices.ContainsFunc(got.exactlyOne, g.equal) })
	}
	schema := make(map[string]any)
	if len(required) > 0 {
		schema["required"] = required
	}
	if len(groups) > 0 {
		schema["oneOf"] = eachRequired(groups[0])
	}
	return schema
}

// eachRequired returns one schema for each key, which requires it, and one that requires the other key without any of them.
func eachRequired(group oneOfKeys) []map[string]any {
	var all []map[string]any
	for _, key := range group.keys {
		all = append(all, map[string]any{"required": []string{key}})
	}
	if group.other == "" {
		return all
	}
	return append(all, map[string]any{"required": []string{group.other}, "not": map[string]any{"anyOf": slices.Clone(all)}})
}

// listAt returns the schema of a list at a place; nil if none is accepted.
func listAt(p place) map[string]any {
	leaf := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	if shapeAt(p, leaf).rejected {
		return nil
	}
	schema := map[string]any{"type": "array"}
	if one := textNode("q"); shapeAt(p.under(item), one).seen {
		schema["items"] = schemaOf(p.under(item))
	}
	return schema
}

// scalarAt returns the schema of a single value at a place; nil if none is accepted.
func scalarAt(p place) map[string]any {
	leaf := textNode("q")
	got := shapeAt(p, leaf)
	switch {
	case got.rejected:
		return nil
	case got.scalar == nil:
		return map[string]any{"type": []string{"string", "number", "boolean"}}
	case len(p) > 0 && allowsVariables(p[0]):
		return map[string]any{"anyOf": []map[string]any{got.scalar, {"type": "string", "pattern": `^\$\{.*\}$`}}}
	}
	return got.scalar
}

// nullAt returns the schema of a key without a value; nil if that is not accepted.
func nullAt(p place) map[string]any {
	leaf := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	if shapeAt(p, leaf).rejected {
		return nil
	}
	return map[string]any{"type": "null"}
}
