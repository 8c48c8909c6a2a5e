// Package errtext removes from errors of files what the message around them says already.
package errtext

import (
	"errors"
	"fmt"
	"io/fs"
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
