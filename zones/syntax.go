package zones

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"meridian/config"
)

// unparsed is the fault of an entry that the parser does not understand. Its
// error tells the place in words alone: `FILE: dns: WHAT: "TOKEN" at line: LINE:COLUMN`.
func (l *loader) unparsed(err error) (entry, *config.Fault) {
	text := err.Error()
	s := l.reading[0]
	for path, candidate := range l.read {
		if strings.HasPrefix(text, path+": ") && len(path) >= len(s.path) {
			s = candidate
		}
	}
	text = strings.TrimPrefix(strings.TrimPrefix(text, s.path+": "), "dns: ")
	text, pos := cutPosition(text)
	at := entry{s.path, s.entryAt(pos.Line)}
	if s.generate {
		pos = config.Pos{Line: s.start, Column: 1} // the parser counts the lines that $GENERATE makes
		at.line = s.start
	}
	f := l.c.at(place{origin: s.origin}, "", "")
	f.Pos = pos
	f.What, f.Hint = explain(text)
	var include *includeError
	if errors.As(err, &include) {
		f.What, f.Hint = fmt.Sprintf("cannot include %q: %s", l.display(include.path), include.err), ""
	}
	return at, &f
}

// cutPosition cuts the place off the parser's message.
func cutPosition(text string) (string, config.Pos) {
	i := strings.LastIndex(text, " at line: ")
	if i < 0 {
		return text, config.Pos{Line: 1, Column: 1}
	}
	line, column, _ := strings.Cut(text[i+len(" at line: "):], ":")
	return text[:i], config.Pos{Line: number(line), Column: number(column)}
}

// number is a line or column; they count from 1.
func number(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32)
	return uint32(max(n, 1))
}

// explain puts the parser's message into our words where it is hard to make out.
func explain(text string) (what, hint string) {
	what, token := text, ""
	if i := strings.Index(text, `: "`); i >= 0 {
		what, token = text[:i], clip(text[i+2:])
	}
	switch {
	case what == "unexpected newline":
		return "the record has no data", "want NAME TTL TYPE DATA"
	case token == `"\n"` || token == `""` || token == `" "`:
		return what, "the record ends too early"
	case strings.HasPrefix(what, "expecting RR type"), what == "not a TTL":
		return token + " is no TTL, class or type", "want NAME TTL TYPE DATA"
	case what == "unknown RR type":
		return "unknown type", "want TYPE0 to TYPE65535"
	case what == "garbage after rdata":
		return token + " is after the end of the record", "text with blanks needs quotes, a comment begins with ;"
	case what == "bad owner name", what == "bad origin name":
		return token + " is not a domain name", ""
	case strings.HasPrefix(what, "expecting $"):
		_, directive, _ := strings.Cut(what, " ")
		directive, _, _ = strings.Cut(directive, " ")
		return token + " is not what " + directive + " takes", ""
	case what == "unbalanced brace":
		return `"(" is never closed`, ""
	case what == "extra closing brace":
		return `")" closes nothing`, ""
	case token == "":
		return what, ""
	}
	return what + " " + token, ""
}

// clip is a long text made short enough for a message.
func clip(s string) string {
	const longest = 80
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "..."
}

// plainError is an error of the dns package without its name.
func plainError(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "dns: "))
}
