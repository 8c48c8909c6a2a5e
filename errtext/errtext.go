// Package errtext shortens texts for messages: the errors of files, data of others and long lists.
package errtext

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unicode/utf8"
)

// TrimPath returns err without the operation and the path.
func TrimPath(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}

// CannotRead returns the error of a message that begins with the path of a file: "cannot be read: no such file or
// directory".
func CannotRead(err error) error { return fmt.Errorf("cannot be read: %w", TrimPath(err)) }

// ReadableByOthersError is the error of a file with a secret that other users can read. It says what to do.
type ReadableByOthersError struct{ File string }

func (e ReadableByOthersError) Error() string { return "other users can read it: chmod 600 " + e.File }

// Hint returns hint; nothing if err says itself what to do; or how to let the server read the file, if it must not.
func Hint(err error, hint string) string {
	if errors.Is(err, fs.ErrPermission) {
		return "let the group of the server read it: chgrp meridian and chmod 640"
	}
	if _, ok := errors.AsType[ReadableByOthersError](err); ok {
		return ""
	}
	return hint
}

// maxText is the longest part of a text of others in a message, in octets.
const maxText = 80

// Clip returns the beginning of a text, short enough for a message.
func Clip(text string) string {
	if len(text) > maxText {
		return strings.ToValidUTF8(text[:maxText], "") + "..."
	}
	return text
}

// Quote returns the beginning of a text in quotes, on one line.
func Quote(text string) string {
	if len(text) <= maxText {
		return strconv.Quote(text)
	}
	end := maxText
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return strconv.Quote(text[:end]) + "..."
}

// List joins words, of a long list the first ten: "a, b and 7 more".
func List(words []string) string {
	const most = 10
	if more := len(words) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), more)
	}
	return strings.Join(words, ", ")
}
