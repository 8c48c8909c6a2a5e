package yamldoc

import "bytes"

// lineScanner walks over the lines of a text that have content other than blanks and comments.
type lineScanner struct {
	data   []byte // ends at the end of the text
	start  int    // offset of the line in data
	line   int    // its number in the document, from 1
	indent int    // spaces before its content; pastLast after the last line
}

// pastLast is less than any indentation.
const pastLast = -1

// skipBlank stays on the line if it has content, or moves to the next line with content.
func (l *lineScanner) skipBlank() {
	for l.start < len(l.data) {
		at := l.start
		for at < len(l.data) && l.data[at] == ' ' {
			at++
		}
		if at < len(l.data) && l.data[at] != '\n' && l.data[at] != '#' {
			l.indent = at - l.start
			return
		}
		l.finishLine(at)
	}
	l.indent = pastLast
}

// finishLine moves to the line after the one that holds the offset at.
func (l *lineScanner) finishLine(at int) {
	length := bytes.IndexByte(l.data[at:], '\n')
	if length < 0 {
		l.start = len(l.data)
	} else {
		l.start = at + length + 1
	}
	l.line++
}

// dash reports whether the line holds an item of a list.
func (l *lineScanner) dash() bool {
	at := l.start + l.indent
	if l.indent < 0 || l.data[at] != '-' {
		return false
	}
	return at+1 == len(l.data) || l.data[at+1] == ' ' || l.data[at+1] == '\n'
}

// pos returns the position of the line's content, or of the end of the text.
func (l *lineScanner) pos() Pos { return Pos{uint32(l.line), uint32(max(l.indent, 0) + 1)} }

// mark reports whether the line begins like a document mark.
func (l *lineScanner) mark() bool {
	rest := l.data[l.start:]
	return bytes.HasPrefix(rest, []byte("---")) || bytes.HasPrefix(rest, []byte("..."))
}

// lineSpan is a part of a document, from the start of one line to the start of another.
type lineSpan struct {
	begin, end  int // offsets
	first, last int // lines
}

// takeEntry returns the text that belongs to the key on the current line and moves past it: up to the next line with
// the same or a smaller indentation, list items excepted. A list may have the same indentation as its key.
func (l *lineScanner) takeEntry() lineSpan {
	p := lineSpan{begin: l.start, first: l.line}
	indent := l.indent
	for {
		l.finishLine(l.start)
		l.skipBlank()
		if l.indent < indent || l.indent == indent && !l.dash() {
			p.end, p.last = l.start, l.line-1
			return p
		}
	}
}
