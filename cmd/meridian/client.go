package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meridian/admin"
	"meridian/config"
)

// defaultServer is the API address in the manual's examples.
const defaultServer = "http://127.0.0.1:8053"

// serverVariable is the environment variable that sets the default of --server.
const serverVariable = "MERIDIAN_SERVER"

// client talks to the API of a running server.
type client struct {
	server    string // its URL
	tokenFile string // empty: send no token
	tls       clientTLS
	timeout   time.Duration // of a request; 0: clientTimeout
	ifMatch   string        // ETag of the configuration that a change replaces; empty: any
}

// yamlText is a configuration, as the body of a request or of an answer.
type yamlText []byte

// masterFile is a zone, as the body of an answer.
type masterFile []byte

// addClientFlags adds the flags of commands that call a server; fallback is its default URL.
func addClientFlags(c *cobra.Command, to *client, fallback string) {
	if fallback == defaultServer {
		fallback = cmp.Or(os.Getenv(serverVariable), fallback)
	}
	c.Flags().StringVar(&to.server, "server", fallback, "`URL` of the running server's API (default of "+serverVariable+" in the environment)")
	addAccessFlags(c, to)
}

// addAccessFlags adds the flags that say how a command identifies itself to a server, and the server to it.
func addAccessFlags(c *cobra.Command, to *client) {
	c.Flags().StringVar(&to.tls.ca, "ca", "", "`FILE` with the certificates of the authorities that may sign the server's certificate; those of the system without it")
	c.Flags().StringVar(&to.tls.cert, "cert", "", "`FILE` with the client certificate that admin.tls.client_ca asks for")
	c.Flags().StringVar(&to.tls.key, "key", "", "`FILE` with the key of --cert")
	c.Flags().StringVar(&to.tokenFile, "token-file", "", "`FILE` with the token that the server's admin.token_file holds")
}

// clientTimeout bounds a request: a clear may cover ten thousand addresses.
const clientTimeout = time.Minute

// maxAnswer bounds an answer, in octets: 100,000 members take a tenth of it.
const maxAnswer = 1 << 30

// hinted returns an error with a hint on a line of its own.
func hinted(what, hint string) error {
	if hint == "" {
		return errors.New(what)
	}
	return fmt.Errorf("%s\n  %s", what, hint)
}

// call sends a request, with in as its body unless nil, and decodes the answer into out.
func (c *client) call(ctx context.Context, method, path string, words url.Values, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.timeout, clientTimeout))
	defer cancel()
	request, err := c.request(ctx, method, path, words, in)
	if err != nil {
		return err
	}
	response, err := c.do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := readAnswer(response.Body, maxAnswer)
	if err != nil {
		return fmt.Errorf("%s: reading the answer: %w", c.server, err)
	}
	if response.StatusCode != http.StatusOK {
		return c.refused(response, body)
	}
	switch text := out.(type) {
	case *yamlText:
		*text = body
		return nil
	case *masterFile:
		*text = body
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return hinted(fmt.Sprintf("the answer of %s is not that of a Meridian of this version: %v", c.server, err), "")
	}
	return nil
}

// readAnswer reads an answer of less than most octets.
func readAnswer(r io.Reader, most int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, most))
	if err == nil && int64(len(body)) == most {
		err = fmt.Errorf("it has %d octets or more, which no Meridian sends", most)
	}
	return body, err
}

// do sends a request, and describes why there is no response.
func (c *client) do(request *http.Request) (*http.Response, error) {
	sender, err := c.tls.client()
	if err != nil {
		return nil, err
	}
	response, err := sender.Do(request)
	if err == nil {
		return response, nil
	}
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	if err := untrusted(c.server, err); err != nil {
		return nil, err
	}
	hint := fmt.Sprintf("does its configuration have admin: {listen: %s}? --server URL asks at another place", request.URL.Host)
	return nil, hinted(fmt.Sprintf("no server answers at %s: %v", c.server, err), hint)
}

func (c *client) request(ctx context.Context, method, path string, words url.Values, in any) (*http.Request, error) {
	base, err := url.Parse(c.server)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("--server: %q is not a URL; e.g. %s", c.server, defaultServer)
	}
	at := base.JoinPath(path)
	at.RawQuery = words.Encode()
	body, kind, err := encodeBody(in)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, at.String(), body)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	if c.ifMatch != "" && method != http.MethodGet {
		request.Header.Set("If-Match", `"`+c.ifMatch+`"`)
	}
	if c.tokenFile != "" {
		token, err := admin.ReadToken(c.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("--token-file: %w", err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return request, nil
}

// encodeBody returns the body of a request and its content type: YAML as it is, any other value as JSON.
func encodeBody(in any) (body io.Reader, kind string, err error) {
	switch in := in.(type) {
	case nil:
		return http.NoBody, "", nil
	case yamlText:
		return bytes.NewReader(in), "application/yaml", nil
	}
	text, err := json.Marshal(in)
	return bytes.NewReader(text), "application/json", err
}

// refused converts an error response into an error.
func (c *client) refused(response *http.Response, body []byte) error {
	var p admin.Problem
	if json.Unmarshal(body, &p) != nil || p.Error == "" {
		return hinted(fmt.Sprintf("what answers at %s is no Meridian: %s", c.server, response.Status), "--server URL asks at another place")
	}
	if response.StatusCode == http.StatusUnauthorized && c.tokenFile == "" {
		p.Hint = "the server asks for a token: --token-file FILE; or, with admin.tls.client_ca, for a certificate: --cert FILE --key FILE"
	}
	if len(p.Errors) > 0 {
		return configRefused(p.Errors, p.Omitted)
	}
	return hinted(strings.TrimSpace(p.Error), p.Hint)
}

// configRefused returns the error of a server that rejected a configuration, with one
// configuration error per line, and the number of those that the answer does not have.
func configRefused(all []admin.ConfigError, omitted int) error {
	lines := make([]string, len(all))
	for i, e := range all {
		lines[i] = config.Error{File: e.File, Pos: config.Pos{Line: e.Line, Column: e.Column}, Path: e.Path, What: e.Message, Hint: e.Hint}.Error()
	}
	if omitted > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", omitted))
	}
	return hinted("the server refuses the configuration; the old one keeps serving", strings.Join(lines, "\n  "))
}
