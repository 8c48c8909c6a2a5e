package control

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/control/event"
	"meridian/dnsname"
)

// Filter is a rule of the filter, as in the API and the state file.
type Filter struct {
	Name       string    `json:"name"`
	Types      []string  `json:"types,omitempty"`
	Names      []string  `json:"names,omitempty"`
	Source     []string  `json:"source,omitempty"`
	Action     string    `json:"action"` // drop, refuse, truncate
	Reason     string    `json:"reason,omitempty"`
	Since      time.Time `json:"since,omitzero"`
	Until      time.Time `json:"until,omitzero"` // expiry
	Configured bool      `json:"configured"`     // it is of the configuration, and has neither Since nor Until
	Queries    uint64    `json:"queries"`        // that it has matched

	Replaced string `json:"replaced,omitempty"` // what the rule of that name did that it replaces, if it has just been added
	Warning  string `json:"warning,omitempty"`  // as in Override
}

// Rule parses a rule.
func (f *Filter) Rule() (rule config.FilterRule, err error) {
	rule = config.FilterRule{Name: f.Name, Action: config.FilterAction(f.Action)}
	for _, s := range f.Types {
		t, err := config.ParseType(s)
		if err != nil {
			return rule, err
		}
		rule.Types = append(rule.Types, t)
	}
	for _, s := range f.Names {
		n, err := dnsname.Parse(s)
		if err != nil {
			return rule, err
		}
		rule.Names = append(rule.Names, n)
	}
	for _, s := range f.Source {
		network, ok := config.ParseNetwork(s)
		if !ok {
			return rule, fmt.Errorf("source %q is neither an address nor a network; e.g. 203.0.113.0/24", s)
		}
		rule.Source = append(rule.Source, network)
	}
	return rule, rule.Validate()
}

// Validate returns the error of a rule that comes from outside.
func (f *Filter) Validate() error {
	if _, err := f.Rule(); err != nil {
		return err
	}
	return validReason(f.Reason)
}

// asFilter returns a rule as text.
func asFilter(rule *config.FilterRule) Filter {
	f := Filter{Name: rule.Name, Action: string(rule.Action)}
	for _, t := range rule.Types {
		f.Types = append(f.Types, dns.Type(t).String())
	}
	for _, n := range rule.Names {
		f.Names = append(f.Names, string(n))
	}
	for _, network := range rule.Source {
		f.Source = append(f.Source, network.String())
	}
	return f
}

// Describe describes a rule: "drops queries of type ANY from 203.0.113.0/24".
func (f *Filter) Describe() string {
	rule, err := f.Rule()
	if err != nil {
		return f.Action
	}
	return map[string]string{"drop": "drops", "refuse": "refuses", "truncate": "truncates"}[f.Action] + " " + rule.Conditions()
}

// AddFilter adds a rule for a time, or replaces the added one of the same name. It comes before the rules of the
// configuration, and before those that were added earlier. With a state directory, it is on disk when AddFilter returns,
// unless the directory is not writable.
func (c *Control) AddFilter(f Filter, lasts time.Duration, ifMatch []string) (Filter, error) {
	rule, err := f.Rule()
	switch {
	case err != nil:
		return Filter{}, err
	case lasts <= 0:
		return Filter{}, fmt.Errorf("no duration; an added rule ends by itself, such as after 1h, and one without end belongs into server.filter")
	}
	for _, err := range []error{validReason(f.Reason), validSpan(lasts)} {
		if err != nil {
			return Filter{}, err
		}
	}
	added := asFilter(&rule)
	added.Reason, added.Since = f.Reason, time.Now().Round(0)
	added.Until = added.Since.Add(lasts)
	replaced := ""
	err = c.changeFilters(ifMatch, func(at *view) ([]Filter, error) {
		if slices.ContainsFunc(at.Snapshot.Config.Server.Filter, func(r config.FilterRule) bool { return r.Name == added.Name }) {
			return nil, &RequestError{What: fmt.Sprintf("the configuration has a rule %q", added.Name), Hint: "give the new one another name"}
		}
		if i := slices.IndexFunc(at.filters, func(f Filter) bool { return f.Name == added.Name }); i >= 0 {
			replaced = at.filters[i].Describe() + " until " + at.filters[i].Until.UTC().Format(time.RFC3339)
		}
		next := append([]Filter{added}, withoutFilter(at.filters, added.Name)...)
		if len(next) > config.MaxFilterRules {
			return nil, &RequestError{What: fmt.Sprintf("the limit of %d added rules is reached", config.MaxFilterRules), Hint: "remove some"}
		}
		return next, nil
	})
	if err != nil {
		return Filter{}, err
	}
	c.reportFilter(slog.LevelWarn, "filter rule set", &added)
	added.Replaced, added.Warning = replaced, c.flushState()
	return added, nil
}

// RemoveFilter removes an added rule and returns it.
func (c *Control) RemoveFilter(name string, ifMatch []string) (removed Filter, err error) {
	err = c.changeFilters(ifMatch, func(at *view) ([]Filter, error) {
		i := slices.IndexFunc(at.filters, func(f Filter) bool { return f.Name == name })
		if i < 0 {
			if slices.ContainsFunc(at.Snapshot.Config.Server.Filter, func(r config.FilterRule) bool { return r.Name == name }) {
				return nil, &RequestError{What: fmt.Sprintf("the rule %q is of the configuration", name), Hint: "remove it from server.filter, and reload"}
			}
			return nil, &RequestError{NotFound: true, What: fmt.Sprintf("no rule %q was added", name), Hint: "meridian filter list shows the rules"}
		}
		removed = at.filters[i]
		return withoutFilter(at.filters, name), nil
	})
	if err != nil {
		return Filter{}, err
	}
	c.reportFilter(slog.LevelInfo, "filter rule removed", &removed)
	removed.Warning = c.flushState()
	return removed, nil
}

func withoutFilter(all []Filter, name string) []Filter {
	return slices.DeleteFunc(slices.Clone(all), func(f Filter) bool { return f.Name == name })
}

// changeFilters replaces the added rules by those that edit returns.
func (c *Control) changeFilters(ifMatch []string, edit func(*view) ([]Filter, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.currentView()
	switch {
	case c.suspended.Load():
		return ErrUpgrading
	case len(ifMatch) > 0 && !slices.Contains(ifMatch, at.filtersTag()):
		return stale("the rules of the filter have changed", "GET /v1/filters returns the present ETag")
	}
	next, err := edit(at)
	if err != nil {
		return err
	}
	c.setFiltersLocked(next)
	return nil
}

// setFiltersLocked makes added rules apply. They are valid.
func (c *Control) setFiltersLocked(added []Filter) {
	rules := make([]config.FilterRule, len(added))
	for i := range added {
		rules[i], _ = added[i].Rule() // no error: it was checked
	}
	c.updateLocked(func(m *view) { m.filters = added })
	c.server.SetFilters(rules)
	c.markDirty()
}

// expireFiltersLocked removes the added rules that end.
func (c *Control) expireFiltersLocked(now time.Time) {
	at := c.currentView()
	left := currentFilters(at.filters, now)
	if len(left) == len(at.filters) {
		return
	}
	for i := range at.filters {
		if f := &at.filters[i]; !now.Before(f.Until) {
			c.reportFilter(slog.LevelInfo, "filter rule expired", f)
		}
	}
	c.setFiltersLocked(left)
}

// currentFilters returns the added rules that have not ended at now.
func currentFilters(all []Filter, now time.Time) []Filter {
	return slices.DeleteFunc(slices.Clone(all), func(f Filter) bool { return !now.Before(f.Until) })
}

// reportFilter reports what happened to an added rule.
func (c *Control) reportFilter(level slog.Level, message string, f *Filter) {
	severity := event.Info
	if level >= slog.LevelWarn {
		severity = event.Warning
	}
	fields := map[string]string{"action": f.Action, "until": f.Until.Format(time.RFC3339)}
	if f.Reason != "" {
		fields["reason"] = f.Reason
	}
	c.report(level, message, []any{"rule", f.Name, "does", f.Describe(), "until", f.Until.Format(time.RFC3339), "reason", f.Reason},
		event.Event{Kind: event.Filtering, Severity: severity, Subject: f.Name, Message: strings.TrimPrefix(message, "filter ") + ": " + f.Describe(), Fields: fields})
}

// Filters lists the rules of the filter with their counts, in the order in which queries are compared with them.
func (c *Control) Filters() []Filter {
	at, all := c.currentView(), []Filter{}
	for _, s := range c.server.Filters() {
		f := asFilter(&s.FilterRule)
		f.Configured = true
		for i := range at.filters {
			if added := &at.filters[i]; len(all) < len(at.filters) && added.Name == f.Name {
				f.Configured, f.Reason, f.Since, f.Until = false, added.Reason, added.Since, added.Until
			}
		}
		f.Queries = s.Queries
		all = append(all, f)
	}
	return all
}

// SaveFilters returns the added rules, to restore in the next process.
func (c *Control) SaveFilters() []Filter { return c.currentView().filters }

// FiltersTag returns a text that changes with the rules of the filter, but not with their counts.
func (c *Control) FiltersTag() string { return c.currentView().filtersTag() }

func (at *view) filtersTag() string {
	all := slices.Clone(at.filters)
	for i := range at.Snapshot.Config.Server.Filter {
		all = append(all, asFilter(&at.Snapshot.Config.Server.Filter[i]))
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err) // it is one of our types
	}
	hash := sha256.Sum256(text)
	return hex.EncodeToString(hash[:8])
}
