package keys

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// fields are the lines "Name: value" of a .private or .state file, in their order. Lines that this package does not
// know are kept.
type fields []field

type field struct{ name, value string }

// maxFields is more lines than any program writes.
const maxFields = 100

// parseFields reads lines; those that begin with a semicolon are comments.
func parseFields(text string) (fields, error) {
	var all fields
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == ';' {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("line %q is not NAME: VALUE", clip(line))
		}
		if _, twice := all.get(name); twice {
			return nil, fmt.Errorf("%s is given twice", clip(name))
		}
		all = append(all, field{name, strings.TrimSpace(value)})
		if len(all) > maxFields {
			return nil, fmt.Errorf("more than %d lines", maxFields)
		}
	}
	return all, nil
}

func clip(s string) string { return s[:min(len(s), 40)] }

func (f fields) get(name string) (string, bool) {
	for _, line := range f {
		if line.name == name {
			return line.value, true
		}
	}
	return "", false
}

// set changes a line or appends it; an empty value removes it.
func (f *fields) set(name, value string) {
	for i, line := range *f {
		if line.name != name {
			continue
		}
		if value == "" {
			*f = append((*f)[:i:i], (*f)[i+1:]...)
		} else {
			(*f)[i].value = value
		}
		return
	}
	if value != "" {
		*f = append(*f, field{name, value})
	}
}

func (f fields) String() string {
	var b strings.Builder
	for _, line := range f {
		b.WriteString(line.name + ": " + line.value + "\n")
	}
	return b.String()
}

// timeLayout is the form of times in key files, in UTC.
const timeLayout = "20060102150405"

// time reads a time; without the line it is the zero time.
func (f fields) time(name string) (time.Time, error) {
	value, ok := f.get(name)
	if !ok {
		return time.Time{}, nil
	}
	value, _, _ = strings.Cut(value, " ") // a .state file adds the time in words
	at, err := time.ParseInLocation(timeLayout, value, time.UTC)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %q is not a time like %s", name, clip(value), timeLayout)
	}
	return at, nil
}

// formatTime writes a time as a .private file has it; a zero time is empty.
func formatTime(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(timeLayout)
}

// formatLongTime adds the time in words, as BIND does in .key and .state files.
func formatLongTime(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return formatTime(at) + " (" + at.UTC().Format("Mon Jan _2 15:04:05 2006") + ")"
}

var errNoRecord = errors.New("it has no DNSKEY record")
