package zones

import (
	"bytes"
	"strings"
)

// word is a word of a master file entry: a quoted string without its quotes, or the text between blanks. Escapes are
// unchanged.
type word struct {
	text   string
	quoted bool
}

// String returns the word in master file syntax.
func (w word) String() string {
	if w.quoted {
		return `"` + w.text + `"`
	}
	return w.text
}

// words splits an entry into words; comments, parentheses and line ends are left
// out (RFC 1035 5.1).
func words(entry []byte) []word {
	var all []word
	for text, quoted, rest := nextWord(entry); text != nil; text, quoted, rest = nextWord(rest) {
		all = append(all, word{string(text), quoted})
	}
	return all
}

// nextWord returns the first word of text, or nil, and the text after it.
func nextWord(text []byte) (word []byte, quoted bool, rest []byte) {
	text = skipBlanks(text)
	if len(text) == 0 {
		return nil, false, nil
	}
	if quoted = text[0] == '"'; quoted {
		text = text[1:]
	}
	end := wordEnd(text, quoted)
	word, rest = text[:end:end], text[end:]
	if quoted && len(rest) > 0 {
		rest = rest[1:]
	}
	return word, quoted, rest
}

// skipBlanks skips word separators and comments.
func skipBlanks(text []byte) []byte {
	for len(text) > 0 {
		switch text[0] {
		case ' ', '\t', '\r', '\n', '\f', '(', ')':
			text = text[1:]
		case ';':
			end := bytes.IndexByte(text, '\n')
			if end < 0 {
				return nil
			}
			text = text[end:]
		default:
			return text
		}
	}
	return text
}

// endsWord holds the bytes that end a word without quotes.
var endsWord = [256]bool{' ': true, '\t': true, '\r': true, '\n': true, '\f': true, '(': true, ')': true, ';': true, '"': true}

// wordEnd returns the end of the first word of text.
func wordEnd(text []byte, quoted bool) int {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case quoted && c == '"', !quoted && endsWord[c]:
			return i
		}
	}
	return len(text)
}

// typeOf returns the type of an entry and the number of words before it: an owner, unless the entry begins with a
// blank, and a TTL and a class in any order.
func typeOf(entry []byte) (typ []byte, before int) {
	typ, _, rest := nextWord(entry)
	if !isBlank(entry[0]) {
		typ, _, rest = nextWord(rest)
		before++
	}
	for range 2 {
		if isTTL(typ) || isClass(typ) {
			typ, _, rest = nextWord(rest)
			before++
		}
	}
	return typ, before
}

func isBlank(b byte) bool { return b == ' ' || b == '\t' }

// isTTL reports whether a word is a TTL, such as 300 or 1h30m.
func isTTL(word []byte) bool {
	if len(word) == 0 || word[0] < '0' || word[0] > '9' {
		return false
	}
	for _, c := range word {
		if (c < '0' || c > '9') && strings.IndexByte("wdhmsWDHMS", c) < 0 {
			return false
		}
	}
	return true
}

// isClass reports whether a word is a class.
func isClass(word []byte) bool {
	if len(word) == 2 {
		switch [2]byte{word[0] &^ 0x20, word[1] &^ 0x20} {
		case [2]byte{'I', 'N'}, [2]byte{'C', 'H'}, [2]byte{'H', 'S'}, [2]byte{'C', 'S'}:
			return true
		}
	}
	const class = "CLASS"
	return len(word) > len(class) && strings.EqualFold(string(word[:len(class)]), class)
}
