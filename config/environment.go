package config

import (
	"bytes"
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
	if match == nil {
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

// unset marks a variable that is not set: messages about its place are suppressed.
const unset = "${}"

// variableOf returns the text about the environment variable that a value comes from.
func (d *decoder) variableOf(at nodeKey) string {
	if name := d.variables[at]; name != "" && name != unset {
		return " (from the environment variable " + name + ")"
	}
	return ""
}

// warnLiterals warns of scalars that look like an environment variable in places that allow none. It does nothing if no
// line has one.
func (d *decoder) warnLiterals() {
	lines := d.variableLines()
	if len(lines) == 0 {
		return
	}
	l := &pathFinder{doc: d.doc, lines: lines}
	for key, value := range d.doc.entries(d.doc.root) {
		if !allowsVariables(key.Value) {
			d.warnLiteralsIn(l, value)
		}
	}
}

// allowsVariables reports whether values in a section may name environment variables.
func allowsVariables(section string) bool {
	return section == "server" || section == "admin" || section == "cluster"
}

func (d *decoder) warnLiteralsIn(l *pathFinder, n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		for _, value := range l.doc.entriesWithin(n, l.wantsAny) {
			d.warnLiteralsIn(l, value)
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			d.warnLiteralsIn(l, item)
		}
	case yaml.ScalarNode:
		if variablePattern.MatchString(n.Value) {
			d.warn(n, quote(n.Value)+" is used literally", "environment variables are supported only under server and admin")
		}
	}
}

// variableLines returns the lines that may have a scalar such as ${NAME}.
func (d *decoder) variableLines() (lines []int) {
	data, line := d.doc.data, 1
	for len(data) > 0 {
		at := bytes.Index(data, []byte("${"))
		if at < 0 {
			return lines
		}
		line += bytes.Count(data[:at], []byte{'\n'})
		end := bytes.IndexByte(data[at:], '\n')
		if end < 0 {
			end = len(data) - at
		}
		if strings.Contains(string(data[at:at+end]), "}") {
			lines = append(lines, line)
		}
		data = data[at+end:]
	}
	return lines
}
