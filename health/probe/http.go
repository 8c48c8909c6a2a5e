package probe

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"meridian/config"
)

// Limits of an http check's answer, in bytes, and of its redirects.
const (
	maxHeader    = 64 << 10 // of the header, including those of informational answers
	maxMatch     = 64 << 10 // of the body that the regular expression is matched against
	maxBody      = 1 << 20  // of the body, which must end within this
	maxRedirects = 5
)

// errLongHeader and errLongBody report an answer beyond the limits.
var (
	errLongHeader = fmt.Errorf("header of the answer longer than %d KiB", maxHeader>>10)
	errLongBody   = fmt.Errorf("body longer than %d KiB", maxBody>>10)
)

// request is one request of an http or https check.
type request struct {
	method string
	url    *url.URL // scheme, Host header, path and query
	port   int      // to connect to
}

// probeHTTP passes if the answer has a wanted status and body. Each probe opens its own connection, so that it notices a
// dead listener; it uses no proxy and does not decompress the body.
func probeHTTP(ctx context.Context, t *attempt) (string, error) {
	t.buffers = t.pool.get()
	defer t.pool.put(t.buffers)
	v := request{method: t.check.Method, url: t.firstURL(), port: t.check.Port}
	for range 1 + maxRedirects {
		evidence, next, err := t.fetch(ctx, v)
		if err != nil || next == nil {
			return evidence, err
		}
		v = *next
	}
	return "", fmt.Errorf("more than %d redirects, the last to %s", maxRedirects, excerpt(v.url.String()))
}

// firstURL returns the URL of the check. Its host is that of the Host header: the check's, else the target's address with a
// port that is not the scheme's default.
func (t *attempt) firstURL() *url.URL {
	u := *t.path
	u.Scheme, u.Host = string(t.check.Type), t.check.Host
	if u.Host == "" {
		u.Host = t.addr.WithZone("").String()
	}
	if strings.Contains(u.Host, ":") {
		u.Host = "[" + u.Host + "]"
	}
	if port := defaultPort(u.Scheme); t.check.Host == "" && cmp.Or(t.check.Port, port) != port {
		u.Host += ":" + strconv.Itoa(t.check.Port)
	}
	return &u
}

func defaultPort(scheme string) int {
	if scheme == string(config.HTTPS) {
		return 443
	}
	return 80
}

// fetch makes one request. It returns evidence of success, or the next request if the peer redirects and the check follows.
func (t *attempt) fetch(ctx context.Context, v request) (evidence string, next *request, err error) {
	conn, hangUp, err := t.connect(ctx, "tcp", v.port)
	if err != nil {
		return "", nil, err
	}
	defer hangUp()
	if v.url.Scheme == string(config.HTTPS) {
		secure, err := t.handshake(conn, t.serverName(v), t.protocol())
		if err != nil {
			return "", nil, err
		}
		defer secure.Close() // notifies the peer; hangUp and ctx end it too
		conn = secure
	}
	a, err := t.ask(ctx, conn, t.request(v))
	if err != nil {
		return "", nil, err
	}
	t.traceResponse(a.Response)
	if t.check.FollowRedirects && redirects(a.Response) {
		next, err = v.redirected(a.Response)
		return "", next, err
	}
	evidence, err = t.judge(a)
	return evidence, nil, err
}

// protocol returns the check's protocol, by its ALPN name.
func (t *attempt) protocol() string {
	if t.check.HTTP2 {
		return http2Name
	}
	return "http/1.1"
}

// answer is the answer to a request, up to its body. Do not close Body: that would read it to its end.
type answer struct {
	*http.Response
	in *io.LimitedReader // limits the body; nil over HTTP/2, where the transport limits it
}

// ask sends a request on conn and reads the answer's header.
func (t *attempt) ask(ctx context.Context, conn net.Conn, req *http.Request) (answer, error) {
	if t.check.HTTP2 {
		resp, err := t.roundTrip2(ctx, conn, req)
		return answer{resp, nil}, err
	}
	t.begin("request", "sending the request")
	t.traceRequest(req)
	t.buffers.out.Reset(conn)
	if err := req.Write(t.buffers.out); err != nil {
		return answer{}, err
	}
	if err := t.buffers.out.Flush(); err != nil {
		return answer{}, err
	}
	in := &io.LimitedReader{R: conn, N: maxHeader}
	resp, err := t.readHeader(in, req)
	return answer{resp, in}, err
}

// allow sets how many more bytes of the answer may be read.
func (a answer) allow(bytes int64) {
	if a.in != nil {
		a.in.N = bytes
	}
}

// truncated reports whether the answer exceeded its limit.
func (a answer) truncated() bool { return a.in != nil && a.in.N == 0 }

// serverName returns the name that the certificate must have: the check's, else the host of the request.
func (t *attempt) serverName(v request) string {
	if t.check.TLS.ServerName != "" {
		return t.check.TLS.ServerName
	}
	return v.url.Hostname()
}

func (t *attempt) request(v request) *http.Request {
	return &http.Request{
		Method: v.method,
		URL:    v.url,
		Header: t.header,
		Close:  true, // each probe tests a new connection
	}
}

// readHeader reads up to the body of the final answer, past informational ones (RFC 9110 15.2; 101 is final, as only the
// new protocol follows it).
func (t *attempt) readHeader(in *io.LimitedReader, req *http.Request) (*http.Response, error) {
	t.begin("response", "waiting for the answer")
	r := t.buffers.in
	r.Reset(in)
	for {
		resp, err := http.ReadResponse(r, req)
		switch {
		case err != nil && in.N == 0:
			return nil, errLongHeader
		case err != nil:
			return nil, err
		case resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols:
			return resp, nil
		}
	}
}

// judge checks the status, then the body, which must end.
func (t *attempt) judge(a answer) (string, error) {
	if !statusWanted(t.check.Status, a.StatusCode) {
		return "", fmt.Errorf("status %d, want %s", a.StatusCode, statusList(t.check.Status))
	}
	t.begin("body", "reading the body")
	a.allow(8 * maxBody) // room for the framing of small chunks; the body itself is counted below
	look := int64(0)
	if t.check.Body != nil {
		look = maxMatch
	}
	body, err := readBody(a.Response, look)
	switch {
	case err != nil && a.truncated():
		return "", errLongBody
	case err != nil:
		return "", err
	case t.check.Body != nil && !t.check.Body.Match(body):
		return "", t.mismatch(a, body)
	}
	return "status " + strconv.Itoa(a.StatusCode), nil
}

// mismatch describes a body that does not match: if it is compressed, although the check's headers do not accept that, it
// could not match.
func (t *attempt) mismatch(a answer, body []byte) error {
	encoding := a.Header.Get("Content-Encoding")
	if encoding != "" && !strings.EqualFold(encoding, "identity") && t.header.Get("Accept-Encoding") == "" {
		return fmt.Errorf("body is compressed (%s), which the request does not accept; it does not match %q", encoding[:min(len(encoding), maxExcerpt)], t.check.Body)
	}
	return fmt.Errorf("body does not match %q; it begins %s", t.check.Body, excerpt(string(body)))
}

// readBody returns the first look bytes, after the body has ended within maxBody. A body with a longer declared length has
// an end, and is not read further.
func readBody(resp *http.Response, look int64) (body []byte, err error) {
	if look > 0 {
		body, err = io.ReadAll(io.LimitReader(resp.Body, look))
	}
	if err != nil || resp.ContentLength > maxBody {
		return body, err
	}
	rest, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody-look+1))
	if err == nil && len(body)+int(rest) > maxBody {
		err = errLongBody
	}
	return body, err
}

func statusWanted(ranges []config.StatusRange, status int) bool {
	for _, r := range ranges {
		if r.From <= status && status <= r.To {
			return true
		}
	}
	return false
}

func statusList(ranges []config.StatusRange) string {
	var b strings.Builder
	for i, r := range ranges {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(strconv.Itoa(r.From))
		if r.To != r.From {
			b.WriteString("-" + strconv.Itoa(r.To))
		}
	}
	return b.String()
}
