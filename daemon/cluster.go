package daemon

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"meridian/certs"
	"meridian/cluster"
	"meridian/cluster/direct"
	"meridian/cluster/etcd"
	"meridian/cluster/observation"
	"meridian/cluster/rollout"
	"meridian/config"
	"meridian/control/event"
	"meridian/errtext"
	"meridian/handover"
	"meridian/health"
)

// clusterNode is this node in its cluster and the connection to it.
type clusterNode struct {
	*cluster.Node
	store     *etcd.Store
	direct    *directLink      // nil: without etcd, the node is alone
	overrides *sharedOverrides // nil: an agent has none
	inputs    *sharedInputs
	rollout   *rollout.Node // nil: it is an agent that reads its own files
	begun     sync.Once
}

// begin makes n publish, when all targets are known. A nil node does nothing.
func (n *clusterNode) begin() {
	if n != nil {
		n.begun.Do(n.Begin)
	}
}

// pass makes n publish nothing, because another process has taken over; again makes it publish after that has failed. A nil
// node does nothing.
func (n *clusterNode) pass() {
	if n != nil {
		n.End()
	}
}

func (n *clusterNode) again() {
	if n != nil {
		n.Begin()
	}
}

// clusterSettings are the settings that a node joins its cluster with. They are read at the start of a process.
type clusterSettings struct {
	node string
	config.Cluster
}

// clusterSettingsOf returns the settings of a configuration; without a cluster, the zero value.
func clusterSettingsOf(cfg *config.Config) clusterSettings {
	s := clusterSettings{cfg.Node, cfg.Cluster}
	if s.Name == "" {
		return clusterSettings{}
	}
	s.Pos, s.IdentityPos = config.Pos{}, config.Pos{}
	return s
}

// warnOfClusterChange reports once that a reloaded configuration has other settings of the cluster than the process uses.
func (l *instance) warnOfClusterChange(cfg *config.Config) {
	next, before := clusterSettingsOf(cfg), l.reloaded
	l.reloaded = next
	if !reflect.DeepEqual(next, l.joined) && !reflect.DeepEqual(next, before) {
		l.reportCluster(slog.LevelWarn, cmp.Or(next.Name, l.joined.Name),
			"the settings of the cluster have changed; they take effect at a restart or an upgrade, and the previous ones stay until then")
	}
}

// joinCluster makes the node of a configuration with a cluster; nil: it has none. A node that cannot join must not serve: it
// would decide alone, and fail over where the others do not.
func (l *instance) joinCluster(cfg *config.Config) (*clusterNode, error) {
	c := &cfg.Cluster
	if c.Name == "" {
		return nil, nil
	}
	key, secure, err := joiningFiles(cfg)
	if err != nil {
		return nil, err
	}
	store, err := etcd.Open(etcd.Options{
		Endpoints: c.Etcd.Endpoints, TLS: secure, Prefix: c.Etcd.Prefix, Cluster: c.Name,
		Patience: cluster.PatienceOf(c.Heartbeat, c.Stale), Logger: l.Logger,
	})
	if err != nil {
		return nil, cfg.ErrorAt(c.Pos, "cluster.etcd", err.Error(), "")
	}
	trust := make(map[string]ed25519.PublicKey, len(c.Trust))
	for _, t := range c.Trust {
		trust[t.Name] = t.Key
	}
	link, err := l.openDirect(c, direct.Identity{Cluster: c.Name, Name: cfg.Node, Key: key, Trust: trust})
	if err != nil {
		return nil, err
	}
	options := cluster.Options{
		Cluster: c.Name, Name: cfg.Node, Region: c.Region, Agent: l.Agent, Key: key, Trust: trust, Heartbeat: c.Heartbeat, Stale: c.Stale,
		TakesOver: l.Predecessor != nil, Transport: store.Transport(), Direct: link.functions(), Report: l.reportCluster,
		Agree: func(all []health.Agreement) bool { return l.prober.Agree(all) },
	}
	if l.Agent {
		options.NameTaken = l.nameTaken
	}
	n := &clusterNode{store: store, direct: link, Node: cluster.New(options)}
	if err := link.serve(l, n.Node); err != nil {
		return nil, err
	}
	l.member = n
	l.shareInputs(cfg, key, trust)
	if !l.Agent || c.Shared {
		n.rollout = l.newRollout(cfg, n, key, trust)
		l.control.UseRollout(n.rollout)
	}
	return n, nil
}

// CheckJoining returns why a process with a configuration cannot join its cluster: an error in its files. It is a config.Error.
func CheckJoining(cfg *config.Config) error {
	_, _, err := joiningFiles(cfg)
	return err
}

// joiningFiles reads the files with which a process joins its cluster.
func joiningFiles(cfg *config.Config) (ed25519.PrivateKey, *tls.Config, error) {
	c := &cfg.Cluster
	key, err := observation.ReadIdentity(c.Identity)
	if err != nil {
		return nil, nil, cfg.ErrorAt(c.IdentityPos, "cluster.identity", err.Error(), IdentityHint(c.Identity, err))
	}
	if certs.ReadableByOthers(c.Identity) {
		return nil, nil, cfg.ErrorAt(c.IdentityPos, "cluster.identity", errtext.ReadableByOthersError{File: c.Identity}.Error(), "")
	}
	if !cfg.TrustedKey().Equal(key.Public()) {
		return nil, nil, cfg.ErrorAt(c.Pos, "cluster.trust", fmt.Sprintf("the key of %s is not that of %s", cfg.Node, c.Identity),
			"write "+observation.FormatPublicKey(key.Public().(ed25519.PublicKey)))
	}
	secure, err := ClusterTLS(&c.Etcd)
	if err != nil {
		return nil, nil, cfg.ErrorAt(c.Pos, "cluster.etcd.tls", err.Error(), "")
	}
	return key, secure, nil
}

// IdentityHint returns what helps against an error of reading a private key.
func IdentityHint(file string, err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "give it to the user that this process runs as, or use LoadCredential of systemd"
	case errors.Is(err, fs.ErrNotExist):
		return "make it with meridian cluster identity -o " + file
	}
	return "make one with meridian cluster identity -o FILE"
}

// useCluster makes the node of a cluster known to operators.
func (l *instance) useCluster() {
	if l.member == nil {
		return
	}
	l.control.UseCluster(l.member.Node)
	if !l.Agent {
		l.shareOverrides(l.member.Cluster)
	}
}

// ClusterTLS returns the TLS settings of the connections to etcd; nil: those of the system. The certificate of this node is
// read for each connection, so that it can be renewed.
func ClusterTLS(e *config.Etcd) (*tls.Config, error) {
	if e.CA == "" && e.Cert == "" {
		return nil, nil
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.CA != "" {
		data, err := certs.Read(e.CA)
		if err != nil {
			return nil, err
		}
		if secure.RootCAs, err = certs.Pool(data); err != nil {
			return nil, fmt.Errorf("%s: %w", e.CA, err)
		}
	}
	if e.Cert == "" {
		return secure, nil
	}
	if _, err := tls.LoadX509KeyPair(e.Cert, e.Key); err != nil {
		return nil, err
	}
	secure.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(e.Cert, e.Key)
		return &pair, err
	}
	return secure, nil
}

// reportCluster logs what happened in the cluster, and records the event.
func (l *instance) reportCluster(level slog.Level, subject, message string) {
	severity := event.Info
	switch level {
	case slog.LevelWarn:
		severity = event.Warning
	case slog.LevelError:
		severity = event.Error
	}
	l.Logger.Log(context.Background(), level, "cluster", "subject", subject, "message", message)
	l.control.Events().Add(event.Event{Kind: event.Cluster, Severity: severity, Subject: subject, Message: message})
}

// boot returns the boot of n, for the next process; 0: n is nil.
func (n *clusterNode) boot() uint64 {
	if n == nil {
		return 0
	}
	return n.Boot()
}

// usePrevious makes the heartbeat of the previous process of this node not keep its name, and the other nodes known that it
// remembered. A nil node does nothing.
func (n *clusterNode) usePrevious(m *savedState) {
	if n != nil {
		n.UsePrevious(m.Boot)
		n.Restore(m.Vantages)
	}
}

// remember returns the other nodes, for the next process; nil: n is nil.
func (n *clusterNode) remember() [][]byte {
	if n == nil {
		return nil
	}
	return n.Remember()
}

// sockets returns the socket for the other nodes. That of nil is none.
func (n *clusterNode) sockets() []handover.Open {
	if n == nil || n.direct == nil {
		return nil
	}
	return n.direct.listener.Sockets()
}

// freshNodes returns the names of the nodes that are alive, without agents.
func (n *clusterNode) freshNodes() (names []string) {
	s := n.Status()
	for _, v := range s.Vantages {
		if v.Fresh && !v.Agent {
			names = append(names, v.Name)
		}
	}
	return names
}

// start runs the node until the returned function is called, which waits for it. A nil node does nothing.
func (n *clusterNode) start(ctx context.Context) (stop func()) {
	if n == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var running sync.WaitGroup
		if n.overrides != nil {
			running.Go(func() { n.overrides.run(ctx) })
		}
		running.Go(func() { n.direct.run(ctx) })
		running.Go(func() { n.inputs.run(ctx) })
		n.Run(ctx)
		running.Wait()
	}()
	return func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(shutdownTimeout):
		}
		n.direct.close()
		_ = n.store.Close() // nothing is written any more
	}
}
