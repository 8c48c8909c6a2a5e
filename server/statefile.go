package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// A state file is one JSON object:
//
//	{"file":"meridian state","version":1,"written":...,"sha256":"...","content":{...}}
//
// The checksum is that of the content as written, so that truncated, extra or changed bytes are
// detected. The content is a savedState.

// stateVersion is the version of the whole file format.
const stateVersion = 1

const stateKind = "meridian state"

// maxStateSize is in bytes; 100,000 targets need a quarter of it.
const maxStateSize = 256 << 20

type stateFile struct {
	File    string          `json:"file"`
	Version int             `json:"version"`
	Written time.Time       `json:"written"`
	SHA256  string          `json:"sha256"`
	Content json.RawMessage `json:"content"`
}

// encodeState encodes m as a state file.
func encodeState(m *savedState, written time.Time) ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return frameState(body, written)
}

// frameState returns a state file with this content.
func frameState(content []byte, written time.Time) ([]byte, error) {
	digest := sha256.Sum256(content)
	file, err := json.Marshal(stateFile{stateKind, stateVersion, written.UTC(), hex.EncodeToString(digest[:]), content})
	return append(file, '\n'), err
}

// decodeState is the reverse of encodeState. The error describes the problem of the file.
func decodeState(file []byte) (*savedState, time.Time, error) {
	var head stateFile
	d := json.NewDecoder(bytes.NewReader(file))
	if err := d.Decode(&head); err != nil || head.File != stateKind {
		return nil, time.Time{}, fmt.Errorf("it does not begin as a state file does")
	}
	if head.Version != stateVersion {
		return nil, time.Time{}, fmt.Errorf("it has version %d, and this program reads version %d", head.Version, stateVersion)
	}
	if string(file[d.InputOffset():]) != "\n" {
		return nil, time.Time{}, fmt.Errorf("it does not end as a state file does")
	}
	body := head.Content
	if digest := sha256.Sum256(body); hex.EncodeToString(digest[:]) != head.SHA256 {
		return nil, time.Time{}, fmt.Errorf("its checksum is wrong")
	}
	m := new(savedState)
	if err := json.Unmarshal(body, m); err != nil {
		return nil, time.Time{}, fmt.Errorf("its content does not parse: %w", err)
	}
	return m, head.Written, m.valid()
}
