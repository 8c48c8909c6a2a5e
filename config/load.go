package config

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"meridian/config/internal/yamldoc"
	"meridian/errtext"
)

// The longest texts, in octets.
const (
	// maxSize limits a file: ten million names fit, and a larger file is probably a wrong path.
	maxSize = 1 << 30
	// maxWhole limits the text that the YAML parser gets at once: the parser needs about 50 times the memory of the
	// text.
	maxWhole = 64 << 20
)

// Load reads and checks the configuration in paths, which are files and directories: see Expand. Several files are one
// configuration: mappings under the same key are merged, and any other key that is in two of them is an error. The
// error, if any, is a *multierror.Error of Errors in file order. The warnings are Errors too, in file order, and are
// returned with or without an error; warnings that need a valid configuration, such as an unused pool, are returned
// only without an error.
func Load(paths ...string) (*Config, []Error, error) {
	files, errs := Expand(paths...)
	if len(errs) > 0 {
		return nil, nil, Join(errs)
	}
	name := strings.Join(paths, ", ")
	cfg, warnings, err := loadFiles(name, files)
	if cfg != nil && cfg.Cluster.Shared {
		if whole, more, failed := loadShared(cfg, name, files); whole != nil || failed != nil {
			cfg, warnings, err = whole, more, failed
		}
	}
	return cfg, append(ignoredFiles(paths), warnings...), err
}

// loadFiles reads files as one configuration; name is that of several.
func loadFiles(name string, files []string) (*Config, []Error, error) {
	if len(files) != 1 {
		return loadSeveral(name, files)
	}
	file := files[0]
	data, release, err := read(file)
	if err != nil {
		return nil, nil, Join([]Error{{File: file, What: err.Error()}})
	}
	defer release()
	return Parse(file, data)
}

// Parse is Load for data that is already read; file starts the messages and is the base of relative paths. The result
// does not refer to data.
func Parse(file string, data []byte) (*Config, []Error, error) {
	return parseWithin(file, data, maxWhole)
}

// layout describes where the many entries of a configuration are.
func layout() *yamldoc.Section {
	many := &yamldoc.Section{Lazy: true}
	zone := &yamldoc.Section{Keys: map[string]*yamldoc.Section{"names": many}}
	return &yamldoc.Section{Keys: map[string]*yamldoc.Section{
		"pools": many,
		"geo":   {Keys: map[string]*yamldoc.Section{"networks": many}},
		"zones": {Lazy: true, Each: zone},
	}}
}

// parseWithin passes no text longer than limit to the YAML parser.
func parseWithin(file string, data []byte, limit int) (*Config, []Error, error) {
	if problem := yamldoc.CheckText(data); problem != nil {
		return failed(file, problem)
	}
	doc := yamldoc.Outline(data, []yamldoc.File{{End: len(data)}}, layout(), limit)
	if doc.Fallback() == nil {
		d := newDecoder(file, doc)
		cfg, warnings, err := d.decode()
		if doc.Fallback() == nil {
			return cfg, warnings, err
		}
	}
	if len(data) > limit {
		return failed(file, doc.Fallback())
	}
	return parseAtOnce(file, data)
}

// parseAtOnce is the plain version of Parse: it passes all of data, which is text, to the YAML parser.
func parseAtOnce(file string, data []byte) (*Config, []Error, error) {
	root, problem := yamldoc.Parse(data)
	if problem != nil {
		return failed(file, problem)
	}
	doc := yamldoc.Tree(data)
	doc.AddTree(root, 0)
	return newDecoder(file, doc).decode()
}

// failed returns the result for a file with an error that makes the rest unreliable.
func failed(file string, problem *yamldoc.Error) (*Config, []Error, error) {
	return nil, nil, Join([]Error{fileError(file, problem)})
}

// decode reads the document.
func (d *decoder) decode() (*Config, []Error, error) {
	cfg := d.document()
	if !d.doc.Finish() {
		return nil, nil, nil // the caller discards the result
	}
	d.checkLiterals()
	if !d.incomplete {
		d.checkWhole(cfg)
	}
	errs, warnings := d.report()
	if len(errs) > 0 {
		return nil, warnings, Join(errs)
	}
	return cfg, warnings, nil
}

// checkWhole checks what depends on several parts of the configuration.
func (d *decoder) checkWhole(cfg *Config) {
	d.completeTargets(cfg)
	d.resolve()
	d.addBuiltInGroups(&cfg.Geo)
	d.checkMatches(&cfg.Geo)
	d.checkLoadUses(cfg.Loads)
	d.checkLoggedZones(cfg.Zones)
	d.checkSelectors(cfg)
	d.checkSigning(cfg)
	d.checkUpdates(cfg)
	d.checkTransfersOverTLS(cfg)
	d.checkCatalogs(cfg)
	d.checkCluster(cfg)
	if len(d.errs.listed) == 0 {
		d.lint(cfg)
	}
}

// document reads the whole file.
func (d *decoder) document() *Config {
	cfg := &Config{File: d.file, Server: d.defaults.server, Geo: d.defaults.geo, Latency: d.defaults.latency, Metrics: d.defaults.metrics, QueryLog: d.defaults.queryLog, DNSSEC: d.defaults.dnssec}
	var catalogs []Zone
	keys := []field{
		{name: "node", set: setValue(&cfg.Node, d.clusterName)},
		{name: "cluster", set: d.withEnvironment(d.cluster(&cfg.Cluster))},
		{name: "server", set: d.withEnvironment(d.server(&cfg.Server))},
		{name: "admin", set: d.withEnvironment(d.admin(&cfg.Admin))},
		{name: "metrics", set: d.metrics(&cfg.Metrics)},
		{name: "log", set: d.log(&cfg.Log)},
		{name: "query_log", set: d.queryLog(&cfg.QueryLog)},
		{name: "resolver_stats", set: d.resolverStats(&cfg.ResolverStats)},
		{name: "state", set: d.path(&cfg.State, &cfg.StatePos)},
		{name: "geo", set: d.geo(&cfg.Geo)},
		{name: "latency", set: d.latency(&cfg.Latency)},
		{name: "regions", set: d.regions(&cfg.Regions)},
		{name: "checks", set: d.checks(&cfg.Checks)},
		{name: "loads", set: d.loads(&cfg.Loads)},
		{name: "health", set: d.health(&cfg.Health)},
		{name: "pools", set: d.pools(&cfg.Pools)},
		{name: "views", set: d.views(&cfg.Views)},
		{name: "zones", set: d.zones(&cfg.Zones)},
		{name: "catalogs", set: d.catalogs(&catalogs)},
		{name: "dnssec", set: d.dnssec(&cfg.DNSSEC)},
		{name: "tsig", set: d.tsig(&cfg.TSIG)},
		{name: "notify", set: d.notify(&cfg.Notify)},
		{name: "guardrails", set: d.guardrails(&cfg.Guardrails)},
		{name: "maintenance", set: d.maintenance(&cfg.Maintenance)},
	}
	if len(d.sources) > 1 {
		cfg.sources = d.sources
	}
	if d.mapping(d.doc.Root, keys) {
		cfg.Zones = append(cfg.Zones, catalogs...)
		d.deriveChecks(cfg)
		cfg.complete()
		cfg.completeDNSSEC(d.defaults.signing)
	}
	if len(d.variableValues) > 0 {
		cfg.variables = d.variableValues
	}
	return cfg
}

// complete fills in the defaults that come from another part of the file.
func (c *Config) complete() {
	if c.Geo.Default == "" && len(c.Regions) > 0 {
		c.Geo.Default = c.Regions[0].Name
	}
	c.link()
	for i := range c.Pools {
		if p := &c.Pools[i]; p.MaxEjection == (MaxEjection{}) {
			p.MaxEjection = c.Health.MaxEjection
		}
	}
	answers := make(map[string]int, len(c.Pools))
	for _, p := range c.Pools {
		answers[p.Name] = p.Answers
	}
	for i := range c.Zones {
		for b := range c.Zones[i].Bindings() {
			if b.Answers == poolsAnswers {
				b.Answers = answers[b.Pool]
			}
		}
	}
}

// read returns the content of file, valid until release is called, or an error if it cannot be a configuration.
func read(file string) (data []byte, release func(), err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, errtext.CannotRead(err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, nil, errtext.CannotRead(err)
	case info.Size() > maxSize:
		return nil, nil, tooLong()
	}
	room, release := textBuffer(int(info.Size()) + bytes.MinRead)
	data, err = readText(f, room)
	switch {
	case err != nil:
		err = errtext.CannotRead(err)
	case len(data) > maxSize:
		err = tooLong()
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return data, release, nil
}

// headSize is how much of a file is checked before the rest is read, in octets.
const headSize = 64 << 10

// readText returns the content of r, in room if it fits. If the head is not text, for example from an endless device,
// it returns only the head; if the content exceeds maxSize, it returns more than maxSize. room is only an estimate: a
// device or pipe has no size, and a file may grow.
func readText(r io.Reader, room []byte) ([]byte, error) {
	data := bytes.NewBuffer(room)
	_, err := io.Copy(data, io.LimitReader(r, headSize))
	if err != nil || bytes.IndexByte(data.Bytes(), 0) >= 0 {
		return data.Bytes(), err
	}
	_, err = io.Copy(data, io.LimitReader(r, maxSize+1-headSize))
	return data.Bytes(), err
}

func tooLong() error {
	return fmt.Errorf("is longer than %d GiB, the limit of a configuration", maxSize>>30)
}
