// Package etcdserver runs a member of an etcd cluster, for installations that have no etcd of their own, and restores one
// from a snapshot. The member runs in a process of its own: a restart of the DNS server must not restart it, and an upgrade of
// the DNS server has two processes for a while, of which only one could have the data.
//
// Its configuration is a file in etcd's own form, with other defaults: the history is compacted and the size is limited, because
// an etcd that is full refuses every write; see https://etcd.io/docs/latest/op-guide/configuration/.
package etcdserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// Config is the configuration of a member.
type Config struct {
	*embed.Config
}

// Server is a running member.
type Server struct {
	etcd *embed.Etcd
}

// BindError is a failure to listen.
type BindError struct{ Err error }

func (e *BindError) Error() string { return e.Err.Error() }
func (e *BindError) Unwrap() error { return e.Err }

// Start starts a member. It is ready when Ready returns.
func Start(c *Config) (*Server, error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("data-dir: %w", err)
	}
	e, err := embed.StartEtcd(c.Config)
	if bind := (*net.OpError)(nil); errors.As(err, &bind) && bind.Op == "listen" {
		return nil, &BindError{err}
	}
	if err != nil {
		return nil, err
	}
	return &Server{e}, nil
}

// Ready waits until the member serves: a majority of the members runs. It returns an error if the member ends before.
func (s *Server) Ready(ctx context.Context) error {
	select {
	case <-s.etcd.Server.ReadyNotify():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case err := <-s.etcd.Err():
		return err
	case <-s.etcd.Server.StopNotify():
		return errStopped
	}
}

// errStopped is the error of a member that stopped by itself, as one does that was removed from its cluster.
var errStopped = errors.New("the member has stopped; one that was removed from its cluster does not start again")

// Wait waits until ctx ends, which is no error, or the member does.
func (s *Server) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.etcd.Err():
		return err
	case <-s.etcd.Server.StopNotify():
		return errStopped
	}
}

// Close stops the member; if it leads its cluster, another one leads before.
func (s *Server) Close() { s.etcd.Close() }

// Restore makes the data directory of a member from a snapshot, for all members of c's initial-cluster the same one. The
// revisions continue far behind those of the snapshot, so that no client takes a new record for one that it has read.
func Restore(c *Config, file string) error {
	if _, err := os.Stat(c.Dir); err == nil {
		if entries, err := os.ReadDir(c.Dir); err != nil || len(entries) > 0 {
			return fmt.Errorf("%s is not empty, and a snapshot is restored into a new directory; move it away first", c.Dir)
		}
		if err := os.Remove(c.Dir); err != nil {
			return err
		}
	}
	return snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath: file, Name: c.Name, OutputDataDir: c.Dir, OutputWALDir: c.WalDir,
		PeerURLs: texts(c.AdvertisePeerUrls), InitialCluster: c.InitialCluster, InitialClusterToken: c.InitialClusterToken,
		RevisionBump: revisionBump, MarkCompacted: true,
	})
}

// revisionBump is more than the writes since any snapshot that is worth restoring: a year at 30 a second.
const revisionBump = 1_000_000_000

func texts(urls []url.URL) (all []string) {
	for i := range urls {
		all = append(all, urls[i].String())
	}
	return all
}

// ClientURLs returns where clients reach the member.
func (c *Config) ClientURLs() []string { return texts(c.AdvertiseClientUrls) }

// Unprotected returns the addresses at which other machines reach the member without TLS.
func (c *Config) Unprotected() (open []string) {
	for _, urls := range [][]url.URL{c.ListenClientUrls, c.ListenPeerUrls} {
		for i := range urls {
			if ip := net.ParseIP(urls[i].Hostname()); urls[i].Scheme == "http" && (ip == nil || !ip.IsLoopback()) {
				open = append(open, urls[i].String())
			}
		}
	}
	return open
}
