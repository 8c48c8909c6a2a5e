package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Copy is a saved configuration with the files that it names. It is served if the current one cannot be.
type Copy struct {
	Name        string            // the name of the whole in messages
	Root        string            // the directory in which each file is under its absolute path
	Files       []string          // the absolute paths of the documents, in the order read
	Environment map[string]string // the environment variables that values were taken from
}

// Load reads the saved configuration. Messages name the files by their own paths; the files that the configuration
// names are read from the copy.
func (c *Copy) Load() (*Config, []Error, error) {
	var texts []namedText
	for _, file := range c.Files {
		data, release, err := read(filepath.Join(c.Root, file))
		if err != nil {
			return nil, nil, Join([]Error{{File: file, What: err.Error()}})
		}
		defer release()
		texts = append(texts, namedText{file: file, data: data})
	}
	environment := func(name string) (string, bool) {
		value, set := c.Environment[name]
		return value, set
	}
	cfg, warnings, err := parseSeveral(c.Name, texts, maxWhole, environment)
	if cfg != nil {
		cfg.Root = c.Root
		cfg.eachFile(func(path *string) { *path = filepath.Join(c.Root, *path) })
	}
	return cfg, warnings, err
}

// eachFile calls f for the path of each file that c names and that is read whole: certificates, keys and tokens, but
// not master files.
func (c *Config) eachFile(f func(path *string)) {
	given := func(paths ...*string) {
		for _, path := range paths {
			if *path != "" {
				f(path)
			}
		}
	}
	c.eachSecret(given)
	for i := range c.Checks {
		tls := &c.Checks[i].TLS
		given(&tls.CA, &tls.Cert, &tls.Key)
	}
	for i := range c.Zones {
		given(&c.Zones[i].ExtraDNSKEYs)
	}
	for _, peers := range c.Peers() {
		for i := range peers.Primaries {
			if t := peers.Primaries[i].TLS; t != nil {
				given(&t.CA, &t.Cert, &t.Key)
			}
		}
		for i := range peers.Out {
			if t := peers.Out[i].TLS; t != nil {
				given(&t.CA)
			}
		}
	}
	for i := range c.TSIG {
		given(&c.TSIG[i].SecretFile)
	}
	for i := range c.Loads {
		given(&c.Loads[i].TLS.CA)
	}
}

// eachSecret calls f for the paths of the files of the server, the API and the notifications; some are empty.
func (c *Config) eachSecret(f func(paths ...*string)) {
	f(&c.Server.Cookies.SecretFile, &c.Server.TLS.TicketSecretFile)
	for i := range c.Server.TLS.Certificates {
		f(&c.Server.TLS.Certificates[i].Cert, &c.Server.TLS.Certificates[i].Key)
	}
	f(&c.Admin.TokenFile, &c.Admin.TLS.Cert, &c.Admin.TLS.Key, &c.Admin.TLS.ClientCA)
	for i := range c.Admin.Tokens {
		f(&c.Admin.Tokens[i].File)
	}
	for i := range c.Notify {
		s := &c.Notify[i]
		f(&s.Secret)
		for h := range s.Headers {
			f(&s.Headers[h].File)
		}
	}
}

// CopyOf returns a copy of c without Name and Root, and the absolute paths of its files: the documents and the files
// that they name, except master files and large files such as geo databases, which the copy refers to.
func (c *Config) CopyOf() (copied Copy, files []string, err error) {
	add := func(path string) string {
		absolute, e := filepath.Abs(path)
		if e != nil {
			err = e
		}
		files = append(files, absolute)
		return absolute
	}
	for _, file := range c.Files() {
		copied.Files = append(copied.Files, add(file))
	}
	c.eachFile(func(path *string) { add(*path) })
	copied.Environment = c.variables
	slices.Sort(files)
	return copied, slices.Compact(files), err
}

// GuessState searches the text of invalid configuration files for the folder of the state. It returns "" if it finds
// none.
func GuessState(paths ...string) string {
	files, _ := Expand(paths...)
	for _, file := range files {
		data, release, err := read(file)
		if err != nil {
			continue
		}
		state := ""
		for line := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) {
			if value, ok := strings.CutPrefix(line, "state:"); ok {
				value, _, _ = strings.Cut(value, " #")
				state = strings.Trim(strings.TrimSpace(value), `"'`)
				break
			}
		}
		release()
		switch {
		case state == "":
		case filepath.IsAbs(state):
			return state
		default:
			return filepath.Join(filepath.Dir(file), state)
		}
	}
	return ""
}

// DefaultState is the state folder of the standard deployments.
const DefaultState = "/var/lib/meridian"

// StateFolders returns the possible state folders of an invalid configuration.
func StateFolders(paths ...string) (folders []string) {
	if guess := GuessState(paths...); guess != "" {
		folders = append(folders, guess)
	}
	if info, err := os.Stat(DefaultState); err == nil && info.IsDir() {
		folders = append(folders, DefaultState)
	}
	return folders
}
