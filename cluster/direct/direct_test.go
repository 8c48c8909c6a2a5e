package direct

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"meridian/cluster/observation"
)

func keyOf(name string) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	return ed25519.NewKeyFromSeed(seed)
}

// identityOf returns the identity of a vantage that trusts others.
func identityOf(name string, trusted ...string) Identity {
	i := Identity{Cluster: "prod", Name: name, Key: keyOf(name), Trust: map[string]ed25519.PublicKey{}}
	for _, t := range append(trusted, name) {
		i.Trust[t] = keyOf(t).Public().(ed25519.PublicKey)
	}
	return i
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// listen starts a listener of a node that trusts others.
func listen(t *testing.T, i Identity, log io.Writer, answer func(*observation.Exchange) observation.Exchange) *Listener {
	t.Helper()
	l, err := Open(netip.MustParseAddrPort("127.0.0.1:0"), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	l.patience = time.Hour // a busy machine is slow
	if err := l.Serve(Settings{Identity: i, Heartbeat: time.Hour, Answer: answer, Logger: slog.New(slog.NewTextHandler(log, nil))}); err != nil {
		t.Fatal(err)
	}
	return l
}

// nothing answers with nothing.
func nothing(*observation.Exchange) observation.Exchange { return observation.Exchange{} }

func TestExchangeReachesTheNode(t *testing.T) {
	request := observation.Exchange{
		Known:    []observation.Known{{Vantage: "fra1", Heartbeat: observation.Position{Boot: 1, Seq: 2}}},
		Messages: []observation.Passed{{Raw: []byte("one"), Age: 5 * time.Millisecond}, {Raw: []byte("two"), Age: -1}},
	}
	answer := observation.Exchange{Messages: []observation.Passed{{Raw: bytes.Repeat([]byte("x"), 1<<20), Age: 0}}}
	var got observation.Exchange
	l := listen(t, identityOf("ams1", "fra1"), io.Discard, func(e *observation.Exchange) observation.Exchange { got = *e; return answer })
	c := NewClient(identityOf("fra1", "ams1"))
	defer c.Close()
	back, err := c.Exchange(t.Context(), "ams1", l.Addr(), &request)
	if err != nil || !reflect.DeepEqual(back, answer) || !reflect.DeepEqual(got, request) {
		t.Errorf("%v: sent %+v", err, got)
	}
}

func TestOnlyTrustedVantagesConnect(t *testing.T) {
	var log lockedBuffer
	l := listen(t, identityOf("ams1", "fra1"), &log, nothing)
	for name, c := range map[string]struct {
		client Identity
		asked  string
		want   string
	}{
		"a client that the node does not trust": {identityOf("evil", "ams1"), "ams1", "bad certificate"},
		"a node with another key":               {identityOf("fra1", "ams1", "sin1"), "sin1", "it does not have the key that cluster.trust has for sin1, but that of ams1"},
		"a node that the client does not trust": {identityOf("fra1"), "ams1", "it does not have the key that cluster.trust has for ams1"},
	} {
		client := NewClient(c.client)
		_, err := client.Exchange(t.Context(), c.asked, l.Addr(), &observation.Exchange{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		client.Close()
	}
	other := identityOf("fra1", "ams1")
	other.Cluster = "test"
	_, err := NewClient(other).Exchange(t.Context(), "ams1", l.Addr(), &observation.Exchange{})
	if err == nil || !strings.Contains(err.Error(), "404 Not Found: this is a node of cluster prod") {
		t.Errorf("a node of another cluster: %v", err)
	}
	if n := l.Refused(); n["untrusted"] != 1 || n["malformed"] != 1 || strings.Count(log.String(), "direct request refused") != 2 ||
		!strings.Contains(log.String(), "a client at 127.0.0.1:") || !strings.Contains(log.String(), "with the key "+observation.FormatPublicKey(keyOf("evil").Public().(ed25519.PublicKey))+", which is not in cluster.trust") {
		t.Errorf("refused %v\n%s", n, log.String())
	}
}

// A client without a certificate, or without TLS, gets nothing.
func TestClientWithoutCertificateIsRefused(t *testing.T) {
	var log lockedBuffer
	l := listen(t, identityOf("ams1"), &log, func(*observation.Exchange) observation.Exchange { t.Error("answered"); return observation.Exchange{} })
	anonymous := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer anonymous.CloseIdleConnections()
	for _, url := range []string{"https://" + l.Addr().String() + "/v1/exchange/prod", "http://" + l.Addr().String() + "/v1/exchange/prod"} {
		r, err := anonymous.Post(url, "", strings.NewReader("x"))
		if err == nil {
			r.Body.Close()
		}
		if err == nil && r.StatusCode == http.StatusOK {
			t.Errorf("%s was answered", url)
		}
	}
	if n := l.Refused(); n["untrusted"] != 1 || !strings.Contains(log.String(), "without an Ed25519 key") {
		t.Errorf("refused %v\n%s", n, log.String())
	}
}

func TestRequestsAreBounded(t *testing.T) {
	l := listen(t, identityOf("ams1", "fra1"), io.Discard, nothing)
	c := NewClient(identityOf("fra1", "ams1"))
	defer c.Close()
	raw, err := c.client("ams1")
	if err != nil {
		t.Fatal(err)
	}
	post := func(method, text string) string {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, "https://"+l.Addr().String()+"/v1/exchange/prod", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		r, err := raw.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		return fmt.Sprintf("%d %s", r.StatusCode, body)
	}
	for _, step := range []struct{ method, text, want string }{
		{"GET", "", "405 want POST\n"},
		{"POST", "x", "400 exchange of another version: 120, want 1\n"},
		{"POST", "\x01\x00", "400 malformed exchange\n"},
		{"POST", strings.Repeat("x", observation.MaxExchange+1), "400 http: request body too large\n"},
		{"POST", "\x01\x00\x00\x00\x00\x00\x00", "200 \x01\x00\x00\x00\x00\x00\x00"},
		{"POST", "\x01\x00\x00\x00\x00\x00\x00", "429 too many requests in a heartbeat\n"},
	} {
		if got := post(step.method, step.text); got != step.want {
			t.Errorf("%s %.20q: %.80q, want %q", step.method, step.text, got, step.want)
		}
	}
	if n := l.Refused(); n["malformed"] != 3 || n["version"] != 1 || n["too_many"] != 1 {
		t.Errorf("refused %v", n)
	}
}

func TestNodeThatDoesNotAnswer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	at := silent.Addr().(*net.TCPAddr).AddrPort()
	_, err = NewClient(identityOf("fra1", "ams1")).Exchange(ctx, "ams1", at, &observation.Exchange{})
	if want := at.String() + " does not answer in time"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	silent.Close()
	_, err = NewClient(identityOf("fra1", "ams1")).Exchange(t.Context(), "ams1", at, &observation.Exchange{})
	if err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "Post") {
		t.Error(err)
	}
}

func TestAddressInUseIsAnError(t *testing.T) {
	l := listen(t, identityOf("ams1"), io.Discard, nothing)
	_, err := Open(l.Addr(), false, nil)
	if want := fmt.Sprintf("listen on %s for the nodes of the cluster", l.Addr()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	every, err := Open(netip.MustParseAddrPort("[::]:0"), true, nil)
	if err != nil {
		t.Fatal(err)
	}
	every.Close()
}
