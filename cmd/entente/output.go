package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/entente-mesh/entente/federation/fault"
)

// print writes a result: as one JSON object with --json, else as text.
func (a *app) print(v any, text string) error {
	if !a.json {
		_, err := fmt.Fprintln(a.out, text)
		return err
	}
	var line []byte
	var err error
	if m, ok := v.(proto.Message); ok {
		line, err = jsonLine(m)
	} else {
		line, err = json.Marshal(v)
	}
	if err != nil {
		return err
	}
	_, err = a.out.Write(append(line, '\n'))
	return err
}

// jsonLine is a message as proto JSON on one line. protojson varies its white space on purpose;
// compacting takes that back, so that the same answer is the same line.
func jsonLine(m proto.Message, always ...string) ([]byte, error) {
	b, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	if len(always) > 0 {
		// Lists that a program iterates over are there also when they are empty.
		var object map[string]json.RawMessage
		if err := json.Unmarshal(b, &object); err != nil {
			return nil, err
		}
		for _, key := range always {
			if object[key] == nil {
				object[key] = json.RawMessage("[]")
			}
		}
		if b, err = json.Marshal(object); err != nil {
			return nil, err
		}
	}
	var line bytes.Buffer
	if err := json.Compact(&line, b); err != nil {
		return nil, err
	}
	return line.Bytes(), nil
}

// sentence is an error as its reader needs it: what the node said, without the protocol's words.
func sentence(err error) string {
	var s interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &s) {
		return err.Error()
	}
	st := s.GRPCStatus()
	if reason, ok := fault.ReasonOf(st.Err()); ok {
		text := st.Message()
		if field := fault.FieldOf(st.Err()); field != "" && !strings.Contains(text, field) {
			text = field + ": " + text
		}
		return fmt.Sprintf("%s (%s, %s)", text, reason, st.Code())
	}
	switch st.Code() {
	case codes.Unavailable:
		// A server that refuses a certificate just closes the connection, and how that shows varies.
		if !strings.Contains(st.Message(), "while dialing") {
			return "the node and this client did not accept each other's certificates: is it the local listener of your own bureau's node (entente status shows it), and is your certificate in force? " + st.Message()
		}
		return "the node cannot be reached: is it running (entente run), and is the address right? " + st.Message()
	case codes.DeadlineExceeded:
		return "the node did not answer in time: try again"
	default:
		return fmt.Sprintf("%s (%s)", st.Message(), st.Code())
	}
}

// terminal tells whether a stream is a terminal.
func terminal(s any) bool {
	f, ok := s.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// readFile reads a file, or standard input for "-".
func (a *app) readFile(name string, limit int64) ([]byte, error) {
	if name == "-" {
		return readLimited(a.in, "standard input", limit)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimited(f, name, limit)
}

func readLimited(r io.Reader, name string, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s: larger than %d bytes: this is not the file it should be", name, limit)
	}
	return b, err
}

// maxTextFile bounds the small files that commands read: join requests, rosters, test cases.
const maxTextFile = 16 << 20

// confirm asks a question at the terminal. Without a terminal the answer is no.
func (a *app) confirm(question string) bool {
	if !terminal(a.in) {
		return false
	}
	fmt.Fprintf(a.err, "%s [y/N] ", question)
	var answer string
	if _, err := fmt.Fscanln(a.in, &answer); err != nil {
		return false
	}
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes")
}
