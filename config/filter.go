package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"meridian/config/internal/yamldoc"
	"meridian/dnsname"

	"github.com/miekg/dns"
	"gopkg.in/yaml.v3"
)

// FilterAction says what happens to the queries of a filter rule.
type FilterAction string

// The actions of filter rules.
const (
	FilterDrop     FilterAction = "drop"     // no answer
	FilterRefuse   FilterAction = "refuse"   // REFUSED
	FilterTruncate FilterAction = "truncate" // TC over UDP: the client repeats the query over TCP
)

// FilterActions returns the actions, in the order of the manual.
func FilterActions() []string {
	return []string{string(FilterDrop), string(FilterRefuse), string(FilterTruncate)}
}

// The bounds of a filter: each query is compared with one rule after the other.
const (
	MaxFilterRules = 100
	maxFilterNames = 100
)

// FilterRule is a rule of the filter. A query has to match each of Types, Names and Source that is not empty; one is not.
type FilterRule struct {
	Name   string
	Types  []uint16
	Names  []dnsname.Name // *.x. is every name below x., not x. itself
	Source []netip.Prefix // of the packet, masked
	Action FilterAction
	Pos    Pos
}

// errMatchesAll is the error of a rule without conditions.
var errMatchesAll = errors.New("a rule without types, names and source matches every query; write at least one of them")

// Validate returns the error of a rule that comes from outside.
func (f *FilterRule) Validate() error {
	switch {
	case !isFilterName(f.Name):
		return fmt.Errorf("%q is not a name of a rule; want at most %d octets without space, control character, slash and colon", f.Name, maxFilterName)
	case !slices.Contains(FilterActions(), string(f.Action)):
		return fmt.Errorf("unknown action %q; known: %s", string(f.Action), strings.Join(FilterActions(), ", "))
	case len(f.Types)+len(f.Names)+len(f.Source) == 0:
		return errMatchesAll
	case len(f.Names) > maxFilterNames:
		return fmt.Errorf("%d names; at most %d", len(f.Names), maxFilterNames)
	}
	return nil
}

// maxFilterName is the most octets of the name of a rule: it is a label of metrics.
const maxFilterName = 63

// isFilterName reports whether s may be the name of a rule.
func isFilterName(s string) bool {
	return s != "" && len(s) <= maxFilterName && utf8.ValidString(s) && !strings.ContainsFunc(s, notInIdentifier)
}

// Equal reports whether two rules are the same, wherever they are written.
func (f *FilterRule) Equal(other *FilterRule) bool {
	return f.Name == other.Name && f.Action == other.Action && slices.Equal(f.Types, other.Types) &&
		slices.Equal(f.Names, other.Names) && slices.Equal(f.Source, other.Source)
}

// Conditions describes what a rule matches.
func (f *FilterRule) Conditions() string {
	var b strings.Builder
	b.WriteString("queries")
	list := func(before, text string, i int) {
		if i == 0 {
			b.WriteString(before)
		} else {
			b.WriteString(", ")
		}
		b.WriteString(text)
	}
	for i, t := range f.Types {
		list(" of type ", dns.Type(t).String(), i)
	}
	for i, n := range f.Names {
		list(" for ", string(n), i)
	}
	for i, network := range f.Source {
		list(" from ", network.String(), i)
	}
	return b.String()
}

// filter reads the rules of the filter.
func (d *decoder) filter(to *[]FilterRule) setter {
	return func(n *yaml.Node) {
		names := map[string]Pos{}
		ok := d.list(n, func(item *yaml.Node) {
			if rule, ok := d.filterRule(item, names); ok {
				*to = append(*to, rule)
			}
		})
		if ok && len(n.Content) > MaxFilterRules {
			d.errorAtKey(n, strconv.Itoa(len(n.Content))+" rules", fmt.Sprintf("at most %d: each query is compared with one after the other", MaxFilterRules))
		}
	}
}

// filterRule reads a rule, which must not have one of names.
func (d *decoder) filterRule(n *yaml.Node, names map[string]Pos) (f FilterRule, ok bool) {
	action := ""
	errs := len(d.errs.listed)
	if !d.mapping(n, []field{
		{name: "name", set: setValue(&f.Name, d.identifier)},
		{name: "types", set: d.filterTypes(&f.Types)},
		{name: "names", set: d.filterNames(&f.Names)},
		{name: "source", set: d.prefixes(&f.Source)},
		{name: "action", set: func(n *yaml.Node) { action, _ = d.oneOf(n, "action", FilterActions()) }},
	}) {
		return f, false
	}
	d.required(n, "name", "write a name for logs and metrics")
	d.required(n, "action", "write drop, refuse or truncate")
	f.Action, f.Pos = FilterAction(action), posOf(n)
	if len(d.errs.listed) > errs {
		return f, false
	}
	if err := f.Validate(); err != nil {
		d.errorf(n, err.Error(), "")
		return f, false
	}
	if first, taken := names[f.Name]; taken {
		d.errorf(yamldoc.Child(n, "name"), "duplicate name "+quote(f.Name), d.firstAt(first, n))
		return f, false
	}
	names[f.Name] = f.Pos
	return f, true
}

func (d *decoder) filterTypes(to *[]uint16) setter {
	return func(n *yaml.Node) {
		d.list(n, func(item *yaml.Node) {
			s, ok := d.word(item)
			if !ok {
				return
			}
			code, err := ParseType(s)
			if err != nil {
				d.errorf(item, quote(s)+" is not a record type", "write it like A, ANY or TYPE65280")
				return
			}
			*to = append(*to, code)
		})
	}
}

func (d *decoder) filterNames(to *[]dnsname.Name) setter {
	return func(n *yaml.Node) {
		d.list(n, func(item *yaml.Node) {
			s, ok := d.word(item)
			if !ok {
				return
			}
			name, err := dnsname.Parse(s)
			if err != nil {
				d.errorf(item, err.Error(), "write it like www.example.com. or *.example.com. for all names below")
				return
			}
			*to = append(*to, name)
		})
	}
}

// ParseType parses a record type: its name, or TYPE and its number (RFC 3597 5).
func ParseType(s string) (uint16, error) {
	upper := strings.ToUpper(s)
	if t, ok := dns.StringToType[upper]; ok && t != dns.TypeNone && t != dns.TypeReserved {
		return t, nil
	}
	if number, ok := strings.CutPrefix(upper, "TYPE"); ok {
		if n, err := strconv.ParseUint(number, 10, 16); err == nil {
			return uint16(n), nil
		}
	}
	return 0, fmt.Errorf("%q is not a record type; e.g. A, AAAA, TXT, TYPE65280", s)
}
