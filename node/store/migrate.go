package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
)

// One folder a dialect.
//
//go:embed migrations/sqlite/*.sql
var migrations embed.FS

// migrate brings the schema up to date, each step in a transaction of its own. There is no way
// down: an older program meets ErrNewerSchema, and a backup from before is the way back.
func migrate(ctx context.Context, db *sql.DB, log *slog.Logger) error {
	steps, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, steps,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", explainSQLite(err))
	}
	if have > want {
		return fmt.Errorf("%w: its schema is version %d, this program knows %d: run the newer program, or restore a backup from before", ErrNewerSchema, have, want)
	}
	done, err := p.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate the schema from version %d to %d: %w", have, want, explainSQLite(err))
	}
	for _, d := range done {
		log.InfoContext(ctx, "store migrated", "version", d.Source.Version, "elapsed", d.Duration)
	}
	return nil
}
