package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

var errSource = errors.New("a source of the metrics failed")

const (
	maxHeader     = 8 << 10
	readTimeout   = 5 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute // Prometheus comes every 15 to 60 seconds over one connection
	atOnce        = 4               // one Prometheus, its twin, and a person who looks
	collectWithin = 10 * time.Second
	stopWithin    = time.Second
)

// Listen listens at metrics_listen, "host:port". The listener speaks plain HTTP, to anybody who
// reaches it: bind it to the loopback interface or to a network of the bureau's own monitoring.
func Listen(address string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fmt.Errorf("metrics_listen %q: write host:port, for example 127.0.0.1:7443", address)
	}
	lis, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("metrics_listen: %w", err)
	}
	return lis, nil
}

// Loopback reports whether a listener is reached from its own machine alone. A node warns if its
// metrics' is not.
func Loopback(lis net.Listener) bool {
	tcp, ok := lis.Addr().(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// Handler serves GET /metrics in the text format of Prometheus, and nothing else.
func (m *Metrics) Handler(logger *slog.Logger) http.Handler {
	read := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            faults{logger},
		ErrorHandling:       promhttp.ContinueOnError, // a source that fails must not hide the alarms
		MaxRequestsInFlight: atOnce,
		Timeout:             collectWithin,
	})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", read)
	return mux
}

// faults logs what promhttp could not collect.
type faults struct{ logger *slog.Logger }

// Println implements promhttp.Logger.
func (f faults) Println(v ...any) {
	if f.logger != nil {
		f.logger.Error("metrics could not be collected", slog.String("error", fmt.Sprint(v...)))
	}
}

// Serve serves the metrics until the context ends, and closes the listener. logger may be nil.
func (m *Metrics) Serve(ctx context.Context, lis net.Listener, logger *slog.Logger) error {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	srv := &http.Server{
		Handler:           m.Handler(logger),
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug), // what strangers send is no news
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	select {
	case err := <-served:
		return fmt.Errorf("metrics: %w", err)
	case <-ctx.Done():
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if srv.Shutdown(within) != nil {
		_ = srv.Close() // a reader that does not read holds nobody up
	}
	<-served
	return nil
}
