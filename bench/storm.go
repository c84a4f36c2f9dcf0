package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
)

const (
	// stormCallers is how many put asks at the same time, each the next as soon as the last is
	// answered or turned away.
	stormCallers = 64
	// stormAsks is how many asks are signed beforehand: the storm's own signatures are not to be
	// what slows the node down, which shares the machine with it.
	stormAsks = 2_000
)

// shipped are a bureau's limits as they are where nobody has said others.
var shipped = &adminv1.Quota{
	Scope: adminv1.QuotaScope_QUOTA_SCOPE_BUREAU, Name: string(asker), PerSecond: 100, Burst: 500, SubjectsPerDay: 200_000, PositivesPerDay: 500,
}

// storm measures the own border's checks while another bureau asks as much as it can, under the
// limits that are shipped.
func (b *bench) storm(ctx context.Context) error {
	at := b.mesh.at(spain)
	admin := adminv1.NewAdminServiceClient(at.desk)
	if _, err := admin.SetQuota(ctx, &adminv1.SetQuotaRequest{Quota: shipped, Lift: true}); err != nil {
		return err
	}
	l, err := b.lineTo(b.mesh.at(asker), at)
	if err != nil {
		return err
	}
	defer l.close()
	requests := make([]*queryv1.AskRequest, min(stormAsks, 4*b.calls))
	for i := range requests {
		if requests[i], err = l.sign(question{person: traveller(i)}); err != nil {
			return err
		}
	}
	checks := documentChecks(at)
	var quiet, stormy spread
	answered, turnedAway, failed, n := 0, 0, 0, 0
	const blocks = 10
	measure := func(into *spread) error {
		for range max(1, b.rounds/blocks) {
			n++
			began := time.Now()
			if err := checks.once(ctx, n); err != nil {
				return err
			}
			*into = append(*into, time.Since(began))
		}
		return nil
	}
	if err := measure(new(spread)); err != nil {
		return err
	}
	for range blocks {
		if err := measure(&quiet); err != nil {
			return err
		}
		storming, end := context.WithCancel(ctx)
		counts := make(chan [3]int)
		go func() { counts <- storms(storming, l.conn, requests) }()
		err := errors.Join(pause(ctx, 50*time.Millisecond), measure(&stormy))
		end()
		c := <-counts
		answered, turnedAway, failed = answered+c[0], turnedAway+c[1], failed+c[2]
		if err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d asks of the storm failed otherwise than by the limits", failed)
	}
	slices.Sort(quiet)
	slices.Sort(stormy)
	b.note(row{
		what:      fmt.Sprintf("Document check at home under a storm of %d callers of another bureau (%d asks answered, %d turned away): p99, one client", stormCallers, answered, turnedAway),
		measured:  fmt.Sprintf("%s (p50 %s)", length(stormy.p99()), length(stormy.p50())),
		yardstick: fmt.Sprintf("quiet: %s (p50 %s)", length(quiet.p99()), length(quiet.p50())), ratio: times(over(stormy.p99(), quiet.p99())),
		budget: "<= 2 x quiet", met: within(stormy.p99() <= 2*quiet.p99()),
	})
	_, err = admin.SetQuota(ctx, &adminv1.SetQuotaRequest{Quota: named(unbound(shipped.GetScope()), shipped.GetName()), Lift: true})
	return err
}

func named(q *adminv1.Quota, name string) *adminv1.Quota {
	q.Name = name
	return q
}

// storms puts asks until ctx ends, and returns how many were answered, turned away, and failed.
func storms(ctx context.Context, conn *grpc.ClientConn, requests []*queryv1.AskRequest) (counts [3]int) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for k := range stormCallers {
		wg.Go(func() {
			var own [3]int
			for i := k; ctx.Err() == nil; i += stormCallers {
				_, err := queryv1.NewQueryServiceClient(conn).Ask(ctx, requests[i%len(requests)])
				switch {
				case err == nil:
					own[0]++
				case ctx.Err() != nil:
				case tooBusy(err):
					own[1]++
				default:
					own[2]++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for i := range own {
				counts[i] += own[i]
			}
		})
	}
	wg.Wait()
	return counts
}
