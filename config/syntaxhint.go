package config

import (
	"bytes"
	"regexp"
)

// bareVariable is an environment variable without quotes within brackets.
var bareVariable = regexp.MustCompile(`[{,\[][^"'#]*\$\{`)

// syntaxHint returns what is likely to be wrong with YAML that does not parse on a line,
// and on which line near that it is; empty: nothing that we know.
func syntaxHint(data []byte, line int) (hint string, at int) {
	lines := bytes.Split(data, []byte{'\n'})
	for at := max(1, line-1); at <= min(line+1, len(lines)); at++ {
		if tabIndented(lines[at-1]) {
			return "the line is indented with a tab; use spaces", at
		}
	}
	if bareVariable.Match(lines[line-1]) {
		return `within brackets an environment variable is quoted: "${NAME}"`, line
	}
	return "", line
}

// tabIndented reports whether a line has a tab in front of its content.
func tabIndented(line []byte) bool {
	content := bytes.TrimLeft(line, " \t")
	return len(content) > 0 && content[0] != '#' && bytes.IndexByte(line[:len(line)-len(content)], '\t') >= 0
}
