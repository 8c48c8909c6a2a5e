package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"gopkg.in/yaml.v3"
)

// maxSize is the longest document that Load reads, in bytes. The YAML parser
// holds about 35 times as much memory as the file is long, and a million names
// fit; beyond it, the path is a slip of the pen.
const maxSize = 64 << 20

// Load reads and checks the configuration in file. The error, if any, is a
// *multierror.Error of Faults in file order; the warnings are Faults too and
// come in file order whether or not there is an error, though what takes a
// sound configuration to tell, such as a pool that nothing uses, comes only
// without one.
func Load(file string) (*Config, []Fault, error) {
	data, err := read(file)
	if err != nil {
		return nil, nil, Join([]Fault{{File: file, What: err.Error()}})
	}
	return Parse(file, data)
}

// Parse is Load of data that was already read; file leads the messages and
// anchors relative paths.
func Parse(file string, data []byte) (*Config, []Fault, error) {
	root, fault := parseDocument(data)
	if fault != nil {
		fault.File = file
		return nil, nil, Join([]Fault{*fault})
	}
	d := newDecoder(file, root)
	cfg := d.document(root)
	d.resolve()
	if len(d.faults) == 0 {
		d.survey(cfg)
	}
	faults, warnings := d.report()
	if len(faults) > 0 {
		return nil, warnings, Join(faults)
	}
	return cfg, warnings, nil
}

// document reads the whole file.
func (d *decoder) document(root *yaml.Node) *Config {
	cfg := &Config{File: d.file, Server: d.defaults.server}
	keys := []field{
		{name: "server", read: d.server(&cfg.Server)},
		{name: "geo", read: d.geo(&cfg.Geo)},
		{name: "regions", read: d.regions(&cfg.Regions)},
		{name: "checks", read: d.checks(&cfg.Checks)},
		{name: "pools", read: d.pools(&cfg.Pools)},
		{name: "zones", read: d.zones(&cfg.Zones)},
	}
	if d.mapping(root, append(keys, later("admin", "state")...)) {
		cfg.complete()
	}
	return cfg
}

// complete fills in the defaults that come from another part of the file.
func (c *Config) complete() {
	if c.Geo.Default == "" && len(c.Regions) > 0 {
		c.Geo.Default = c.Regions[0].Name
	}
	answers := make(map[string]int, len(c.Pools))
	for _, p := range c.Pools {
		answers[p.Name] = p.Answers
	}
	for _, z := range c.Zones {
		for i := range z.Names {
			if name := &z.Names[i]; name.Answers == poolsAnswers {
				name.Answers = answers[name.Pool]
			}
		}
	}
}

// read returns what is in file, or says why it cannot be a configuration.
func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, unreadable(err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, unreadable(err)
	case info.IsDir():
		return nil, errors.New("is a directory; name the configuration file in it")
	case info.Size() > maxSize:
		return nil, tooLong()
	}
	// The size is no promise: a device or pipe has none, a file may grow.
	var data bytes.Buffer
	data.Grow(int(info.Size()) + bytes.MinRead)
	n, err := io.Copy(&data, io.LimitReader(f, maxSize+1))
	switch {
	case err != nil:
		return nil, unreadable(err)
	case n > maxSize:
		return nil, tooLong()
	}
	return data.Bytes(), nil
}

func tooLong() error {
	return fmt.Errorf("is longer than %d MiB, the most that a configuration may be", maxSize>>20)
}

// unreadable is err without the path, which leads the message already.
func unreadable(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("cannot be read: %w", err)
}
