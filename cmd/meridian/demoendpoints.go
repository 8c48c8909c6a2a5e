package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"meridian/config"
)

// demoEndpoints are the demo's web servers: one listener for each address, all on
// one port. All endpoints of a region break and recover together.
type demoEndpoints struct {
	listeners []net.Listener
	regions   map[string]*atomic.Bool // broken?
	servers   []*http.Server
	done      sync.WaitGroup
}

// listenEndpoints binds the addresses on port, or on one free port if port is 0, and
// returns the port.
func listenEndpoints(addresses []netip.Addr, port int) (*demoEndpoints, int, error) {
	e := &demoEndpoints{regions: map[string]*atomic.Bool{}}
	for _, a := range addresses {
		l, err := net.Listen("tcp", netip.AddrPortFrom(a, uint16(port)).String())
		if err != nil {
			e.close()
			return nil, 0, err
		}
		e.listeners = append(e.listeners, l)
		port = l.Addr().(*net.TCPAddr).Port
	}
	return e, port, nil
}

// serve answers on every listener as the endpoint with its address.
func (e *demoEndpoints) serve(cfg *config.Config) {
	regions := regionsByAddress(cfg)
	for _, l := range e.listeners {
		region := regions[l.Addr().(*net.TCPAddr).AddrPort().Addr()]
		if e.regions[region] == nil {
			e.regions[region] = new(atomic.Bool)
		}
		s := &http.Server{Handler: endpointHandler(region, e.regions[region]), ReadHeaderTimeout: 5 * time.Second}
		e.servers = append(e.servers, s)
		e.done.Go(func() {
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				panic(err) // only this type closes the listener
			}
		})
	}
}

func endpointHandler(region string, broken *atomic.Bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			http.Error(w, region+" is broken", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("/break", func(w http.ResponseWriter, _ *http.Request) {
		broken.Store(true)
		fmt.Fprintf(w, "%s is broken: its endpoints answer 503 until /repair\n", region)
	})
	mux.HandleFunc("/repair", func(w http.ResponseWriter, _ *http.Request) {
		broken.Store(false)
		fmt.Fprintf(w, "%s is repaired\n", region)
	})
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello from %s, %s\n", region, r.Context().Value(http.LocalAddrContextKey))
	})
	return mux
}

// close closes the listeners and waits for the servers.
func (e *demoEndpoints) close() {
	for _, l := range e.listeners[len(e.servers):] {
		l.Close()
	}
	for _, s := range e.servers {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if s.Shutdown(ctx) != nil {
			s.Close()
		}
		cancel()
	}
	e.done.Wait()
}

// regionsByAddress returns the region of each endpoint.
func regionsByAddress(cfg *config.Config) map[netip.Addr]string {
	regions := map[netip.Addr]string{}
	for _, p := range cfg.Pools {
		for _, m := range p.Members {
			for _, a := range m.Addresses {
				regions[a] = m.Region
			}
		}
	}
	return regions
}

// endpointURL returns the URL of a page of an endpoint.
func endpointURL(a netip.Addr, port int, path string) string {
	return "http://" + net.JoinHostPort(a.String(), strconv.Itoa(port)) + path
}
