package config

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"meridian/config/internal/yamldoc"
	"meridian/errtext"

	"gopkg.in/yaml.v3"
)

// sourceFile is one file of a configuration. Lines are counted over all files, in the order read, so that a Pos
// identifies its file.
type sourceFile struct {
	name string
	base uint32 // lines of the files before it
}

// sourceFiles are the files of a configuration, in the order read.
type sourceFiles []sourceFile

// at returns the file of a position and the position in that file.
func (s sourceFiles) at(pos Pos) (file string, in Pos) {
	i := sort.Search(len(s), func(i int) bool { return s[i].base >= pos.Line })
	if i == 0 {
		return "", pos
	}
	return s[i-1].name, Pos{pos.Line - s[i-1].base, pos.Column}
}

// Files returns the files that the configuration was read from, in that order.
func (c *Config) Files() []string {
	if len(c.sources) == 0 {
		return []string{c.File}
	}
	files := make([]string, len(c.sources))
	for i, s := range c.sources {
		files[i] = s.name
	}
	return files
}

// SortErrors sorts errors by the order of the files of c, then by position; errors of other files stay behind them in
// their order.
func (c *Config) SortErrors(errs []Error) {
	files := c.Files()
	rank := func(f Error) int {
		if i := slices.Index(files, f.File); i >= 0 {
			return i
		}
		return len(files)
	}
	slices.SortStableFunc(errs, func(a, b Error) int {
		if order := cmp.Compare(rank(a), rank(b)); order != 0 || rank(a) == len(files) {
			return order
		}
		return a.Pos.Compare(b.Pos)
	})
}

// Expand returns the files that paths name: a file itself, or the *.yaml files of a directory in the order of their
// names, without hidden files.
func Expand(paths ...string) ([]string, []Error) {
	var files []string
	var errs []Error
	for _, path := range paths {
		found := []string{path}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			if found, err = yamlFiles(path); err != nil {
				errs = append(errs, Error{File: path, What: errtext.CannotRead(err).Error()})
			} else if len(found) == 0 {
				errs = append(errs, Error{File: path, What: "the directory has no *.yaml file", Hint: onlyYAML})
			}
		}
		for _, file := range found {
			if slices.Contains(files, file) {
				errs = append(errs, Error{File: file, What: "the file is given twice", Hint: "name it, or its directory, once"})
			}
			files = append(files, file)
		}
	}
	return files, errs
}

// yamlFiles returns the configuration files of a directory, by name.
func yamlFiles(directory string) ([]string, error) {
	return filesIn(directory, func(extension string) bool { return extension == ".yaml" })
}

// filesIn returns the files of a directory with a wanted extension, by name, without hidden files.
func filesIn(directory string, wanted func(extension string) bool) ([]string, error) {
	entries, err := os.ReadDir(directory) // sorted
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if name := e.Name(); wanted(filepath.Ext(name)) && !strings.HasPrefix(name, ".") {
			files = append(files, filepath.Join(directory, name))
		}
	}
	return files, nil
}

// onlyYAML is the hint at files that are not read.
const onlyYAML = "a configuration is in files whose names end in .yaml"

// ignoredFiles returns warnings of files in directories that have another extension of YAML than .yaml.
func ignoredFiles(paths []string) (warnings []Error) {
	for _, path := range paths {
		files, _ := filesIn(path, func(extension string) bool { // fails for a file
			return strings.EqualFold(extension, ".yml") || strings.EqualFold(extension, ".yaml") && extension != ".yaml"
		})
		for _, file := range files {
			warnings = append(warnings, Error{File: file, What: "the file is not read", Hint: onlyYAML})
		}
	}
	return warnings
}

// namedText is the text of a file, or the error that makes it unusable.
type namedText struct {
	file    string
	data    []byte
	problem *yamldoc.Error
}

// loadSeveral reads files as one configuration called name.
func loadSeveral(name string, files []string) (*Config, []Error, error) {
	texts := make([]namedText, len(files))
	size := 0
	for i, file := range files {
		texts[i].file = file
		data, release, err := read(file)
		if err != nil {
			texts[i].problem = &yamldoc.Error{What: err.Error()}
			continue
		}
		defer release()
		texts[i].data = data
		size += len(data)
	}
	if size > maxSize {
		return nil, nil, Join([]Error{{File: name, What: tooLong().Error()}})
	}
	return parseSeveral(name, texts, maxWhole, os.LookupEnv)
}

// parseSeveral reads texts as one configuration. Like parseWithin, it passes at most limit octets at once to the YAML
// parser.
func parseSeveral(name string, texts []namedText, limit int, environment lookup) (*Config, []Error, error) {
	if checkTexts(texts) {
		return parseSeveralAtOnce(name, texts, environment)
	}
	data, sources, files := concatenate(texts)
	doc := yamldoc.Outline(data, files, layout(), limit)
	if doc.Fallback() == nil {
		d := newDecoder(name, doc)
		d.sources, d.environment = sources, environment
		cfg, warnings, err := d.decode()
		if doc.Fallback() == nil {
			return cfg, warnings, err
		}
	}
	if len(data) > limit {
		problem := fileError("", doc.Fallback())
		problem.File, problem.Pos = sources.at(problem.Pos)
		return nil, nil, Join([]Error{problem})
	}
	return parseSeveralAtOnce(name, texts, environment)
}

// checkTexts finds the files that are not text, and reports whether any file is unusable.
func checkTexts(texts []namedText) (unusable bool) {
	for i := range texts {
		if t := &texts[i]; t.problem == nil {
			t.problem = yamldoc.CheckText(t.data)
		}
		unusable = unusable || texts[i].problem != nil
	}
	return unusable
}

// concatenate returns the texts one after the other, each starting on a new line.
func concatenate(texts []namedText) (data []byte, sources sourceFiles, files []yamldoc.File) {
	size := 0
	for _, text := range texts {
		size += len(text.data) + 1
	}
	data = make([]byte, 0, size)
	lines := 0
	for _, text := range texts {
		before := lines
		data = append(data, text.data...)
		lines += bytes.Count(text.data, []byte{'\n'})
		if n := len(text.data); n == 0 || text.data[n-1] != '\n' {
			data = append(data, '\n')
			lines++
		}
		sources = append(sources, sourceFile{text.file, uint32(before)})
		files = append(files, yamldoc.File{Lines: before, End: len(data)})
	}
	return data, sources, files
}

// parseSeveralAtOnce is the plain version of parseSeveral: it passes each whole file to the YAML parser. The errors of
// an unusable file do not hide those of the others.
func parseSeveralAtOnce(name string, texts []namedText, environment lookup) (*Config, []Error, error) {
	data, sources, files := concatenate(texts)
	doc := yamldoc.Tree(data)
	var errs []Error
	for i := range texts {
		root, problem := texts[i].parse()
		switch {
		case problem != nil:
			errs = append(errs, fileError(texts[i].file, problem))
		case root != nil: // nil: for example, a file with only comments
			doc.AddTree(root, files[i].Lines)
		}
	}
	if doc.Root == nil {
		if len(errs) == 0 {
			errs = append(errs, Error{File: name, What: "the files are empty", Hint: "a configuration has at least zones"})
		}
		return nil, nil, Join(errs)
	}
	d := newDecoder(name, doc)
	d.sources, d.environment, d.incomplete = sources, environment, len(errs) > 0
	cfg, warnings, err := d.decode()
	if !d.incomplete {
		return cfg, warnings, err
	}
	errs = append(errs, errorsIn(err)...)
	(&Config{sources: sources}).SortErrors(errs)
	return nil, warnings, Join(errs)
}

// parse returns the mapping in the text, or nil if the text is empty.
func (t *namedText) parse() (*yaml.Node, *yamldoc.Error) {
	if t.problem != nil {
		return nil, t.problem
	}
	root, problem := yamldoc.Parse(t.data)
	switch {
	case problem != nil && problem.Empty():
		return nil, nil
	case problem == nil && root.Kind != yaml.MappingNode:
		return nil, &yamldoc.Error{Pos: yamldoc.PosOf(root), What: "found " + yamldoc.Describe(root), Hint: "it should be a mapping"}
	}
	return root, problem
}

// otherFile reports whether two positions are in different files.
func (d *decoder) otherFile(a, b Pos) bool {
	one, _ := d.sources.at(a)
	other, _ := d.sources.at(b)
	return one != other
}

// firstAt returns a hint at the first definition of a key that n defines again.
func (d *decoder) firstAt(first Pos, n *yaml.Node) string {
	file, in := d.sources.at(first)
	if d.otherFile(first, posOf(n)) {
		return fmt.Sprintf("it is first at %s:%d:%d", file, in.Line, in.Column)
	}
	return fmt.Sprintf("it is first on line %d", max(in.Line, 1))
}

// fileOf returns the file that n is in.
func (d *decoder) fileOf(n *yaml.Node) string {
	if file, _ := d.sources.at(posOf(n)); file != "" {
		return file
	}
	return d.file
}
