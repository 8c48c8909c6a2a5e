package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// A state file is two lines of JSON:
//
//	{"file":"meridian state","version":1,"written":...,"bytes":N,"sha256":"..."}
//	{...}
//
// The first, the head, says of the second how long it is and what it digests to,
// both without the line feed at its end: whatever was cut off, left over or
// changed shows. What the second holds is the type memory's.

// stateVersion is of the file as a whole, memory included.
const stateVersion = 1

const stateKind = "meridian state"

// maxStateSize is in octets; 100,000 targets need a quarter of it.
const maxStateSize = 256 << 20

type stateHead struct {
	File    string    `json:"file"`
	Version int       `json:"version"`
	Written time.Time `json:"written"`
	Bytes   int       `json:"bytes"`
	SHA256  string    `json:"sha256"`
}

// encodeState is the file that holds m.
func encodeState(m *memory, written time.Time) ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return sealState(body, written)
}

// sealState is the file with this body.
func sealState(body []byte, written time.Time) ([]byte, error) {
	digest := sha256.Sum256(body)
	head, err := json.Marshal(stateHead{stateKind, stateVersion, written.UTC(), len(body), hex.EncodeToString(digest[:])})
	if err != nil {
		return nil, err
	}
	file := make([]byte, 0, len(head)+len(body)+2)
	file = append(append(file, head...), '\n')
	return append(append(file, body...), '\n'), nil
}

// decodeState is the reverse. The error says what is wrong with the file.
func decodeState(file []byte) (*memory, time.Time, error) {
	first, body, found := bytes.Cut(file, []byte{'\n'})
	var head stateHead
	if err := json.Unmarshal(first, &head); err != nil || head.File != stateKind {
		return nil, time.Time{}, fmt.Errorf("it does not begin as a state file does")
	}
	if head.Version != stateVersion {
		return nil, time.Time{}, fmt.Errorf("it has version %d, and this program reads version %d", head.Version, stateVersion)
	}
	body, ended := bytes.CutSuffix(body, []byte{'\n'})
	if !found || !ended || len(body) != head.Bytes {
		return nil, time.Time{}, fmt.Errorf("it holds %d bytes of %d", len(body), head.Bytes)
	}
	if digest := sha256.Sum256(body); hex.EncodeToString(digest[:]) != head.SHA256 {
		return nil, time.Time{}, fmt.Errorf("its checksum is wrong")
	}
	m := new(memory)
	if err := json.Unmarshal(body, m); err != nil {
		return nil, time.Time{}, fmt.Errorf("its content does not parse: %w", err)
	}
	return m, head.Written, m.valid()
}
