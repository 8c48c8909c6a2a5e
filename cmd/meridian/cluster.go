package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"meridian/cluster/observation"
)

// clusterCommand returns the commands for a cluster of nodes.
func clusterCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "cluster VERB",
		Short:   "Set up a cluster of nodes",
		Long:    "Cluster sets up nodes that agree on health states: see cluster in the configuration.",
		Example: "  meridian cluster identity -o node.ed25519",
		Args:    noCommand,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(clusterIdentityCommand())
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
