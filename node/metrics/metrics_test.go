package metrics_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/entente-mesh/entente/node/metrics"
	adminv1 "github.com/entente-mesh/entente/proto/gen/entente/admin/v1"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sources() metrics.Sources {
	end := time.Unix(1_800_000_000, 0)
	return metrics.Sources{
		Alarms: func() map[adminv1.AlarmKind]int {
			return map[adminv1.AlarmKind]int{adminv1.AlarmKind_ALARM_KIND_LOG_FORK: 2}
		},
		Books: func() metrics.Books { return metrics.Books{Leaves: 12, Integrated: 10, Lag: 250 * time.Millisecond} },
		Quotas: func() []*adminv1.QuotaState {
			return []*adminv1.QuotaState{
				{Quota: &adminv1.Quota{Scope: adminv1.QuotaScope_QUOTA_SCOPE_BUREAU}},
				{Quota: &adminv1.Quota{Scope: adminv1.QuotaScope_QUOTA_SCOPE_BUREAU, Name: "ESP", SubjectsPerDay: 200}, Tokens: 7.5, Subjects: 50, ThrottledUntil: timestamppb.New(end)},
				{Quota: &adminv1.Quota{Scope: adminv1.QuotaScope_QUOTA_SCOPE_AGENCY, Name: "customs"}},
			}
		},
		Pools:       func() []metrics.Pool { return []metrics.Pool{{Name: "mesh", Capacity: 8, Busy: 3, Waiting: 1}} },
		Certificate: func() time.Time { return end },
		Roster:      func() (uint64, time.Time) { return 3, end },
		Peers: func() map[adminv1.PeerState]int {
			return map[adminv1.PeerState]int{adminv1.PeerState_PEER_STATE_CONNECTED: 4}
		},
		Acts: func() int { return 1 },
		Point: func() *adminv1.OperatingPoint {
			return &adminv1.OperatingPoint{Together: 10_000, Classes: []*adminv1.PointOfClass{{EvidenceClass: adminv1.EvidenceClass_EVIDENCE_CLASS_BIRTH_DATE, AlertsPerThousand: 0.25}}}
		},
	}
}

func read(t *testing.T, h http.Handler) map[string]string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	series := map[string]string{}
	for lines := bufio.NewScanner(w.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), "} "); ok && !strings.HasPrefix(name, "#") {
			series[name+"}"] = value
		} else if name, value, ok := strings.Cut(lines.Text(), " "); ok && name != "#" {
			series[name] = value
		}
	}
	return series
}

func TestEverySeries(t *testing.T) {
	m := metrics.New(metrics.Build{Version: "0.3.0", Bureau: "BEL", Replica: "1"}, sources())
	m.Asked(metrics.In, "ESP", queryv1.Status_STATUS_NO_HIT, 2*time.Millisecond)
	m.Asked(metrics.In, "ESP", queryv1.Status_STATUS_NO_HIT, 2*time.Millisecond)
	m.Asked(metrics.Out, "FRA", queryv1.Status_STATUS_TIMEOUT, 2*time.Second)
	m.Asked(metrics.Out, "Jan Peeters", queryv1.Status_STATUS_TIMEOUT, 2*time.Second)
	m.Checked(screeningv1.Verdict_VERDICT_HIT, time.Millisecond)
	m.TurnedAway(adminv1.QuotaScope_QUOTA_SCOPE_BUREAU, "ESP", "THROTTLED")
	m.TurnedAway(adminv1.QuotaScope_QUOTA_SCOPE_AGENCY, "\xff\xfe", "TOO_SOON")
	m.Committed(300 * time.Microsecond)
	got := read(t, m.Handler(nil))
	for series, want := range map[string]string{
		`entente_asks_total{bureau="ESP",direction="in",status="no_hit"}`:         "2",
		`entente_asks_total{bureau="FRA",direction="out",status="timeout"}`:       "1",
		`entente_asks_total{bureau="other",direction="out",status="timeout"}`:     "1",
		`entente_ask_seconds_count{direction="in"}`:                               "2",
		`entente_checks_total{verdict="hit"}`:                                     "1",
		`entente_checks_total{verdict="incomplete"}`:                              "0",
		`entente_check_seconds_bucket{le="0.001"}`:                                "1",
		`entente_turned_away_total{name="ESP",reason="THROTTLED",scope="bureau"}`: "1",
		`entente_turned_away_total{name="?",reason="TOO_SOON",scope="agency"}`:    "1",
		`entente_journal_commit_seconds_bucket{le="0.0002"}`:                      "0",
		`entente_journal_commit_seconds_bucket{le="0.0005"}`:                      "1",
		`entente_alarms{kind="log_fork"}`:                                         "2",
		`entente_alarms{kind="enumeration"}`:                                      "0",
		`entente_log_leaves`:                                                      "12",
		`entente_log_integrated`:                                                  "10",
		`entente_log_lag_seconds`:                                                 "0.25",
		`entente_quota_tokens{name="ESP",scope="bureau"}`:                         "7.5",
		`entente_quota_subjects{name="ESP",scope="bureau"}`:                       "0.25",
		`entente_quota_throttled{name="ESP",scope="bureau"}`:                      "1",
		`entente_quota_throttled{name="customs",scope="agency"}`:                  "0",
		`entente_quota_positives{name="customs",scope="agency"}`:                  "0",
		`entente_workers{pool="mesh"}`:                                            "8",
		`entente_workers_busy{pool="mesh"}`:                                       "3",
		`entente_calls_waiting{pool="mesh"}`:                                      "1",
		`entente_certificate_not_after_seconds`:                                   "1.8e+09",
		`entente_roster_not_after_seconds`:                                        "1.8e+09",
		`entente_roster_version`:                                                  "3",
		`entente_peers{state="connected"}`:                                        "4",
		`entente_peers{state="distrusted"}`:                                       "0",
		`entente_acts_waiting`:                                                    "1",
		`entente_point_alerts_per_thousand{class="birth_date"}`:                   "0.25",
		`entente_point_together_names`:                                            "10000",
	} {
		if got[series] != want {
			t.Errorf("%s is %q, want %s", series, got[series], want)
		}
	}
	for series := range got {
		if strings.Contains(series, "Peeters") || strings.Contains(series, `name=""`) {
			t.Errorf("series %s", series)
		}
	}
	if n := len(adminv1.AlarmKind_name) - 1; count(got, "entente_alarms{") != n {
		t.Errorf("%d alarms, want a gauge for each of %d kinds", count(got, "entente_alarms{"), n)
	}
	if count(got, "entente_build_info{") != 1 || got["go_goroutines"] == "" {
		t.Error("no build info or nothing of the program")
	}
}

func count(series map[string]string, prefix string) int {
	n := 0
	for s := range series {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

// Two nodes of one program (a demo, a test) share nothing; and without sources there is no lie.
func TestNoGlobals(t *testing.T) {
	one, other := metrics.New(metrics.Build{}, metrics.Sources{}), metrics.New(metrics.Build{}, metrics.Sources{})
	one.Checked(screeningv1.Verdict_VERDICT_HIT, 0)
	got := read(t, other.Handler(nil))
	if got[`entente_checks_total{verdict="hit"}`] != "0" || count(got, "entente_alarms") != 0 || count(got, "entente_log") != 0 {
		t.Errorf("series %v", got)
	}
}

func TestSourceThatFails(t *testing.T) {
	s := sources()
	s.Books = func() metrics.Books { panic("case 4711") }
	got := read(t, metrics.New(metrics.Build{}, s).Handler(nil))
	if got[`entente_alarms{kind="log_fork"}`] != "2" || got["entente_log_leaves"] != "" || got["entente_acts_waiting"] != "1" {
		t.Errorf("series %v", got)
	}
}

func TestServe(t *testing.T) {
	for _, bad := range []string{"7443", "127.0.0.1:port", "nowhere.invalid:1"} {
		if lis, err := metrics.Listen(bad); err == nil || !strings.Contains(err.Error(), "metrics_listen") {
			t.Errorf("%q: %v, %v", bad, lis, err)
		}
	}
	lis, err := metrics.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if !metrics.Loopback(lis) {
		t.Error("127.0.0.1 is not the own machine")
	}
	m := metrics.New(metrics.Build{Version: "0.3.0"}, sources())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, lis, nil) }()
	client := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/metrics", http.StatusOK},
		{http.MethodPost, "/metrics", http.StatusMethodNotAllowed},
		{http.MethodGet, "/", http.StatusNotFound},
		{http.MethodGet, "/debug/pprof/", http.StatusNotFound},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, fmt.Sprintf("http://%s%s", lis.Addr(), c.path), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, resp.StatusCode, c.status)
		}
	}
	// One that connects and says nothing holds nobody up.
	idle, err := net.Dial("tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the listener does not stop")
	}
}
