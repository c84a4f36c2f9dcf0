package node

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/vault"
	"github.com/entente-mesh/entente/pki/identity"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
)

// An ask of ours whose id the other side, or a third one, has used for a question of its own is
// open until it has an end of its own.
func TestAForeignQuestionIsNoEndOfAnOwnAsk(t *testing.T) {
	const (
		ask, answer, none = auditv1.EntryKind_ENTRY_KIND_ASK, auditv1.EntryKind_ENTRY_KIND_ANSWER, auditv1.EntryKind_ENTRY_KIND_NO_ANSWER
		in, out           = auditv1.EntryDirection_ENTRY_DIRECTION_IN, auditv1.EntryDirection_ENTRY_DIRECTION_OUT
	)
	dir, key := t.TempDir(), bytes.Repeat([]byte{7}, 32)
	keys, err := vault.Open(vault.Config{Path: filepath.Join(dir, "journal.keys"), Master: key, Label: "journal"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = keys.Close() }()
	j, err := journal.Open(t.Context(), journal.Config{Dir: filepath.Join(dir, "journal"), Federation: "demo.entente", Bureau: "BGR", Replica: "1", Vault: keys, Marks: key})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	now := time.Date(2026, 6, 1, 8, 0, 0, 0, time.UTC)
	reused, byThird, answered, silent := uuid.NewString(), uuid.NewString(), uuid.NewString(), uuid.NewString()
	for _, p := range []struct {
		id     string
		kind   auditv1.EntryKind
		way    auditv1.EntryDirection
		bureau identity.Bureau
	}{
		{reused, ask, out, "BEL"}, {byThird, ask, out, "BEL"}, {answered, ask, out, "BEL"}, {silent, ask, out, "ESP"},
		{reused, ask, in, "BEL"}, {reused, answer, out, "BEL"}, {byThird, ask, in, "ESP"},
		{byThird, answer, in, "ESP"}, {answered, ask, in, "BEL"}, {answered, answer, in, "BEL"}, {silent, none, in, "ESP"},
	} {
		err := j.Record(t.Context(), journal.Passage{Entry: &auditv1.Entry{
			MessageId: p.id, Kind: p.kind, Direction: p.way, Bureau: string(p.bureau), At: timestamppb.New(now),
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	open, err := openAsks(t.Context(), j, now.Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range open {
		got = append(got, e.GetMessageId())
	}
	if !slices.Equal(got, []string{reused, byThird}) {
		t.Errorf("open are %v, want %s and %s", got, reused, byThird)
	}
}
