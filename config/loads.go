package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// LoadType is the format of a load report.
type LoadType string

// The types of load.
const (
	JSON       LoadType = "json"
	Prometheus LoadType = "prometheus" // the text format of its exporters
	HAProxy    LoadType = "haproxy"    // the CSV of its statistics
	Nginx      LoadType = "nginx"      // its stub_status
)

// LoadSource defines where and how the load of members and regions is read. With a URL, one request serves all;
// otherwise each member is queried at its first address, by Port, Path and Host.
type LoadSource struct {
	Name     string
	Type     LoadType
	URL      string
	Port     int
	Path     string // of the request, with its query string if any
	Host     string // host in the request, and over TLS the name to verify; empty: the address
	Secure   bool   // over TLS
	TLS      CheckTLS
	Load     Reading       // json, prometheus
	Capacity Reading       // the same; the zero value: the report has none
	Backend  string        // haproxy: the backend with the sessions; this or Frontend
	Frontend string        // haproxy
	Interval time.Duration // between two reports
	Timeout  time.Duration
	Stale    time.Duration // maximum age of a report
	Pos      Pos
}

// Reading selects a number in a report.
type Reading struct {
	Path   []string // json: the keys and list indexes that lead to it
	Metric string   // prometheus: the name; the values of all its series with the Labels are added
	Labels []Label
}

// Label is a label of a metric and its required value.
type Label struct{ Name, Value string }

// Given reports whether r selects anything.
func (r Reading) Given() bool { return len(r.Path) > 0 || r.Metric != "" }

// SaysCapacity reports whether a report includes the capacity.
func (l *LoadSource) SaysCapacity() bool { return l.Type == HAProxy || l.Capacity.Given() }

// LoadOf holds the load settings of a member or region.
type LoadOf struct {
	Load     string // in Config.Loads; empty: no report
	Capacity int    // capacity that overrides the report; 0: the report's
	Pos      Pos
}

// Shed holds the marks, in per cent of the capacity, at which a pool starts and stops to send clients elsewhere. Both
// are 0 if it never does.
type Shed struct{ Low, High int }

const (
	maxCapacity = 1_000_000_000
	staleAfter  = 3 // intervals
)

func loadTypes() []string {
	return []string{string(JSON), string(Prometheus), string(HAProxy), string(Nginx)}
}

func (d *decoder) loads(to *[]LoadSource) setter {
	return d.define(kindLoad, func(name string, key, value *yaml.Node) {
		l := d.defaults.load
		l.Name, l.Pos = name, posOf(key)
		d.load(value, &l)
		*to = append(*to, l)
	})
}

// load reads a load by the keys of its type.
func (d *decoder) load(n *yaml.Node, l *LoadSource) {
	if !d.kind(n, yaml.MappingNode) {
		return
	}
	d.required(n, "type", "write one of "+strings.Join(loadTypes(), ", "))
	if node := yamldoc.Child(n, "type"); node != nil {
		setValue(&l.Type, d.loadType)(node)
	}
	l.Path = map[LoadType]string{Prometheus: "/metrics", HAProxy: "/haproxy?stats;csv", Nginx: "/basic_status"}[l.Type]
	d.mapping(n, d.loadKeys(l))
	switch l.Type {
	case JSON, Prometheus:
		d.required(n, "load", "write where in the report the load is")
	case HAProxy:
		d.exactlyOne(n, "backend", "frontend")
	}
	d.loadLocation(n, l)
	d.loadTimes(n, l)
}

func (d *decoder) loadType(n *yaml.Node) (LoadType, bool) {
	s, ok := d.oneOf(n, "load type", loadTypes())
	return LoadType(s), ok
}

// loadKeys returns the keys of a load of l's type, or all keys if the type is unknown.
func (d *decoder) loadKeys(l *LoadSource) []field {
	reading := func(to *Reading) setter {
		return setValue(to, func(n *yaml.Node) (Reading, bool) { return d.reading(n, l.Type) })
	}
	keys := []field{
		{name: "type", set: func(*yaml.Node) {}}, // read before all others
		{name: "url", set: setValue(&l.URL, func(n *yaml.Node) (string, bool) { return d.httpURL(n, "http://192.0.2.1:9100/metrics") })},
		{name: "port", set: d.integerInRange(&l.Port, 1, maxPort)},
		{name: "path", set: setValue(&l.Path, d.requestPath)},
		{name: "host", set: setValue(&l.Host, d.host)},
		{name: "tls", set: d.loadTLS(&l.TLS)},
		{name: "load", set: reading(&l.Load)},
		{name: "capacity", set: reading(&l.Capacity)},
		{name: "backend", set: setValue(&l.Backend, d.word)},
		{name: "frontend", set: setValue(&l.Frontend, d.word)},
		{name: "interval", set: d.duration(&l.Interval, minInterval, maxInterval)},
		{name: "timeout", set: d.duration(&l.Timeout, time.Millisecond, maxInterval)},
		{name: "stale", set: d.duration(&l.Stale, minInterval, maxInterval)},
	}
	for i := range keys {
		types := loadTypesWith(keys[i].name)
		if l.Type != "" && types != nil && !slices.Contains(types, l.Type) {
			keys[i].refused = "does not fit a load of type " + string(l.Type)
		}
	}
	return keys
}

// loadTypesWith returns the types of load that have a key; nil: all.
func loadTypesWith(key string) []LoadType {
	switch key {
	case "load", "capacity":
		return []LoadType{JSON, Prometheus}
	case "backend", "frontend":
		return []LoadType{HAProxy}
	}
	return nil
}

// loadTLS reads how the peer is verified.
func (d *decoder) loadTLS(t *CheckTLS) setter {
	return func(n *yaml.Node) {
		d.mapping(n, []field{
			{name: "ca", set: d.path(&t.CA, &t.CAPos)},
			{name: "server_name", set: setValue(&t.ServerName, d.host)},
			{name: "insecure", set: d.flag(&t.Insecure)},
		})
	}
}

// loadLocation checks that a report has one source: a URL, or each member's address.
func (d *decoder) loadLocation(n *yaml.Node, l *LoadSource) {
	if yamldoc.Child(n, "url") == nil {
		l.Secure = yamldoc.Child(n, "tls") != nil
		if l.Port == 0 {
			l.Port = map[bool]int{false: 80, true: 443}[l.Secure]
		}
		if l.Path == "" && l.Type != "" {
			d.required(n, "path", "write the path of the report, or url")
		}
		return
	}
	l.Secure = strings.HasPrefix(l.URL, "https:")
	for _, key := range []string{"port", "path", "host"} {
		if node := yamldoc.Child(n, key); node != nil {
			d.errorf(node, key+" beside url", "the url sets it")
		}
	}
	if node := yamldoc.Child(n, "tls"); node != nil && l.URL != "" && !l.Secure {
		d.errorAtKey(node, "tls beside a url of http", "write https:")
	}
}

// loadTimes requires that the timeout is at most the interval, and that a report becomes stale only after the next one
// is due.
func (d *decoder) loadTimes(n *yaml.Node, l *LoadSource) {
	timeout, stale := yamldoc.Child(n, "timeout"), yamldoc.Child(n, "stale")
	if timeout == nil {
		l.Timeout = min(l.Timeout, l.Interval)
	} else if l.Timeout > l.Interval {
		d.errorf(timeout, fmt.Sprintf("timeout %s is longer than the interval, %s", FormatDuration(l.Timeout), FormatDuration(l.Interval)), "at most the interval")
	}
	if stale == nil {
		l.Stale = staleAfter * l.Interval
	} else if l.Stale <= l.Interval {
		d.errorf(stale, fmt.Sprintf("stale %s is no longer than the interval, %s", FormatDuration(l.Stale), FormatDuration(l.Interval)),
			fmt.Sprintf("such as %s: %d intervals", FormatDuration(staleAfter*l.Interval), staleAfter))
	}
}

// httpURL reads a URL of http or https. The example is for errors.
func (d *decoder) httpURL(n *yaml.Node, example string) (string, bool) {
	s, ok := d.scalar(n)
	if !ok {
		return "", false
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || strings.ContainsFunc(s, notInURL):
		d.errorf(n, quote(s)+" is not a URL", "write it like "+example)
	case u.Scheme != "http" && u.Scheme != "https":
		d.errorf(n, quote(s)+" is neither of http nor of https", "write it like "+example)
	case u.User != nil || u.Fragment != "":
		d.errorf(n, quote(s)+" has a user or a fragment", "neither is sent: leave it out")
	default:
		return s, true
	}
	return "", false
}

var (
	metricPattern = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?$`)
	labelPattern  = regexp.MustCompile(`^ *([a-zA-Z_][a-zA-Z0-9_]*) *= *"([^"\\]*)" *(?:,|$)`)
)

// reading reads the selector of a number in a report: a.b.0.c, or name{label="value"}.
func (d *decoder) reading(n *yaml.Node, of LoadType) (Reading, bool) {
	s, ok := d.scalar(n)
	if !ok {
		return Reading{}, false
	}
	if of == JSON {
		path := strings.Split(s, ".")
		if slices.Contains(path, "") {
			d.errorf(n, quote(s)+" is not a path into a report", "write keys with dots between them, such as pool.active")
			return Reading{}, false
		}
		return Reading{Path: path}, true
	}
	r, ok := selector(s)
	if !ok {
		d.errorf(n, quote(s)+" is not a metric", `write it like haproxy_backend_current_sessions{proxy="web"}`)
	}
	return r, ok
}

func selector(s string) (Reading, bool) {
	match := metricPattern.FindStringSubmatch(s)
	if match == nil {
		return Reading{}, false
	}
	r := Reading{Metric: match[1]}
	for rest := match[2]; rest != ""; {
		label := labelPattern.FindStringSubmatch(rest)
		if label == nil {
			return Reading{}, false
		}
		r.Labels = append(r.Labels, Label{label[1], label[2]})
		rest = rest[len(label[0]):]
	}
	return r, true
}

// loadUse is a place that names a load or a capacity.
type loadUse struct {
	of      *LoadOf
	at      nodeKey
	address bool   // it has an address of its own to query
	who     string // for messages
	pool    string // of a member
	region  string // the region itself, without a pool
}

// loadOf reads a load setting of a member or region into *to, which it allocates.
func (d *decoder) loadOf(to **LoadOf, read func(*LoadOf) setter) setter {
	return func(n *yaml.Node) {
		if *to == nil {
			*to = &LoadOf{Pos: posOf(n)}
		}
		read(*to)(n)
	}
}

func (d *decoder) loadKeysOf(to **LoadOf) []field {
	return []field{
		{name: "load", set: d.loadOf(to, func(of *LoadOf) setter { return d.refer(kindLoad, &of.Load) })},
		{name: "capacity", set: d.loadOf(to, func(of *LoadOf) setter { return d.integerInRange(&of.Capacity, 1, maxCapacity) })},
	}
}

// noteLoad records a use of a load, to be checked after all loads are read.
func (d *decoder) noteLoad(n *yaml.Node, use loadUse) {
	if use.of == nil {
		return
	}
	node := yamldoc.Child(n, "load")
	if node == nil {
		node = yamldoc.Child(n, "capacity")
	}
	use.at = nodeKeyOf(node)
	d.loadUses = append(d.loadUses, use)
}

// checkLoadUses reports uses of loads that can have no effect.
func (d *decoder) checkLoadUses(loads []LoadSource) {
	byName := map[string]*LoadSource{}
	for i := range loads {
		byName[loads[i].Name] = &loads[i]
	}
	for _, use := range d.loadUses {
		l := byName[use.of.Load]
		switch {
		case l == nil: // it is only a capacity, or the load has an error already
		case l.URL == "" && !use.address:
			d.errorAt(use.at, "load "+quote(l.Name)+" is read at the address of a member, and "+use.who+" has none", "give the load a url")
		case use.of.Capacity == 0 && l.Type != "" && !l.SaysCapacity():
			d.errorAt(use.at, "no capacity", "reports of load "+quote(l.Name)+" do not have it: write capacity too")
		}
	}
}

// shed reads the marks between which a pool sheds.
func (d *decoder) shed(to *Shed) setter {
	return func(n *yaml.Node) {
		s := d.defaults.shed
		if !d.mapping(n, []field{
			{name: "low", set: d.percentage(&s.Low, 1, 99)},
			{name: "high", set: d.percentage(&s.High, 2, 100)},
		}) {
			return
		}
		if s.Low >= s.High {
			d.errorAtKey(n, fmt.Sprintf("low %d%% is not below high %d%%", s.Low, s.High), "such as {low: 70%, high: 90%}")
			return
		}
		*to = s
	}
}
