package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/entente-mesh/entente/node/audit"
	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/vault"
	"github.com/entente-mesh/entente/pki/roster"
	"github.com/entente-mesh/entente/pki/signing"
	auditv1 "github.com/entente-mesh/entente/proto/gen/entente/audit/v1"
	rosterv1 "github.com/entente-mesh/entente/proto/gen/entente/roster/v1"
	signedv1 "github.com/entente-mesh/entente/proto/gen/entente/signed/v1"
)

// ErrRuns says that a node runs on the folder.
var ErrRuns = errors.New("a node runs on the folder: it verifies its books itself, without --offline")

// VerifyBooks reads the books of a node that does not run, also of one that refuses to start
// because of them, and says what is wrong and where. Of books whose journal cannot be opened it reads
// the log by itself: the report then counts no leaves of the journal. It changes nothing in the
// folder: it works on a copy of journal and keys in a temporary folder, which needs as much room, and
// removes it. The node key is needed, since the bodies are sealed under it. An error means that it
// could not look.
func VerifyBooks(ctx context.Context, cfg Config, now func() time.Time, progress func(leaves uint64)) (report *auditv1.VerifyReport, err error) {
	running, err := Running(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if running {
		return nil, ErrRuns
	}
	dir, err := os.MkdirTemp("", "entente-verify-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	own, copied := layout{cfg.Dir}, layout{dir}
	for _, part := range []struct{ from, to string }{
		{own.journal(), copied.journal()}, {own.log(), copied.log()}, {filepath.Dir(own.bookKeys()), filepath.Dir(copied.bookKeys())},
	} {
		if err := copyTree(ctx, part.from, part.to); err != nil {
			return nil, err
		}
	}
	return examine(ctx, cfg, copied, now, progress)
}

// examine reads the copied books.
func examine(ctx context.Context, cfg Config, at layout, now func() time.Time, progress func(uint64)) (report *auditv1.VerifyReport, err error) {
	master, err := vault.ReadMaster(cfg.nodeKeyFile())
	if err != nil {
		return nil, err
	}
	defer clear(master)
	secrets, err := deriveSecrets(master)
	if err != nil {
		return nil, err
	}
	keys, err := vault.Open(vault.Config{Path: at.bookKeys(), Master: master, Label: "journal"})
	if errors.Is(err, vault.ErrDamaged) {
		return beyond(ctx, cfg, at, &auditv1.Flaw{File: "vault/" + filepath.Base(at.bookKeys()), What: err.Error()}, now, progress)
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	j, err := journal.Open(ctx, journal.Config{
		Dir: at.journal(), Federation: cfg.Federation, Bureau: cfg.Bureau, Replica: cfg.Replica, Vault: keys, Marks: secrets.marks, Now: now,
	})
	var damage *journal.Damage
	if errors.As(err, &damage) {
		// In the journal nothing leads from here on: what comes later cannot be told from what was put there.
		return beyond(ctx, cfg, at, flawOf(*damage), now, progress)
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	tree, err := treeOf(cfg, at, now)
	if err != nil {
		return nil, err
	}
	tree.Journal = trunk{j}
	return audit.Examine(ctx, tree, progress)
}

// treeOf is the log that lies there, without its journal.
func treeOf(cfg Config, at layout, now func() time.Time) (audit.Config, error) {
	logKeys, rosters, err := believed(cfg, now)
	return audit.Config{
		Dir: at.log(), Federation: cfg.Federation, Bureau: cfg.Bureau, Replica: cfg.Replica, Signer: signsNothing{},
		LogKeys: func() []signing.PublicKey { return logKeys }, Rosters: rosters, Now: now,
	}, err
}

// beyond reads what can be read though the journal cannot: the log by itself. What is wrong with the
// journal comes first in the report, also if nothing else can be read.
func beyond(ctx context.Context, cfg Config, at layout, first *auditv1.Flaw, now func() time.Time, progress func(uint64)) (*auditv1.VerifyReport, error) {
	var report *auditv1.VerifyReport
	tree, err := treeOf(cfg, at, now)
	if err == nil {
		report, err = audit.ExamineAlone(ctx, tree, progress)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		report = &auditv1.VerifyReport{Flaws: []*auditv1.Flaw{{File: filepath.Base(at.log()), What: fmt.Sprintf("not read: %.400s", err.Error())}}}
	}
	report.Flaws = append([]*auditv1.Flaw{first}, report.GetFlaws()[:min(len(report.GetFlaws()), maxVerifyFlaws-1)]...)
	return report, nil
}

// maxVerifyFlaws is how many flaws a report names (audit/v1, VerifyReport.flaws).
const maxVerifyFlaws = 100

// believed are the log keys under which the own checkpoints are believed: the one that lies beside
// the node, and those that the roster names.
func believed(cfg Config, now func() time.Time) ([]signing.PublicKey, func() []*signedv1.Signed, error) {
	l := layout{cfg.Dir}
	book, err := roster.OpenBook(l.roster(), cfg.Federation, cfg.Bureau, now)
	if err != nil {
		return nil, nil, fmt.Errorf("roster: %w", err)
	}
	public, err := signing.ReadPublicKey(l.logPublic())
	if errors.Is(err, fs.ErrNotExist) { // only a signer of its own leaves one
		private, kerr := signing.ReadKey(l.logKey())
		if kerr != nil {
			return nil, nil, fmt.Errorf("log key: %w", kerr)
		}
		public, err = private.Public().(ed25519.PublicKey), nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("log key: %w", err)
	}
	keys := []signing.PublicKey{{
		Bureau: cfg.Bureau, Usage: rosterv1.KeyUsage_KEY_USAGE_LOG, Algorithm: signing.AlgorithmEd25519, Key: public,
	}}
	if named, err := book.KeysOf(cfg.Bureau, rosterv1.KeyUsage_KEY_USAGE_LOG, now()); err == nil {
		keys = append(keys, named...)
	}
	return keys, func() []*signedv1.Signed { return book.History(0) }, nil
}

// signsNothing stands where a log has its signer.
type signsNothing struct{}

// Checkpoint implements audit.Checkpointer.
func (signsNothing) Checkpoint(context.Context, string, uint64, []byte, [][]byte) ([]byte, error) {
	return nil, errors.New("books that are examined are not signed")
}

// copyTree copies a folder's files. A folder that is not there is an empty one.
func copyTree(ctx context.Context, from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == from {
			return os.MkdirAll(to, 0o700)
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rest, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		at := filepath.Join(to, rest)
		if d.IsDir() {
			return os.MkdirAll(at, 0o700)
		}
		return copyFile(path, at)
	})
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() // it was only read
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}
