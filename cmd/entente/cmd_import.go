package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/entente-mesh/entente/federation/fault"
	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/node/api"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
)

func (a *app) importCommand() *cobra.Command {
	var c connection
	var audience string
	var yes bool
	h := &recordv1.ImportHeader{}
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Take a file of records in",
		Long: "Import takes a file whole: good rows are kept, bad ones are reported with line and reason.\n" +
			"It goes through the node if it runs, else into its store directly.",
		Example: "  entente import --dir bel --collection persons --format un-xml consolidated.xml\n" +
			"  entente import --dir bel --collection documents --format csv --source bel-sltd --complete stolen.csv",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if h.GetCollection() == "" || h.GetFormat() == "" {
				return usagef("--collection (persons or documents) and --format (un-xml, entente-json or csv) are needed")
			}
			var err error
			if h.GetSource() != "" && !sourceName.MatchString(h.GetSource()) {
				return usagef("--source %q: give up to 64 lower-case letters, digits, dots, dashes and underscores, a letter or digit first", h.GetSource())
			}
			if h.Audience, err = audienceOf(audience); err != nil {
				return usageError{err}
			}
			if h.GetSource() == "" {
				h.Source = h.GetFormat()
			}
			h.ConfirmWithdrawals = yes
			file, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer file.Close()
			if info, err := file.Stat(); err == nil {
				if info.IsDir() {
					return usagef("%s is a folder: name a file", args[0])
				}
				h.Size = uint64(info.Size())
			}
			return a.importFile(cmd.Context(), c, h, file)
		},
	}
	c.flags(cmd, node.OperatorClient)
	f := cmd.Flags()
	f.StringVar(&h.Collection, "collection", "", "persons or documents")
	f.StringVar(&h.Format, "format", "", "un-xml, entente-json or csv")
	f.StringVar(&h.Source, "source", "", "names where the records come from (default: the format)")
	f.BoolVar(&h.Complete, "complete", false, "the file is all there is of the source: what is not in it is withdrawn")
	f.BoolVar(&h.Strict, "strict", false, "keep nothing if one row is bad")
	f.BoolVar(&yes, "yes", false, "withdraw even more than 5 % of the source without asking")
	f.StringVar(&audience, "audience", "all-permitted", "who may be told of records that do not say so: all-permitted, none, or bureaus separated by commas")
	return cmd
}

// sourceName is what a source may be called (record/v1, ImportHeader.source).
var sourceName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

func audienceOf(text string) (*recordv1.Audience, error) {
	switch text {
	case "all-permitted":
		return &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_ALL_PERMITTED}, nil
	case "none":
		return &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_NONE}, nil
	}
	out := &recordv1.Audience{Mode: recordv1.AudienceMode_AUDIENCE_MODE_LISTED}
	for b := range strings.SplitSeq(text, ",") {
		if len(b) != 3 || strings.ToUpper(b) != b {
			return nil, fmt.Errorf("--audience %q: give all-permitted, none, or bureaus as BEL,FRA", text)
		}
		out.Allow = append(out.Allow, b)
	}
	return out, nil
}

func (a *app) importFile(ctx context.Context, c connection, h *recordv1.ImportHeader, file *os.File) error {
	for {
		report, err := a.importOnce(ctx, c, h, file)
		reason, _ := fault.ReasonOf(err)
		if reason == fault.MassWithdrawal && !h.GetConfirmWithdrawals() && a.confirm(sentence(err)+"\nWithdraw them?") {
			h.ConfirmWithdrawals = true
			continue
		}
		if reason == fault.SecondPersonNeeded && !a.json {
			digest, derr := fileDigest(file)
			if derr != nil {
				return errors.Join(err, derr)
			}
			fmt.Fprintf(a.err, "entente: the file's SHA-256 begins with %s: the second person sees it, and should have it from you\n", digest)
		}
		if report != nil && (err == nil || reason == fault.BadRows) {
			if perr := a.printReport(report); perr != nil {
				return errors.Join(err, perr)
			}
		}
		return err
	}
}

// fileDigest is how people compare the file: as the node shows it to a second person.
func fileDigest(file *os.File) (string, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", err
	}
	return api.FileDigest(h.Sum(nil)), nil
}

// importOnce imports through the node, or into the store of one that does not run.
func (a *app) importOnce(ctx context.Context, c connection, h *recordv1.ImportHeader, file *os.File) (*recordv1.ImportReport, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("%s: it is read twice, so it must be a file and not a pipe: %w", file.Name(), err)
	}
	if c.dir != "" && c.address == "" {
		cfg, err := node.LoadConfig(c.dir, a.environ())
		if err != nil {
			return nil, err
		}
		running, err := a.running(cfg)
		if err != nil {
			return nil, err
		}
		if !running {
			return a.importOffline(ctx, cfg, h, file)
		}
	}
	return a.importThrough(ctx, c, h, file)
}

func (a *app) importOffline(ctx context.Context, cfg node.Config, h *recordv1.ImportHeader, file *os.File) (report *recordv1.ImportReport, err error) {
	im, err := node.OpenOffline(ctx, cfg, a.now)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, im.Close()) }()
	progress := a.progress(h.GetSize())
	report, err = im.Import(ctx, h, file, progress.show)
	progress.done()
	return report, err
}

// chunkSize is how much of the file goes into one message.
const chunkSize = 256 << 10

func (a *app) importThrough(ctx context.Context, c connection, h *recordv1.ImportHeader, file *os.File) (*recordv1.ImportReport, error) {
	conn, err := a.dial(ctx, c)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := recordv1.NewRecordServiceClient(conn).Import(ctx)
	if err != nil {
		return nil, err
	}
	send := func() error {
		if err := stream.Send(&recordv1.ImportRequest{Part: &recordv1.ImportRequest_Header{Header: h}}); err != nil {
			return err
		}
		buf := make([]byte, chunkSize)
		for {
			n, err := file.Read(buf)
			if n > 0 {
				if err := stream.Send(&recordv1.ImportRequest{Part: &recordv1.ImportRequest_Chunk{Chunk: buf[:n]}}); err != nil {
					return err
				}
			}
			if errors.Is(err, io.EOF) {
				return stream.CloseSend()
			}
			if err != nil {
				return err
			}
		}
	}
	// If the node ends the stream, Send says only EOF: the reason comes with Recv.
	if err := send(); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	progress := a.progress(h.GetSize())
	defer progress.done()
	var report *recordv1.ImportReport
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if report == nil {
				return nil, errors.New("the node ended the import without a report: look into its log")
			}
			return report, nil
		}
		if err != nil {
			return report, err
		}
		if p := resp.GetProgress(); p != nil {
			progress.show(p)
		}
		if r := resp.GetReport(); r != nil {
			report = r
		}
	}
}

// progressLine shows how far an import is, on a terminal.
type progressLine struct {
	out   io.Writer // nil: nobody looks
	size  uint64
	shown bool
}

func (a *app) progress(size uint64) *progressLine {
	p := &progressLine{size: size}
	if terminal(a.err) && !a.json {
		p.out = a.err
	}
	return p
}

func (p *progressLine) show(at *recordv1.ImportProgress) {
	if p.out == nil {
		return
	}
	p.shown = true
	if p.size > 0 {
		fmt.Fprintf(p.out, "\r%3d %%  %d rows ", min(100, at.GetBytes()*100/p.size), at.GetRows())
		return
	}
	fmt.Fprintf(p.out, "\r%d rows ", at.GetRows())
}

func (p *progressLine) done() {
	if p.shown {
		fmt.Fprintln(p.out)
	}
}

func (a *app) printReport(r *recordv1.ImportReport) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows: %d records created, %d updated, %d unchanged, %d withdrawn; %d bad\n",
		r.GetRows(), r.GetCreated(), r.GetUpdated(), r.GetUnchanged(), r.GetWithdrawn(), r.GetBad())
	for _, c := range r.GetCounts() {
		fmt.Fprintf(&b, "  %-34s %d\n", strings.ReplaceAll(c.GetName(), "_", " "), c.GetCount())
	}
	for _, row := range r.GetBadRows() {
		fmt.Fprintf(&b, "  line %d", row.GetLine())
		if row.GetRecordId() != "" {
			fmt.Fprintf(&b, " (%s)", row.GetRecordId())
		}
		if row.GetField() != "" {
			fmt.Fprintf(&b, ", %s", row.GetField())
		}
		fmt.Fprintf(&b, ": %s\n", row.GetReason())
	}
	return a.print(r, strings.TrimRight(b.String(), "\n"))
}

// running tells whether the node of a folder runs.
func (a *app) running(cfg node.Config) (bool, error) { return node.Running(cfg.Dir) }
