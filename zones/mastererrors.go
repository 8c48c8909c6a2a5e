package zones

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"meridian/config"
	"meridian/errtext"
)

// unparsed returns the error of an entry that the parser rejects. The parser's error has the position only in its
// text: `FILE: dns: WHAT: "TOKEN" at line: LINE:COLUMN`.
func (l *loader) unparsed(err error) (entry, *config.Error) {
	text := err.Error()
	s := l.source(text)
	text = strings.TrimPrefix(strings.TrimPrefix(text, s.path+": "), "dns: ")
	text, pos := cutPosition(text)
	pos.Line = max(1, pos.Line-min(pos.Line, s.added))
	at := entry{s.path, s.entryAt(pos.Line)}
	what, hint := explain(text)
	switch {
	case s.generate:
		at.line = s.start // the parser counts the lines that $GENERATE makes
		pos = config.Pos{Line: at.line, Column: 1}
	case s.quote:
		what, hint = "a quote is never closed", ""
	case what == neverClosed:
		pos = config.Pos{Line: at.line, Column: 1}
	}
	f := l.c.at(place{origin: s.origin}, "", "")
	f.Pos = pos
	f.What, f.Hint = what, hint
	var include *includeError
	if errors.As(err, &include) {
		f.What, f.Hint = fmt.Sprintf("cannot include %q: %s", l.display(include.path), include.err), ""
	}
	return at, &f
}

// source returns the file at the beginning of the parser's message.
func (l *loader) source(text string) *masterReader {
	found := l.reading[0]
	longest := 0
	for path, s := range l.read {
		if strings.HasPrefix(text, path+": ") && len(path) > longest {
			found, longest = s, len(path)
		}
	}
	return found
}

// cutPosition cuts the position off the parser's message.
func cutPosition(text string) (string, config.Pos) {
	i := strings.LastIndex(text, " at line: ")
	if i < 0 {
		return text, config.Pos{Line: 1, Column: 1}
	}
	line, column, _ := strings.Cut(text[i+len(" at line: "):], ":")
	return text[:i], config.Pos{Line: number(line), Column: number(column)}
}

// number parses a line or column; they count from 1.
func number(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32)
	return uint32(max(n, 1))
}

const neverClosed = `"(" is never closed`

// explain rewrites a parser message that is hard to understand.
func explain(text string) (what, hint string) {
	what, token := text, ""
	if i := strings.Index(text, `: "`); i >= 0 {
		what, token = text[:i], errtext.Clip(text[i+2:])
	}
	if token == `"unbalanced brace"` || token == `"extra closing brace"` {
		what, token = strings.Trim(token, `"`), ""
	}
	switch what {
	case "unbalanced brace":
		return neverClosed, ""
	case "extra closing brace":
		return `")" closes nothing`, ""
	case "unexpected newline":
		return "the record has no data", form
	case "unknown RR type":
		return what, "want TYPE0 to TYPE65535"
	}
	return explainToken(what, token)
}

const form = "want NAME TTL TYPE DATA"

// explainToken rewrites a message about the token at the error.
func explainToken(what, token string) (string, string) {
	verb, object, _ := strings.Cut(what, " ")
	switch {
	case token == `"\n"` || token == `""` || token == `" "`:
		return bad(what), "the record ends too early"
	case verb == "expecting" && strings.HasPrefix(object, "$"):
		directive, _, _ := strings.Cut(object, " ")
		return token + " is not a valid argument of " + directive, ""
	case verb == "expecting", what == "not a TTL":
		return token + " is not a TTL, class or type", form
	case what == "garbage after rdata":
		return token + " is after the end of the record", "text with blanks needs quotes, a comment begins with ;"
	case what == "bad owner name", what == "bad origin name":
		return token + " is not a domain name", ""
	}
	return strings.TrimSpace(bad(what) + " " + token), ""
}

// bad shortens the parser's message about a type with one field: "bad A A".
func bad(what string) string {
	fields := strings.Fields(what)
	if len(fields) == 3 && fields[0] == "bad" && strings.EqualFold(fields[1], fields[2]) {
		return "bad " + fields[1]
	}
	return what
}

// plainError returns an error of the dns package without the package name.
func plainError(err error) error {
	return errors.New(strings.ReplaceAll(err.Error(), "dns: ", ""))
}
