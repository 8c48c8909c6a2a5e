package config

import (
	"strconv"
	"unicode/utf8"
)

// maxQuoted is how much of a value a message repeats, in bytes.
const maxQuoted = 80

// quote is s in quotes for a message: on one line, and cut where it is long.
func quote(s string) string {
	if len(s) <= maxQuoted {
		return strconv.Quote(s)
	}
	end := maxQuoted
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return strconv.Quote(s[:end]) + "..."
}
