package config

import (
	"strconv"
	"unicode/utf8"
)

// maxQuoted is the longest part of a value in a message, in bytes.
const maxQuoted = 80

// quote returns s in quotes for a message: on one line, and shortened if it is long.
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
