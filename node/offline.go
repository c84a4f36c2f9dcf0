package node

import (
	"context"
	"errors"
	"time"

	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/node/records"
	"github.com/entente-mesh/entente/node/store"
)

// Running tells whether a node runs on the folder: whether its store is in use.
func Running(dir string) (bool, error) { return store.InUse(layout{dir}.store()) }

// openStore opens a node's store. Documents are found by the keys that match makes, also those of
// a range's end.
//
// Running looks at the store's lock by holding it for a moment. A node or an import that starts
// in that moment waits for it to pass.
func openStore(ctx context.Context, l layout, now func() time.Time) (*store.Store, error) {
	for tries := 0; ; tries++ {
		s, err := store.Open(ctx, store.Config{Path: l.store(), DocumentKey: match.DocumentKey, Now: now})
		if !errors.Is(err, store.ErrLocked) || tries == lockTries {
			return s, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lockPause):
		}
	}
}

const (
	lockTries = 5
	lockPause = 20 * time.Millisecond
)

// OpenImporter opens the store of a node that does not run, for an import, and a function that
// closes it. store.ErrLocked says that the node does run.
func OpenImporter(ctx context.Context, cfg Config, now func() time.Time) (*records.Importer, func() error, error) {
	fitter, err := records.NewFitter(cfg.Bureau)
	if err != nil {
		return nil, nil, err
	}
	s, err := openStore(ctx, layout{cfg.Dir}, now)
	if err != nil {
		return nil, nil, err
	}
	return &records.Importer{Store: s, Fitter: fitter}, s.Close, nil
}
