package probe

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"

	"meridian/config"
)

// Check is a check that is ready to probe. It is immutable.
type Check struct {
	check *config.Check
	Files [sha256.Size]byte // a digest of the files of the check
	run   checkFunc         // nil: it has no probe
	credentials

	path    *url.URL    // of http and https: path and query
	header  http.Header // of http and https: all but Host
	pool    *bufferPool // of http and https
	program string      // of exec: the file
}

// Probes reports whether c has a probe; composites and push checks have none.
func (c *Check) Probes() bool { return c.run != nil }

// Problem is the reason that a check cannot be prepared.
type Problem struct {
	Pos        config.Pos
	Key        string // below the check, e.g. tls.ca
	What, Hint string
}

// New reads the files of c and finds what its probe needs. The returned check has no probe if its type has none.
func New(c *config.Check) (*Check, []Problem) {
	made := &Check{check: c}
	var problems []Problem
	switch c.Type {
	case config.HTTP, config.HTTPS:
		made.run = probeHTTP
		problems = made.prepareHTTP()
	case config.TCPConnect:
		made.run = probeTCP
	case config.TLS:
		made.run = probeTLS
	case config.GRPC:
		made.run = probeGRPC
	case config.DNS:
		made.run = probeDNS
	case config.ICMP:
		made.run = probeICMP
		problems = made.prepareICMP()
	case config.Exec:
		made.run = probeExec
		problems = made.prepareExec()
	case config.Push, config.All, config.Any, config.AtLeast, config.Invert: // these have no probe
	default:
		return made, []Problem{{c.Pos, "type", fmt.Sprintf("no check of type %q", c.Type), "http, https, tcp, tls, grpc, dns, icmp, exec, push, all, any, at_least or invert"}}
	}
	var more []Problem
	made.credentials, made.Files, more = loadCredentials(c.TLS)
	return made, append(problems, more...)
}

// prepareHTTP parses the path and headers of an http or https check.
func (c *Check) prepareHTTP() []Problem {
	path, err := url.ParseRequestURI(c.check.Path)
	if err != nil || path.Host != "" {
		return []Problem{{
			c.check.Pos, "path",
			fmt.Sprintf("%q is not a path", c.check.Path), "a path such as /healthz?full=1",
		}}
	}
	c.path, c.pool = path, newBufferPool()
	c.header = http.Header{"User-Agent": {"meridian"}}
	for _, h := range c.check.Headers {
		if name := textproto.CanonicalMIMEHeaderKey(h.Name); name == "User-Agent" {
			c.header.Set(name, h.Value)
		} else {
			c.header.Add(name, h.Value)
		}
	}
	return nil
}

// Verify checks that every check of cfg can run: it reads the files that the checks name. The error is a
// *multierror.Error of config.Errors in file order.
func Verify(cfg *config.Config) error {
	var faults []config.Error
	for i := range cfg.Checks {
		c := &cfg.Checks[i]
		if c.Base != "" { // it has the files of its base
			continue
		}
		_, problems := New(c)
		for _, f := range problems {
			faults = append(faults, cfg.ErrorAt(f.Pos, "checks."+c.Name+"."+f.Key, f.What, f.Hint))
		}
	}
	cfg.SortErrors(faults)
	return config.Join(faults)
}
