package config

import (
	"fmt"
	"net/netip"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// noCheck is what a member or pool names for no check at all.
const noCheck = "none"

// The ranges of what every check has.
const (
	minInterval = 100 * time.Millisecond
	maxInterval = 24 * time.Hour
	maxInARow   = 1000
	maxPort     = 65535
)

func (d *decoder) checks(to *[]Check) reader {
	return d.define(kindCheck, func(name string, key, value *yaml.Node) {
		if name == noCheck {
			d.fault(key, quote(name)+" cannot name a check", "it stands for no check at all")
		}
		c := d.defaults.check
		c.Name, c.Pos = name, posOf(key)
		d.check(value, &c)
		*to = append(*to, c)
	})
}

// check reads a check by the keys that its type has.
func (d *decoder) check(n *yaml.Node, c *Check) {
	if !d.kind(n, yaml.MappingNode) {
		return
	}
	d.required(n, "type", "write one of "+strings.Join(checkTypes(), ", "))
	if kind := child(n, "type"); kind != nil {
		d.checkType(&c.Type)(kind)
	}
	if c.Type != TCPConnect {
		c.overHTTP()
	}
	d.mapping(n, d.checkKeys(c))
	if c.Type == TCPConnect {
		d.required(n, "port", "a tcp check has no port of its own: write 1 to 65535")
	}
	d.checkTimes(n, c)
	if node := child(n, "tls"); node != nil && (c.TLS.Cert == "") != (c.TLS.Key == "") {
		d.faultAtKey(node, "one of cert and key without the other", "a client's certificate takes both")
	}
}

func checkTypes() []string { return []string{string(HTTP), string(HTTPS), string(TCPConnect)} }

// laterChecks are types of check that this version does not have.
func laterChecks() []string {
	return []string{"tls", "grpc", "dns", "icmp", "exec", "push", "http2"}
}

func (d *decoder) checkType(to *CheckType) reader {
	return into(to, func(n *yaml.Node) (CheckType, bool) {
		s, ok := d.oneOf(n, "check type", checkTypes(), laterChecks())
		return CheckType(s), ok
	})
}

// checkKeys are the keys that fit a check of c's type; of an unknown type, all.
func (d *decoder) checkKeys(c *Check) []field {
	var scheme string // the type's own name where it is HTTP
	if c.Type != TCPConnect {
		scheme = string(c.Type)
	}
	keys := []field{
		{name: "type", read: func(*yaml.Node) {}}, // read before all others
		{name: "port", read: d.whole(&c.Port, 1, maxPort)},
		{name: "interval", read: d.duration(&c.Interval, minInterval, maxInterval)},
		{name: "timeout", read: d.duration(&c.Timeout, time.Millisecond, maxInterval)},
		{name: "rise", read: d.whole(&c.Rise, 1, maxInARow)},
		{name: "fall", read: d.whole(&c.Fall, 1, maxInARow)},
	}
	http := []field{
		{name: "method", read: into(&c.Method, d.method)},
		{name: "path", read: into(&c.Path, d.requestPath)},
		{name: "host", read: into(&c.Host, d.host)},
		{name: "headers", read: d.headers(&c.Headers)},
		{name: "status", read: d.status(&c.Status)},
		{name: "body", read: d.pattern(&c.Body)},
		{name: "follow_redirects", read: d.flag(&c.FollowRedirects)},
	}
	https := []field{{name: "tls", read: d.tls(&c.TLS)}}
	tcp := []field{
		{name: "send", read: d.text(&c.Send)},
		{name: "expect", read: d.pattern(&c.Expect)},
	}
	switch c.Type {
	case HTTP:
		misfit(scheme, https, tcp)
	case HTTPS:
		misfit(scheme, tcp)
	case TCPConnect:
		misfit(string(TCPConnect), http, https)
	}
	return slices.Concat(keys, http, https, tcp)
}

// misfit refuses keys that a check of this type does not have.
func misfit(checkType string, groups ...[]field) {
	for _, keys := range groups {
		for i := range keys {
			keys[i].refused = "does not fit a check of type " + checkType
		}
	}
}

// checkTimes holds the timeout within the interval: probes of one address
// never overlap.
func (d *decoder) checkTimes(n *yaml.Node, c *Check) {
	if c.Timeout <= c.Interval {
		return
	}
	timeout := child(n, "timeout")
	if timeout == nil {
		c.Timeout = c.Interval
		return
	}
	d.fault(timeout, fmt.Sprintf("timeout %s is longer than the interval, %s", span(c.Timeout), span(c.Interval)),
		"at most the interval")
}

// tls reads how an https check verifies its peer.
func (d *decoder) tls(t *CheckTLS) reader {
	var keyPos Pos // told by CertPos: the two are loaded together
	return func(n *yaml.Node) {
		d.mapping(n, []field{
			{name: "ca", read: d.path(&t.CA, &t.CAPos)},
			{name: "cert", read: d.path(&t.Cert, &t.CertPos)},
			{name: "key", read: d.path(&t.Key, &keyPos)},
			{name: "server_name", read: into(&t.ServerName, d.host)},
			{name: "insecure", read: d.flag(&t.Insecure)},
		})
	}
}

// token is a method or header name (RFC 9110 5.6.2).
var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

func (d *decoder) method(n *yaml.Node) (string, bool) {
	s, ok := d.scalar(n)
	if !ok {
		return "", false
	}
	switch upper := strings.ToUpper(s); {
	case !token.MatchString(s), upper == "CONNECT":
		d.fault(n, quote(s)+" is not a method for a check", "write it like GET or HEAD")
	case upper != s:
		d.fault(n, quote(s)+" is in lower case", "methods are told apart by case: write "+upper)
	default:
		return s, true
	}
	return "", false
}

// requestPath reads the path of a request, with or without a query.
func (d *decoder) requestPath(n *yaml.Node) (string, bool) {
	s, ok := d.scalar(n)
	if !ok {
		return "", false
	}
	_, err := url.ParseRequestURI(s)
	switch {
	case !strings.HasPrefix(s, "/"):
		d.fault(n, quote(s)+" does not begin with a slash", "write it like /healthz")
	case err != nil || strings.ContainsFunc(s, notInURL):
		d.fault(n, quote(s)+" is not the path of a URL", "percent-encode what is not plain ASCII")
	case strings.Contains(s, "#"):
		d.fault(n, quote(s)+" has a fragment", "a fragment is not sent: leave it out")
	default:
		return s, true
	}
	return "", false
}

func notInURL(r rune) bool { return r <= ' ' || r >= 0x7f }

// host reads a host name or address, without port.
func (d *decoder) host(n *yaml.Node) (string, bool) {
	s, ok := d.word(n)
	if !ok {
		return "", false
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return s, true
	}
	if strings.ContainsRune(s, ':') {
		d.fault(n, quote(s)+" is not a host name", "write the name alone; the port goes in port")
		return "", false
	}
	if _, err := ParseName(s); err != nil || strings.ContainsAny(s, `\/?#*`) {
		d.fault(n, quote(s)+" is not a host name", "write it like www.example.com, in punycode (xn--...) where it is not ASCII")
		return "", false
	}
	return s, true
}

// headers reads the headers of a request.
func (d *decoder) headers(to *[]Header) reader {
	return func(n *yaml.Node) {
		collection(d, n, d.headerName, func(name string, _, value *yaml.Node) {
			text, ok := d.scalar(value)
			if !ok {
				return
			}
			if strings.ContainsFunc(text, notInHeader) {
				d.fault(value, quote(text)+" is not the value of a header", "it holds no line break and no control character")
			}
			*to = append(*to, Header{Name: name, Value: text})
		})
	}
}

func notInHeader(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// headerName reads the name of a header that is the operator's to set.
func (d *decoder) headerName(n *yaml.Node) (string, bool) {
	if !token.MatchString(n.Value) {
		d.fault(n, quote(n.Value)+" is not the name of a header", "write it like User-Agent")
		return "", false
	}
	switch name := textproto.CanonicalMIMEHeaderKey(n.Value); name {
	case "Host":
		d.fault(n, "header "+quote(n.Value)+" has a key of its own", "write host: beside headers")
	case "Connection", "Content-Length", "Trailer", "Transfer-Encoding":
		d.fault(n, "header "+quote(n.Value)+" is set by the probe", "leave it out")
	default:
		return name, true
	}
	return "", false
}

// status reads codes and ranges: 204, "200-299", or a list of such.
func (d *decoder) status(to *[]StatusRange) reader {
	return func(n *yaml.Node) {
		items := []*yaml.Node{n}
		if n.Kind == yaml.SequenceNode {
			items = n.Content
			if len(items) == 0 {
				d.faultAtKey(n, "an empty list", "write at least one status, such as 200-299")
			}
		}
		var ranges []StatusRange
		for _, item := range items {
			if r, ok := d.statusRange(item); ok {
				ranges = append(ranges, r)
			}
		}
		*to = ranges
	}
}

func (d *decoder) statusRange(n *yaml.Node) (StatusRange, bool) {
	s, ok := d.scalar(n)
	if !ok {
		return StatusRange{}, false
	}
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	from, fromErr := strconv.Atoi(strings.TrimSpace(low))
	to, toErr := strconv.Atoi(strings.TrimSpace(high))
	switch {
	case fromErr != nil || toErr != nil:
		d.fault(n, quote(s)+" is neither a status nor a range", `write it like 204 or "200-299", several as a list`)
	case from < 100 || to > 599 || from > 599 || to < 100:
		d.fault(n, quote(s)+" is out of range", "a status is 100 to 599")
	case from > to:
		d.fault(n, quote(s)+" ends before it begins", fmt.Sprintf(`write "%d-%d"`, to, from))
	default:
		return StatusRange{From: from, To: to}, true
	}
	return StatusRange{}, false
}
