package etcd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"meridian/cluster"
	"meridian/cluster/observation"
	"meridian/cluster/rollout"
	"meridian/counterpart"
)

// authority signs certificates for tests.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newAuthority returns an authority with its certificate in ca.pem.
func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.write(t, "ca", &x509.Certificate{
		Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotAfter: time.Now().Add(time.Hour),
	})
	return a
}

// issue writes NAME.pem and NAME.key, a certificate with this common name for 127.0.0.1.
func (a *authority) issue(t *testing.T, name string, end time.Time) {
	t.Helper()
	a.write(t, name, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: end,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
}

func (a *authority) write(t *testing.T, name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(a.file(file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// startSecureEtcd starts etcd with client certificates and returns its endpoint.
func startSecureEtcd(t *testing.T, a *authority) string {
	t.Helper()
	counterpart.Find(t, "etcd")
	a.issue(t, "server", time.Now().Add(time.Hour))
	ports := counterpart.FreePorts(t, 2)
	client, peer := fmt.Sprintf("https://127.0.0.1:%d", ports[0]), fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	counterpart.Start(t, "etcd", "--data-dir", t.TempDir(), "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer,
		"--client-cert-auth", "--trusted-ca-file", a.file("ca.pem"), "--cert-file", a.file("server.pem"), "--key-file", a.file("server.key"))
	counterpart.AwaitListeners(t, ports[0])
	return client
}

// openAs returns a store for the user of a certificate.
func (a *authority) openAs(t *testing.T, endpoint, name string) *Store {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(a.file(name+".pem"), a.file(name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	s, err := Open(Options{
		Endpoints: []string{endpoint}, TLS: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
		Prefix: "/meridian", Cluster: "prod", Patience: cluster.Patience{Quiet: time.Hour, Answer: time.Hour, End: time.Hour}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// documentedCommands returns the commands of the manual that make the roles.
func documentedCommands(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/guides/etcd.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rights, _ := strings.Cut(string(page), "## Rights")
	_, block, _ := strings.Cut(rights, "```bash\n")
	block, _, ok := strings.Cut(block, "```")
	if !ok || !strings.Contains(block, "etcdctl auth enable") {
		t.Fatal("the manual has no commands for the rights of nodes")
	}
	return strings.Split(strings.TrimSpace(block), "\n")
}

// TestDocumentedRolesSufficeAndRefuse runs the commands of the manual with etcdctl: a node can do all that it does, an agent
// only what is its own, an observer only read, and a user without a role nothing.
func TestDocumentedRolesSufficeAndRefuse(t *testing.T) {
	etcdctl, a := counterpart.Find(t, "etcdctl"), newAuthority(t)
	endpoint := startSecureEtcd(t, a)
	for _, name := range []string{"root", "ams1", "probe1", "watcher", "stranger"} {
		a.issue(t, name, time.Now().Add(time.Hour))
	}
	run := func(line string) {
		t.Helper()
		args := strings.Fields(line)
		if args[0] != "etcdctl" {
			t.Fatalf("%s: not a command of etcdctl", line)
		}
		cmd := exec.Command(etcdctl, args[1:]...)
		cmd.Env = append(os.Environ(), "ETCDCTL_API=3", "ETCDCTL_ENDPOINTS="+endpoint, "ETCDCTL_CACERT="+a.file("ca.pem"), "ETCDCTL_CERT="+a.file("root.pem"), "ETCDCTL_KEY="+a.file("root.key"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	for _, line := range documentedCommands(t) {
		run(line)
	}
	run("etcdctl user add watcher --no-password")
	run("etcdctl user grant-role watcher meridian-observer")
	run("etcdctl user add stranger --no-password")

	node, agent, observer, stranger := a.openAs(t, endpoint, "ams1"), a.openAs(t, endpoint, "probe1"), a.openAs(t, endpoint, "watcher"), a.openAs(t, endpoint, "stranger")
	put := func(s *Store, key string) error {
		return s.Publish(t.Context(), []observation.Record{{Key: key, Value: []byte("x")}})
	}
	read := func(s *Store, prefix string) error {
		_, err := s.read(t.Context(), "/meridian/prod/"+prefix)
		return err
	}
	override := func(s *Store) error {
		return s.Table("overrides", nil).Put(t.Context(), Entry{Key: "records/a", Value: []byte("x")})
	}
	give := func(s *Store, name string) error {
		return s.Table("inputs/v1", nil).Put(t.Context(), Entry{Key: "loads/" + name, Value: []byte("x")})
	}
	push := func(s *Store) error {
		_, err := s.Rollout().Write(t.Context(), rollout.Change{Puts: map[string][]byte{rollout.StateKeys + "x": []byte("x")}})
		return err
	}
	for _, c := range []struct {
		what    string
		err     error
		allowed bool
	}{
		{"a node publishes a heartbeat", put(node, "beat/ams1"), true},
		{"a node publishes opinions", put(node, "obs/ams1/00"), true},
		{"a node publishes its address", put(node, "node/ams1"), true},
		{"a node reads the others", read(node, "v1/"), true},
		{"a node writes an override", override(node), true},
		{"a node reads overrides", read(node, "overrides/"), true},
		{"a node pushes a configuration", push(node), true},
		{"a node reads the configuration", read(node, "config/v1/"), true},
		{"a node gives inputs", give(node, "ams1"), true},
		{"a node reads inputs", read(node, "inputs/v1/"), true},
		{"a node writes elsewhere", node.Table("other", nil).Put(t.Context(), Entry{Key: "a"}), false},
		{"an agent publishes a heartbeat", put(agent, "beat/probe1"), true},
		{"an agent publishes opinions", put(agent, "obs/probe1/ff"), true},
		{"an agent reads the others", read(agent, "v1/"), true},
		{"an agent publishes as a node", put(agent, "beat/ams1"), false},
		{"an agent publishes as another agent", put(agent, "obs/probe12/00"), false},
		{"an agent publishes an address", put(agent, "node/probe1"), false},
		{"an agent writes an override", override(agent), false},
		{"an agent reads overrides", read(agent, "overrides/"), false},
		{"an agent pushes a configuration", push(agent), false},
		{"an agent reads the configuration", read(agent, "config/v1/"), false},
		{"an agent reads inputs", read(agent, "inputs/v1/"), true},
		{"an agent gives inputs", give(agent, "probe1"), false},
		{"an observer reads inputs", read(observer, "inputs/v1/"), true},
		{"an observer gives inputs", give(observer, "watcher"), false},
		{"an observer reads the nodes", read(observer, "v1/"), true},
		{"an observer reads overrides", read(observer, "overrides/"), true},
		{"an observer publishes", put(observer, "beat/ams1"), false},
		{"an observer writes an override", override(observer), false},
		{"an observer reads the configuration", read(observer, "config/v1/"), false},
		{"a user without a role reads", read(stranger, "v1/"), false},
		{"a user without a role reads inputs", read(stranger, "inputs/v1/"), false},
	} {
		if denied := errors.Is(c.err, rpctypes.ErrPermissionDenied) || c.err != nil && strings.Contains(c.err.Error(), "lacks a right"); c.err != nil == c.allowed || denied == c.allowed {
			t.Errorf("%s: %v, allowed %v", c.what, c.err, c.allowed)
		}
	}
	updates := watch(t, a.openAs(t, endpoint, "probe1"))
	next(t, updates, "what is stored, as the agent", has("x", false))
	if err := put(node, "beat/ams1"); err != nil {
		t.Fatal(err)
	}
	next(t, updates, "a heartbeat, as the agent", has("x", true))
}

// A node with a certificate that has expired reports that, and goes on without etcd.
func TestExpiredCertificateIsReported(t *testing.T) {
	a := newAuthority(t)
	endpoint := startSecureEtcd(t, a)
	a.issue(t, "ams1", time.Now().Add(-time.Minute))
	s := a.openAs(t, endpoint, "ams1")
	logged := make(lines, 100)
	s.Logger = slog.New(slog.NewTextHandler(logged, nil))
	updates := watch(t, s)
	next(t, updates, "that etcd is away", func(u cluster.Update) bool { return !u.Connected })
	for line := range logged {
		if strings.Contains(line, "etcd cannot be watched") {
			if !strings.Contains(line, "certificate") {
				t.Errorf("it does not say why: %s", line)
			}
			return
		}
	}
}

// lines is a log, line by line.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	select {
	case l <- string(p):
	default:
	}
	return len(p), nil
}
