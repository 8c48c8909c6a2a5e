package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"meridian/control/top"
)

// servers is the servers that a command calls, one after the other.
type servers struct {
	client
	urls []string
}

// addServersFlags adds the flags of commands that may call several servers.
func addServersFlags(c *cobra.Command, to *servers) {
	c.Flags().StringArrayVar(&to.urls, "server", []string{cmp.Or(os.Getenv(serverVariable), defaultServer)},
		"`URL` of the running server's API (default of "+serverVariable+" in the environment); may be repeated")
	addAccessFlags(c, &to.client)
}

// serverResult is the result of one of several servers in JSON.
type serverResult struct {
	Server string          `json:"server"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// addressFloods adds --server to the commands of floods if it is not the default.
func (s *servers) addressFloods(all []top.Flood) {
	if s.server == cmp.Or(os.Getenv(serverVariable), defaultServer) {
		return
	}
	for i := range all {
		if all[i].Command != "" {
			all[i].Command += " --server '" + strings.ReplaceAll(s.server, "'", `'\''`) + "'"
		}
	}
}

// each calls do for every server, also after an error, and prints its URL before its result if there are several.
func (s *servers) each(stdout io.Writer, output outputFlag, do func(stdout io.Writer) error) error {
	if len(s.urls) == 1 {
		s.server = s.urls[0]
		return do(stdout)
	}
	var failed []error
	results := make([]serverResult, 0, len(s.urls))
	for _, url := range s.urls {
		s.server = url
		var printed bytes.Buffer
		err := do(&printed)
		result := serverResult{Server: url, Result: printed.Bytes()}
		if err != nil {
			result.Error = err.Error()
			failed = append(failed, fmt.Errorf("%s: %w", url, err))
		}
		results = append(results, result)
		if output == outputText && printed.Len() > 0 {
			fmt.Fprintf(stdout, "%s:\n%s", url, printed.Bytes())
		}
	}
	if output == outputJSON {
		failed = append(failed, printJSON(stdout, map[string]any{"servers": results}))
	}
	return errors.Join(failed...)
}
