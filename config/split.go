package config

import (
	"bytes"
	"maps"
	"slices"

	"gopkg.in/yaml.v3"

	"meridian/config/internal/yamldoc"
)

// The parts of a shared configuration that two generations may have differently while a share of the clients gets one of them:
// what decides at balanced names. All else is one for all clients: zone data with its serial, keys, transfers, and what the
// server does beside answers.
var (
	splitSections = []string{"geo", "regions", "checks", "loads", "pools", "views"}
	splitZoneKeys = []string{"names", "ttl"}
)

const splitHint = "push it to all nodes at once, or to some nodes first with --canary NODE"

// CheckSplit returns an error for each part of a shared configuration that differs from the one that serves, and that a share
// of the clients cannot have differently.
func CheckSplit(serving []byte, next Document) error {
	before, problem := splitRoot(serving)
	if problem == nil {
		var after *yaml.Node
		if after, problem = splitRoot(next.Text); problem == nil {
			return Join(splitErrors(next.File, before, after))
		}
	}
	return Join([]Error{{File: next.File, Pos: Pos(problem.Pos), What: problem.What, Hint: problem.Hint}})
}

// splitRoot parses a configuration without the sections that may differ: they are long, and YAML nodes are large. Anchors may
// be used in another section.
func splitRoot(text []byte) (*yaml.Node, *yamldoc.Error) {
	if root, problem := yamldoc.Parse(withoutSplitSections(text)); problem == nil {
		return root, nil
	}
	return yamldoc.Parse(text)
}

// withoutSplitSections returns text with the lines of sections that may differ emptied, so that positions stay.
func withoutSplitSections(text []byte) []byte {
	if bytes.IndexByte(text, '&') >= 0 {
		return text
	}
	var left []byte
	skipping := false
	for line := range bytes.Lines(text) {
		if c := line[0]; c != ' ' && c != '\t' && c != '#' && c != '\n' && c != '\r' && c != '-' {
			name, _, ok := bytes.Cut(line, []byte(":"))
			skipping = ok && slices.Contains(splitSections, string(name))
		}
		if skipping {
			line = []byte("\n")
		}
		left = append(left, line...)
	}
	return left
}

// splitErrors compares the sections of two configurations.
func splitErrors(file string, before, after *yaml.Node) (errs []Error) {
	for _, d := range differing(before, after, splitSections) {
		if d.name != "zones" || d.before == nil || d.after == nil {
			errs = append(errs, d.error(file, d.name))
			continue
		}
		for _, zone := range differing(d.before, d.after, nil) {
			errs = append(errs, zoneErrors(file, "zones."+zone.name, zone)...)
		}
	}
	return errs
}

// zoneErrors compares two forms of a zone.
func zoneErrors(file, path string, zone difference) (errs []Error) {
	if zone.before == nil || zone.after == nil {
		return []Error{zone.error(file, path)}
	}
	for _, d := range differing(zone.before, zone.after, splitZoneKeys) {
		errs = append(errs, d.error(file, path+"."+d.name))
	}
	for _, d := range differing(orEmpty(yamldoc.Child(zone.before, "names")), orEmpty(yamldoc.Child(zone.after, "names")), nil) {
		switch whoami := (difference{"whoami", d.key, yamldoc.Child(orEmpty(d.before), "whoami"), yamldoc.Child(orEmpty(d.after), "whoami")}); {
		case d.before == nil || d.after == nil:
			errs = append(errs, d.error(file, path+".names."+d.name))
		case (whoami.before == nil) != (whoami.after == nil): // a canary has pools only
			errs = append(errs, whoami.error(file, path+".names."+d.name+".whoami"))
		}
	}
	return errs
}

func orEmpty(n *yaml.Node) *yaml.Node {
	if n == nil {
		return new(yaml.Node)
	}
	return n
}

// difference is a key with two values; nil: there is none.
type difference struct {
	name          string
	key           *yaml.Node // in the later configuration, or else in the earlier one
	before, after *yaml.Node
}

// error describes a difference that a share of the clients cannot have.
func (d *difference) error(file, path string) Error {
	e := Error{File: file, Path: path, Hint: splitHint}
	switch {
	case d.after == nil:
		e.What = "a share of the clients cannot be without it while others have it"
	case d.before == nil:
		e.Pos, e.What = posOf(d.key), "a share of the clients cannot have it while others do not"
	default:
		e.Pos, e.What = posOf(d.key), "a share of the clients cannot have another value than the others"
	}
	return e
}

// differing returns the keys of two mappings with different values, in the order written, without those that may differ.
func differing(before, after *yaml.Node, may []string) (all []difference) {
	earlier := map[string][2]*yaml.Node{}
	for key, value := range yamldoc.Pairs(orEmpty(before)) {
		earlier[key.Value] = [2]*yaml.Node{key, value}
	}
	for key, value := range yamldoc.Pairs(orEmpty(after)) {
		was := earlier[key.Value][1]
		delete(earlier, key.Value)
		if !slices.Contains(may, key.Value) && (was == nil || !sameValue(was, value)) {
			all = append(all, difference{key.Value, key, was, value})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(earlier)) {
		if was := earlier[name]; !slices.Contains(may, name) {
			all = append(all, difference{name, was[0], was[1], nil})
		}
	}
	return all
}

// sameValue compares two values; the order of keys does not count.
func sameValue(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Kind == yaml.ScalarNode && (a.Value != b.Value || a.ShortTag() != b.ShortTag()) || len(a.Content) != len(b.Content) {
		return false
	}
	if a.Kind == yaml.MappingNode {
		return len(differing(a, b, nil)) == 0
	}
	for i := range a.Content {
		if !sameValue(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}
