package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// postgres is a server of its own for one run, in a temporary folder, on a Unix socket.
type postgres struct {
	dir     string
	server  *exec.Cmd
	version string
	ended   chan error
}

// errNoUser is of a process that PostgreSQL does not run under.
var errNoUser = errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as: run this as another user, on a Unix system")

// findPostgres returns where PostgreSQL's programs are: in PATH, or where Debian puts them, the
// latest version first. Empty where it is not installed.
func findPostgres() string {
	if at, err := exec.LookPath("initdb"); err == nil {
		if at, err = filepath.EvalSymlinks(at); err == nil {
			return filepath.Dir(at)
		}
	}
	all, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(all) == 0 {
		return ""
	}
	version := func(at string) int {
		n, _ := strconv.Atoi(strings.Split(at, "/")[4]) // a folder that is no number comes last
		return n
	}
	return filepath.Dir(slices.MaxFunc(all, func(a, b string) int { return version(a) - version(b) }))
}

// settings are those of a server whose tables fit into memory, and of which nothing is left: nothing is
// kept, so nothing is made durable.
var settings = []string{
	"listen_addresses=", "fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off",
	"shared_buffers=512MB", "work_mem=64MB", "maintenance_work_mem=256MB", "jit=off", "max_connections=32",
	"log_min_messages=log", "log_destination=stderr", "logging_collector=off",
}

// startPostgres makes a database and starts its server, as a user that PostgreSQL accepts.
func startPostgres(ctx context.Context, bin string) (p *postgres, err error) {
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	p = &postgres{ended: make(chan error, 1)}
	if p.dir, err = os.MkdirTemp("", "entente-names-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(p.dir))
		}
	}()
	if err := who.own(p.dir); err != nil {
		return nil, err
	}
	data := filepath.Join(p.dir, "data")
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
		cmd.Dir, cmd.Env = p.dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "LC_ALL=C.UTF-8", "TZ=UTC"}
		who.runs(cmd)
		return cmd
	}
	if out, err := run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	args := []string{"-D", data, "-k", p.dir}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	p.server = run("postgres", args...)
	p.server.Cancel = func() error { return p.server.Process.Signal(os.Interrupt) } // shuts down at once, in order
	p.server.WaitDelay = 10 * time.Second
	said, err := p.server.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.server.Start(); err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	go func() {
		var last string
		lines, told := bufio.NewScanner(said), false
		for lines.Scan() {
			last = lines.Text()
			if !told && strings.Contains(last, "ready to accept connections") {
				told = true
				close(ready)
			}
		}
		if err := p.server.Wait(); err != nil {
			p.ended <- fmt.Errorf("postgres: %w: %s", err, last)
		}
		close(p.ended)
	}()
	select {
	case <-ready:
	case err := <-p.ended:
		return nil, cmp.Or(err, errors.New("postgres ended before it was ready"))
	}
	c, err := p.dial()
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	defer c.Close()
	if err := c.exec("CREATE EXTENSION pg_trgm; CREATE EXTENSION unaccent"); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: install its contrib modules (Debian: apt-get install postgresql)", err), p.close())
	}
	rows, err := c.query("SHOW server_version")
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.version = "PostgreSQL " + rows[0][0]
	return p, nil
}

func (p *postgres) dial() (*conn, error) { return dial(filepath.Join(p.dir, ".s.PGSQL.5432")) }

// close stops the server and removes the folder.
func (p *postgres) close() error {
	var err error
	if p.server.ProcessState == nil {
		err = p.server.Process.Signal(os.Interrupt)
	}
	for ended := range p.ended {
		err = errors.Join(err, ended)
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}
