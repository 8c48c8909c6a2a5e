package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// serve runs the endpoints until SIGTERM; with -turn, it closes or opens one of them at a
// time. The first site of a region never closes.
func serve(turn bool, every time.Duration, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	f := farm{open: map[[2]int]net.Listener{}}
	defer f.close()
	for r := range regions {
		for s := range sites {
			if err := f.toggle([2]int{r, s}); err != nil {
				return err
			}
		}
	}
	fmt.Fprintln(out, "ready")
	turns := 0
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(out, "turns", turns)
			return nil
		case <-tick.C:
			if !turn {
				continue
			}
			if err := f.toggle([2]int{rand.IntN(len(regions)), 1 + rand.IntN(sites-1)}); err != nil {
				return err
			}
			turns++
		}
	}
}

// farm holds the listening endpoints, by region and site.
type farm struct {
	open      map[[2]int]net.Listener
	accepting sync.WaitGroup
}

// toggle closes a listening endpoint, or opens a closed one.
func (f *farm) toggle(at [2]int) error {
	if l, ok := f.open[at]; ok {
		delete(f.open, at)
		return l.Close()
	}
	l, err := net.Listen("tcp", endpoint(at[0], at[1]).String())
	if err != nil {
		return err
	}
	f.open[at] = l
	f.accepting.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				c.Close()
			}
		}
	})
	return nil
}

func (f *farm) close() {
	for _, l := range f.open {
		l.Close()
	}
	f.accepting.Wait()
}
