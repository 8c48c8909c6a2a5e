package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"
)

func TestErrorsOfAConfigurationAreCapped(t *testing.T) {
	for _, c := range []struct{ n, listed, omitted int }{{1, 1, 0}, {maxConfigErrors, maxConfigErrors, 0}, {maxConfigErrors + 7, maxConfigErrors, 7}} {
		var all []error
		for i := range c.n {
			all = append(all, fmt.Errorf("error %d", i))
		}
		w := httptest.NewRecorder()
		refuseConfig(w, errors.Join(all...))
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || len(p.Errors) != c.listed || p.Omitted != c.omitted {
			t.Errorf("of %d errors, %d are listed and %d omitted, %v", c.n, len(p.Errors), p.Omitted, err)
		}
	}
}
