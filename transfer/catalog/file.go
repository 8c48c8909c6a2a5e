package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"meridian/dnsname"
	"meridian/transfer/secondary"
)

// fileName is the file of the members in the state directory.
const fileName = "catalog-members.json"

// file is its content.
type file struct {
	Version int     `json:"version"`
	Members Members `json:"members"`
}

// fileVersion changes with the format.
const fileVersion = 1

// Read returns the members that are in a state directory. Without a directory, or without a file, there are none.
func Read(state string) (Members, error) {
	if state == "" {
		return nil, nil
	}
	path := filepath.Join(state, fileName)
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	members, err := decode(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return members, nil
}

func decode(content []byte) (Members, error) {
	var f file
	if err := json.Unmarshal(content, &f); err != nil {
		return nil, err
	}
	if f.Version != fileVersion {
		return nil, fmt.Errorf("it has version %d, want %d", f.Version, fileVersion)
	}
	for i := range f.Members {
		for _, name := range [...]dnsname.Name{f.Members[i].Zone, f.Members[i].Catalog} {
			if parsed, err := dnsname.Parse(string(name)); err != nil || parsed != name {
				return nil, fmt.Errorf("%q is not the name of a zone", name)
			}
		}
		if i > 0 && f.Members[i-1].Zone >= f.Members[i].Zone {
			return nil, fmt.Errorf("zone %q is out of order", f.Members[i].Zone)
		}
	}
	return f.Members, nil
}

// Write replaces the members in a state directory. Without a directory it does nothing.
func (all Members) Write(state string) error {
	if state == "" {
		return nil
	}
	content, err := json.MarshalIndent(file{fileVersion, all}, "", " ")
	if err != nil {
		return err
	}
	return secondary.Replace(filepath.Join(state, fileName), content)
}
