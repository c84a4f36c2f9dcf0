package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Passage is one way through the gate: what was asked or answered, of whom, and what was decided
// by which rules. It is the node's own book; nothing of it crosses a border.
type Passage struct {
	// Seq is the passage's place in the journal, from 1. Set by the store.
	Seq int64
	// MessageID is the id that both sides know: an ask's id, a check's id.
	MessageID string
	// Kind is what passed: "check", "ask", "answer" or what the gate calls it.
	Kind string
	// Direction is which way: "in", "out" or "local".
	Direction string
	// Bureau is the other side; of a local passage the own bureau.
	Bureau string
	// Agency is who acted, or on whose behalf.
	Agency string
	// Purpose is what for.
	Purpose string
	// Decision is what the gate decided.
	Decision string
	// Rules are the ids of the policies that decided.
	Rules []string
	// PolicyVersion says which set of policies that was.
	PolicyVersion string
	// At is when.
	At time.Time
	// Detail is what else belongs to it, as the gate wrote it.
	Detail []byte
}

const (
	addPassage = `INSERT INTO passages
(seq, message_id, kind, direction, bureau, agency, purpose, decision, rules, policy_version, passed_at, detail)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`
	listPassages = `SELECT seq, message_id, kind, direction, bureau, agency, purpose, decision, rules, policy_version, passed_at, detail
FROM passages WHERE seq > $1 ORDER BY seq LIMIT $2`
)

// RecordPassage writes a passage into the journal. When it returns nil the passage is durable;
// before that nothing may leave.
func (s *Store) RecordPassage(ctx context.Context, p Passage) error {
	if p.Kind == "" || p.Decision == "" || p.At.IsZero() {
		return fmt.Errorf("store: record passage: %w", invalid("give kind, decision and time"))
	}
	rules := "[]"
	if len(p.Rules) > 0 {
		b, err := json.Marshal(p.Rules)
		if err != nil {
			return fmt.Errorf("store: record passage: rules: %w", err)
		}
		rules = string(b)
	}
	err := s.commit(ctx, func(ctx context.Context, t *transaction) (refusal, err error) {
		seq, err := t.next(ctx, "passages")
		if err != nil {
			return nil, err
		}
		t.changed = true
		_, err = t.exec(ctx, addPassage, seq, p.MessageID, p.Kind, p.Direction, p.Bureau, p.Agency, p.Purpose, p.Decision,
			rules, p.PolicyVersion, p.At.UnixNano(), p.Detail)
		return nil, err
	})
	if err != nil {
		return fmt.Errorf("store: record passage: %w", err)
	}
	return nil
}

// Passages returns at most limit passages after the one numbered after, oldest first. As with
// Changes, none that comes later has a lower number.
func (s *Store) Passages(ctx context.Context, after int64, limit int) ([]Passage, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if limit, err = page(limit); err != nil {
		return nil, fmt.Errorf("store: passages: %w", err)
	}
	var list []Passage
	err = s.each(ctx, listPassages, []any{after, limit}, func(scan scanner) error {
		var p Passage
		var rules string
		var at int64
		if err := scan(&p.Seq, &p.MessageID, &p.Kind, &p.Direction, &p.Bureau, &p.Agency, &p.Purpose, &p.Decision,
			&rules, &p.PolicyVersion, &at, &p.Detail); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(rules), &p.Rules); err != nil {
			return fmt.Errorf("rules of passage %d: %w", p.Seq, err)
		}
		if len(p.Rules) == 0 {
			p.Rules = nil
		}
		p.At = time.Unix(0, at).UTC()
		list = append(list, p)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store: passages: %w", err)
	}
	return list, nil
}
