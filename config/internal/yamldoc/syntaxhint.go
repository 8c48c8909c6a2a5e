package yamldoc

import (
	"bytes"
	"regexp"
)

// bareVariable matches an unquoted environment variable within brackets.
var bareVariable = regexp.MustCompile(`[{,\[][^"'#]*\$\{`)

// syntaxHint returns the likely cause of a YAML syntax error on a line, and the line near it that has the cause; "" if
// the cause is not known.
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

// tabIndented reports whether a line has a tab before its content.
func tabIndented(line []byte) bool {
	content := bytes.TrimLeft(line, " \t")
	return len(content) > 0 && content[0] != '#' && bytes.IndexByte(line[:len(line)-len(content)], '\t') >= 0
}
