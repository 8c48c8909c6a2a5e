package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"meridian/config/internal/yamldoc"
)

// nodeSections are the sections that belong to one node of a cluster. With cluster.config: shared, they are in the files of the
// node, and all others in the configuration that the nodes share.
var nodeSections = []string{"node", "cluster", "server", "admin", "state", "log"}

// sharedName is the name of the file with the shared configuration in the state directory.
const sharedName = "shared.yaml"

// SharedFile returns the path of the shared configuration of a node; empty: it reads its own files only.
func (c *Config) SharedFile() string {
	if !c.Cluster.Shared || c.State == "" {
		return ""
	}
	return filepath.Join(c.State, sharedName)
}

// SharedSums returns the path of the file with the hashes of the texts that this program has written to a shared configuration,
// one a line.
func SharedSums(file string) string { return file + ".sum" }

// SharedSum returns the hash of a text in SharedSums.
func SharedSum(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// VerifyShared returns an error if the shared configuration of a node was changed by another program. Without hashes, an
// earlier version has written it.
func VerifyShared(file string) error {
	sums, err := os.ReadFile(SharedSums(file))
	if os.IsNotExist(err) {
		return nil
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	switch {
	case os.IsNotExist(err):
		return nil
	case err != nil:
		return Join([]Error{{File: file, What: "the shared configuration cannot be verified: " + err.Error()}})
	case !slices.Contains(strings.Fields(string(sums)), SharedSum(text)):
		return Join([]Error{{
			File: file, What: "it was changed by hand; it is the copy of what the cluster serves, not an input",
			Hint: "meridian config push brings a change to all nodes, and replaces it; at a start without a copy, delete it: the node fetches what the cluster serves",
		}})
	}
	return nil
}

// loadShared loads files with the shared configuration, if cfg, which has them only, uses one.
func loadShared(cfg *Config, name string, files []string) (shared *Config, warnings []Error, err error) {
	file := cfg.SharedFile()
	if file == "" || slices.Contains(files, file) {
		return nil, nil, nil
	}
	documents, err := ReadDocuments(files...)
	if err != nil {
		return nil, nil, err
	}
	var errs []Error
	for _, d := range documents {
		errs = append(errs, sections(d, nodeSections, true, "it belongs to the shared configuration: meridian config push brings it to all nodes")...)
	}
	if len(errs) > 0 {
		return nil, nil, Join(errs)
	}
	if _, err := os.Stat(file); os.IsNotExist(err) {
		return nil, nil, nil // the first start: it is in etcd
	}
	if err := VerifyShared(file); err != nil {
		return nil, nil, err
	}
	return loadFiles(name+", "+file, append(slices.Clone(files), file))
}

// CheckShared returns an error if a shared configuration has a section that belongs to one node.
func CheckShared(d Document) error {
	return Join(sections(d, nodeSections, false, "it belongs to the files of each node; with cluster.config: shared, those are "+strings.Join(nodeSections, ", ")))
}

// sections returns an error for each section of a document that is in names, if it must be, or is not.
func sections(d Document, names []string, must bool, hint string) (errs []Error) {
	if yamldoc.CheckText(d.Text) != nil {
		return nil // loading reports it
	}
	doc := yamldoc.Outline(d.Text, []yamldoc.File{{End: len(d.Text)}}, layout(), maxWhole) // less memory than Parse
	root := doc.Root
	if doc.Fallback() != nil {
		var problem *yamldoc.Error
		if root, problem = yamldoc.Parse(d.Text); problem != nil {
			return nil
		}
	}
	for key := range yamldoc.Pairs(root) {
		if slices.Contains(names, key.Value) != must {
			errs = append(errs, Error{File: d.File, Pos: posOf(key), Path: key.Value, What: "this section is in the wrong file", Hint: hint})
		}
	}
	return errs
}

// SharedDigest returns a digest of what nodes with the same configuration have in common: all sections but those of the node.
// Comments, empty lines and the order of sections do not count.
func SharedDigest(documents []Document) string {
	parts := map[string][]byte{}
	for _, d := range documents {
		section, own := "", false
		for line := range bytes.Lines(d.Text) {
			line = bytes.TrimRight(line, " \t\r\n")
			text := bytes.TrimLeft(line, " \t")
			if len(text) == 0 || text[0] == '#' {
				continue
			}
			if name, _, ok := bytes.Cut(line, []byte(":")); ok && len(text) == len(line) && text[0] != '-' {
				section = string(name)
				own = slices.Contains(nodeSections, section)
			}
			if !own {
				parts[section] = append(append(parts[section], line...), '\n')
			}
		}
	}
	names := make([]string, 0, len(parts))
	for name := range parts {
		names = append(names, name)
	}
	slices.Sort(names)
	h := sha256.New()
	for _, name := range names {
		fmt.Fprintf(h, "%d\n%s", len(parts[name]), parts[name])
	}
	return hex.EncodeToString(h.Sum(nil))[:digestDigits]
}

const digestDigits = 12
