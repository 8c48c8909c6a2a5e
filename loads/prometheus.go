package loads

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"meridian/config"
	"meridian/errtext"
)

// parsePrometheus adds the series of a metric that have the selected labels, in the text format of Prometheus exporters
// (version 0.0.4, and the compatible part of OpenMetrics). It parses a line only as far as necessary to decide whether
// it belongs to the metric: the rest may have any form.
func parsePrometheus(of *config.LoadSource, body []byte) (r Report, err error) {
	text := string(body)
	if r.Load, err = sumOf(text, of.Load); err != nil {
		return Report{}, err
	}
	if of.Capacity.Given() {
		r.Capacity, err = sumOf(text, of.Capacity)
	}
	return r, err
}

// sumOf adds the series that r selects; no series is an error.
func sumOf(text string, r config.Reading) (sum float64, err error) {
	found := false
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), r.Metric)
		if !ok || rest == "" || !strings.ContainsRune("{ \t", rune(rest[0])) {
			continue
		}
		labels, value, err := series(rest)
		if err != nil {
			return 0, fmt.Errorf("line %q: %w", errtext.Clip(strings.TrimSpace(line)), err)
		}
		if has(labels, r.Labels) {
			sum += value
			found = true
		}
	}
	if !found {
		return 0, fmt.Errorf("no series of %q with the configured labels in the report", r.Metric)
	}
	return sum, nil
}

func has(labels, wanted []config.Label) bool {
	return !slices.ContainsFunc(wanted, func(l config.Label) bool { return !slices.Contains(labels, l) })
}

// series reads the text after the name: labels, if any, a value, and an optional timestamp, which is ignored.
func series(text string) (labels []config.Label, value float64, err error) {
	if strings.HasPrefix(text, "{") {
		if labels, text, err = labelsOf(text[1:]); err != nil {
			return nil, 0, err
		}
	}
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return nil, 0, errors.New("no value")
	}
	value, err = strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return nil, 0, fmt.Errorf("value %q is not a number", errtext.Clip(fields[0]))
	}
	return labels, value, nil
}

// labelsOf reads labels up to the closing brace.
func labelsOf(text string) (labels []config.Label, rest string, err error) {
	for {
		text = strings.TrimLeft(text, " \t,")
		if rest, ok := strings.CutPrefix(text, "}"); ok {
			return labels, rest, nil
		}
		name, after, ok := strings.Cut(text, "=")
		after = strings.TrimLeft(after, " \t")
		if !ok || !strings.HasPrefix(after, `"`) {
			return nil, "", errors.New("labels do not end")
		}
		value, after, ok := quoted(after[1:])
		if !ok {
			return nil, "", errors.New("a label's value does not end")
		}
		labels = append(labels, config.Label{Name: strings.TrimSpace(name), Value: value})
		text = after
	}
}

// quoted reads up to the closing quote of a value, and resolves the escapes \\, \" and \n.
func quoted(text string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:], true
		case c != '\\' || i+1 == len(text):
			b.WriteByte(c)
		case text[i+1] == 'n':
			b.WriteByte('\n')
			i++
		default:
			b.WriteByte(text[i+1])
			i++
		}
	}
	return "", "", false
}
