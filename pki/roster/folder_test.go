package roster

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// three is BEL's book with versions 1 to 3 and a distrust.
func three(t *testing.T) (mesh, *Book, *clock) {
	t.Helper()
	m, b, c := installed(t)
	follow(t, m, b, dawn.Add(time.Hour))
	follow(t, m, b, dawn.Add(2*time.Hour))
	if err := b.Distrust("LBN", "trial"); err != nil {
		t.Fatal(err)
	}
	return m, b, c
}

func edit(t *testing.T, path string, from, to string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(from)) {
		t.Fatalf("%s does not contain %q", path, from)
	}
	if err := os.WriteFile(path, bytes.Replace(b, []byte(from), []byte(to), 1), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTamperedFolders(t *testing.T) {
	for name, tamper := range map[string]func(t *testing.T, m mesh, b *Book){
		"the newest is taken away":     func(t *testing.T, _ mesh, b *Book) { discard(t, b.dir.rosterPath(3)) },
		"one in between is taken away": func(t *testing.T, _ mesh, b *Book) { discard(t, b.dir.rosterPath(2)) },
		"the first is taken away":      func(t *testing.T, _ mesh, b *Book) { discard(t, b.dir.rosterPath(1)) },
		"all are taken away": func(t *testing.T, _ mesh, b *Book) {
			for v := range uint64(3) {
				discard(t, b.dir.rosterPath(v+1))
			}
		},
		"the pins are taken away": func(t *testing.T, _ mesh, b *Book) { discard(t, filepath.Join(b.dir.path, pinsFile)) },
		"the pins are cut off": func(t *testing.T, _ mesh, b *Book) {
			if err := os.Truncate(filepath.Join(b.dir.path, pinsFile), 40); err != nil {
				t.Fatal(err)
			}
		},
		"the pins name another first": func(t *testing.T, _ mesh, b *Book) {
			edit(t, filepath.Join(b.dir.path, pinsFile), b.state.Load().chain[0].Fingerprint(), Fingerprint([]byte("other")))
		},
		"the pins hold more than they may": func(t *testing.T, _ mesh, b *Book) {
			edit(t, filepath.Join(b.dir.path, pinsFile), `"pinned"`, `"trusted": true, "pinned"`)
		},
		"something follows the pins": func(t *testing.T, _ mesh, b *Book) {
			edit(t, filepath.Join(b.dir.path, pinsFile), "\n}\n", "\n}{}\n")
		},
		"a byte is changed": func(t *testing.T, _ mesh, b *Book) {
			text, err := os.ReadFile(b.dir.rosterPath(2))
			if err != nil {
				t.Fatal(err)
			}
			text[len(text)/2] ^= 1
			if err := os.WriteFile(b.dir.rosterPath(2), text, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"the newest is exchanged for a rival": func(t *testing.T, m mesh, b *Book) {
			v2 := b.state.Load().version(2)
			rival, err := VerifyNext(v2, m.signed(t, next(t, v2, dawn.Add(time.Hour), Threshold(4)), "BEL", "ESP", "BGR", "LBN"), dawn.Add(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			if err := b.dir.writeRoster(rival); err != nil {
				t.Fatal(err)
			}
		},
		"a signature is taken out": func(t *testing.T, _ mesh, b *Book) {
			v3 := b.Current()
			v3.signed.Signatures = v3.signed.Signatures[:2]
			if err := b.dir.writeRoster(v3); err != nil {
				t.Fatal(err)
			}
		},
		"another federation's chain lies there": func(t *testing.T, _ mesh, b *Book) {
			v, err := VerifyFirst(four(t).found(t, 3, dawn), fed, dawn)
			if err != nil {
				t.Fatal(err)
			}
			discard(t, b.dir.rosterPath(2))
			discard(t, b.dir.rosterPath(3))
			if err := b.dir.writeRoster(v); err != nil {
				t.Fatal(err)
			}
		},
		"a file has the wrong name": func(t *testing.T, _ mesh, b *Book) {
			if err := os.Rename(b.dir.rosterPath(3), b.dir.rosterPath(4)); err != nil {
				t.Fatal(err)
			}
		},
		"a stranger's file lies there": func(t *testing.T, _ mesh, b *Book) {
			if err := os.WriteFile(filepath.Join(b.dir.path, rostersDir, "3.pem"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, b, c := three(t)
			tamper(t, m, b)
			if again, err := OpenBook(b.dir.path, fed, "BEL", c.now); !errors.Is(err, ErrTampered) {
				t.Errorf("got %v %v, want ErrTampered", again, err)
			}
		})
	}
}

func discard(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func TestFolderOfAnotherBureau(t *testing.T) {
	_, b, c := three(t)
	if _, err := OpenBook(b.dir.path, fed, "ESP", c.now); !errors.Is(err, ErrTampered) {
		t.Errorf("opened as ESP: %v", err)
	}
	if _, err := OpenBook(b.dir.path, "exercise.entente", "BEL", c.now); !errors.Is(err, ErrTampered) {
		t.Errorf("opened in another federation: %v", err)
	}
}

func TestRollbackUnderARunningNode(t *testing.T) {
	m, b, c := installed(t)
	backup := filepath.Join(t.TempDir(), "backup")
	if err := os.CopyFS(backup, os.DirFS(b.dir.path)); err != nil {
		t.Fatal(err)
	}
	follow(t, m, b, dawn.Add(time.Hour))
	if err := os.RemoveAll(b.dir.path); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(b.dir.path, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	if err := b.Reload(); !errors.Is(err, ErrTampered) {
		t.Errorf("reload: got %v, want ErrTampered", err)
	}
	if b.Current().Version() != 2 {
		t.Error("the running node went back")
	}
	_ = c
}

// TestCrashes stops an installation after each of its steps on disk.
func TestCrashes(t *testing.T) {
	t.Run("first roster without its pin", func(t *testing.T) {
		m, c := four(t), &clock{at: dawn}
		dir := t.TempDir()
		b := open(t, dir, c)
		other := m.first(t)
		if err := b.dir.writeRoster(other); err != nil {
			t.Fatal(err)
		}
		b = open(t, dir, c)
		if b.Current() != nil {
			t.Fatal("a roster is trusted that was never pinned")
		}
		m["FRA"] = newCapital(t, "FRA")
		s2 := m.signed(t, next(t, other, dawn, Admit(m["FRA"].join(t))), "BEL", "ESP", "BGR")
		if _, err := b.Install(s2, InstallOptions{Fingerprint: Fingerprint(s2.GetPayload())}); err != nil {
			t.Fatal(err)
		}
		same(t, b, c)
	})
	t.Run("next roster without its mark", func(t *testing.T) {
		m, b, c := installed(t)
		v2, err := VerifyNext(b.Current(), m.signed(t, next(t, b.Current(), dawn), "BEL", "ESP", "BGR"), dawn)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.dir.writeRoster(v2); err != nil {
			t.Fatal(err)
		}
		again := open(t, b.dir.path, c)
		if again.Current().Version() != 2 {
			t.Errorf("version %d, want 2", again.Current().Version())
		}
		discard(t, b.dir.rosterPath(2)) // it was marked when the book was opened
		if _, err := OpenBook(b.dir.path, fed, "BEL", c.now); !errors.Is(err, ErrTampered) {
			t.Errorf("got %v, want ErrTampered", err)
		}
	})
	t.Run("temporary files", func(t *testing.T) {
		_, b, c := installed(t)
		for _, sub := range []string{"", rostersDir, forksDir} {
			if err := os.WriteFile(filepath.Join(b.dir.path, sub, tempPrefix+"1"), []byte("half a fi"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		same(t, b, c)
		if forks, err := b.Forks(); err != nil || len(forks) != 0 {
			t.Errorf("forks: %v %v", forks, err)
		}
	})
}

func TestADiskThatDoesNotTake(t *testing.T) {
	m, b, _ := installed(t)
	path := filepath.Join(b.dir.path, rostersDir)
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	s := m.signed(t, next(t, b.Current(), dawn), "BEL", "ESP", "BGR")
	if _, err := b.Install(s, InstallOptions{}); err == nil || b.Current().Version() != 1 {
		t.Errorf("installed without a disk: %v", err)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Install(s, InstallOptions{}); err != nil || b.Current().Version() != 2 {
		t.Errorf("when the disk is back: %v", err)
	}
}

func TestModes(t *testing.T) {
	_, b, _ := three(t)
	err := filepath.Walk(b.dir.path, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", strings.TrimPrefix(path, b.dir.path), info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
