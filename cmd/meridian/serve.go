package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"meridian/admin"
	"meridian/config"
	"meridian/control"
	"meridian/daemon"
	"meridian/handover"
	"meridian/snapshot"
	"meridian/telemetry"
)

// serveHelp is the text of --help of meridian serve.
const serveHelp = `Serve answers DNS queries over UDP and TCP according to FILE. If FILE is a directory, its *.yaml files
are read in the order of their names; -c may be repeated: all files together are one configuration.

SIGHUP reads FILE again, as meridian reload does. A valid configuration takes over without a lost
query, unless it has no zones or fewer than half of the served names. The errors of an invalid one are
printed to stderr, and the old configuration keeps serving. With state, the serving configuration is
saved there with its files: if FILE is invalid at start, or has no zones or fewer than half of the
names, serve starts with the last good configuration and reports that in the log, in status and at
/readyz; --strict exits with 1 instead, --allow-removal accepts fewer names. SIGUSR2 starts
the program again, which takes over, as meridian upgrade does. On SIGTERM and SIGINT, serve answers the
queries that it has received and exits.

Exit: 0 after SIGTERM; 1 on an error in the configuration; 2 if an address cannot be bound.`

func serveCommand() *cobra.Command {
	var file configFlag
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve -c FILE",
		Short: "Serve a configuration until SIGTERM",
		Long:  serveHelp,
		Example: `  meridian serve -c /etc/meridian/meridian.yaml
  kill -HUP $(pidof meridian)               read the file again`,
		Args: onlyFlags,
		RunE: func(c *cobra.Command, _ []string) error {
			paths, err := file.paths()
			if err != nil {
				return err
			}
			o.paths = paths
			return o.serve(c.Context(), c.ErrOrStderr())
		},
	}
	addConfigFlag(c, &file)
	c.Flags().StringVar(&o.state, "state", "", "state `DIR`, overrides that of the configuration")
	c.Flags().BoolVar(&o.strict, "strict", false, "exit with 1 if the configuration is invalid, even if a last good one is saved")
	c.Flags().BoolVar(&o.allowRemoval, "allow-removal", false, "start without zones, or with fewer than half of the names served before or of the zones in a catalog")
	return c
}

// serveOptions are the command line of serve.
type serveOptions struct {
	paths  []string
	state  string // empty: that of the configuration
	strict bool

	allowRemoval bool
	agent        bool // probe only: meridian agent
}

// builder returns b with the settings of the command line.
func (o *serveOptions) builder(b snapshot.Builder) snapshot.Builder {
	if o.agent {
		return daemon.BuildAgent(b)
	}
	if o.state == "" {
		return b
	}
	return func(cfg *config.Config) (*snapshot.Snapshot, []config.Error, error) {
		if cfg.Cluster.Shared {
			return nil, nil, cfg.ErrorAt(cfg.Cluster.Pos, "cluster.config", "shared, and --state is given", "write state in the file of the node: the shared configuration is in it")
		}
		cfg.State = o.state
		return b(cfg)
	}
}

// load builds the configuration and prints its errors and warnings.
func (o *serveOptions) load(b snapshot.Builder, log io.Writer) (*snapshot.Snapshot, error) {
	if !o.agent {
		return loadBuilt(o.paths, b, log)
	}
	built, found := buildWith(o.paths, b)
	found.warnings = forAgent(found.warnings)
	return built, found.print(log)
}

// folders returns the directories that may hold a last good configuration.
func (o *serveOptions) folders() []string {
	if o.state != "" {
		return []string{o.state}
	}
	return config.StateFolders(o.paths...)
}

func (o *serveOptions) serve(ctx context.Context, stderr io.Writer) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	predecessor, err := handover.Inherit()
	if err != nil {
		return err
	}
	hangups, upgrades := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	notifyUpgrade(upgrades)
	defer signal.Stop(upgrades)
	log := newAsyncWriter(stderr)
	defer log.close()
	logger, logged := newLogger(log)
	inherited := inheritedSockets(predecessor, logger)
	metrics := telemetry.New(telemetry.Options{Logger: logger, Version: buildVersion()})
	defer metrics.QueryLog().Close()
	l := daemon.Daemon{
		Load: func(b snapshot.Builder) (*snapshot.Snapshot, error) {
			return o.load(o.builder(logged.useFirst(b)), log)
		},
		Documents: func() ([]config.Document, error) { return config.ReadDocuments(o.paths...) },
		LoadDocuments: func(d []config.Document, b snapshot.Builder) (*snapshot.Snapshot, error) {
			return loadDocuments(d, o.builder(b))
		},
		LastGood: &daemon.LastGood{
			Paths: o.paths, Folders: o.folders, Strict: o.strict || predecessor != nil, AllowRemoval: o.allowRemoval,
			Load: func(copied *config.Copy, b snapshot.Builder) (*snapshot.Snapshot, error) {
				return loadCopy(copied, o.builder(b), log)
			},
		},
		Agent:  o.agent,
		Reload: hangups, Upgrade: upgrades, Program: programPath(), Version: buildVersion(),
		Predecessor: predecessor, Inherited: inherited, Store: handover.NewStore(inherited),
		Notify: notifyManager, Watchdog: watchdog(),
		Admin:    adminHandler(metrics),
		Observer: metrics.Observer(),
		Served: func(c *control.Control, cfg *config.Config) {
			logged.use(cfg.Log)
			metrics.QueryLog().Use(c, cfg)
		},
		Logger: logger,
	}
	if o.agent { // it keeps no copy of its configuration, and is restarted instead of upgraded
		l.LastGood, l.Program = nil, ""
	}
	return exitCode(l.Run(ctx))
}

// exitCode gives an error of Daemon.Run its exit code.
func exitCode(err error) error {
	var bind *daemon.BindError
	if errors.As(err, &bind) {
		return &exitError{code: exitBind, err: err}
	}
	return err
}

// adminHandler returns a function that makes the handler of the API, with metrics.
func adminHandler(metrics *telemetry.Metrics) func(*control.Control, config.Admin) (http.Handler, error) {
	return func(control *control.Control, cfg config.Admin) (http.Handler, error) {
		tokens, err := admin.Tokens(cfg)
		if err != nil {
			return nil, err
		}
		return admin.New(control, admin.Options{Tokens: tokens, ClientCA: cfg.TLS.ClientCA != "", Version: buildVersion(), Metrics: metrics.Handler(control), Debug: cfg.Debug}), nil
	}
}
