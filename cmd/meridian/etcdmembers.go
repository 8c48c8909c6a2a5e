package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func etcdMembersCommand() *cobra.Command {
	var e etcdClient
	var output outputFlag
	c := &cobra.Command{
		Use:   "members -c FILE",
		Short: "List the members of the etcd cluster",
		Long: `Members lists the members of the etcd cluster that a node uses, and whether each one answers.

Exit: 0; 1 if etcd cannot be reached.`,
		Example: "  meridian etcd members -c meridian.yaml",
		Args:    onlyFlags,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.with(c.Context(), func(ctx context.Context, client *clientv3.Client) error {
				members, err := listMembers(ctx, client)
				if err != nil {
					return err
				}
				if output == outputJSON {
					return printJSON(c.OutOrStdout(), map[string]any{"members": members})
				}
				return printEtcdMembers(c.OutOrStdout(), members)
			})
		},
	}
	addConfigFlag(c, &e.file)
	addOutputFlag(c, &output)
	return c
}

// etcdMember is a member of an etcd cluster.
type etcdMember struct {
	ID     string `json:"id"`
	Name   string `json:"name"` // empty: it was added and has not started yet
	Peer   string `json:"peer"`
	Client string `json:"client"`
	State  string `json:"state"` // leader, follower, unreachable or not started
	Bytes  int64  `json:"bytes"` // of its data
}

// listMembers returns the members, by name.
func listMembers(ctx context.Context, client *clientv3.Client) ([]etcdMember, error) {
	list, err := client.MemberList(ctx)
	if err != nil {
		return nil, err
	}
	members := make([]etcdMember, 0, len(list.Members))
	for _, m := range list.Members {
		members = append(members, stateOf(ctx, client, m))
	}
	slices.SortFunc(members, func(a, b etcdMember) int { return cmp.Compare(a.Name, b.Name) })
	return members, nil
}

// stateOf asks a member for its state.
func stateOf(ctx context.Context, client *clientv3.Client, m *etcdserverpb.Member) etcdMember {
	member := etcdMember{
		ID: strconv.FormatUint(m.ID, 16), Name: m.Name, Peer: strings.Join(m.PeerURLs, ","), Client: strings.Join(m.ClientURLs, ","), State: "not started",
	}
	if len(m.ClientURLs) == 0 {
		return member
	}
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout/5)
	defer cancel()
	status, err := client.Status(ctx, m.ClientURLs[0])
	switch {
	case err != nil:
		member.State = "unreachable"
	case status.Leader == m.ID:
		member.State, member.Bytes = "leader", status.DbSize
	default:
		member.State, member.Bytes = "follower", status.DbSize
	}
	return member
}

func printEtcdMembers(w io.Writer, members []etcdMember) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSTATE\tSIZE\tID\tPEER\tCLIENT")
	for _, m := range members {
		fmt.Fprintf(t, "%s\t%s\t%d KiB\t%s\t%s\t%s\n", orDash(m.Name), m.State, m.Bytes>>10, m.ID, orDash(m.Peer), orDash(m.Client))
	}
	return t.Flush()
}

func etcdAddMemberCommand() *cobra.Command {
	var e etcdClient
	c := &cobra.Command{
		Use:   "add-member NAME URL -c FILE",
		Short: "Add a member to the etcd cluster",
		Long: `Add-member adds a member, which other members reach at URL, and prints the settings that its configuration
must have. Start it at once: until then the cluster has one member less that may fail. Add one at a time.

Exit: 0; 1 on an error.`,
		Example: "  meridian etcd add-member e4 https://10.3.0.1:2380 -c meridian.yaml",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if u, err := url.Parse(args[1]); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Port() == "" {
				return fmt.Errorf("%q is not the URL of a member for other members; e.g. https://10.3.0.1:2380", args[1])
			}
			return e.with(c.Context(), func(ctx context.Context, client *clientv3.Client) error {
				added, err := client.MemberAdd(ctx, args[1:])
				if err != nil {
					return err
				}
				fmt.Fprint(c.OutOrStdout(), settingsOf(args[0], args[1], added.Members))
				return nil
			})
		},
	}
	addConfigFlag(c, &e.file)
	return c
}

// settingsOf returns the settings of a new member, which is among members without a name.
func settingsOf(name, peer string, members []*etcdserverpb.Member) string {
	var initial []string
	for _, m := range members {
		for _, u := range m.PeerURLs {
			initial = append(initial, cmp.Or(m.Name, name)+"="+u)
		}
	}
	slices.Sort(initial)
	return fmt.Sprintf("name: %s\ninitial-advertise-peer-urls: %s\ninitial-cluster: %s\ninitial-cluster-state: existing\n", name, peer, strings.Join(initial, ","))
}

func etcdRemoveMemberCommand() *cobra.Command {
	var e etcdClient
	c := &cobra.Command{
		Use:   "remove-member NAME|ID -c FILE",
		Short: "Remove a member from the etcd cluster",
		Long: `Remove-member removes a member, which stops. To replace a machine, remove its member first, then add the new
one. The data directory of a removed member is of no use.

Exit: 0; 1 on an error, or if no member has the name or id.`,
		Example: "  meridian etcd remove-member e2 -c meridian.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return e.with(c.Context(), func(ctx context.Context, client *clientv3.Client) error {
				list, err := client.MemberList(ctx)
				if err != nil {
					return err
				}
				id, err := memberCalled(args[0], list.Members)
				if err != nil {
					return err
				}
				if _, err := client.MemberRemove(ctx, id); err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "removed %s; %d members are left\n", args[0], len(list.Members)-1)
				return nil
			})
		},
	}
	addConfigFlag(c, &e.file)
	return c
}

// memberCalled returns the id of the member with a name or an id.
func memberCalled(word string, members []*etcdserverpb.Member) (uint64, error) {
	if word == "" { // a member that has not started has no name
		return 0, hinted("an empty name", "write the name or the id of a member")
	}
	var names []string
	for _, m := range members {
		id := strconv.FormatUint(m.ID, 16)
		if m.Name == word || id == word {
			return m.ID, nil
		}
		names = append(names, cmp.Or(m.Name, id))
	}
	return 0, hinted(fmt.Sprintf("no member %q", word), "known: "+strings.Join(names, ", "))
}
