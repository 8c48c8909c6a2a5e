package config

import (
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Maintenance is a recurring window in which an override applies to some targets.
type Maintenance struct {
	Name     string
	Targets  []Selector
	Weight   int            // percent of its clients that a target keeps; 0: it is drained
	Days     []time.Weekday // on which a window begins; empty: every day
	Start    int            // minutes after midnight, by the clock of Zone
	Duration time.Duration
	Zone     *time.Location
	Reason   string
	Pos      Pos
}

const (
	minMaintenance = time.Minute
	maxMaintenance = 7 * 24 * time.Hour
)

// weekdays are the days of the week, as time.Weekday numbers them.
var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func (d *decoder) maintenance(to *[]Maintenance) setter {
	return func(n *yaml.Node) {
		userMapping(d, n, d.identifier, func(name string, key, value *yaml.Node) {
			m := Maintenance{Name: name, Pos: posOf(key), Zone: time.UTC}
			if d.maintenanceWindow(value, &m) {
				*to = append(*to, m)
			}
		})
	}
}

// maintenanceWindow reads a window. It reports whether n is a mapping.
func (d *decoder) maintenanceWindow(n *yaml.Node, m *Maintenance) bool {
	if !d.mapping(n, []field{
		{name: "targets", set: d.selectors(&m.Targets)},
		{name: "weight", set: d.percentage(&m.Weight, 1, 99)},
		{name: "days", set: d.weekdays(&m.Days)},
		{name: "start", set: setValue(&m.Start, d.timeOfDay)},
		{name: "duration", set: d.duration(&m.Duration, minMaintenance, maxMaintenance)},
		{name: "timezone", set: setValue(&m.Zone, d.timezone)},
		{name: "reason", set: setValue(&m.Reason, d.word)},
	}) {
		return false
	}
	d.required(n, "targets", "write a list of targets, such as [region:eu-west, web/use-1]")
	d.required(n, "start", "write the time of day, such as \"02:00\"")
	d.required(n, "duration", "write it like 2h")
	return true
}

// selectors reads the targets of a window. Those without a star must exist.
func (d *decoder) selectors(to *[]Selector) setter {
	return func(n *yaml.Node) {
		ok := d.list(n, func(item *yaml.Node) {
			s, ok := d.word(item)
			if !ok {
				return
			}
			t, err := ParseSelector(s)
			if err != nil {
				d.errorf(item, quote(s)+" is not a target", "write pool/member, pool, region:NAME or address:IP")
				return
			}
			d.selectorUses = append(d.selectorUses, selectorUse{t, nodeKeyOf(item)})
			*to = append(*to, t)
		})
		if ok && len(n.Content) == 0 {
			d.errorAtKey(n, "an empty list", "write at least one target")
		}
	}
}

// selectorUse is a place that names a target.
type selectorUse struct {
	target Selector
	at     nodeKey
}

// checkSelectors reports targets that select no member.
func (d *decoder) checkSelectors(cfg *Config) {
	for _, use := range d.selectorUses {
		if !cfg.Selects(use.target) {
			d.errorAt(use.at, "no member matches "+quote(use.target.String()), "write pool/member, pool, region:NAME or address:IP as in this configuration")
		}
	}
}

// Selects reports whether a selector selects anything: a pool or a region needs no member, an address
// may be that of a host name that is not resolved yet.
func (c *Config) Selects(t Selector) bool {
	if t.Region != "" {
		return slices.ContainsFunc(c.Regions, func(r Region) bool { return MatchesStar(t.Region, r.Name) })
	}
	return slices.ContainsFunc(c.Pools, func(p Pool) bool {
		if t.Address.IsValid() {
			return slices.ContainsFunc(p.Members, func(m Member) bool { return m.Target != "" || slices.Contains(m.Addresses, t.Address) })
		}
		return MatchesStar(t.Pool, p.Name) &&
			(t.Member == "" || slices.ContainsFunc(p.Members, func(m Member) bool { return MatchesStar(t.Member, m.Name) }))
	})
}

func (d *decoder) weekdays(to *[]time.Weekday) setter {
	return func(n *yaml.Node) {
		d.list(n, func(item *yaml.Node) {
			if word, ok := d.oneOf(item, "day", weekdays); ok {
				*to = append(*to, time.Weekday(slices.Index(weekdays, word)))
			}
		})
	}
}

// timeOfDay reads hours and minutes as minutes after midnight.
func (d *decoder) timeOfDay(n *yaml.Node) (int, bool) {
	s, ok := d.scalar(n)
	if !ok {
		return 0, false
	}
	t, err := time.Parse("15:04", s)
	if err != nil || len(s) != len("15:04") {
		d.errorf(n, quote(s)+" is not a time of day", "write hours and minutes from \"00:00\" to \"23:59\"")
		return 0, false
	}
	return t.Hour()*60 + t.Minute(), true
}

// timezone reads the name of a time zone.
func (d *decoder) timezone(n *yaml.Node) (*time.Location, bool) {
	s, ok := d.word(n)
	if !ok {
		return nil, false
	}
	zone, err := time.LoadLocation(s)
	if err != nil || strings.EqualFold(s, "local") {
		d.errorf(n, quote(s)+" is not a time zone", "write UTC, or a name such as Europe/Berlin")
		return nil, false
	}
	return zone, true
}
