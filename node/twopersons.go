package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/entente-mesh/entente/node/policies"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
)

// twoPersonsKey is where, in the room of what is pinned, it lies what needed two persons at the last
// start.
const twoPersonsKey = "two-persons"

// changesTwoPersons is the operation, as the books name it, of a start with a configuration that
// asks for a second person less often than the one before.
const changesTwoPersons = "change-two-persons"

// twoPersons is what needs two persons.
type twoPersons struct {
	Version    int      `json:"version"`
	Operations []string `json:"operations"`
	MassRows   int      `json:"mass_rows"`
}

const twoPersonsVersion = 1

func configuredTwoPersons(cfg Config) twoPersons {
	t := twoPersons{Version: twoPersonsVersion, Operations: slices.Sorted(slices.Values(cfg.TwoPersons)), MassRows: cfg.MassRows}
	t.Operations = slices.Compact(t.Operations)
	return t
}

// weakens says what a configuration no longer asks a second person for, in words; "" if nothing.
func (t twoPersons) weakens(next twoPersons) string {
	var ways []string
	gone := slices.DeleteFunc(slices.Clone(t.Operations), func(o string) bool { return slices.Contains(next.Operations, o) })
	if len(gone) > 0 {
		ways = append(ways, "two_persons without "+strings.Join(gone, ", "))
	}
	if next.MassRows > t.MassRows {
		ways = append(ways, fmt.Sprintf("mass_rows from %d to %d", t.MassRows, next.MassRows))
	}
	return strings.Join(ways, "; ")
}

// stricter is what either asks for.
func (t twoPersons) stricter(u twoPersons) twoPersons {
	t.Operations = append(slices.Clone(t.Operations), u.Operations...)
	t.MassRows = min(t.MassRows, u.MassRows)
	return t
}

// pinnedTwoPersons is what needed two persons at the last start. found is false before the first.
func pinnedTwoPersons(ctx context.Context, s policies.State) (t twoPersons, found bool, err error) {
	value, found, err := s.GetState(ctx, policies.PinRoom, twoPersonsKey)
	if err != nil || !found {
		return twoPersons{}, false, err
	}
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(&t); err != nil || d.More() || t.Version != twoPersonsVersion || t.MassRows < 1 {
		return twoPersons{}, false, errors.New("what was pinned of two_persons cannot be read: restore the store from a backup")
	}
	return t, true, nil
}

// watchTwoPersons tells of a configuration that asks for a second person less often than the last
// start did: whoever can write entente.yaml is one person. What is told stands in the books before
// the next list is pinned, so that a crash in between tells it again.
func (n *Node) watchTwoPersons(ctx context.Context) error {
	next := configuredTwoPersons(n.cfg)
	last, found, err := pinnedTwoPersons(ctx, n.rest.store)
	if err != nil {
		return err
	}
	if found {
		if less := last.weakens(next); less != "" {
			if err := n.gate.Began(ctx, changesTwoPersons, less); err != nil {
				return err
			}
			n.raise(ctx, adminv1.AlarmKind_ALARM_KIND_POLICY_CHANGED, "two_persons",
				"since the last start a second person is asked for less often: "+less+": see that this is what two persons want, or put it back in entente.yaml", "")
		}
		if slices.Equal(last.Operations, next.Operations) && last.MassRows == next.MassRows {
			return nil
		}
	}
	value, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := n.rest.store.PutState(ctx, policies.PinRoom, twoPersonsKey, value); err != nil {
		return fmt.Errorf("two_persons: %w", err)
	}
	return nil
}
