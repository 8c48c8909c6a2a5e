package health_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"meridian/config"
	"meridian/health"
)

// A reload watches the new targets before it closes the old watch, so that unchanged checks keep their verdicts.
func ExampleProber_Watch() {
	prober := health.NewProber(health.Options{Logger: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); prober.Run(ctx) }()
	defer func() { stop(); <-ended }()

	check := &config.Check{
		Name: "ssh", Type: config.TCPConnect, Port: 1, // no listener there
		Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3,
	}
	targets := []health.Target{{Check: check, Addr: netip.MustParseAddr("127.0.0.1")}}
	watch, err := prober.Watch(targets, func(transitions []health.Transition) {
		for _, t := range transitions {
			fmt.Printf("%v is %v: %s\n", t.Target.Addr, t.To, t.Reason)
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer watch.Close()
	fmt.Println("without a verdict:", watch.FirstRound(ctx))
	// Output:
	// 127.0.0.1 is down: connect: connection refused
	// without a verdict: 0
}
