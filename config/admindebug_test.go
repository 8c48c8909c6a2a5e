package config

import (
	"strings"
	"testing"
)

// TestAdminDebug reads admin.debug: profiles are served only if the value is true, and any other word is an error at its place.
func TestAdminDebug(t *testing.T) {
	for value, want := range map[string]struct {
		debug bool
		err   string
	}{
		"":               {},
		", debug: true":  {debug: true},
		", debug: false": {},
		", debug: yes":   {err: `f.yaml:1:40: admin.debug: "yes" is neither true nor false`},
		", debug: 1":     {err: `f.yaml:1:40: admin.debug: "1" is neither true nor false`},
		", debug: [true]": {
			err: `f.yaml:1:40: admin.debug: found a list; it should be a single value`,
		},
		", debug: true, debug: true": {err: `f.yaml:1:46: admin.debug: duplicate key "debug"; it is first on line 1`},
	} {
		cfg, _, err := Parse("f.yaml", []byte("admin: {listen: 127.0.0.1:8053"+value+"}\n"))
		if want.err != "" {
			if err == nil || !strings.Contains(err.Error(), want.err) {
				t.Errorf("%q: error %v, want one with %q", value, err, want.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", value, err)
			continue
		}
		if cfg.Admin.Debug != want.debug {
			t.Errorf("%q: debug %v, want %v", value, cfg.Admin.Debug, want.debug)
		}
	}
}
