package store

import (
	"context"
	"fmt"
)

// groupLimit is how many entries share a commit at the most, and how many may wait for the next
// one. One transaction with so many takes a few milliseconds; more would make the first wait for
// the last.
const groupLimit = 256

// entry is one caller's write that shares a transaction with others.
type entry struct {
	ctx context.Context
	// apply writes it. A refusal is this caller's alone and leaves the transaction as it was; an
	// error fails the transaction, and so everybody in it.
	apply func(ctx context.Context, t *transaction) (refusal, err error)
	done  chan error // takes one result without a reader
}

// commit hands an entry to the group commit and waits until it is durable. If ctx ends first the
// caller must take it that the entry may have been written.
func (s *Store) commit(ctx context.Context, apply func(ctx context.Context, t *transaction) (refusal, err error)) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	e := entry{ctx: ctx, apply: apply, done: make(chan error, 1)}
	select {
	case s.entries <- e:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-e.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// commitGroups commits entries until the channel is closed and empty. It never waits for more to
// come: while one commit is on its way to the disk, the next group gathers by itself.
func (s *Store) commitGroups() {
	defer close(s.stopped)
	for first := range s.entries {
		s.commitGroup(s.gather(first))
	}
}

func (s *Store) gather(first entry) []entry {
	group := []entry{first}
	for len(group) < groupLimit {
		select {
		case e, open := <-s.entries:
			if !open {
				return group
			}
			group = append(group, e)
		default:
			return group
		}
	}
	return group
}

// commitGroup writes a group in one transaction and tells each caller what became of it: its own
// refusal, nothing, or the failure of all.
func (s *Store) commitGroup(group []entry) {
	results := make([]error, len(group))
	// The transaction is no one caller's: it ends with none of their contexts.
	err := s.write(context.Background(), func(ctx context.Context, t *transaction) error {
		for i, e := range group {
			// Who has gone away before its turn is not written: nobody would know of it.
			if results[i] = e.ctx.Err(); results[i] != nil {
				continue
			}
			var err error
			if results[i], err = e.apply(ctx, t); err != nil {
				return err
			}
		}
		return nil
	})
	for i, e := range group {
		if err != nil {
			// A refusal too may rest on what another caller wrote in this transaction.
			e.done <- fmt.Errorf("group commit: %w", err)
			continue
		}
		e.done <- results[i]
	}
}
