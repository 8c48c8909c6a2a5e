package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meridian/admin"
	"meridian/control/event"
)

// eventOptions is the command line of events.
type eventOptions struct {
	client client
	output outputFlag
	kinds  []string
	since  uint64
	limit  int
	follow bool
}

func eventsCommand() *cobra.Command {
	var o eventOptions
	c := &cobra.Command{
		Use:   "events [SUBJECT]",
		Short: "Show what happened to a running server",
		Long: `Events shows the last events of a running server: health state changes, pool modes, overrides, reloads,
and every change made through the API. SUBJECT is a pool, with its members, POOL/MEMBER,
region:NAME, or a zone.
With --follow it goes on with each event as it happens, until Ctrl-C.

Exit: 0; 1 if there is no server.`,
		Example: `  meridian events
  meridian events web --kind state --kind fail_open
  meridian events gslb.example.com          of a zone
  meridian events --kind audit              who changed what through the API
  meridian events --follow -o json          one event a line`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return o.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), args)
		},
	}
	addClientFlags(c, &o.client, defaultServer)
	addOutputFlag(c, &o.output)
	c.Flags().StringArrayVar(&o.kinds, "kind", nil, "only events of this `KIND`: "+strings.Join(event.Kinds(), ", ")+"; may be repeated")
	c.Flags().Uint64Var(&o.since, "since", 0, "only events after the one with this `ID`; 0: the last ones")
	c.Flags().IntVar(&o.limit, "limit", 100, "at most `N` events before --follow")
	c.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on with each event as it happens")
	return c
}

func (o *eventOptions) run(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	words := url.Values{"kind": o.kinds, "limit": {strconv.Itoa(o.limit)}}
	for _, kind := range o.kinds {
		if !slices.Contains(event.Kinds(), kind) {
			return fmt.Errorf("--kind: %q is not a kind of event; want %s", kind, strings.Join(event.Kinds(), ", "))
		}
	}
	if len(args) == 1 {
		words.Set("subject", args[0])
	}
	if o.since > 0 {
		words.Set("since", strconv.FormatUint(o.since, 10))
	}
	var p admin.EventPage
	if err := o.client.call(ctx, http.MethodGet, "/v1/events", words, nil, &p); err != nil {
		return err
	}
	if !o.follow && o.output == outputJSON {
		return printJSON(stdout, p)
	}
	last := o.since
	for i := range p.Events {
		last = p.Events[i].ID
		if err := o.print(stdout, &p.Events[i]); err != nil {
			return err
		}
	}
	if !o.follow {
		return o.noneFound(stderr, args, len(p.Events))
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	words.Set("since", strconv.FormatUint(last, 10))
	return o.followEvents(ctx, stdout, words)
}

// noneFound says that there are no events, if so.
func (o *eventOptions) noneFound(stderr io.Writer, args []string, found int) error {
	switch {
	case found > 0:
		return nil
	case len(args) == 1:
		fmt.Fprintf(stderr, "no events of %s\n", args[0])
	default:
		fmt.Fprintln(stderr, "no events")
	}
	return nil
}

// followPause is the pause before another connection to a server that went away.
const followPause = time.Second

// followEvents prints events until ctx ends. It connects again after the last event when the server
// goes away.
func (o *eventOptions) followEvents(ctx context.Context, stdout io.Writer, words url.Values) error {
	for {
		err := o.stream(ctx, words, func(e *event.Event) error {
			words.Set("since", strconv.FormatUint(e.ID, 10))
			return o.print(stdout, e)
		})
		if refused := (*refusedError)(nil); errors.As(err, &refused) {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followPause):
		}
	}
}

// refusedError is an error that does not go away by connecting again.
type refusedError struct{ error }

// stream calls each for the events of one connection.
func (o *eventOptions) stream(ctx context.Context, words url.Values, each func(*event.Event) error) error {
	request, err := o.client.request(ctx, http.MethodGet, "/v1/events/stream", words, nil)
	if err != nil {
		return &refusedError{err}
	}
	response, err := o.client.do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(response.Body, 1<<16))
		return &refusedError{cmp.Or(err, o.client.refused(response, body))}
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e event.Event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return &refusedError{fmt.Errorf("the server sent an invalid event: %w", err)}
		}
		if err := each(&e); err != nil {
			return &refusedError{err}
		}
	}
	return lines.Err()
}

// print writes an event as one line.
func (o *eventOptions) print(w io.Writer, e *event.Event) error {
	if o.output == outputJSON {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", line)
		return err
	}
	_, err := fmt.Fprintf(w, "%s  %-7s %-9s %s: %s%s\n", e.Time.Format(time.RFC3339), e.Severity, e.Kind, e.Subject, e.Message, fieldsText(e))
	return err
}

// fieldsText lists the fields that the message of an event does not show.
func fieldsText(e *event.Event) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(e.Fields)) {
		if value := e.Fields[name]; !strings.Contains(e.Message, value) {
			fmt.Fprintf(&b, " %s=%q", name, value)
		}
	}
	return b.String()
}
