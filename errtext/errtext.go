// Package errtext shortens texts for messages: the errors of files, data of others and long lists.
package errtext

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
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

// Clip returns the beginning of a text of another program, short enough for a message.
func Clip(text string) string {
	const most = 80
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}

// List joins words, of a long list the first ten: "a, b and 7 more".
func List(words []string) string {
	const most = 10
	if more := len(words) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), more)
	}
	return strings.Join(words, ", ")
}
