package yamldoc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"meridian/errtext"

	"gopkg.in/yaml.v3"
)

// Parse parses data into the tree of its one document, without aliases, merge keys and foreign tags. It returns
// only the first error: nothing in the file is reliable after it.
func Parse(data []byte) (*yaml.Node, *Error) {
	root, problem := parseTree(data)
	if problem != nil {
		return nil, problem
	}
	return root, expand(root)
}

// parseTree parses the one document in data by yaml.v3.
func parseTree(data []byte) (*yaml.Node, *Error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	first, err := next(decoder)
	switch {
	case errors.Is(err, io.EOF):
		return nil, &Error{What: empty, Hint: "a configuration has at least zones"}
	case err != nil:
		return nil, syntaxError(data, err)
	}
	second, err := next(decoder)
	switch {
	case err == nil:
		return nil, &Error{Pos: PosOf(second), What: "a second YAML document", Hint: "one file holds one document"}
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(data, err)
	}
	root := first.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, &Error{What: empty, Hint: "a configuration has at least zones"}
	}
	return root, nil
}

// next parses one document. The parser has panicked on unusual input before, and no file may crash a server on reload:
// a panic becomes a syntax error.
func next(decoder *yaml.Decoder) (document *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: the parser failed: %v", r)
		}
	}()
	document = new(yaml.Node)
	if err := decoder.Decode(document); err != nil {
		return nil, err
	}
	return document, nil
}

// CheckText rejects data that is not text, at the first octet that shows it.
func CheckText(data []byte) *Error {
	for i := 0; ; {
		i += asciiPrefix(data[i:])
		if i == len(data) {
			return nil
		}
		c := data[i]
		size := 1
		switch {
		case c == 0:
			return &Error{Pos: posAt(data, i), What: "a NUL byte: not a text file", Hint: "a configuration is YAML in UTF-8"}
		case c < ' ' && c != '\t' && c != '\r', c == 0x7f:
			return &Error{Pos: posAt(data, i), What: fmt.Sprintf("a control character (0x%02x)", c), Hint: "a configuration is YAML in UTF-8"}
		case c >= utf8.RuneSelf:
			var r rune
			r, size = utf8.DecodeRune(data[i:])
			if r == utf8.RuneError && size == 1 {
				return &Error{Pos: posAt(data, i), What: fmt.Sprintf("byte 0x%02x is not UTF-8", c), Hint: "a configuration is YAML in UTF-8"}
			}
		}
		i += size
	}
}

// asciiPrefix returns the length of the prefix of data that any text may have: printable ASCII characters and line
// feeds.
func asciiPrefix(data []byte) int {
	i := 0
	for i+8 <= len(data) && isASCII(binary.LittleEndian.Uint64(data[i:])) {
		i += 8
	}
	for i < len(data) && (data[i] >= ' ' && data[i] <= '~' || data[i] == '\n') {
		i++
	}
	return i
}

// isASCII reports whether all eight octets are printable ASCII or line feeds. It computes on all eight at once: an
// octet below 128 does not carry into another, and its top bit is the result.
func isASCII(octets uint64) bool {
	const (
		each = 0x0101010101010101
		top  = 0x80 * each
	)
	low := octets &^ top
	printed := low + (0x80-' ')*each          // from the space on
	last := low + each                        // only DEL carries
	feed := (low ^ '\n'*each) + (0x80-1)*each // all but the line feed carry
	return (octets|^printed&feed|last)&top == 0
}

// invalidLineBreak returns the offset of the first character that ends a line and is not a line feed (YAML 1.1 5.4), or
// that YAML does not allow; -1 if there is none.
func invalidLineBreak(data []byte) int {
	for i := 0; ; {
		i += asciiPrefix(data[i:])
		if i == len(data) {
			return -1
		}
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == '\r', r >= 0x80 && r < 0xa0, r == '\u2028', r == '\u2029', r == '\ufeff', r == '\ufffe', r == '\uffff':
			return i
		}
		i += size
	}
}

// posAt returns the position of the octet at offset; columns count characters.
func posAt(data []byte, offset int) Pos {
	before := data[:offset]
	line := bytes.LastIndexByte(before, '\n') + 1
	return Pos{
		Line:   uint32(bytes.Count(before, []byte("\n")) + 1),
		Column: uint32(utf8.RuneCount(before[line:]) + 1),
	}
}

// syntaxLine splits the messages of yaml.v3.
var syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

// syntaxError converts an error of yaml.v3. Most messages have a line: that of the innermost collection for errors
// inside one, and otherwise one too low unless the scanner failed. For a broken block collection, which may span the
// whole file, the line where reading stopped is more useful.
func syntaxError(data []byte, err error) *Error {
	match := syntaxLine.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\n", " "))
	if match == nil {
		return &Error{Pos: Pos{1, 1}, What: "invalid YAML: " + err.Error()}
	}
	what := match[2]
	line, _ := strconv.Atoi(match[1]) // 0 if the message has none
	switch {
	case strings.HasPrefix(what, "unknown anchor "):
		return unknownAnchor(data, what)
	case what == "did not find expected key" || what == "did not find expected '-' indicator":
		line = syntaxErrorLine(data)
	case strings.HasPrefix(what, "did not find expected "):
		line++
	}
	last := int(posAt(data, len(bytes.TrimRight(data, "\r\n"))).Line)
	line = min(max(line, 1), last)
	hint, line := syntaxHint(data, line)
	return &Error{Pos: Pos{uint32(line), 1}, What: "invalid YAML: " + what, Hint: hint}
}

// unknownAnchor finds the alias with the anchor that the parser did not find.
func unknownAnchor(data []byte, what string) *Error {
	name := strings.TrimSuffix(strings.TrimPrefix(what, "unknown anchor '"), "' referenced")
	// Not an alias: a part of another one, of a comment or of a quoted text.
	alias := regexp.MustCompile(`(?m)^(?:(?:[^#"'\n]|"[^"\n]*"|'[^'\n]*')*[ ,\[{])?(\*` + regexp.QuoteMeta(name) + `)(?:[^0-9A-Za-z_-]|$)`)
	at := 0
	if found := alias.FindSubmatchIndex(data); found != nil {
		at = found[2]
	}
	return &Error{
		Pos:  posAt(data, at),
		What: "invalid YAML: unknown anchor " + errtext.Quote(name),
		Hint: "an anchor is written &" + name + " before its first alias",
	}
}

// lookahead is how far the parser reads into a line to know how it begins.
const lookahead = 4

// syntaxErrorLine returns the line on which the parser gives up. It parses again from a reader that returns single
// octets.
func syntaxErrorLine(data []byte) int {
	r := &byteReader{data: data}
	decoder := yaml.NewDecoder(r)
	for {
		if _, err := next(decoder); err != nil {
			break
		}
	}
	stop := posAt(data, r.read)
	if stop.Column <= lookahead+1 {
		return int(stop.Line) - 1
	}
	return int(stop.Line)
}

// byteReader reads one octet at a time and counts the octets read.
type byteReader struct {
	data []byte
	read int
}

func (t *byteReader) Read(p []byte) (int, error) {
	if t.read == len(t.data) {
		return 0, io.EOF
	}
	p[0] = t.data[t.read]
	t.read++
	return 1, nil
}
