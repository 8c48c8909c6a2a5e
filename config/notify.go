package config

import (
	"strings"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// Sink is a destination of events: a webhook or an Alertmanager.
type Sink struct {
	URL          string
	Alertmanager bool
	Events       []string // kinds; empty: all
	Headers      []SinkHeader
	Secret       string // path of a file with the key that signs the body; empty: no signature
	Pos          Pos
}

// SinkHeader is a header of the requests to a sink.
type SinkHeader struct {
	Name  string
	Value string
	File  string // path of a file with the value; empty: Value is it
}

// EventKinds are the kinds of events that a sink may ask for, in the order of the manual.
func EventKinds() []string {
	return []string{"state", "fail_open", "mode", "spill", "ejection", "override", "config", "audit", "dnssec", "cluster", "upgrade", "rate_limit", "flood", "filter", "quarantine", "zone", "error_report"}
}

func (d *decoder) notify(to *[]Sink) setter {
	return func(n *yaml.Node) {
		d.list(n, func(item *yaml.Node) {
			s := Sink{Pos: posOf(item)}
			if !d.sink(item, &s) {
				return
			}
			for _, before := range *to {
				if before.URL == s.URL && s.URL != "" {
					d.errorf(item, quote(s.URL)+" is given twice", "give each sink once, with all its events")
				}
			}
			*to = append(*to, s)
		})
	}
}

// sink reads a sink. It reports whether n is a mapping.
func (d *decoder) sink(n *yaml.Node, s *Sink) bool {
	ok := d.mapping(n, []field{
		{name: "webhook", set: setValue(&s.URL, func(n *yaml.Node) (string, bool) { return d.httpURL(n, "https://hooks.example.com/meridian") })},
		{name: "alertmanager", set: func(n *yaml.Node) { s.Alertmanager = true; setValue(&s.URL, d.alertmanagerURL)(n) }},
		{name: "events", set: d.eventKinds(&s.Events)},
		{name: "headers", set: d.sinkHeaders(&s.Headers)},
		{name: "secret", set: func(n *yaml.Node) { d.fileOnly(n, &s.Secret) }},
	})
	if ok {
		d.exactlyOne(n, "webhook", "alertmanager")
	}
	if secret := yamldoc.Child(n, "secret"); ok && secret != nil && s.Alertmanager {
		d.errorf(secret, "alertmanager checks no signature", "use headers: {Authorization: {file: am.token}}")
	}
	return ok
}

// alertmanagerURL reads the URL to which the path of the API is added.
func (d *decoder) alertmanagerURL(n *yaml.Node) (string, bool) {
	s, ok := d.httpURL(n, "http://alertmanager.example.com:9093")
	return strings.TrimSuffix(s, "/"), ok
}

func (d *decoder) eventKinds(to *[]string) setter {
	return func(n *yaml.Node) {
		d.list(n, func(item *yaml.Node) {
			if kind, ok := d.oneOf(item, "kind of event", EventKinds()); ok {
				*to = append(*to, kind)
			}
		})
	}
}

// sinkHeaders reads header fields: NAME: value, or NAME: {file: path}.
func (d *decoder) sinkHeaders(to *[]SinkHeader) setter {
	return func(n *yaml.Node) {
		if !d.kind(n, yaml.MappingNode) {
			return
		}
		for key, value := range yamldoc.Pairs(n) {
			h := SinkHeader{Name: key.Value}
			if !validHeader(h.Name) {
				d.errorf(key, quote(h.Name)+" is not the name of a header", "e.g. Authorization")
				continue
			}
			if value.Kind == yaml.MappingNode {
				d.fileOnly(value, &h.File)
			} else {
				setValue(&h.Value, d.word)(value)
			}
			*to = append(*to, h)
		}
	}
}

// fileOnly reads a mapping with the path of a file.
func (d *decoder) fileOnly(n *yaml.Node, path *string) {
	if d.mapping(n, []field{{name: "file", set: d.path(path, new(Pos))}}) {
		d.required(n, "file", "write the path of a file: {file: hook.token}")
	}
}

// validHeader reports whether a name is one of a header field (RFC 9110 section 5.6.2) that
// belongs to no other setting.
func validHeader(name string) bool {
	const letters = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
	lower := strings.ToLower(name)
	return lower != "" && lower != "host" && lower != "content-length" && strings.Trim(lower, letters) == ""
}
