package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/entente-mesh/entente/pki/identity"
)

// warnEvery is how often the log has a line about the same with the same bureau.
const warnEvery = time.Minute

// seldom writes warnings about what other bureaus send, not one for each message: else who sends
// rubbish fills the log, and hides in it what matters.
type seldom struct {
	now    func() time.Time
	logger *slog.Logger

	mu   sync.Mutex
	told map[warning]*telling // as many as there are members, times a few
}

type warning struct {
	peer identity.Bureau
	text string
}

type telling struct {
	last    time.Time
	omitted int // since
}

func newSeldom(now func() time.Time, logger *slog.Logger) *seldom {
	return &seldom{now: now, logger: logger, told: map[warning]*telling{}}
}

// warn writes a line, and how many like it were left out since the last.
func (s *seldom) warn(ctx context.Context, peer identity.Bureau, text string, args ...any) {
	omitted, ok := s.due(warning{peer, text})
	if !ok {
		return
	}
	args = append([]any{"peer", string(peer)}, args...)
	if omitted > 0 {
		args = append(args, "omitted", omitted)
	}
	s.logger.WarnContext(ctx, text, args...)
}

func (s *seldom) due(w warning) (omitted int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, before := s.now(), s.told[w]
	if before != nil {
		// A clock that was put back does not silence the log until it has caught up.
		if since := now.Sub(before.last); since >= 0 && since < warnEvery {
			before.omitted++
			return 0, false
		}
		omitted = before.omitted
	}
	s.told[w] = &telling{last: now}
	return omitted, true
}
