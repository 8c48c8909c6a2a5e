package health

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"reflect"
	"slices"

	"github.com/hashicorp/go-multierror"

	"meridian/config"
)

// identity identifies a target: equal check definitions and equal addresses are one target.
type identity struct {
	fingerprint fingerprint
	addr        netip.Addr
}

// fingerprint is a digest of all of a check that affects its probes and verdicts: the whole config.Check except name and
// positions, and the contents of its files.
type fingerprint [sha256.Size]byte

// preparedCheck is a check that is ready to probe. It is immutable.
type preparedCheck struct {
	check            *config.Check
	fingerprint      fingerprint
	probeFingerprint fingerprint // a digest of the probe alone, without thresholds
	run              probe
	credentials

	parts   []part      // of composites, which have no run
	height  int         // composites: 1 above the highest of their parts; others: 0
	path    *url.URL    // of http and https: path and query
	header  http.Header // of http and https: all but Host
	pool    *bufferPool // of http and https
	program string      // of exec: the file
}

// checkError is the reason that a check cannot be prepared.
type checkError struct {
	pos           config.Pos
	key           string // below the check, e.g. tls.ca
	problem, hint string
}

// Prepare verifies that every check of cfg can run: it reads the files that the checks name. The error is a
// *multierror.Error of config.Errors in file order.
func Prepare(cfg *config.Config) error {
	var faults []config.Error
	for i := range cfg.Checks {
		c := &cfg.Checks[i]
		if c.Base != "" { // it has the files of its base
			continue
		}
		_, problems := prepareCheck(c)
		for _, f := range problems {
			faults = append(faults, cfg.ErrorAt(f.pos, "checks."+c.Name+"."+f.key, f.problem, f.hint))
		}
	}
	slices.SortStableFunc(faults, func(a, b config.Error) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	var all *multierror.Error
	for _, f := range faults {
		all = multierror.Append(all, f)
	}
	return all.ErrorOrNil()
}

// prepareChecks prepares the check of each target, once per check.
func prepareChecks(targets []Target) ([]*preparedCheck, error) {
	made := make(preparedChecks)
	out := make([]*preparedCheck, len(targets))
	for i, t := range targets {
		if t.Check == nil || !t.Addr.IsValid() {
			return nil, fmt.Errorf("target %d has no check or no address", i)
		}
		c, err := made.get(t.Check)
		if err != nil {
			return nil, err
		}
		out[i] = c
	}
	return out, nil
}

// preparedChecks holds the prepared checks, one per config.Check.
type preparedChecks map[*config.Check]*preparedCheck

// get returns the prepared check of c, or prepares it.
func (made preparedChecks) get(c *config.Check) (*preparedCheck, error) {
	if of := made[c]; of != nil {
		return of, nil
	}
	of, problems := prepareCheck(c)
	if len(problems) > 0 {
		return nil, joinErrors(c.Name, problems)
	}
	if c.Type.Composite() {
		if err := of.compose(made); err != nil {
			return nil, err
		}
	}
	made[c] = of
	return of, nil
}

func joinErrors(check string, problems []checkError) error {
	var errs []error
	for _, f := range problems {
		errs = append(errs, fmt.Errorf("checks.%s.%s: %s; %s", check, f.key, f.problem, f.hint))
	}
	return errors.Join(errs...)
}

// prepareCheck prepares c, except the parts of a composite.
func prepareCheck(c *config.Check) (*preparedCheck, []checkError) {
	made := &preparedCheck{check: c}
	var problems []checkError
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
		return nil, []checkError{{c.Pos, "type", fmt.Sprintf("no check of type %q", c.Type), "http, https, tcp, tls, grpc, dns, icmp, exec, push, all, any, at_least or invert"}}
	}
	loaded, digest, more := loadCredentials(c.TLS)
	made.credentials = loaded
	made.fingerprint, made.probeFingerprint = fingerprintOf(c, digest), fingerprintOf(probeFields(c), digest)
	return made, append(problems, more...)
}

// prepareHTTP parses the path and headers of an http or https check.
func (c *preparedCheck) prepareHTTP() []checkError {
	path, err := url.ParseRequestURI(c.check.Path)
	if err != nil || path.Host != "" {
		return []checkError{{
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

// fingerprintOf digests c. It iterates over all fields, so that a new field counts automatically; fields behind a pointer,
// or that do not count, are removed and, if they count, added by value. A zero field leaves no trace, so that the digests,
// and saved state with them, survive an upgrade that adds one. The name counts for exec, as its program receives it, and
// for push, as reports name it. compose adds the parts.
func fingerprintOf(c *config.Check, files [sha256.Size]byte) fingerprint {
	plain := *c
	if c.Type != config.Exec && c.Type != config.Push {
		plain.Name = ""
	}
	plain.Base, plain.Sources = "", nil
	plain.Pos, plain.TLS.CAPos, plain.TLS.CertPos, plain.CommandPos = config.Pos{}, config.Pos{}, config.Pos{}, config.Pos{}
	plain.Body, plain.Expect, plain.Answer, plain.Parts = nil, nil, nil, nil
	text := appendFields(nil, reflect.ValueOf(plain))
	text = fmt.Appendf(text, "%q %q %q %x", c.Body, c.Expect, c.Answer, files)
	for _, source := range slices.SortedFunc(slices.Values(c.Sources), netip.Addr.Compare) {
		text = fmt.Appendf(text, " source %v", source)
	}
	return sha256.Sum256(text)
}

// probeFields returns c without schedule and thresholds: two checks that differ only in those find the same of an endpoint.
func probeFields(c *config.Check) *config.Check {
	plain := *c
	plain.Interval, plain.Timeout, plain.Lease, plain.TLS.WarnDays = 0, 0, 0, 0
	plain.Rise, plain.Fall, plain.Confirm = 0, 0, 0
	plain.FlapDamping, plain.HoldDown, plain.Failback, plain.SlowStart = config.FlapDamping{}, 0, "", 0
	return &plain
}

// appendFields appends the non-zero fields of a struct, by name.
func appendFields(text []byte, of reflect.Value) []byte {
	for i := range of.NumField() {
		name, f := of.Type().Field(i).Name, of.Field(i)
		switch {
		case f.IsZero():
		case f.Kind() == reflect.Struct:
			text = append(appendFields(fmt.Appendf(text, "%s{", name), f), '}')
		default:
			text = fmt.Appendf(text, "%s=%#v ", name, f)
		}
	}
	return text
}
