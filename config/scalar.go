package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"

	"meridian/config/internal/yamldoc"

	"gopkg.in/yaml.v3"
)

// scalar returns the text of a single value, regardless of its YAML type: a version of 1.10 stays "1.10".
func (d *decoder) scalar(n *yaml.Node) (string, bool) {
	if !d.kind(n, yaml.ScalarNode) {
		return "", false
	}
	return n.Value, true
}

// word reads a text that is not empty.
func (d *decoder) word(n *yaml.Node) (string, bool) {
	s, ok := d.scalar(n)
	if ok && s == "" {
		d.errorf(n, "an empty value", "write at least one character")
		return "", false
	}
	return s, ok
}

// setValue reads a value with parse; a rejected value keeps the default.
func setValue[T any](to *T, parse func(*yaml.Node) (T, bool)) setter {
	return func(n *yaml.Node) {
		if value, ok := parse(n); ok {
			*to = value
		}
	}
}

// The words that some keys accept instead of a mapping: off, and on with all defaults.
const (
	off = "off"
	on  = "on"
)

// readWord reads on or off into to, if n is not a mapping. what and example describe the key in errors.
func readWord[T any](d *decoder, n *yaml.Node, to *T, defaults T, what, example string) (read bool) {
	if n.Kind != yaml.ScalarNode || yamldoc.IsNull(n) {
		return false
	}
	switch n.Value {
	case on:
		*to = defaults
	case off:
		*to = *new(T)
	default:
		d.errorf(n, quote(n.Value)+" is not a setting of "+what, "write on, off, or a mapping such as "+example)
	}
	return true
}

// capture stores a value, to be read after others of its mapping.
func capture(to **yaml.Node) setter { return func(n *yaml.Node) { *to = n } }

func (d *decoder) text(to *string) setter { return setValue(to, d.scalar) }

// maxString is the longest string of a TXT record, in octets (RFC 1035 3.3.14).
const maxString = 255

// identity reads a text that is answered as one string of a TXT record.
func (d *decoder) identity(to *string) setter {
	return setValue(to, func(n *yaml.Node) (string, bool) {
		s, ok := d.word(n)
		if ok && len(s) > maxString {
			d.errorf(n, fmt.Sprintf("%d octets", len(s)), fmt.Sprintf("at most %d", maxString))
			return "", false
		}
		return s, ok
	})
}

// flag reads true or false.
func (d *decoder) flag(to *bool) setter {
	return setValue(to, d.boolean)
}

func (d *decoder) boolean(n *yaml.Node) (value, ok bool) {
	if d.shapes != nil {
		d.shapes.scalarIs(n, map[string]any{"type": "boolean"})
	}
	s, ok := d.scalar(n)
	if !ok {
		return false, false
	}
	if n.Tag != "!!bool" {
		d.errorf(n, quote(s)+" is neither true nor false", "")
		return false, false
	}
	return strings.EqualFold(s, "true"), true
}

// integerInRange reads a whole number within an inclusive range.
func (d *decoder) integerInRange(to *int, least, most int) setter {
	return setValue(to, func(n *yaml.Node) (int, bool) { return d.integer(n, least, most) })
}

func (d *decoder) integer(n *yaml.Node, least, most int) (int, bool) {
	if d.shapes != nil {
		d.shapes.scalarIs(n, map[string]any{"type": "integer", "minimum": least, "maximum": most})
	}
	s, ok := d.scalar(n)
	if !ok {
		return 0, false
	}
	value, err := strconv.Atoi(s)
	whole, within := decimal(s), err == nil && value >= least && value <= most
	if whole && within && n.Tag != "!!str" {
		return value, true
	}
	span := fmt.Sprintf("%d to %d", least, most)
	switch {
	case !whole:
		d.errorf(n, quote(s)+" is not a whole number", span)
	case n.Tag == "!!str":
		d.errorf(n, quote(s)+" is text", "write the number without quotes")
	default:
		d.errorf(n, quote(s)+" is out of range", span)
	}
	return 0, false
}

// decimal reports whether s is a whole number in the form that all YAML readers agree on: neither octal (010) nor 0x10
// nor 1_000.
func decimal(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || len(digits) > 1 && digits[0] == '0' {
		return false
	}
	return !strings.ContainsFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
}

// maxTTL is the largest TTL in seconds (RFC 2181 8).
const maxTTL = 1<<31 - 1

// ttl reads whole seconds.
func (d *decoder) ttl(to *uint32) setter {
	return setValue(to, func(n *yaml.Node) (uint32, bool) {
		if span, ok := withUnit(n); ok {
			d.errorf(n, quote(n.Value)+" has a unit", fmt.Sprintf("a TTL is whole seconds: write %d", int64(span.Seconds())))
			return 0, false
		}
		seconds, ok := d.integer(n, 0, maxTTL)
		return uint32(seconds), ok
	})
}

// answerTTL reads the TTL of answers from pools: one for all, or one for normal times and one for while a member is not
// in order.
func (d *decoder) answerTTL(normal, degraded *uint32) setter {
	one := d.ttl(normal)
	return func(n *yaml.Node) {
		*degraded = 0
		if n.Kind != yaml.MappingNode {
			one(n)
			return
		}
		if !d.mapping(n, []field{{name: "normal", set: one}, {name: "degraded", set: d.ttl(degraded)}}) {
			return
		}
		const instead = "write {normal: 60, degraded: 10}, or one number for both"
		d.required(n, "normal", instead)
		d.required(n, "degraded", instead)
		short := yamldoc.Child(n, "degraded")
		switch {
		case short == nil:
		case yamldoc.Child(n, "normal") != nil && *degraded > *normal:
			d.errorf(short, fmt.Sprintf("%d is more than the normal TTL, %d", *degraded, *normal), "write a smaller number, so that resolvers ask again sooner")
		case short.Value == "0":
			d.errorf(short, "0 makes resolvers ask for each client", "write at least 1")
		}
	}
}

// withUnit returns the duration in n, which a TTL must not be.
func withUnit(n *yaml.Node) (time.Duration, bool) {
	if n.Kind != yaml.ScalarNode || decimal(n.Value) {
		return 0, false
	}
	span, err := parseDuration(n.Value)
	return span, err == nil
}

// duration reads a duration within an inclusive range.
func (d *decoder) duration(to *time.Duration, least, most time.Duration) setter {
	return setValue(to, func(n *yaml.Node) (time.Duration, bool) { return d.durationInRange(n, least, most) })
}

// durationPattern is the form of a duration, for the schema. Some durations may be 0, without a unit.
const durationPattern = `^([0-9.]+(ns|us|µs|ms|s|m|h|d))+$|^0$`

func (d *decoder) durationInRange(n *yaml.Node, least, most time.Duration) (time.Duration, bool) {
	if d.shapes != nil {
		d.shapes.scalarIs(n, map[string]any{"type": []string{"string", "integer"}, "pattern": durationPattern, "maximum": 0})
	}
	s, ok := d.scalar(n)
	if !ok {
		return 0, false
	}
	value, err := parseDuration(s)
	switch {
	case n.Tag == "!!int" || n.Tag == "!!float":
		d.errorf(n, quote(s)+" has no unit", "write "+quote(s+"s")+" for seconds")
	case err != nil:
		d.errorf(n, quote(s)+" is not a duration", "write it like 500ms, 5s or 1m30s")
	case value < least || value > most:
		d.errorf(n, quote(s)+" is out of range", FormatDuration(least)+" to "+FormatDuration(most))
	default:
		return value, true
	}
	return 0, false
}

// parseDuration reads a Go duration, which may begin with days of 24 hours: 3d, 1d12h.
func parseDuration(s string) (time.Duration, error) {
	number, rest, found := strings.Cut(s, "d")
	days, err := strconv.ParseUint(number, 10, 16)
	if !found || err != nil {
		return time.ParseDuration(s)
	}
	span := time.Duration(days) * 24 * time.Hour
	if rest == "" {
		return span, nil
	}
	more, err := time.ParseDuration(rest)
	return span + more, err
}

// FormatDuration formats a duration without the zero units of String.
func FormatDuration(t time.Duration) string {
	s := t.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// path reads the path of a file, relative to the folder of the configuration.
func (d *decoder) path(to *string, pos *Pos) setter {
	return func(n *yaml.Node) {
		s, ok := d.word(n)
		if !ok {
			return
		}
		if !filepath.IsAbs(s) {
			s = filepath.Join(filepath.Dir(d.fileOf(n)), s)
		}
		*to, *pos = s, posOf(n)
	}
}

// pattern reads a regular expression in Go's syntax (RE2).
func (d *decoder) pattern(to **regexp.Regexp) setter {
	return setValue(to, func(n *yaml.Node) (*regexp.Regexp, bool) {
		s, ok := d.word(n)
		if !ok {
			return nil, false
		}
		re, err := regexp.Compile(s)
		if err != nil {
			d.errorf(n, quote(s)+" is not a regular expression: "+reason(err), "the syntax is Go's, RE2")
			return nil, false
		}
		return re, true
	})
}

// reason returns the problem of a pattern, without the whole pattern.
func reason(err error) string {
	var bad *syntax.Error
	if errors.As(err, &bad) {
		return string(bad.Code) + " at " + quote(bad.Expr)
	}
	return err.Error()
}

// oneOf reads a word of a closed set.
func (d *decoder) oneOf(n *yaml.Node, what string, words []string) (string, bool) {
	if d.shapes != nil {
		d.shapes.scalarIs(n, map[string]any{"enum": slices.Clone(words)})
	}
	s, ok := d.scalar(n)
	if !ok {
		return "", false
	}
	if slices.Contains(words, s) {
		return s, true
	}
	hint := "known: " + strings.Join(words, ", ")
	if near, ok := Nearest(s, words); ok {
		hint = "did you mean " + quote(near) + "?"
	}
	d.errorf(n, "unknown "+what+" "+quote(s), hint)
	return "", false
}
