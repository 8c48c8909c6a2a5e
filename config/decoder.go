package config

import (
	"os"
	"slices"
	"strings"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// decoder converts the nodes of a document into a Config and collects all errors. It keeps only the nodes of the
// current mapping. It records errors by position: their paths are computed once, at the end, so that a valid document
// does not pay for them.
type decoder struct {
	file           string
	sources        sourceFiles
	incomplete     bool // a file is unusable: missing keys and names may be in it
	defaults       defaults
	doc            *yamldoc.Document
	errs           diagnostics
	warnings       diagnostics
	references     []reference         // names that were not defined yet
	declared       map[kind]defined    // no entry for an unreadable section
	poolEdges      map[string][]edge   // the nested pools of each pool
	checkEdges     map[string][]edge   // the checks in each composite check
	groupUses      []groupUse          // country groups in matches
	databaseTerms  []databaseTerm      // values of matches that a database must know
	settings       map[setting]nodeKey // keys of pools that may have no effect
	loadUses       []loadUse           // loads and capacities of members and regions
	zoneUses       []zoneUse           // of query_log
	selectorUses   []selectorUse       // of maintenance
	metricsAt      nodeKey             // the zero value: none
	trustAt        nodeKey             // the same
	clusterAt      nodeKey             // the same
	firstSigned    nodeKey             // the first zone that names a policy; the zero value: none
	firstLive      nodeKey             // the first pools: live of a zone with a serial that is not the time
	firstUpdated   nodeKey             // the first list of rules of updates
	firstOverTLS   nodeKey             // the first rule of transfers over TLS
	variables      map[nodeKey]string  // the environment variables of values
	variableValues map[string]string   // their values

	regionTargets []regionTarget // targets with the client subnet of a region

	shapes *shapes // nil, except to make the schema

	environment  lookup
	memberChecks []memberCheck // checks with a member's own settings
	checkSources []checkSource // the sources of the checks
}

func newDecoder(file string, doc *yamldoc.Document) *decoder {
	d := &decoder{
		file:    file,
		sources: sourceFiles{{name: file}},

		environment: os.LookupEnv,
		defaults:    newDefaults(),
		doc:         doc,
		declared:    map[kind]defined{kindRegion: {}, kindCheck: {}, kindLoad: {}, kindPool: {}, kindGroup: {}, kindView: {}, kindSigning: {}, kindTSIG: {}},
		poolEdges:   make(map[string][]edge),
		settings:    make(map[setting]nodeKey),
		checkEdges:  make(map[string][]edge),

		variables:      make(map[nodeKey]string),
		variableValues: make(map[string]string),
	}
	d.declareGroups()
	d.declared[kindSigning][DefaultSigning] = &definition{name: DefaultSigning, used: true}
	return d
}

// setter decodes one value into a fixed place.
type setter func(*yaml.Node)

// field is a key that a mapping may have.
type field struct {
	name    string
	set     setter
	refused string // reason why the key is rejected here; empty: accepted
}

// maxKeys is an upper bound of the number of keys of a mapping.
const maxKeys = 64

// mapping reads the values of n by their keys. Keys that n does not have keep their defaults. It reports whether n is a
// mapping.
func (d *decoder) mapping(n *yaml.Node, keys []field) bool {
	if !d.kind(n, yaml.MappingNode) {
		return false
	}
	d.shapes.mapping(n, keys)
	var seen [maxKeys]Pos
	for name, value := range yamldoc.Pairs(n) {
		i := slices.IndexFunc(keys, func(f field) bool { return f.name == name.Value })
		switch {
		case i < 0 || name.Kind != yaml.ScalarNode:
			d.unknownKey(name, keys)
		case keys[i].refused != "":
			d.errorf(name, keys[i].refused, known(keys))
		case seen[i].Line > 0:
			d.errorf(name, "duplicate key "+quote(name.Value), d.firstAt(seen[i], name))
		default:
			seen[i] = posOf(name)
			keys[i].set(value)
		}
	}
	return true
}

func (d *decoder) unknownKey(name *yaml.Node, keys []field) {
	if name.Kind != yaml.ScalarNode {
		d.errorf(name, "the key is "+yamldoc.Describe(name), known(keys))
		return
	}
	hint := known(keys)
	if i := slices.IndexFunc(accepted(keys), func(key string) bool { return strings.EqualFold(key, name.Value) }); i >= 0 {
		hint = "did you mean " + quote(accepted(keys)[i]) + "? " + caseOf(accepted(keys)[i])
	} else if near, ok := Nearest(name.Value, accepted(keys)); ok {
		hint = "did you mean " + quote(near) + "?"
	}
	d.errorf(name, "unknown key "+quote(name.Value), hint)
}

// caseOf says in which case a key is written: record types are in capitals.
func caseOf(key string) string {
	if key == strings.ToUpper(key) {
		return "types are in capitals"
	}
	return "keys are in lower case"
}

func accepted(keys []field) []string {
	var names []string
	for _, k := range keys {
		if k.refused == "" {
			names = append(names, k.name)
		}
	}
	return names
}

func known(keys []field) string { return "known: " + strings.Join(accepted(keys), ", ") }

// required reports an error if mapping n lacks a key.
func (d *decoder) required(n *yaml.Node, name, hint string) {
	if yamldoc.Child(n, name) == nil && !d.incomplete {
		d.shapes.require(n, name)
		d.errorAtKey(n, "no "+name, hint)
	}
}

// exactlyOne reports an error if mapping n has none of the keys, or more than one.
func (d *decoder) exactlyOne(n *yaml.Node, names ...string) { d.exactlyOneOr(n, "", names...) }

// exactlyOneOr is exactlyOne, except that mapping n may have none of the keys if it has another one.
func (d *decoder) exactlyOneOr(n *yaml.Node, other string, names ...string) {
	d.shapes.oneKey(n, oneOfKeys{names, other})
	has := func(name string) bool { return yamldoc.Child(n, name) != nil }
	first := slices.IndexFunc(names, has)
	switch {
	case first < 0 && (d.incomplete || other != "" && has(other)):
		return
	case first < 0:
		d.errorAtKey(n, "none of "+strings.Join(names, ", "), "write exactly one")
		return
	}
	if i := slices.IndexFunc(names[first+1:], has); i >= 0 {
		second := names[first+1+i]
		d.errorf(yamldoc.Child(n, second), second+" beside "+names[first], "write exactly one of "+strings.Join(names, ", "))
	}
}

// atMostOne reports an error if mapping n has more than one of the keys.
func (d *decoder) atMostOne(n *yaml.Node, names ...string) {
	first := ""
	for key := range yamldoc.Pairs(n) {
		switch {
		case !slices.Contains(names, key.Value) || key.Value == first:
		case first == "":
			first = key.Value
		default:
			d.errorf(yamldoc.Child(n, key.Value), key.Value+" beside "+first, "write one of "+strings.Join(names, ", "))
			return
		}
	}
}

// userMapping reads a mapping with keys chosen by the user: parse converts a key into a unique K, and entry reads the
// value. It returns the position of each key.
func userMapping[K comparable](d *decoder, n *yaml.Node, parse func(key *yaml.Node) (K, bool), entry func(k K, key, value *yaml.Node)) map[K]Pos {
	if !d.kind(n, yaml.MappingNode) {
		return nil
	}
	d.shapes.userMapping(n)
	seen := make(map[K]Pos, d.doc.Count(n))
	for key, value := range d.doc.Entries(n) {
		if key.Kind != yaml.ScalarNode {
			d.errorf(key, "the key is "+yamldoc.Describe(key), "a key is a plain word")
			continue
		}
		k, ok := parse(key)
		if !ok {
			continue
		}
		if first, twice := seen[k]; twice {
			if d.doc.Outlined() && d.otherFile(first, posOf(key)) { // yaml.v3 may merge the two
				d.doc.FallBack(yamldoc.PosOf(key), quote(key.Value)+" in two files; "+d.firstAt(first, key))
				return seen
			}
			d.errorf(key, "duplicate key "+quote(key.Value), d.firstAt(first, key))
			continue
		}
		seen[k] = posOf(key)
		d.shapes.entry(value)
		entry(k, key, value)
	}
	return seen
}

// list reads a list, item by item. It reports whether n is a list.
func (d *decoder) list(n *yaml.Node, item setter) bool {
	if !d.kind(n, yaml.SequenceNode) {
		return false
	}
	for _, node := range n.Content {
		item(node)
	}
	return true
}

// quoteList returns the words of a text as the items of a list.
func quoteList(text string) string {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
	for i, w := range words {
		words[i] = quote(w)
	}
	return strings.Join(words, ", ")
}

// kind reports an error if n is not of the kind want.
func (d *decoder) kind(n *yaml.Node, want yaml.Kind) bool {
	d.shapes.see(n)
	switch {
	case yamldoc.IsNull(n):
		d.noValue(n, want)
	case want == yaml.SequenceNode && n.Kind == yaml.ScalarNode:
		d.errorf(n, "found "+yamldoc.Describe(n), "it should be a list: ["+quoteList(n.Value)+"]")
	case n.Kind != want:
		d.errorf(n, "found "+yamldoc.Describe(n), "it should be "+yamldoc.KindName(want))
	default:
		return true
	}
	d.shapes.reject(n)
	return false
}

// noValue reports a key without a value.
func (d *decoder) noValue(n *yaml.Node, want yaml.Kind) {
	hint := "give it one or leave the key out"
	switch want {
	case yaml.MappingNode:
		hint = "write {} for none, or leave the key out"
	case yaml.SequenceNode:
		hint = "give it a list or leave the key out"
	}
	d.errorAtKey(n, "no value", hint)
}
