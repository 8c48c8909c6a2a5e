package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"meridian/cluster/etcdserver"
	"meridian/config"
	"meridian/daemon"
)

// etcdHelp is the text of --help of meridian etcd.
const etcdHelp = `Etcd runs a member of the etcd cluster through which nodes share what they know: for installations that have
no etcd. It runs in a process of its own, beside serve, on three or five machines.

FILE is a configuration file of etcd. Unless it says otherwise, the history is compacted after 10000
revisions, the size is limited to 256 MiB, and the data is in /var/lib/meridian-etcd.

Exit: 0 after SIGTERM; 1 on an error in FILE, or if the member ends by itself; 2 if an address cannot be
bound.`

// defaultEtcdFile is the configuration of a member in packages.
const defaultEtcdFile = "/etc/meridian/etcd.yaml"

func etcdCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "etcd --config-file FILE",
		Short: "Run a member of the etcd cluster that nodes share, or operate it",
		Long:  etcdHelp,
		Example: `  meridian etcd --config-file /etc/meridian/etcd.yaml
  meridian etcd snapshot -o backup.db -c meridian.yaml
  meridian etcd members -c meridian.yaml`,
		Args: noCommand,
		RunE: func(c *cobra.Command, _ []string) error { return runEtcd(c.Context(), file, c.ErrOrStderr()) },
	}
	c.Flags().StringVar(&file, "config-file", defaultEtcdFile, "configuration `FILE` of the member, in etcd's form")
	c.AddCommand(etcdSnapshotCommand(), etcdRestoreCommand(), etcdMembersCommand(), etcdAddMemberCommand(), etcdRemoveMemberCommand())
	return c
}

// runEtcd runs a member until a signal.
func runEtcd(ctx context.Context, file string, stderr io.Writer) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	c, err := etcdserver.Read(file)
	if err != nil {
		return err
	}
	if open := c.Unprotected(); len(open) > 0 {
		fmt.Fprintf(stderr, "warning: other machines can read and change all that the nodes share, without a certificate, at %s; write https:// and client-transport-security and peer-transport-security\n", strings.Join(open, ", "))
	}
	s, err := etcdserver.Start(c)
	if bind := (*etcdserver.BindError)(nil); errors.As(err, &bind) {
		return &exitError{code: exitBind, err: err}
	}
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Ready(ctx); err != nil {
		if ctx.Err() != nil { // stopped before a majority was there
			return nil
		}
		return err
	}
	fmt.Fprintf(stderr, "etcd member %s serves at %s\n", c.Name, strings.Join(c.ClientURLs(), ", "))
	notifyManager(daemon.NotifyReady)
	return s.Wait(ctx)
}

// etcdClient is how the commands that operate an etcd cluster reach it.
type etcdClient struct{ file configFlag }

// etcdTimeout bounds each request to etcd, except a snapshot.
const etcdTimeout = 10 * time.Second

// open connects to the cluster that a node's configuration names.
func (e *etcdClient) open() (*clientv3.Client, error) {
	paths, err := e.file.paths()
	if err != nil {
		return nil, err
	}
	cfg, _, err := config.Load(paths...)
	if err != nil {
		return nil, err
	}
	if cfg.Cluster.Name == "" {
		return nil, hinted(strings.Join(paths, ", ")+" has no cluster", "name the configuration of a node that is in one")
	}
	secure, err := daemon.ClusterTLS(&cfg.Cluster.Etcd)
	if err != nil {
		return nil, err
	}
	return clientv3.New(clientv3.Config{Endpoints: cfg.Cluster.Etcd.Endpoints, TLS: secure, DialTimeout: etcdTimeout, Logger: zap.NewNop()})
}

// with calls f with a client. Its context ends after etcdTimeout.
func (e *etcdClient) with(ctx context.Context, f func(context.Context, *clientv3.Client) error) error {
	client, err := e.open()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	if err := f(ctx, client); errors.Is(err, context.DeadlineExceeded) {
		return hinted(fmt.Sprintf("no answer from etcd at %s within %s", strings.Join(client.Endpoints(), ", "), etcdTimeout), "more than half of its members must run")
	} else if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	return nil
}

func etcdSnapshotCommand() *cobra.Command {
	var e etcdClient
	var output string
	c := &cobra.Command{
		Use:   "snapshot -o FILE -c FILE",
		Short: "Save all that the nodes share",
		Long: `Snapshot writes the content of the etcd cluster that a node uses to a new file, readable by its owner only.

Exit: 0; 1 on an error.`,
		Example: "  meridian etcd snapshot -o backup.db -c meridian.yaml",
		Args:    onlyFlags,
		RunE: func(c *cobra.Command, _ []string) error {
			if output == "" {
				return fmt.Errorf("no file for the snapshot; write %s -o backup.db", c.CommandPath())
			}
			client, err := e.open()
			if err != nil {
				return err
			}
			defer client.Close()
			if err := etcdserver.Save(c.Context(), client, output); err != nil {
				return fmt.Errorf("the snapshot cannot be saved: %w", err)
			}
			fmt.Fprintf(c.OutOrStdout(), "saved %s\n", output)
			return nil
		},
	}
	addConfigFlag(c, &e.file)
	c.Flags().StringVarP(&output, "output", "o", "", "`FILE` for the snapshot")
	return c
}

func etcdRestoreCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "restore SNAPSHOT --config-file FILE",
		Short: "Make the data of a member from a snapshot",
		Long: `Restore makes the data directory of the member that FILE configures from a snapshot. Stop all members, move
their data directories away, run restore on each of them with the same snapshot, then start them.

Exit: 0; 1 on an error, or if the data directory is not empty.`,
		Example: "  meridian etcd restore backup.db --config-file /etc/meridian/etcd.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := etcdserver.Read(file)
			if err != nil {
				return err
			}
			if err := etcdserver.Restore(cfg, args[0]); err != nil {
				return fmt.Errorf("%s cannot be restored: %w", args[0], err)
			}
			fmt.Fprintf(c.OutOrStdout(), "restored %s in %s; restore it on all other members too, then start them\n", args[0], cfg.Dir)
			return nil
		},
	}
	c.Flags().StringVar(&file, "config-file", defaultEtcdFile, "configuration `FILE` of the member, in etcd's form")
	return c
}
