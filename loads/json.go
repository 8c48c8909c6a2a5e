package loads

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"meridian/config"
	"meridian/errtext"
)

// parseJSON reads numbers of a document by the keys and list indexes that lead to them. A number may be in quotes.
func parseJSON(of *config.LoadSource, body []byte) (r Report, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var document any
	if err := d.Decode(&document); err != nil {
		return Report{}, fmt.Errorf("not JSON: %w", err)
	}
	if r.Load, err = numberAt(document, of.Load.Path); err != nil {
		return Report{}, err
	}
	if of.Capacity.Given() {
		r.Capacity, err = numberAt(document, of.Capacity.Path)
	}
	return r, err
}

func numberAt(document any, path []string) (float64, error) {
	for i, key := range path {
		at := strings.Join(path[:i+1], ".")
		switch within := document.(type) {
		case map[string]any:
			value, ok := within[key]
			if !ok {
				return 0, fmt.Errorf("no %q in the report", at)
			}
			document = value
		case []any:
			n, err := strconv.Atoi(key)
			if err != nil || n < 0 || n >= len(within) {
				return 0, fmt.Errorf("no %q in the report: the list has %d items", at, len(within))
			}
			document = within[n]
		default:
			return 0, fmt.Errorf("no %q in the report: its parent is a single value", at)
		}
	}
	var text string
	switch value := document.(type) {
	case json.Number:
		text = value.String()
	case string:
		text = value
	default:
		return 0, fmt.Errorf("%q is not a number", strings.Join(path, "."))
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is %q, want a number", strings.Join(path, "."), errtext.Clip(text))
	}
	return n, nil
}
