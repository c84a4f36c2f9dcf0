package api

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/entente-mesh/entente/federation/fault"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

// maxFile bounds a file that is imported: a list of ten million documents has two gigabytes.
const maxFile = 8 << 30

// spool is a file that is being imported, which is read twice.
type spool struct {
	*os.File
	named bool // it still has a name, on systems where an open file keeps it
	size  int64
	sum   hash.Hash // SHA-256 of what was received
}

// newSpool makes an empty spool. It loses its name at once, so that nothing of the file stays if
// the node dies.
func (s *RecordService) newSpool() (*spool, error) {
	f, err := os.CreateTemp(s.spool, "import-*")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	return &spool{File: f, named: os.Remove(f.Name()) != nil, sum: sha256.New()}, nil
}

// Close implements io.Closer.
func (s *spool) Close() error {
	err := s.File.Close()
	if s.named {
		err = errors.Join(err, os.Remove(s.Name()))
	}
	return err
}

// receive takes the file in, to its end.
func (s *spool) receive(is grpc.BidiStreamingServer[recordv1.ImportRequest, recordv1.ImportResponse]) error {
	for {
		req, err := is.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case req.GetHeader() != nil:
			return fault.New(codes.InvalidArgument, fault.MalformedRequest, "header", "an import has one header: send each file in a call of its own")
		}
		if s.size += int64(len(req.GetChunk())); s.size > maxFile {
			return fault.TooLarge()
		}
		if _, err := s.Write(req.GetChunk()); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		s.sum.Write(req.GetChunk()) // never fails
	}
}
