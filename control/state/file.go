// Package state keeps the state of a server on disk: one file that is replaced atomically, in a
// directory that one process locks. It does not know the content, which is JSON of the caller.
//
// A Dir is the directory; a Writer writes to it when the content changes.
package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A state file is one JSON object:
//
//	{"file":"meridian state","version":1,"written":...,"sha256":"...","content":{...}}
//
// The checksum is that of the content as written, so that truncated, extra or changed bytes are
// detected. The content belongs to the caller.

// version is the version of the whole file format.
const version = 1

const kind = "meridian state"

// maxSize is in bytes; 100,000 targets need a quarter of it.
const maxSize = 256 << 20

// file is the JSON object of a state file.
type file struct {
	File    string          `json:"file"`
	Version int             `json:"version"`
	Written time.Time       `json:"written"`
	SHA256  string          `json:"sha256"`
	Content json.RawMessage `json:"content"`
}

// encode returns a state file with this content, which is JSON.
func encode(content []byte, written time.Time) ([]byte, error) {
	digest := sha256.Sum256(content)
	text, err := json.Marshal(file{kind, version, written.UTC(), hex.EncodeToString(digest[:]), content})
	return append(text, '\n'), err
}

// decode is the reverse of encode. The error describes the problem of the file.
func decode(text []byte) (content []byte, written time.Time, err error) {
	var f file
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&f); err != nil || f.File != kind {
		return nil, time.Time{}, errors.New("it does not begin as a state file does")
	}
	if f.Version != version {
		return nil, time.Time{}, fmt.Errorf("it has version %d, and this program reads version %d", f.Version, version)
	}
	if string(text[d.InputOffset():]) != "\n" {
		return nil, time.Time{}, errors.New("it does not end as a state file does")
	}
	if digest := sha256.Sum256(f.Content); hex.EncodeToString(digest[:]) != f.SHA256 {
		return nil, time.Time{}, errors.New("its checksum is wrong")
	}
	return f.Content, f.Written, nil
}
