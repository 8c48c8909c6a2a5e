package loads

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"meridian/config"
	"meridian/errtext"
)

// parseNginx reads the active connections, including the waiting ones, from the page of nginx's
// ngx_http_stub_status_module.
func parseNginx(_ *config.LoadSource, body []byte) (Report, error) {
	_, rest, ok := strings.Cut(string(body), "Active connections:")
	if !ok {
		return Report{}, errors.New(`no "Active connections:" in the report`)
	}
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseUint(strings.TrimSpace(line), 10, 63)
	if err != nil {
		return Report{}, fmt.Errorf("%q active connections, want a number", errtext.Clip(strings.TrimSpace(line)))
	}
	return Report{Load: float64(n)}, nil
}
