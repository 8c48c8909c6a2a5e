package journal

import (
	"fmt"
	"math"
	"os"

	"meridian/dnsname"
)

// unbounded keeps all changes of a file.
const unbounded = math.MaxInt

// Read reads the file of a journal that another process may use, and changes nothing. With an error about the content comes
// the journal of the valid part; with one of the file comes none. The journal takes no changes.
func Read(path string, zone dnsname.Name) (*Journal, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	j := &Journal{zone: zone, path: path, bounds: Bounds{Size: unbounded, Depth: unbounded}, closed: true}
	j.end, err = j.read(content)
	if err == nil {
		j.torn = int64(len(content)) - j.end
	}
	return j, err
}

// History returns the changes that the journal has, the oldest first.
func (j *Journal) History() ([]*Change, error) {
	j.mu.Lock()
	entries := append([]entry(nil), j.changes...)
	j.mu.Unlock()
	all := make([]*Change, 0, len(entries))
	for _, e := range entries {
		c, err := decodeChange(e.data)
		if err != nil {
			return all, fmt.Errorf("the change from serial %d: %w", e.from, err)
		}
		all = append(all, c)
	}
	return all, nil
}
