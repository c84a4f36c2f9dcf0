package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// conn is one connection to PostgreSQL, by as much of its protocol (version 3.0, chapter "Frontend/
// Backend Protocol" of its manual) as asking prepared statements takes. Only the store may know a
// driver, and the yardstick shall not be slowed by one: a query is one write and one read.
type conn struct {
	net.Conn
	in  *bufio.Reader
	out bytes.Buffer
}

// dial connects through a Unix socket to a server that trusts whoever can open it.
func dial(socket string) (*conn, error) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	p := &conn{Conn: c, in: bufio.NewReaderSize(c, 64<<10)}
	p.message(0, func() {
		p.int32(3 << 16)
		p.text("user", "postgres", "database", "postgres", "")
	})
	if _, err := p.exchange(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return p, nil
}

// message adds one message to what is sent next. The first of a connection has no kind.
func (p *conn) message(kind byte, body func()) {
	if kind != 0 {
		p.out.WriteByte(kind)
	}
	at := p.out.Len()
	p.int32(0)
	body()
	binary.BigEndian.PutUint32(p.out.Bytes()[at:], uint32(p.out.Len()-at))
}

func (p *conn) int32(n int) {
	p.out.Write(binary.BigEndian.AppendUint32(nil, uint32(int32(n))))
}

func (p *conn) int16(n int) {
	p.out.Write(binary.BigEndian.AppendUint16(nil, uint16(int16(n))))
}

func (p *conn) text(all ...string) {
	for _, s := range all {
		p.out.WriteString(strings.ReplaceAll(s, "\x00", ""))
		p.out.WriteByte(0)
	}
}

// exchange sends what was added and reads rows until the server is ready for the next query.
func (p *conn) exchange() (rows [][]string, err error) {
	if _, err := p.Write(p.out.Bytes()); err != nil {
		return nil, err
	}
	p.out.Reset()
	var failed error
	for {
		kind, body, err := p.read()
		if err != nil {
			return nil, err
		}
		switch kind {
		case 'R':
			if method := binary.BigEndian.Uint32(body); method != 0 {
				return nil, fmt.Errorf("postgres asks for a password (method %d)", method)
			}
		case 'D':
			rows = append(rows, cells(body))
		case 'E':
			failed = errors.New("postgres: " + complaint(body))
		case 'G': // ready for COPY
			return rows, failed
		case 'Z':
			return rows, failed
		}
	}
}

func (p *conn) read() (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(p.in, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint32(head[1:])) - 4
	if n < 0 || n > 1<<24 {
		return 0, nil, fmt.Errorf("postgres: a message of %d bytes", n)
	}
	body = make([]byte, n)
	_, err = io.ReadFull(p.in, body)
	return head[0], body, err
}

func cells(body []byte) []string {
	row := make([]string, binary.BigEndian.Uint16(body))
	body = body[2:]
	for i := range row {
		n := int32(binary.BigEndian.Uint32(body))
		body = body[4:]
		if n >= 0 { // else NULL
			row[i], body = string(body[:n]), body[n:]
		}
	}
	return row
}

// complaint is the message of an error: its fields are a letter and a text each.
func complaint(body []byte) string {
	for _, field := range strings.Split(string(body), "\x00") {
		if rest, ok := strings.CutPrefix(field, "M"); ok {
			return rest
		}
	}
	return "an error without a message"
}

// exec runs statements that return nothing that is needed.
func (p *conn) exec(sql string) error {
	_, err := p.query(sql)
	return err
}

func (p *conn) query(sql string) ([][]string, error) {
	p.message('Q', func() { p.text(sql) })
	return p.exchange()
}

// prepare names a statement, so that asking it again costs no parsing.
func (p *conn) prepare(name, sql string) error {
	p.message('P', func() {
		p.text(name, sql)
		p.int16(0)
	})
	p.message('S', func() {})
	_, err := p.exchange()
	return err
}

// ask runs a prepared statement. An empty argument is NULL.
func (p *conn) ask(name string, args ...string) ([][]string, error) {
	p.message('B', func() {
		p.text("", name)
		p.int16(0)
		p.int16(len(args))
		for _, a := range args {
			if a == "" {
				p.int32(-1)
				continue
			}
			p.int32(len(a))
			p.out.WriteString(a)
		}
		p.int16(0)
	})
	p.message('E', func() { p.text(""); p.int32(0) })
	p.message('S', func() {})
	return p.exchange()
}

// copyIn fills a table from rows of cells.
func (p *conn) copyIn(table string, rows func(yield func(cells ...string))) error {
	p.message('Q', func() { p.text("COPY " + table + " FROM STDIN") })
	if _, err := p.exchange(); err != nil {
		return err
	}
	var failed error
	plain := strings.NewReplacer("\\", "\\\\", "\t", " ", "\n", " ", "\r", " ", "\x00", "")
	rows(func(cells ...string) {
		p.message('d', func() {
			for i, c := range cells {
				if i > 0 {
					p.out.WriteByte('\t')
				}
				if c == "" {
					p.out.WriteString(`\N`)
				}
				plain.WriteString(&p.out, c)
			}
			p.out.WriteByte('\n')
		})
		if p.out.Len() > 1<<20 && failed == nil {
			_, failed = p.Write(p.out.Bytes())
			p.out.Reset()
		}
	})
	if failed != nil {
		return failed
	}
	p.message('c', func() {})
	_, err := p.exchange()
	return err
}
