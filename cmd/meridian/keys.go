package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meridian/config"
	"meridian/dnsname"
	"meridian/dnssec/keys"
	"meridian/snapshot"
)

// keysHelp is the text of --help of meridian keys.
const keysHelp = `Keys shows and changes the DNSSEC keys of ZONE, which FILE signs by a policy (dnssec: NAME).

The keys are files in dnssec.keys, in the form of BIND. A server with manager: auto makes missing keys
and rolls them by itself; it reads the files each minute and at a reload. These commands change the files
by the same rules, with or without a running server.`

// keysOptions is the command line of the commands of keys.
type keysOptions struct {
	file   configFlag
	output outputFlag
	role   string
	seen   bool
	digest int
	parent bool
	now    func() time.Time
}

func keysCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "keys VERB ZONE -c FILE",
		Short: "Show and change the DNSSEC keys of a zone",
		Long:  keysHelp,
		Example: `  meridian keys status gslb.example.com -c meridian.yaml
  meridian keys ds gslb.example.com -c meridian.yaml
  meridian keys roll gslb.example.com -c meridian.yaml`,
		Args: noCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(keysListCommand(), keysStatusCommand(), keysDSCommand(), keysGenerateCommand(), keysImportCommand(), keysRollCommand())
	return c
}

// keysVerb makes a command of keys.
func keysVerb(use, short, long string, run func(o *keysOptions, z *signedZone, args []string, out io.Writer) error) (*cobra.Command, *keysOptions) {
	o := &keysOptions{now: time.Now}
	c := &cobra.Command{
		Use:     use,
		Short:   short,
		Long:    long + "\n\nExit: 0; 1 on an error.",
		Example: "  meridian keys " + strings.NewReplacer("ZONE", "gslb.example.com", "FILE...", "Kgslb.example.com.+013+12345", "-c FILE", "-c meridian.yaml").Replace(use),
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) > 1 && !strings.Contains(use, "FILE...") {
				return fmt.Errorf("%s takes one zone; write meridian keys %s", c.CommandPath(), use)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			z, err := o.zone(args[0], c.ErrOrStderr())
			if err != nil {
				return err
			}
			return run(o, z, args[1:], c.OutOrStdout())
		},
	}
	addConfigFlag(c, &o.file)
	addOutputFlag(c, &o.output)
	return c, o
}

// signedZone is a zone with its policy.
type signedZone struct {
	*config.Zone
	folder string
	policy *config.SigningPolicy
	maxTTL time.Duration
}

// zone finds a zone that the configuration signs.
func (o *keysOptions) zone(name string, stderr io.Writer) (*signedZone, error) {
	wanted, err := dnsname.Parse(name)
	if err != nil {
		return nil, err
	}
	paths, err := o.file.paths()
	if err != nil {
		return nil, err
	}
	cfg, found := read(paths)
	if err := (findings{errs: found.errs}).print(stderr); err != nil {
		return nil, err
	}
	for i := range cfg.Zones {
		z := &cfg.Zones[i]
		if z.Name != wanted {
			continue
		}
		if policy := cfg.DNSSECPolicy(z); policy != nil {
			return &signedZone{z, cfg.DNSSEC.Keys, policy, snapshot.LargestTTL(cfg, i)}, nil
		}
		if snapshot.Presigned(cfg, i) {
			return nil, fmt.Errorf("zone %s is presigned: its file has the signatures, and its keys are with the program that made them", wanted)
		}
		return nil, fmt.Errorf("zone %s is not signed; write dnssec: default in it", wanted)
	}
	return nil, fmt.Errorf("no zone %s in the configuration; %s", wanted, knownZones(cfg))
}

// knownZones names the zones that are signed.
func knownZones(cfg *config.Config) string {
	const most = 5
	var names []string
	for i := range cfg.Zones {
		if cfg.DNSSECPolicy(&cfg.Zones[i]) != nil {
			names = append(names, string(cfg.Zones[i].Name))
		}
	}
	if len(names) == 0 {
		return "it signs none"
	}
	return "it signs " + strings.Join(names[:min(most, len(names))], ", ")
}

// request returns a look at the keys of z.
func (o *keysOptions) request(z *signedZone) keys.Request {
	return keys.Request{Folder: z.folder, Zone: z.Name, Policy: z.policy, Extra: z.ExtraDNSKEYs, Now: o.now().UTC(), MaxTTL: z.maxTTL}
}

// managed returns an error if this server does not change the keys of z.
func managed(z *signedZone) error {
	if z.policy.Manager == config.AutoManager {
		return nil
	}
	return fmt.Errorf("policy %s has manager: %s; run this on the node with manager: auto", z.policy.Name, z.policy.Manager)
}

func keysGenerateCommand() *cobra.Command {
	c, _ := keysVerb("generate ZONE -c FILE", "Make the keys that a zone lacks",
		`Generate makes the keys that the policy of ZONE asks for and that do not exist. The first keys sign at
once; later ones are published before they sign.`,
		func(o *keysOptions, z *signedZone, _ []string, out io.Writer) error {
			policy := *z.policy
			policy.Manager = config.AutoManager
			r := o.request(z)
			r.Policy, r.Write = &policy, true
			return o.change(z, r, out, "nothing to generate: the zone has its keys")
		})
	return c
}

func keysRollCommand() *cobra.Command {
	c, o := keysVerb("roll ZONE -c FILE", "Begin a rollover",
		`Roll makes the successor of the key of a role. A CSK or KSK is replaced by double signature: its DS at
the parent has to change, and the old key stays until that is seen. A ZSK is replaced by pre-publication,
without the parent.`,
		func(o *keysOptions, z *signedZone, _ []string, out io.Writer) error {
			if err := managed(z); err != nil {
				return err
			}
			role, err := o.rollRole(z)
			if err != nil {
				return err
			}
			r := o.request(z)
			r.Roll, r.Write = role, true
			return o.change(z, r, out, "no rollover was begun: another one is in progress, or the key is not in use yet")
		})
	c.Flags().StringVar(&o.role, "role", "", "`ROLE` of the key: ksk or zsk; needed with keys: ksk+zsk")
	return c
}

// rollRole returns the role to roll.
func (o *keysOptions) rollRole(z *signedZone) (keys.Role, error) {
	switch {
	case z.policy.Keys == config.CSK && (o.role == "" || o.role == "csk"):
		return keys.KSK, nil
	case z.policy.Keys == config.CSK:
		return "", fmt.Errorf("policy %s has one key, a CSK; leave --role out", z.policy.Name)
	case o.role == string(keys.KSK), o.role == string(keys.ZSK):
		return keys.Role(o.role), nil
	}
	return "", errors.New("--role is ksk or zsk")
}

// change applies a request and prints what it did; nothing is the error if it did nothing.
func (o *keysOptions) change(z *signedZone, r keys.Request, out io.Writer, nothing string) error {
	result, err := keys.Update(r)
	if err != nil {
		return err
	}
	if len(result.Changed) == 0 && result.Waits != "" {
		return fmt.Errorf("%s; the zone waits for %s", nothing, result.Waits)
	}
	if len(result.Changed) == 0 {
		return errors.New(nothing)
	}
	return o.printChange(z, &result, out)
}

// printChange prints what was done to the keys of a zone, and what comes next.
func (o *keysOptions) printChange(z *signedZone, result *keys.Result, out io.Writer) error {
	if o.output == outputJSON {
		return printJSON(out, reportKeys(z, result))
	}
	w := &textWriter{w: out}
	for _, n := range result.Notes {
		w.line("key %d %s", n.Tag, n.What)
	}
	printSteps(w, result)
	return w.err
}
