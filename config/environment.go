package config

import (
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// variablePattern is a scalar that takes an environment variable: ${NAME} or ${NAME:-default}.
var variablePattern = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:-)(.*))?\}$`)

// lookup returns the value of an environment variable and whether it is set.
type lookup func(name string) (value string, set bool)

// withEnvironment reads a section that allows environment variables in scalars, so that one configuration serves
// several nodes.
func (d *decoder) withEnvironment(read setter) setter {
	return func(n *yaml.Node) {
		d.substituteVariables(n)
		read(n)
	}
}

// substituteVariables replaces the environment variables in n and below by their values.
func (d *decoder) substituteVariables(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		d.substituteVariable(n)
	}
	for i, child := range n.Content {
		if isKey := n.Kind == yaml.MappingNode && i%2 == 0; !isKey {
			d.substituteVariables(child)
		}
	}
}

// substituteVariable replaces the environment variable in n by its value. As in a shell, the default also applies to an empty
// variable. The value is read like an unquoted value in the file.
func (d *decoder) substituteVariable(n *yaml.Node) {
	match := variablePattern.FindStringSubmatch(n.Value)
	if match == nil || strings.Contains(match[3], variableStart) {
		d.rejectPartialVariable(n)
		return
	}
	value, set := d.environment(match[1])
	if set {
		d.variableValues[match[1]] = value
	}
	if byDefault := match[2] != ""; byDefault && value == "" {
		value, set = match[3], true
	}
	if !set {
		d.errorf(n, "environment variable "+match[1]+" is not set", "set it, or write a default: ${"+match[1]+":-VALUE}")
		d.variables[nodeKeyOf(n)] = unset
		return
	}
	n.Value, n.Style = value, 0
	n.Tag = ""
	n.Tag = n.ShortTag()
	if value == "" {
		n.Tag = "!!str" // an empty string, not null
	}
	d.variables[nodeKeyOf(n)] = match[1]
}

// variableStart begins an environment variable.
const variableStart = "${"

// rejectPartialVariable reports a value that has an environment variable, but is not one as a whole, because the text
// of the variable would silently remain in the value.
func (d *decoder) rejectPartialVariable(n *yaml.Node) {
	if strings.Contains(n.Value, variableStart) {
		d.errorf(n, quote(n.Value)+" is not an environment variable as a whole",
			"write ${NAME} or ${NAME:-DEFAULT} as the whole value; NAME has letters, digits and _")
		d.variables[nodeKeyOf(n)] = unset
	}
}

// unset marks a variable that has no value: messages about its place are suppressed.
const unset = "${}"

// variableOf returns the text about the environment variable that a value comes from.
func (d *decoder) variableOf(at nodeKey) string {
	if name := d.variables[at]; name != "" && name != unset {
		return " (from the environment variable " + name + ")"
	}
	return ""
}

// checkLiterals reports texts that look like an environment variable in sections that allow none. It does nothing if
// no line has one.
func (d *decoder) checkLiterals() {
	lines := d.doc.LinesWith(variableStart)
	if len(lines) == 0 {
		return
	}
	l := &pathFinder{doc: d.doc, lines: lines}
	for key, value := range d.doc.Entries(d.doc.Root) {
		switch {
		case allowsVariables(key.Value):
		case key.Value == "checks" || key.Value == "loads":
			d.eachText(l, value, d.warnLiteral)
		default:
			d.eachText(l, value, d.rejectLiteral)
		}
	}
}

// allowsVariables reports whether values in a section may name environment variables.
func allowsVariables(section string) bool {
	return section == "server" || section == "admin" || section == "cluster"
}

// eachText calls check for the keys and the scalars in n.
func (d *decoder) eachText(l *pathFinder, n *yaml.Node, check setter) {
	switch n.Kind {
	case yaml.MappingNode:
		for key, value := range l.doc.EntriesWithin(n, l.wantsAny) {
			check(key)
			d.eachText(l, value, check)
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			d.eachText(l, item, check)
		}
	case yaml.ScalarNode:
		check(n)
	}
}

const variablesOnlyIn = "environment variables are supported only under server and admin"

// warnLiteral warns of a text of a check or load. Commands and patterns may contain ${, so a part of a text is not
// reported.
func (d *decoder) warnLiteral(n *yaml.Node) {
	if variablePattern.MatchString(n.Value) {
		d.warn(n, quote(n.Value)+" is used literally", variablesOnlyIn)
	}
}

// rejectLiteral reports a text that no value of the other sections can have.
func (d *decoder) rejectLiteral(n *yaml.Node) {
	if strings.Contains(n.Value, variableStart) {
		d.errorf(n, quote(n.Value)+" is not replaced by an environment variable", variablesOnlyIn)
	}
}
