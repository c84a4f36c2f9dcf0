//go:build !unix

package main

import "os/exec"

// account is whom PostgreSQL runs as.
type account struct{}

func unprivileged() (*account, error) {
	return nil, errNoUser
}

func (*account) own(string) error { return nil }

func (*account) runs(*exec.Cmd) {}
