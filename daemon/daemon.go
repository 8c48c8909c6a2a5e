// Package daemon conducts the process: it starts, reloads and stops everything else.
//
//	start     bind, build, restore the saved state, first probes, answer
//	update    load reports, addresses of targets, latency tables: other pools for the same configuration
//	reload    build beside what serves, first probes, swap; an error leaves what serves
//	shutdown  answer what has been received, save the state
//
// What serves together is a generation: a snapshot with its health checks, load polls and lookups.
// All that must not delay answers, such as a build, runs in the background.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"meridian/admin/listener"
	"meridian/config"
	"meridian/control"
	"meridian/control/event/notify"
	"meridian/discovery"
	"meridian/geo"
	"meridian/handover"
	"meridian/health"
	"meridian/loads"
	"meridian/pools"
	"meridian/server"
	"meridian/server/answer"
	"meridian/snapshot"
	"meridian/transfer"
	"meridian/transfer/secondary"
	"meridian/zones"
)

// Daemon runs a server from its first socket to its last answer: it binds, probes once, serves,
// reloads on request and drains at the end. One goroutine, the caller of Run, owns all of it. A
// process runs one at a time: its runtime settings apply to the whole process.
type Daemon struct {
	// Load has the builder make the snapshot of the configuration: snapshot.Build at start,
	// snapshot.BuildInBackground for a reload. The first builder binds the sockets first; it may
	// return a *BindError, and Load passes it on.
	Load func(snapshot.Builder) (*snapshot.Snapshot, error)
	// Documents reads the files of the configuration, and LoadDocuments is Load for other texts of them. If they are
	// nil, the API cannot change the configuration.
	Documents     func() ([]config.Document, error)
	LoadDocuments func([]config.Document, snapshot.Builder) (*snapshot.Snapshot, error)
	// Agent makes the process a vantage only, which binds no sockets for DNS. Load has a builder of BuildAgent then.
	Agent bool
	// Reload asks for a reload with each signal, Upgrade for an upgrade; nil: never.
	Reload, Upgrade <-chan os.Signal
	// Program is the path that an upgrade starts, with the arguments of this process.
	Program string
	Version string // of this program
	// Predecessor is the process to take over from; nil: none. A failure to start then leaves that one serving.
	Predecessor *handover.Predecessor
	// Inherited are sockets to use instead of new ones; nil: none.
	Inherited *handover.Sockets
	// Store keeps the sockets for the next process; nil: nothing does.
	Store *handover.Store
	// Ready, unless nil, is called once, when the server starts to answer.
	Ready func([]netip.AddrPort)
	// Notify, unless nil, is called with each state for the service manager, such as NotifyReady.
	// It must not block.
	Notify func(state string)
	// Watchdog is the interval in which a service manager expects NotifyWatchdog; 0: none.
	Watchdog time.Duration
	// Admin, unless nil, makes the handler of the API for a configuration, at start and for each
	// reload.
	Admin func(*control.Control, config.Admin) (http.Handler, error)
	// OnTransition, unless nil, receives every health state change, and every change of a slow
	// start weight or a response time. It must not block.
	OnTransition func([]health.Transition, *pools.Tree)
	// Served, unless nil, is called with each configuration when the server answers from it.
	Served func(*control.Control, *config.Config)
	// Observer receives probes and health state changes, for metrics.
	Observer health.Observer
	// LastGood, unless nil, saves the served configuration for a start with an invalid one.
	LastGood *LastGood
	Logger   *slog.Logger

	overgrown func(*zones.Data) bool // decides when updates of zones are merged, in tests; nil: zones.Data.Overgrown
}

// BindError is a failure to listen, as opposed to an error in the configuration.
type BindError struct{ Err error }

func (e *BindError) Error() string { return e.Err.Error() }
func (e *BindError) Unwrap() error { return e.Err }

// instance is a running Daemon.
type instance struct {
	*Daemon
	server        *server.Server
	control       *control.Control
	prober        *health.Prober
	tracker       *discovery.Watcher
	poller        *loads.Poller
	notifier      *notify.Notifier
	secondaries   *transfer.Notifier // of zones
	journals      *transfer.Journals // of zones
	updates       *zoneUpdates       // of zones
	copies        *secondary.Keeper  // of zones that have primaries
	members       catalogMembers     // of catalogs
	live          liveUpdates
	adminListener *listener.Listener // nil: no API
	bindMu        sync.Mutex         // held while sockets are bound or closed before serving
	bound         time.Time          // when the sockets were bound; queries have waited in them since
	startedAt     time.Time          // when the first load started
	member        *clusterNode       // of a cluster; nil: it decides alone
	leaveCluster  func()             // stops member
	nameTaken     func()             // ends an agent with the name of another running process
	digest        atomic.Value       // string: of the configuration that serves, without what belongs to this node
	joined        clusterSettings    // of the cluster, since the start of the process
	reloaded      clusterSettings    // of the cluster, as the last reload has them
	tables        tableSaver         // of geo tables
	lastGoodSaved <-chan struct{}    // closed when the last good configuration is saved; nil: none is being saved

	processors sharedSetting // raiseGOMAXPROCS
	collecting sharedSetting // relaxGC

	updateEvents updateEvents

	swapMu   sync.Mutex   // held while another snapshot replaces the current one; guards the fields below
	current  *generation  // nil: none serves yet
	canary   *canary      // nil: all clients are answered by current
	merging  *merging     // of the zones that serve; nil: none is under way
	measured *geo.Latency // used by the pools; nil: none
}

// newInstance returns an instance without prober and tracker.
func newInstance(l *Daemon) *instance {
	server, journals := server.NewEmpty(server.Options{Logger: l.Logger, Inherited: l.Inherited}), transfer.NewJournals(l.Logger)
	updates := newZoneUpdates()
	if l.overgrown != nil {
		updates.overgrown = l.overgrown
	}
	server.UseJournals(journals)
	i := &instance{
		Daemon: l, secondaries: transfer.NewNotifier(l.Logger), journals: journals, updates: updates, server: server, control: control.New(server, l.Logger), poller: loads.New(loads.Options{Logger: l.Logger}),
		processors: sharedSetting{begin: raiseGOMAXPROCS}, collecting: sharedSetting{begin: relaxGC},
	}
	server.UseUpdates(i.applyUpdate)
	i.copies = i.newKeeper()
	return i
}

// Run serves until ctx ends. The error is a *BindError if an address could not be bound;
// otherwise it is the error of Load, or of the state or the API.
func (l *Daemon) Run(ctx context.Context) error {
	err := newInstance(l).run(ctx)
	if err == nil {
		err = errStopped
	}
	l.Predecessor.Fail(withFirst(err)) // unless it serves
	if errors.Is(err, errStopped) {
		return nil
	}
	return err
}

// errStopped is the reason of a server that stopped as requested.
var errStopped = errors.New("it was stopped")

// run is Run for an instance.
func (l *instance) run(ctx context.Context) (err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	l.nameTaken = func() { stop(&NameTakenError{l.member.Cluster, l.member.Name}) }
	defer func() {
		if taken := (*NameTakenError)(nil); errors.As(context.Cause(ctx), &taken) {
			err = taken
		}
	}()
	defer l.secondaries.Close()
	defer l.closeJournals()
	defer l.copies.Close()
	defer l.poller.Close()
	defer l.unbind()
	snapshot, err := l.firstLoad(ctx)
	if snapshot == nil {
		return err
	}
	l.server.Begin(snapshot)
	passed, err := l.inherit(hashOf(snapshot.Config)) // the previous process unlocks the state directory
	if err != nil {
		return err
	}
	beside, err := l.openServices(snapshot.Config)
	if err != nil {
		return err
	}
	l.joined = clusterSettingsOf(snapshot.Config)
	l.reloaded = l.joined
	if l.member, err = l.joinCluster(snapshot.Config); err == nil {
		l.useCluster()
		err = l.restoreState(beside.stateDir, passed)
	}
	if err != nil {
		l.closeUnused(beside)
		return err
	}
	l.control.UseLoader(l.loadCandidate)
	defer l.notifier.Close()
	defer l.tracker.Close()
	probing, stopProbing := context.WithCancel(context.WithoutCancel(ctx))
	probed := make(chan struct{})
	go func() { defer close(probed); l.prober.Run(probing) }()
	defer func() { stopProbing(); l.waitOrLog(probed, "the prober") }()
	l.leaveCluster = sync.OnceFunc(l.member.start(probing))
	defer l.leaveCluster()

	if used, err := l.useFirst(ctx, snapshot, beside); !used {
		l.closeUnused(beside)
		return err
	}
	l.prober.ConfirmFirst()
	return l.serve(ctx, passed)
}

// useFirst makes the first snapshot serve when its first probes have ended or the time for them is over, unless ctx ends before.
func (l *instance) useFirst(ctx context.Context, snapshot *snapshot.Snapshot, beside *services) (used bool, err error) {
	first, endFirst := context.WithDeadline(ctx, l.firstAnswer(time.Now()))
	g, err := l.prepare(first, snapshot)
	endFirst()
	if err != nil || ctx.Err() != nil {
		return false, err
	}
	if _, err := l.use(g, g.Snapshot != snapshot); err != nil {
		return false, &BindError{err}
	}
	l.useServices(beside)
	l.sealShared()
	l.restoreMembers(g.Snapshot)
	l.useCopies(g.Snapshot)
	l.recordGeneration("start")
	l.noteDigest()
	l.notifier.Use(sinks(g.Snapshot.Config))
	l.control.FinishStart()
	return true, nil
}

// serve answers and reloads until ctx ends, or another process takes over.
func (l *instance) serve(until context.Context, passed *inheritance) error {
	ctx, stop := context.WithCancel(until)
	defer stop()
	debug.FreeOSMemory() // building takes several times the memory of serving
	before := readGCPauses()
	served := make(chan error, 1)
	go func() { served <- l.server.Serve(ctx) }()
	if l.Ready != nil {
		l.Ready(l.server.Addrs())
	}
	l.logServing()
	select {
	case <-l.server.Serving():
		l.takeOver(passed)
	case err := <-served:
		served <- err
	}
	defer l.notifyServing(until)()
	defer context.AfterFunc(until, func() { l.control.BeginShutdown() })()
	l.keepLastGood(l.served(), l.startedAt)
	l.keepTables()
	l.control.UseZoneNotify(l.notifyAgain)
	l.notifySecondaries()
	waitForUpdates := l.startUpdates(ctx)
	successor := l.handleRequests(ctx, served)
	if successor != nil {
		defer successor.Close()
		defer l.forwardReloads(successor)()
		l.adminListener.Close() // new requests are for the new process
		l.adminListener = nil
		stop()
	}
	err := <-served
	waitForUpdates()
	l.leaveCluster()                 // before the targets are gone: its region observes them also while it is away
	l.shutdown()                     // while the prober still has the state to save
	l.currentGeneration().unfollow() // the files stay open: API requests may still use them
	if c := l.holdCanary(); c != nil {
		c.unfollow()
	}
	l.Logger.Info("stopped", "counted", l.server.Counters(), "pauses", readGCPauses().since(before))
	return err
}

// handleRequests reloads and upgrades until the server has stopped, or another process has taken over, which it
// returns. During an upgrade it reloads nothing: a reload could change the sockets.
func (l *instance) handleRequests(ctx context.Context, served chan error) *handover.Successor {
	keys := newKeyKeeper()
	defer keys.timer.Stop()
	secrets := newSecretKeeper()
	defer secrets.ticker.Stop()
	connections, look := connectionPeak(0), time.NewTicker(peakInterval)
	defer look.Stop()
	var upgraded <-chan *upgrading // nil: no upgrade is under way
	hangups := l.Reload
	for {
		select {
		case <-keys.timer.C:
			l.updateKeys(ctx, keys)
		case <-secrets.ticker.C:
			l.updateSecrets(secrets)
			l.returnMemory(&connections)
		case <-look.C:
			connections.note(l.openConnections())
		case err := <-served:
			served <- err
			l.abandonUpgrade(ctx, upgraded)
			return nil
		case <-hangups:
			l.handleReload(ctx, control.ReloadRequest{})
		case request := <-l.control.Requests():
			l.reloadUnless(ctx, upgraded != nil, request)
		case <-l.Upgrade:
			upgraded, hangups = l.beginUpgrade(ctx, upgraded, control.UpgradeRequest{})
		case request := <-l.control.Upgrades():
			upgraded, hangups = l.beginUpgrade(ctx, upgraded, request)
		case u := <-upgraded:
			if l.finishUpgrade(ctx, u) {
				return u.successor
			}
			upgraded, hangups = nil, l.Reload
			l.serveUpdatesOfSuccessor(ctx)
		}
	}
}

// reloadUnless reloads, or refuses to while an upgrade is under way.
func (l *instance) reloadUnless(ctx context.Context, upgrading bool, request control.ReloadRequest) {
	if upgrading {
		request.Answer(control.ReloadOutcome{Err: control.ErrUpgrading})
		return
	}
	l.handleReload(ctx, request)
}

// logServing logs that the process serves.
func (l *instance) logServing() {
	if !l.Agent {
		l.Logger.Info("serving", l.logAttrs(l.served())...)
		return
	}
	attributes := []any{"cluster", l.member.Cluster, "name", l.member.Name, "region", l.member.Region, "targets", len(l.served().Pools.Targets())}
	if l.adminListener != nil {
		attributes = append(attributes, "admin", l.adminListener.Addr())
	}
	l.Logger.Info("probing for the nodes of a cluster", attributes...)
}

// logAttrs returns the log attributes of a snapshot that is being served.
func (l *instance) logAttrs(snapshot *snapshot.Snapshot) []any {
	attributes := []any{"listen", join(l.server.Addrs()), "zones", len(snapshot.Config.Zones)}
	encrypted := l.server.EncryptedAddrs()
	for _, transport := range answer.Transports() {
		if addrs := encrypted[transport]; len(addrs) > 0 {
			attributes = append(attributes, transport.String(), join(addrs))
		}
	}
	if l.adminListener != nil {
		attributes = append(attributes, "admin", l.adminListener.Addr())
	}
	tables, bytes := snapshot.Pools.Tables()
	return append(attributes, "tables", tables, "tables_mb", bytes>>20)
}

func join(addrs []netip.AddrPort) string {
	var b strings.Builder
	for i, a := range addrs {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprint(&b, a)
	}
	return b.String()
}
