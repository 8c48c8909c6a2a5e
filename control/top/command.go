package top

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/server/answer"
)

// common is the part of the queries of a flood that must share a property for it to be a condition of the rule.
const common = 0.95

// ruleTime is how long the rule of a command applies.
const ruleTime = "1h"

// command returns a command that adds a rule of the filter for the queries of the flood; empty: a rule cannot
// distinguish them from all others. The conditions are all that nearly all of these queries have in common, so that the rule applies to as
// few others as possible. Real clients over UDP are made to repeat the query over TCP; forged sources cannot.
func (f *Flood) command(seconds []*second) string {
	var m mixture
	eachMatch(f.key, seconds, m.add)
	if m.total == 0 {
		return ""
	}
	conditions := ""
	if name := m.nameCondition(); name != "" {
		conditions += " --name " + name
	}
	if qtype, ok := mostOf(m.types, m.total); ok {
		conditions += " --type " + dns.Type(qtype).String()
	}
	if source, ok := mostOf(m.sources, m.total); ok {
		conditions += " --source " + source.String()
	}
	if conditions == "" {
		return ""
	}
	return fmt.Sprintf("meridian filter add flood-%d%s --action %s --for %s", f.Number, conditions, m.action(f.Kind), ruleTime)
}

// mixture counts the common properties of the queries of a flood.
type mixture struct {
	total, datagrams float64
	types            map[uint16]float64
	sources          map[netip.Prefix]float64
	names            map[string]float64
}

// add adds a query.
func (m *mixture) add(q *query) {
	if m.types == nil {
		m.types, m.sources, m.names = map[uint16]float64{}, map[netip.Prefix]float64{}, map[string]float64{}
	}
	m.total += q.weight
	m.sources[q.source] += q.weight
	if q.transport == answer.UDP {
		m.datagrams += q.weight
	}
	if q.name != "" { // otherwise the type could not be read either
		m.types[q.qtype] += q.weight
		m.names[q.name] += q.weight
	}
}

// mostOf returns the property that nearly all queries have.
func mostOf[K comparable](weights map[K]float64, total float64) (most K, ok bool) {
	for k, weight := range weights {
		if weight >= common*total {
			return k, true
		}
	}
	return most, false
}

// action returns the action of the rule. Over UDP, TC costs less than an answer, and a real client comes by TCP. Over other
// transports sources are not forged: a network is cut off, and clients of a name learn that it is refused.
func (m *mixture) action(kind Kind) string {
	switch {
	case m.datagrams >= m.total/2:
		return "truncate"
	case kind == BySource:
		return "drop"
	}
	return "refuse"
}

// nameCondition returns the name that nearly all queries are for, or *. and the longest name that they are all below, quoted
// for a shell; empty: there is none.
func (m *mixture) nameCondition() string {
	if name, ok := mostOf(m.names, m.total); ok {
		if strings.HasPrefix(name, "\x01*") { // a rule takes it for all names below
			return ""
		}
		return shellName(name, "")
	}
	suffix := ""
	for s, weight := range m.suffixes() {
		if weight >= common*m.total && len(s) > len(suffix) {
			suffix = s
		}
	}
	if suffix == "" {
		return ""
	}
	return shellName(suffix, "*.")
}

// maxSuffix is the greatest number of labels that names are compared by. The reverse zone of an IPv6 /64 has 18; names of
// more than a hundred labels must not cost more than others.
const maxSuffix = 20

// suffixes returns the weights of the names that the names are below.
func (m *mixture) suffixes() map[string]float64 {
	weights := map[string]float64{}
	for name, weight := range m.names {
		for labels := dnsname.Wire(name).Labels() - 1; labels > 0; labels-- {
			if name = name[1+int(name[0]):]; labels <= maxSuffix {
				weights[name] += weight
			}
		}
	}
	return weights
}

// shellName returns a name in presentation form as a word of a shell, with a prefix. Octets that a shell or the list of a
// flag could take for something else are written as \DDD: clients choose the names.
func shellName(name, prefix string) string {
	var b strings.Builder
	b.WriteString(prefix)
	for len(name) > 1 {
		for _, c := range []byte(name[1 : 1+int(name[0])]) {
			if c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, `\%03d`, c)
			}
		}
		b.WriteByte('.')
		name = name[1+int(name[0]):]
	}
	if strings.ContainsAny(b.String(), `*\`) {
		return "'" + b.String() + "'"
	}
	return b.String()
}
