package geo

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"weak"

	_ "embed"
)

// builtin/gen makes the built-in table from free data. docs/reference/geo.md lists the data and explains how to renew
// it.
//go:generate sh builtin/renew.sh

//go:embed builtin/networks.bin
var networksBin []byte

//go:embed builtin/about.json
var aboutJSON []byte

// BuiltinInfo holds the origin of the built-in country table.
type BuiltinInfo struct {
	Date      string `json:"date"` // of the network data, YYYY-MM-DD
	Source    string `json:"source"`
	License   string `json:"license"`
	Countries int    `json:"countries"`
	Networks  int    `json:"networks"` // prefixes, both families
}

// Builtin returns the date, source and licence of the built-in country table.
func Builtin() BuiltinInfo {
	var info BuiltinInfo
	if err := json.Unmarshal(aboutJSON, &info); err != nil {
		panic("geo: the embedded about.json is broken: " + err.Error()) // a test reads it
	}
	return info
}

// builtin holds the unpacked built-in table: tries with the values 0 for no country, or 1+i for countries[i].
type builtin struct {
	countries []string
	trie
	roots
}

// loadedBuiltin is the unpacked built-in table for as long as a Locator has it. The table is immutable and the
// same for every configuration, so that Locators share it.
var loadedBuiltin struct {
	sync.Mutex
	table weak.Pointer[builtin]
}

// loadBuiltin returns the built-in table and unpacks it if no Locator has it.
func loadBuiltin() (*builtin, error) {
	loadedBuiltin.Lock()
	defer loadedBuiltin.Unlock()
	if b := loadedBuiltin.table.Value(); b != nil {
		return b, nil
	}
	b, err := unpackBuiltin(networksBin)
	if err != nil {
		return nil, err
	}
	loadedBuiltin.table = weak.Make(b)
	return b, nil
}

// unpackBuiltin reads the stream that builtin/gen writes (its encode describes
// the format). It takes a few tens of milliseconds.
func unpackBuiltin(packed []byte) (*builtin, error) {
	plain, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil {
		return nil, fmt.Errorf("unpacking the built-in table: %w", err)
	}
	if len(plain) == 0 || len(plain) < 1+2*int(plain[0]) {
		return nil, fmt.Errorf("built-in table of %d bytes has no list of countries", len(plain))
	}
	b := &builtin{}
	nodes := plain[1+2*int(plain[0]):]
	for i := 0; i < int(plain[0]); i++ {
		b.countries = append(b.countries, string(plain[1+2*i:3+2*i]))
	}
	b.halves = make([][2]ref, 0, len(nodes)/2) // a binary tree has one inner node fewer than leaves
	for _, family := range []struct {
		root *ref
		bits int
	}{{&b.v4, bitsV4}, {&b.v6, bitsV6}} {
		if *family.root, nodes, err = b.unpack(nodes, family.bits); err != nil {
			return nil, err
		}
	}
	if len(nodes) > 0 {
		return nil, fmt.Errorf("built-in table has %d bytes too many", len(nodes))
	}
	return b, nil
}

// unpack reads one node of at most depth levels and returns the bytes after it.
func (b *builtin) unpack(nodes []byte, depth int) (ref, []byte, error) {
	if len(nodes) == 0 {
		return 0, nil, fmt.Errorf("built-in table ends early")
	}
	if code := nodes[0]; code > 0 {
		if int(code-1) > len(b.countries) {
			return 0, nil, fmt.Errorf("built-in table names country %d of %d", code-1, len(b.countries))
		}
		return ref(code - 1), nodes[1:], nil
	}
	if depth == 0 {
		return 0, nil, fmt.Errorf("built-in table is deeper than an address")
	}
	left, nodes, err := b.unpack(nodes[1:], depth-1)
	if err != nil {
		return 0, nil, err
	}
	right, nodes, err := b.unpack(nodes, depth-1)
	if err != nil {
		return 0, nil, err
	}
	return b.join(left, right), nodes, nil
}
