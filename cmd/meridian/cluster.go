package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"meridian/certs"
	"meridian/cluster/observation"
	"meridian/config"
	"meridian/daemon"
)

// clusterCommand returns the commands for a cluster of nodes.
func clusterCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "cluster VERB",
		Short:   "Set up and watch a cluster of nodes",
		Long:    "Cluster sets up and shows nodes that agree on health states: see cluster in the configuration.",
		Example: "  meridian cluster identity -o node.ed25519\n  meridian cluster status",
		Args:    noCommand,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(clusterStatusCommand(), clusterMembersCommand(), clusterIdentityCommand())
	return c
}

func clusterIdentityCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "identity -o FILE",
		Short: "Make the key with which a node signs its observations",
		Long: `Identity writes a new private key (Ed25519) to FILE, readable by its owner only, and prints the public key.
Name FILE in cluster.identity of this node, and write the public key in cluster.trust of all nodes. It does not
replace a file.

Exit: 0; 1 on an error.`,
		Example: "  meridian cluster identity -o node.ed25519",
		Args:    noCommand,
		RunE: func(c *cobra.Command, _ []string) error {
			if path == "" {
				return fmt.Errorf("no file for the private key; write %s -o node.ed25519", c.CommandPath())
			}
			public, err := observation.CreateIdentity(path)
			if err != nil {
				return fmt.Errorf("cannot write the private key: %w", err)
			}
			fmt.Fprintln(c.OutOrStdout(), observation.FormatPublicKey(public))
			return nil
		},
	}
	c.Flags().StringVarP(&path, "output", "o", "", "`FILE` for the private key")
	return c
}

// clusterWarnings checks the files with which a node joins its cluster. Without them, serve does not start.
func clusterWarnings(cfg *config.Config) []config.Error {
	warnings := identityWarnings(cfg)
	if _, err := daemon.ClusterTLS(&cfg.Cluster.Etcd); err != nil {
		warnings = append(warnings, cfg.ErrorAt(cfg.Cluster.Pos, "cluster.etcd.tls", err.Error()+", so that serve does not start", ""))
	}
	return warnings
}

// identityWarnings checks the private key of a node of a cluster.
func identityWarnings(cfg *config.Config) []config.Error {
	c := &cfg.Cluster
	if c.Name == "" {
		return nil
	}
	warning := func(pos config.Pos, path, what, hint string) []config.Error {
		return []config.Error{cfg.ErrorAt(pos, path, what, hint)}
	}
	key, err := observation.ReadIdentity(c.Identity)
	switch missing := new(fs.PathError); {
	case errors.As(err, &missing):
		return warning(c.IdentityPos, "cluster.identity", c.Identity+" cannot be read, so that serve does not start: "+missing.Err.Error(), daemon.IdentityHint(c.Identity, err))
	case err != nil:
		return warning(c.IdentityPos, "cluster.identity", err.Error()+", so that serve does not start", daemon.IdentityHint(c.Identity, err))
	case certs.ReadableByOthers(c.Identity):
		return warning(c.IdentityPos, "cluster.identity", "other users can read the private key "+c.Identity+", so that serve does not start", "chmod 600 "+c.Identity)
	case !cfg.TrustedKey().Equal(key.Public()):
		return warning(c.Pos, "cluster.trust", fmt.Sprintf("the key of %s is not that of %s, so that serve does not start", cfg.Node, c.Identity),
			"write "+observation.FormatPublicKey(key.Public().(ed25519.PublicKey)))
	}
	return nil
}
