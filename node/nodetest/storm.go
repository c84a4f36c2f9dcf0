package nodetest

import (
	"cmp"
	"context"
	"crypto/tls"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// Storm is many bureaus that ask one bureau at the same time, each as fast as it is answered. It
// runs in the same process as the node, and so takes processors from it; what it takes is measured
// by the same storm, at the same pace, against a server that only echoes (Calm).
type Storm struct {
	papers []*Paper
	to     identity.Bureau
	each   int // calls of one bureau at a time
	at     []*grpc.ClientConn
	echo   []*grpc.ClientConn
}

// NewStorm connects every paper bureau of a mesh to a bureau's node, and to an echo beside it.
func (m *Mesh) NewStorm(to *Bureau, each int) *Storm {
	m.t.Helper()
	s := &Storm{papers: m.papers, to: to.ID, each: each}
	address := m.echo(to)
	for _, p := range m.papers {
		s.at = append(s.at, p.DialMesh(to.Config.MeshListen))
		s.echo = append(s.echo, p.DialMesh(address))
	}
	return s
}

// echoed answers every ask with as many bytes as a node does.
type echoed struct {
	queryv1.UnimplementedQueryServiceServer
}

func (echoed) Ask(context.Context, *queryv1.AskRequest) (*queryv1.AskResponse, error) {
	return &queryv1.AskResponse{Answer: &signedv1.Signed{Payload: make([]byte, 4<<10)}}, nil
}

// echo serves the bare minimum: gRPC over mutual TLS.
func (m *Mesh) echo(as *Bureau) (address string) {
	m.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.t.Fatalf("echo: %v", err)
	}
	srv := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{*as.Leaf().Get()}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13,
	})))
	queryv1.RegisterQueryServiceServer(srv, echoed{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(listener) // ends with Stop
	}()
	m.t.Cleanup(func() {
		srv.Stop()
		<-done
	})
	return listener.Addr().String()
}

// Gust is what a storm came to.
type Gust struct {
	Took               time.Duration
	Answered, TurnAway int64            // RESOURCE_EXHAUSTED
	Failed             int64            // with anything else
	By                 map[string]int64 // answered, by bureau
	Why                error            // one of the failed
}

// Calls is all that was called.
func (g Gust) Calls() int64 { return g.Answered + g.TurnAway + g.Failed }

// Plus is two storms together.
func (g Gust) Plus(other Gust) Gust {
	by := maps.Clone(other.By)
	for b, n := range g.By {
		by[b] += n
	}
	return Gust{
		Took: g.Took + other.Took, Answered: g.Answered + other.Answered, TurnAway: g.TurnAway + other.TurnAway,
		Failed: g.Failed + other.Failed, By: by, Why: cmp.Or(g.Why, other.Why),
	}
}

// Blow storms until the context ends.
func (s *Storm) Blow(ctx context.Context) Gust { return s.blow(ctx, s.at, rate.Inf) }

// Calm has the same storm, with so many calls a second, blow at the echo.
func (s *Storm) Calm(ctx context.Context, perSecond float64) Gust {
	return s.blow(ctx, s.echo, rate.Limit(perSecond))
}

func (s *Storm) blow(ctx context.Context, conns []*grpc.ClientConn, limit rate.Limit) Gust {
	pace := rate.NewLimiter(limit, max(1, int(min(limit, 1e6)/50)))
	g := Gust{By: map[string]int64{}}
	by := make([]atomic.Int64, len(s.papers))
	var turned, failed atomic.Int64
	var why atomic.Pointer[error]
	began := time.Now()
	var callers sync.WaitGroup
	for i, p := range s.papers {
		client := queryv1.NewQueryServiceClient(conns[i])
		for c := range s.each {
			callers.Go(func() {
				for n := c; pace.Wait(ctx) == nil; n += s.each {
					ask := p.Ask(s.to)
					ask.Person = &queryv1.PersonQuery{Primary: spelled(n), Secondary: spelled(i*7919 + n), BirthDate: birth(i*31 + n)}
					signed, err := p.signer.Ask(ask)
					if err == nil {
						_, err = client.Ask(ctx, &queryv1.AskRequest{Ask: signed})
					}
					switch {
					case err == nil:
						by[i].Add(1)
					case ctx.Err() != nil || status.Code(err) == codes.DeadlineExceeded:
						return // the storm is over: no ask has a deadline of its own
					case status.Code(err) == codes.ResourceExhausted:
						turned.Add(1)
					default:
						failed.Add(1)
						why.Store(&err)
					}
				}
			})
		}
	}
	callers.Wait()
	g.Took, g.TurnAway, g.Failed = time.Since(began), turned.Load(), failed.Load()
	for i, p := range s.papers {
		g.By[string(p.ID)] = by[i].Load()
		g.Answered += by[i].Load()
	}
	if e := why.Load(); e != nil {
		g.Why = *e
	}
	return g
}

// spelled is a name that is not like the next one.
func spelled(n int) string {
	b := []byte("AAAAAAA")
	for i := range b {
		b[i] += byte(uint(n*2654435761+i*40503) >> (3 * i) % 26)
	}
	return string(b)
}

func birth(n int) string {
	return time.Date(1940, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n*7919%25_000).Format(time.DateOnly)
}

// Post has a border post of the bureau check a traveller every so often until the context ends, one
// after the other, and returns how long each check took.
func (b *Bureau) Post(ctx context.Context, every time.Duration) (took []time.Duration, err error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return took, nil
		case <-tick.C:
		}
		began := time.Now()
		_, err := b.Screening().Check(context.WithoutCancel(ctx), &screeningv1.CheckRequest{
			Person:        &queryv1.PersonQuery{Primary: spelled(n), Secondary: spelled(n * 31), BirthDate: birth(n)},
			Justification: &queryv1.Justification{Purpose: Border},
		})
		if err != nil {
			return took, err
		}
		took = append(took, time.Since(began))
	}
}

// Percentile is the p-th of some durations, 0 < p <= 1; 0 of none.
func Percentile(of []time.Duration, p float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(int(float64(len(sorted))*p), len(sorted)-1)]
}
