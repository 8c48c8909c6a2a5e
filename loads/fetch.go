package loads

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/hashicorp/go-multierror"

	"meridian/certs"
	"meridian/config"
)

// The limits of reading a response, in bytes.
const (
	maxHeader = 64 << 10
	maxBody   = 8 << 20
)

// fetcher sends HTTP requests to a target. It keeps no connection: a failed target shows at once, and there is nothing
// to close.
type fetcher struct {
	source *config.LoadSource
	url    string
	client *http.Client
}

// Prepare checks that every load of cfg is usable: it reads the files that they name. The error is a *multierror.Error
// of config.Errors in file order.
func Prepare(cfg *config.Config) error {
	var all *multierror.Error
	for i := range cfg.Loads {
		l := &cfg.Loads[i]
		if _, _, err := roots(l.TLS.CA); err != nil {
			all = multierror.Append(all, cfg.ErrorAt(l.TLS.CAPos, "loads."+l.Name+".tls.ca", err.Error(), "a PEM file of the authorities to trust"))
		}
	}
	return all.ErrorOrNil()
}

// roots reads the authorities in a file, and returns its text, too; without a file it returns nil, which means those of
// the system.
func roots(file string) (*x509.CertPool, []byte, error) {
	if file == "" {
		return nil, nil, nil
	}
	data, err := certs.Read(file)
	if err != nil {
		return nil, nil, err
	}
	pool, err := certs.Pool(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%q: %w", file, err)
	}
	return pool, data, nil
}

// newFetcher returns the fetcher of a target that trusts these authorities; nil: the system's.
func newFetcher(t Target, trusted *x509.CertPool, dial Dial) *fetcher {
	f := &fetcher{source: t.Source, url: t.Source.URL}
	name := t.Source.TLS.ServerName
	if f.url == "" {
		f.url = addressURL(t)
		if name == "" {
			name = t.Source.Host
		}
	}
	f.client = &http.Client{
		Transport: &http.Transport{
			DialContext:            endWithPoll(dial),
			TLSClientConfig:        &tls.Config{RootCAs: trusted, ServerName: name, InsecureSkipVerify: t.Source.TLS.Insecure},
			DisableKeepAlives:      true,
			DisableCompression:     true, // a small answer must not become a large one
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return f
}

// pollContext is the key of the poll's context in the context of its request.
type pollContext struct{}

// endWithPoll returns a dial function that ends with its poll: a Transport continues to dial after the request has
// ended, so that polls of a stalled target would accumulate connections.
func endWithPoll(dial Dial) Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if poll, ok := ctx.Value(pollContext{}).(context.Context); ok {
			ctx = poll
		}
		return dial(ctx, network, address)
	}
}

// addressURL returns the URL of a target if its source has none.
func addressURL(t Target) string {
	scheme := "http"
	if t.Source.Secure {
		scheme = "https"
	}
	at := net.JoinHostPort(t.Addr.String(), strconv.Itoa(t.Source.Port))
	return scheme + "://" + at + t.Source.Path
}

// fetch polls once. ctx bounds it.
func (f *fetcher) fetch(ctx context.Context) (Report, error) {
	request, err := http.NewRequestWithContext(context.WithValue(ctx, pollContext{}, ctx), http.MethodGet, f.url, nil)
	if err != nil {
		return Report{}, err
	}
	request.Header.Set("User-Agent", "meridian")
	if f.source.Host != "" {
		request.Host = f.source.Host
		if a, err := netip.ParseAddr(f.source.Host); err == nil && a.Is6() {
			request.Host = "[" + f.source.Host + "]"
		}
	}
	answer, err := f.client.Do(request)
	if err != nil {
		return Report{}, trimURL(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return Report{}, fmt.Errorf("status %d, want 200", answer.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody+1))
	if err != nil {
		return Report{}, trimURL(err)
	}
	if len(body) > maxBody {
		return Report{}, fmt.Errorf("report longer than %d MiB", maxBody>>20)
	}
	r, err := parserOf(f.source.Type)(f.source, body)
	if err == nil {
		err = r.validate()
	}
	if err != nil {
		return Report{}, err
	}
	return r, nil
}

// trimURL removes the method and the URL from err: the log line has them already.
func trimURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no whole report within the timeout")
	}
	return err
}
