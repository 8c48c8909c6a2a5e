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

	"gopkg.in/yaml.v3"

	"meridian/config/internal/yamldoc"
	"meridian/dnsname"
)

// token is a method or header name (RFC 9110 5.6.2).
var token = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")

func (d *decoder) method(n *yaml.Node) (string, bool) {
	s, ok := d.scalar(n)
	if !ok {
		return "", false
	}
	switch upper := strings.ToUpper(s); {
	case !token.MatchString(s), upper == "CONNECT":
		d.errorf(n, quote(s)+" is not a method for a check", "write it like GET or HEAD")
	case upper != s:
		d.errorf(n, quote(s)+" is in lower case", "methods are case-sensitive: write "+upper)
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
		d.errorf(n, quote(s)+" does not begin with a slash", "write it like /healthz")
	case err != nil || strings.ContainsFunc(s, notInURL):
		d.errorf(n, quote(s)+" is not the path of a URL", "percent-encode characters other than plain ASCII")
	case strings.Contains(s, "#"):
		d.errorf(n, quote(s)+" has a fragment", "a fragment is not sent: leave it out")
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
		d.errorf(n, quote(s)+" is not a host name", "write the name alone; the port goes in port")
		return "", false
	}
	if _, err := dnsname.Parse(s); err != nil || strings.ContainsAny(s, `\/?#*`) {
		d.errorf(n, quote(s)+" is not a host name", "write it like www.example.com, in punycode (xn--...) if it is not ASCII")
		return "", false
	}
	return s, true
}

// headers reads the headers of a request.
func (d *decoder) headers(to *[]Header) setter {
	return func(n *yaml.Node) {
		userMapping(d, n, d.headerName, func(name string, _, value *yaml.Node) {
			text, ok := d.scalar(value)
			if !ok {
				return
			}
			if strings.ContainsFunc(text, notInHeader) {
				d.errorf(value, quote(text)+" is not the value of a header", "it must not contain a line break or a control character")
			}
			*to = append(*to, Header{Name: name, Value: text})
		})
	}
}

// bodyToMatch rejects a pattern for a body that no expected answer can have (RFC 9110 6.4.1), unless the pattern
// matches an empty body.
func (d *decoder) bodyToMatch(n *yaml.Node, c *Check) {
	body := yamldoc.Child(n, "body")
	if body == nil || c.Body == nil || c.Body.MatchString("") {
		return
	}
	if c.Method == "HEAD" {
		d.errorf(body, "an answer to HEAD has no body", "leave one of the two out, or write method: GET")
	}
	if status := yamldoc.Child(n, "status"); status != nil && len(c.Status) > 0 && !slices.ContainsFunc(c.Status, StatusRange.mayHaveBody) {
		d.errorf(body, "no answer with an expected status has a body", "leave one of the two out, or write a status such as 200")
	}
}

// mayHaveBody reports whether an answer with a status of r may have a body: 1xx, 204 and 304 have none.
func (r StatusRange) mayHaveBody() bool {
	for code := max(r.From, 200); code <= r.To; code++ {
		if code != 204 && code != 304 {
			return true
		}
	}
	return false
}

func notInHeader(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// headerName reads the name of a header that an operator may set.
func (d *decoder) headerName(n *yaml.Node) (string, bool) {
	if !token.MatchString(n.Value) {
		d.errorf(n, quote(n.Value)+" is not the name of a header", "write it like User-Agent")
		return "", false
	}
	switch name := textproto.CanonicalMIMEHeaderKey(n.Value); name {
	case "Host":
		d.errorf(n, "header "+quote(n.Value)+" has a key of its own", "write host: beside headers")
	case "Connection", "Content-Length", "Trailer", "Transfer-Encoding":
		d.errorf(n, "header "+quote(n.Value)+" is set by the probe", "leave it out")
	default:
		return name, true
	}
	return "", false
}

// status reads codes and ranges: 204, "200-299", or a list of such.
func (d *decoder) status(to *[]StatusRange) setter {
	return func(n *yaml.Node) {
		items := []*yaml.Node{n}
		if n.Kind == yaml.SequenceNode {
			items = n.Content
			if len(items) == 0 {
				d.errorAtKey(n, "an empty list", "write at least one status, such as 200-299")
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
		d.errorf(n, quote(s)+" is neither a status nor a range", `write it like 204 or "200-299", several as a list`)
	case from < 100 || to > 599 || from > 599 || to < 100:
		d.errorf(n, quote(s)+" is out of range", "a status is 100 to 599")
	case from > to:
		d.errorf(n, quote(s)+" ends before it begins", fmt.Sprintf(`write "%d-%d"`, to, from))
	default:
		return StatusRange{From: from, To: to}, true
	}
	return StatusRange{}, false
}
