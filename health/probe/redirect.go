package probe

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// redirects reports whether an answer is a redirect.
func redirects(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return resp.Header.Get("Location") != ""
	}
	return false
}

// redirected returns the request that follows a redirect. It goes to the same address, whatever the host of the location
// (that becomes the Host header and the name to verify): the verdict is about this endpoint, not about another one.
func (v request) redirected(resp *http.Response) (*request, error) {
	location := resp.Header.Get("Location")
	ref, err := url.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("redirect to %s, want a URL", excerpt(location))
	}
	next := request{method: v.methodAfter(resp.StatusCode), url: v.url.ResolveReference(ref), port: v.port}
	switch {
	case next.url.Scheme != "http" && next.url.Scheme != "https", next.url.Host == "":
		return nil, fmt.Errorf("redirect to %s, want http or https", excerpt(location))
	case v.url.Scheme == "https" && next.url.Scheme == "http":
		return nil, fmt.Errorf("redirect from https to %s, want https", excerpt(location))
	}
	if ref.Host != "" {
		if next.port, err = portOf(next.url); err != nil {
			return nil, err
		}
	}
	return &next, nil
}

// methodAfter returns the method after a redirect (RFC 9110 15.4): 307 and 308 keep it, the others change it to GET, as
// browsers do.
func (v request) methodAfter(status int) string {
	keeps := status == http.StatusTemporaryRedirect || status == http.StatusPermanentRedirect
	if keeps || v.method == http.MethodHead {
		return v.method
	}
	return http.MethodGet
}

// portOf returns the port to connect to for u.
func portOf(u *url.URL) (int, error) {
	if u.Port() == "" {
		return defaultPort(u.Scheme), nil
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("redirect to port %q, want 1 to 65535", u.Port())
	}
	return int(port), nil
}
