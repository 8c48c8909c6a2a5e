package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// noCheck is the word in a member or pool for no check at all.
const noCheck = "none"

// The ranges of the settings that every check has.
const (
	minInterval = 100 * time.Millisecond
	maxInterval = 24 * time.Hour
	maxPort     = 65535
	maxWarnDays = 3650
	minLease    = time.Second
	maxLease    = 24 * time.Hour
)

func (d *decoder) checks(to *[]Check) setter {
	return d.define(kindCheck, func(name string, key, value *yaml.Node) {
		if name == noCheck {
			d.errorf(key, quote(name)+" cannot name a check", "it means no check at all")
		}
		c := d.defaults.check
		c.Name, c.Pos = name, posOf(key)
		d.check(value, &c)
		*to = append(*to, c)
	})
}

// check reads a check by the keys of its type.
func (d *decoder) check(n *yaml.Node, c *Check) {
	if !d.kind(n, yaml.MappingNode) {
		return
	}
	d.required(n, "type", "write one of "+strings.Join(checkTypes(), ", "))
	if kind := yamldoc.Child(n, "type"); kind != nil {
		d.checkType(&c.Type)(kind)
	}
	c.ofType()
	d.mapping(n, d.checkKeys(c))
	d.requiredByType(n, c)
	c.Secure = c.Type == HTTPS || c.Type == TLS || c.Type == GRPC && yamldoc.Child(n, "tls") != nil
	d.checkTimes(n, c)
	d.confirmTime(n, c)
	d.idleTimes(n, c)
	if node := yamldoc.Child(n, "tls"); node != nil && (c.TLS.Cert == "") != (c.TLS.Key == "") {
		d.errorAtKey(node, "one of cert and key without the other", "a client's certificate takes both")
	}
}

// requiredByType reports missing keys and unsuitable values that depend on the type.
func (d *decoder) requiredByType(n *yaml.Node, c *Check) {
	switch c.Type {
	case HTTP, HTTPS:
		d.bodyToMatch(n, c)
	case DNS:
		d.required(n, "query", "write the name to ask for")
	case Exec:
		d.required(n, "command", "write the program and its arguments as a list")
	case All, Any, AtLeast, Invert:
		d.composite(n, c)
	}
	if socket := yamldoc.Child(n, "unix"); socket != nil {
		d.noPort(n, c)
	} else if c.Type == TCPConnect || c.Type == GRPC {
		d.required(n, "port", fmt.Sprintf("a %s check has no default port: write 1 to %d", c.Type, maxPort))
	}
}

func checkTypes() []string {
	var names []string
	for _, t := range allTypes() {
		names = append(names, string(t))
	}
	return names
}

func allTypes() []CheckType { return append(probeTypes(), Push, All, Any, AtLeast, Invert) }

// probeTypes returns the types of check that probe; streamTypes those that probe over one connection.
func probeTypes() []CheckType {
	return []CheckType{HTTP, HTTPS, TCPConnect, TLS, GRPC, DNS, ICMP, Exec}
}

func streamTypes() []CheckType { return []CheckType{HTTP, HTTPS, TCPConnect, TLS, GRPC} }

func (d *decoder) checkType(to *CheckType) setter {
	return setValue(to, func(n *yaml.Node) (CheckType, bool) {
		s, ok := d.oneOf(n, "check type", checkTypes())
		return CheckType(s), ok
	})
}

// checkKeys returns the keys of a check of c's type, or all keys if the type is unknown.
func (d *decoder) checkKeys(c *Check) []field {
	keys := []field{
		{name: "type", set: func(*yaml.Node) {}}, // read before all others
		{name: "port", set: d.integerInRange(&c.Port, 1, maxPort)},
		{name: "source", set: d.probeSources(&c.Sources, func(a netip.Addr, at nodeKey) {
			d.checkSources = append(d.checkSources, checkSource{c.Name, a, at})
		})},
		{name: "interval", set: d.duration(&c.Interval, minInterval, maxInterval)},
		{name: "timeout", set: d.duration(&c.Timeout, time.Millisecond, maxInterval)},
		{name: "idle", set: d.idleProbing(&c.Idle)},
		{name: "method", set: setValue(&c.Method, d.method)},
		{name: "path", set: setValue(&c.Path, d.requestPath)},
		{name: "host", set: setValue(&c.Host, d.host)},
		{name: "headers", set: d.headers(&c.Headers)},
		{name: "status", set: d.status(&c.Status)},
		{name: "body", set: d.pattern(&c.Body)},
		{name: "follow_redirects", set: d.flag(&c.FollowRedirects)},
		{name: "http2", set: d.flag(&c.HTTP2)},
		{name: "tls", set: d.tls(&c.TLS)},
		{name: "send", set: d.text(&c.Send)},
		{name: "expect", set: d.pattern(&c.Expect)},
		{name: "service", set: setValue(&c.Service, d.word)},
		{name: "query", set: setValue(&c.Query, d.domain)},
		{name: "query_type", set: setValue(&c.QueryType, d.queryType)},
		{name: "rcode", set: setValue(&c.Rcode, d.rcode)},
		{name: "answer", set: d.pattern(&c.Answer)},
		{name: "command", set: d.commandLine(&c.Command, &c.CommandPos)},
		{name: "unix", set: setValue(&c.Unix, d.socket)},
		{name: "proxy_protocol", set: setValue(&c.ProxyProtocol, d.proxyProtocol)},
		{name: "lease", set: d.duration(&c.Lease, minLease, maxLease)},
		{name: "checks", set: d.parts(c)},
		{name: "n", set: func(*yaml.Node) {}}, // read once all checks are known
	}
	keys = slices.Insert(keys, slices.IndexFunc(keys, func(f field) bool { return f.name == "method" }), d.thresholdKeys(c)...)
	for i := range keys {
		if c.Type != "" && !slices.Contains(typesWith(keys[i].name), c.Type) {
			keys[i].refused = "does not fit a check of type " + string(c.Type)
		}
	}
	return keys
}

// typesWith returns the types of check that have a key.
func typesWith(key string) []CheckType {
	if t := soleTypeWith(key); t != "" {
		return []CheckType{t}
	}
	switch key {
	case "type":
		return allTypes()
	case "method", "path", "headers", "status", "body", "follow_redirects", "http2":
		return []CheckType{HTTP, HTTPS}
	case "host":
		return []CheckType{HTTP, HTTPS, TLS, GRPC}
	case "tls":
		return []CheckType{HTTPS, TLS, GRPC}
	case "port":
		return []CheckType{HTTP, HTTPS, TCPConnect, TLS, GRPC, DNS, Exec}
	case "source":
		return []CheckType{HTTP, HTTPS, TCPConnect, TLS, GRPC, DNS, ICMP}
	case "quorum": // exec runs on one machine, and push reports to one node
		return []CheckType{HTTP, HTTPS, TCPConnect, TLS, GRPC, DNS, ICMP}
	case "unix", "proxy_protocol":
		return streamTypes()
	case "rise", "fall", "flap_damping", "hold_down", "failback", "slow_start":
		return append(probeTypes(), Push)
	case "checks":
		return []CheckType{All, Any, AtLeast, Invert}
	}
	return probeTypes()
}

// soleTypeWith returns the only type of check that has a key, or "" if several have it.
func soleTypeWith(key string) CheckType {
	switch key {
	case "send", "expect":
		return TCPConnect
	case "service":
		return GRPC
	case "query", "query_type", "rcode", "answer":
		return DNS
	case "command":
		return Exec
	case "lease":
		return Push
	case "n":
		return AtLeast
	}
	return ""
}

// commandLine reads a program and its arguments. A program with a slash is a file, relative to the folder of the
// configuration; others are searched for in PATH.
func (d *decoder) commandLine(to *[]string, pos *Pos) setter {
	return func(n *yaml.Node) {
		var argv []string
		if !d.list(n, func(item *yaml.Node) {
			if s, ok := d.scalar(item); ok {
				argv = append(argv, s)
			}
		}) || len(argv) < len(n.Content) {
			return
		}
		if len(argv) == 0 || argv[0] == "" {
			d.errorAtKey(n, "no program", "write the program and its arguments as a list")
			return
		}
		if strings.ContainsRune(argv[0], '/') && !filepath.IsAbs(argv[0]) {
			argv[0] = filepath.Join(filepath.Dir(d.fileOf(n)), argv[0])
			if !strings.ContainsRune(argv[0], '/') {
				argv[0] = "./" + argv[0] // Join removes it
			}
		}
		*to, *pos = argv, posOf(n)
	}
}

// checkTimes requires that the timeout is at most the interval, so that probes of one address never overlap.
func (d *decoder) checkTimes(n *yaml.Node, c *Check) {
	if c.Timeout <= c.Interval {
		return
	}
	timeout := yamldoc.Child(n, "timeout")
	if timeout == nil {
		c.Timeout = c.Interval
		return
	}
	d.errorf(timeout, fmt.Sprintf("timeout %s is longer than the interval, %s", FormatDuration(c.Timeout), FormatDuration(c.Interval)),
		"at most the interval")
}

// tls reads how a check verifies its peer over TLS.
func (d *decoder) tls(t *CheckTLS) setter {
	var keyPos Pos // not recorded: CertPos is enough, both files are loaded together
	return func(n *yaml.Node) {
		d.mapping(n, []field{
			{name: "ca", set: d.path(&t.CA, &t.CAPos)},
			{name: "cert", set: d.path(&t.Cert, &t.CertPos)},
			{name: "key", set: d.path(&t.Key, &keyPos)},
			{name: "server_name", set: setValue(&t.ServerName, d.host)},
			{name: "insecure", set: d.flag(&t.Insecure)},
			{name: "warn_days", set: d.integerInRange(&t.WarnDays, 0, maxWarnDays)},
		})
	}
}
