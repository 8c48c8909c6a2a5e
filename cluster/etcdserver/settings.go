package etcdserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"

	"go.etcd.io/etcd/server/v3/embed"
	"gopkg.in/yaml.v3"
)

// The defaults that differ from those of etcd.
const (
	defaultDir       = "/var/lib/meridian-etcd"
	defaultQuota     = 256 << 20
	defaultRetention = "10000" // revisions
)

// urlKeys are the settings that are lists of URLs.
var urlKeys = []string{"listen-peer-urls", "listen-client-urls", "listen-client-http-urls", "initial-advertise-peer-urls", "advertise-client-urls", "listen-metrics-urls"}

// otherKeys are the settings that embed.Config has no field for.
var otherKeys = append([]string{"cors", "host-whitelist", "client-transport-security", "peer-transport-security", "feature-gates"}, urlKeys...)

// Read reads the configuration of a member. An unknown key is an error, other than in etcd.
func Read(file string) (*Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if err := check(text); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	c, err := embed.ConfigFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	complete(c)
	return &Config{c}, nil
}

// complete sets the defaults of the settings that are not written.
func complete(c *embed.Config) {
	written := c.FlagsExplicitlySet
	if !written["data-dir"] {
		c.Dir = defaultDir
	}
	if !written["quota-backend-bytes"] {
		c.QuotaBackendBytes = defaultQuota
	}
	if !written["auto-compaction-mode"] && !written["auto-compaction-retention"] {
		c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModeRevision, defaultRetention
	}
	if !written["enable-grpc-gateway"] {
		c.EnableGRPCGateway = false // Meridian uses gRPC only
	}
}

// check returns an error for what etcd would ignore, or end the process for.
func check(text []byte) error {
	var settings map[string]yaml.Node
	err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&settings)
	if errors.Is(err, io.EOF) {
		return errors.New("it is empty; write at least name, data-dir and initial-cluster")
	}
	if err != nil {
		return err
	}
	var errs []error
	known := append(keysOf(reflect.TypeFor[embed.Config]()), otherKeys...)
	for key, value := range settings {
		if !slices.Contains(known, key) {
			errs = append(errs, fmt.Errorf("line %d: unknown key %q; the keys are those of an etcd configuration file, such as name, data-dir, listen-client-urls", value.Line, key))
		} else if slices.Contains(urlKeys, key) {
			errs = append(errs, checkURLs(key, &value))
		}
	}
	return errors.Join(errs...)
}

// keysOf returns the keys of a structure as etcd reads them.
func keysOf(t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			keys = append(keys, keysOf(f.Type)...)
		case f.IsExported() && name != "" && name != "-":
			keys = append(keys, name)
		}
	}
	return keys
}

// checkURLs checks a list of URLs, in one text with commas.
func checkURLs(key string, value *yaml.Node) error {
	if value.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: %s: write the URLs in one text, with commas", value.Line, key)
	}
	for text := range strings.SplitSeq(value.Value, ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil || !slices.Contains([]string{"http", "https", "unix", "unixs"}, u.Scheme) || u.Host == "" || u.Port() == "" {
			return fmt.Errorf("line %d: %s: %q is not a URL with an address and a port, such as https://10.0.0.1:2379", value.Line, key, text)
		}
	}
	return nil
}
