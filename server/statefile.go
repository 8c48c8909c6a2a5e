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
// The checksum is that of the content as it is written, so that whatever was cut off,
// left over or changed shows. What the content holds is the type memory's.

// stateVersion is of the file as a whole, memory included.
const stateVersion = 1

const stateKind = "meridian state"

// maxStateSize is in octets; 100,000 targets need a quarter of it.
const maxStateSize = 256 << 20

type stateFile struct {
	File    string          `json:"file"`
	Version int             `json:"version"`
	Written time.Time       `json:"written"`
	SHA256  string          `json:"sha256"`
	Content json.RawMessage `json:"content"`
}

// encodeState is the file that holds m.
func encodeState(m *savedState, written time.Time) ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return frameState(body, written)
}

// frameState is the file with this content.
func frameState(content []byte, written time.Time) ([]byte, error) {
	digest := sha256.Sum256(content)
	file, err := json.Marshal(stateFile{stateKind, stateVersion, written.UTC(), hex.EncodeToString(digest[:]), content})
	return append(file, '\n'), err
}

// decodeState is the reverse. The error says what is wrong with the file.
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
