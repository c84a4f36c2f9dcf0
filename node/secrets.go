package node

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/entente-mesh/entente/node/journal"
	"github.com/entente-mesh/entente/node/match"
	"github.com/entente-mesh/entente/node/screening"
	"github.com/entente-mesh/entente/node/store"
	"github.com/entente-mesh/entente/node/vault"
)

// secrets are the keys that a node derives from its node key, one for each use: none of them tells
// anything of another.
type secrets struct {
	lookups  []byte // of the store's look-up columns
	state    []byte // of the store's small things, and of withdrawn ids
	ids      []byte // of record ids that are made from document numbers
	marks    []byte // of the journal's look-ups
	subjects []byte // of what is counted for the limits
	people   []byte // of officers' pseudonyms
	objects  []byte // of records' names in the books
}

func deriveSecrets(master []byte) (s secrets, err error) {
	for label, to := range map[string]*[]byte{
		"store look-ups": &s.lookups, "store state": &s.state, "record ids": &s.ids, "journal marks": &s.marks,
		"limits subjects": &s.subjects, "register people": &s.people, "books objects": &s.objects,
	} {
		if *to, err = vault.Derive(master, label); err != nil {
			return secrets{}, err
		}
	}
	return s, nil
}

// object names a record in the books: who can read the record finds it again, and nobody else
// learns its id.
func (s secrets) object(collection, id string) string {
	mac := hmac.New(sha256.New, s.objects)
	mac.Write([]byte(collection + "\x00" + id))
	return collection + "/ref:" + base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(mac.Sum(nil)[:15])
}

// nodeKeyFile is where the node key lies.
func (c *Config) nodeKeyFile() string {
	if filepath.IsAbs(c.NodeKeyFile) {
		return c.NodeKeyFile
	}
	return filepath.Join(c.Dir, c.NodeKeyFile)
}

// rest is what lies in a node's folder, open: the keys, the store, and the books.
type rest struct {
	secrets    secrets
	recordKeys *vault.Vault
	bookKeys   *vault.Vault
	index      *screening.Saved
	store      *store.Store
	journal    *journal.Journal
}

// outside is what a node's folder is opened with.
type outside struct {
	now     func() time.Time
	log     *slog.Logger
	fail    func(point string) error // the journal's failpoints, for tests
	version string                   // the program's
}

// openRest opens what lies in a node's folder, in the order in which it rests on each other.
// store.ErrLocked says that a node runs on it.
func openRest(ctx context.Context, cfg Config, o outside) (r *rest, err error) {
	r = &rest{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
			r = nil
		}
	}()
	l := layout{cfg.Dir}
	master, err := vault.ReadMaster(cfg.nodeKeyFile())
	if err != nil {
		return r, err
	}
	defer clear(master)
	if r.secrets, err = deriveSecrets(master); err != nil {
		return r, err
	}
	for _, dir := range []string{filepath.Dir(l.recordKeys()), l.spool(), l.journal(), l.evidence()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return r, err
		}
	}
	r.index = screening.NewSaved(screening.SavedConfig{
		Path: l.index(), Keys: vault.Config{Path: l.indexKeys(), Master: master, Label: "index"}, Version: o.version, Logger: o.log,
	})
	if err := r.openStore(ctx, l, master, o); err != nil {
		return r, err
	}
	if r.bookKeys, err = vault.Open(vault.Config{Path: l.bookKeys(), Master: master, Label: "journal"}); err != nil {
		return r, err
	}
	r.journal, err = journal.Open(ctx, journal.Config{
		Dir: l.journal(), Federation: cfg.Federation, Bureau: cfg.Bureau, Replica: cfg.Replica, Vault: r.bookKeys,
		Marks: r.secrets.marks, Now: o.now, Logger: o.log, Fail: o.fail,
	})
	return r, err
}

// openStore opens the store with its keys. Documents are found by the keys that match makes, also
// those of a range's end.
//
// Running looks at the store's lock by holding it for a moment. A node or an import that starts
// in that moment waits for it to pass.
func (r *rest) openStore(ctx context.Context, l layout, master []byte, o outside) error {
	for tries := 0; ; tries++ {
		// Opened anew each time: whoever held the lock may have made keys meanwhile.
		keys, err := vault.Open(vault.Config{Path: l.recordKeys(), Master: master, Label: "records"})
		if err != nil {
			return err
		}
		s, err := store.Open(ctx, store.Config{
			Path: l.store(), Vault: r.index.Guard(keys), LookupKey: r.secrets.lookups, StateKey: r.secrets.state,
			DocumentKey: match.DocumentKey, Now: o.now, Logger: o.log,
		})
		if err == nil {
			r.recordKeys, r.store = keys, s
			return nil
		}
		if err = errors.Join(err, keys.Close()); !errors.Is(err, store.ErrLocked) || tries == lockTries {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPause):
		}
	}
}

const (
	lockTries = 5
	lockPause = 20 * time.Millisecond
)

// close closes what is open, last first.
func (r *rest) close() error {
	var errs []error
	if r.journal != nil {
		errs = append(errs, r.journal.Close())
	}
	if r.bookKeys != nil {
		errs = append(errs, r.bookKeys.Close())
	}
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	if r.recordKeys != nil {
		errs = append(errs, r.recordKeys.Close())
	}
	if r.index != nil {
		errs = append(errs, r.index.Close())
	}
	return errors.Join(errs...)
}

// makeNodeKey makes the key under which everything in a new node's folder is sealed.
func makeNodeKey(l layout, cfg Config) error {
	there := cfg
	there.Dir = l.dir
	path := there.nodeKeyFile()
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("node key %s exists already: name another file (node_key_file), or take it away if nothing is sealed under it", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return vault.WriteMaster(path)
}
