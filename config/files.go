package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

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

// filesIn returns the files of a directory whose extension is wanted, by name, without hidden files.
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
	problem *Error
}

// loadSeveral reads files as one configuration called name.
func loadSeveral(name string, files []string) (*Config, []Error, error) {
	texts := make([]namedText, len(files))
	size := 0
	for i, file := range files {
		texts[i].file = file
		data, release, err := read(file)
		if err != nil {
			texts[i].problem = &Error{What: err.Error()}
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
	data, sources, ends := concatenate(texts)
	doc := outlinedSeveral(data, sources, ends, limit)
	if doc.fallback == nil {
		d := newDecoder(name, doc)
		d.sources, d.environment = sources, environment
		cfg, warnings, err := d.decode()
		if doc.fallback == nil {
			return cfg, warnings, err
		}
	}
	if len(data) > limit {
		doc.fallback.File, doc.fallback.Pos = sources.at(doc.fallback.Pos)
		return nil, nil, Join([]Error{*doc.fallback})
	}
	return parseSeveralAtOnce(name, texts, environment)
}

// checkTexts finds the files that are not text, and reports whether any file is unusable.
func checkTexts(texts []namedText) (unusable bool) {
	for i := range texts {
		if t := &texts[i]; t.problem == nil {
			t.problem = checkText(t.data)
		}
		unusable = unusable || texts[i].problem != nil
	}
	return unusable
}

// concatenate returns the texts one after the other, each starting on a new line, and the end of each.
func concatenate(texts []namedText) (data []byte, sources sourceFiles, ends []int) {
	size := 0
	for _, text := range texts {
		size += len(text.data) + 1
	}
	data = make([]byte, 0, size)
	lines := 0
	for _, text := range texts {
		sources = append(sources, sourceFile{text.file, uint32(lines)})
		data = append(data, text.data...)
		lines += bytes.Count(text.data, []byte{'\n'})
		if n := len(text.data); n == 0 || text.data[n-1] != '\n' {
			data = append(data, '\n')
			lines++
		}
		ends = append(ends, len(data))
	}
	return data, sources, ends
}

// outlinedSeveral returns the outline of several files; data holds all of them, each up to its end.
func outlinedSeveral(data []byte, sources sourceFiles, ends []int, limit int) *document {
	doc := &document{data: data, limit: limit, scanner: newScanner(), sources: sources}
	begin := 0
	for i, end := range ends {
		root := doc.outline(lineSpan{begin: begin, end: end, first: int(sources[i].base) + 1})
		switch {
		case doc.fallback != nil:
			return doc
		case doc.root == nil:
			doc.root = root
		case root != nil:
			doc.merge(doc.root, root)
		}
		begin = end
	}
	if doc.root == nil {
		doc.fallBack(Pos{1, 1}, "no key in any of the files")
	}
	return doc
}

// parseSeveralAtOnce is the plain version of parseSeveral: it passes each whole file to the YAML parser. The errors of
// an unusable file do not hide those of the others.
func parseSeveralAtOnce(name string, texts []namedText, environment lookup) (*Config, []Error, error) {
	data, sources, _ := concatenate(texts)
	doc := &document{data: data}
	var errs []Error
	for i := range texts {
		root, problem := texts[i].parse()
		switch {
		case problem != nil:
			problem.File = texts[i].file
			errs = append(errs, *problem)
		case root == nil: // for example, a file with only comments
		case doc.root == nil:
			shiftLines(root, int(sources[i].base))
			doc.root = root
		default:
			shiftLines(root, int(sources[i].base))
			doc.merge(doc.root, root)
		}
	}
	if doc.root == nil {
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
func (t *namedText) parse() (*yaml.Node, *Error) {
	if t.problem != nil {
		return nil, t.problem
	}
	root, problem := parseWhole(t.data)
	switch {
	case errors.Is(problem.orNil(), errEmpty):
		return nil, nil
	case problem == nil && root.Kind != yaml.MappingNode:
		return nil, &Error{Pos: posOf(root), What: "found " + describe(root), Hint: "it should be a mapping"}
	}
	return root, problem
}

// errEmpty is the error of a file without a value.
var errEmpty = errors.New("the file is empty")

// orNil returns errEmpty if f reports an empty file, else nil.
func (f *Error) orNil() error {
	if f != nil && f.What == errEmpty.Error() {
		return errEmpty
	}
	return nil
}

// merge adds the entries of mapping b of another file to a. Mappings under the same key are merged; other keys that
// both have are then present twice, which the decoder reports.
func (doc *document) merge(a, b *yaml.Node) {
	values := make(map[string]*yaml.Node, len(a.Content)/2)
	for key, value := range pairs(a) {
		values[key.Value] = value
	}
	for key, value := range pairs(b) {
		mine := values[key.Value]
		if mine != nil && mine.Kind == yaml.MappingNode && value.Kind == yaml.MappingNode {
			doc.mergeMappings(mine, key, value)
		} else {
			a.Content = append(a.Content, key, value)
		}
	}
}

// mergeMappings adds the entries of value, which is under key, to mine.
func (doc *document) mergeMappings(mine, key, value *yaml.Node) {
	to, from := doc.lazyIndex(mine), doc.lazyIndex(value)
	switch {
	case to < 0 && from < 0:
		doc.merge(mine, value)
	case to >= 0 && from >= 0:
		s := &doc.lazy[from]
		doc.lazy[to].more = append(append(doc.lazy[to].more, sectionText{s.text, s.indent}), s.more...)
		doc.lazy = slices.Delete(doc.lazy, from, from+1)
	default:
		doc.fallBack(posOf(key), quote(key.Value)+" in brackets in one file and in a block in another")
	}
}

// splitSource reports whether two positions are in different files of an outline, which allows to merge an entry.
func (doc *document) splitSource(a, b Pos) bool {
	if len(doc.sources) < 2 || doc.scanner == nil {
		return false
	}
	one, _ := doc.sources.at(a)
	other, _ := doc.sources.at(b)
	return one != other
}

// firstAt returns a hint at the first definition of a key that n defines again.
func (d *decoder) firstAt(first Pos, n *yaml.Node) string {
	file, in := d.sources.at(first)
	if other, _ := d.sources.at(posOf(n)); other != file {
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
