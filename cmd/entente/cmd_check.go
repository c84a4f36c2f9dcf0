package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/entente-mesh/entente/node"
	"github.com/entente-mesh/entente/pki/identity"
	queryv1 "github.com/entente-mesh/entente/proto/gen/entente/query/v1"
	recordv1 "github.com/entente-mesh/entente/proto/gen/entente/record/v1"
	screeningv1 "github.com/entente-mesh/entente/proto/gen/entente/screening/v1"
)

// checkFlags are the flags of a check.
type checkFlags struct {
	purpose, caseRef, officer, justification string
	unit, workstation                        string
	mrz                                      string
	document, issuer, docType                string
	name, birthDate, nationality, sex        string
	birthCountry                             string
	explain                                  bool
	patience                                 time.Duration
}

func (a *app) checkCommand() *cobra.Command {
	var c connection
	var f checkFlags
	cmd := &cobra.Command{
		Use: "check", Short: "Check a traveller or a document at the own country's node",
		Example: "  entente check --dir bgr --purpose border-control --mrz 'P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\\nL898902C36UTO7408122F1204159ZE184226B<<<<<10'\n" +
			"  entente check --dir bgr --purpose border-control --mrz - < coach.txt\n" +
			"  entente check --dir lbn --purpose border-control --document EH123456 --issuer BEL --type passport\n" +
			"  entente check --dir lbn --purpose border-control --name 'Jan Peeters' --birth-date 1988-03 --nationality BEL",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.mrz == "-" {
				return a.checkMany(cmd.Context(), c, f)
			}
			req, err := f.request()
			if err != nil {
				return err
			}
			return a.checkOne(cmd.Context(), c, req, f.explain)
		},
	}
	c.flags(cmd, node.OfficerClient)
	s := cmd.Flags()
	s.StringVar(&f.purpose, "purpose", "", "what for, for example border-control")
	s.StringVar(&f.caseRef, "case", "", "the case (needed for every purpose but border control and police checks)")
	s.StringVar(&f.officer, "officer", "", "the officer's pseudonym")
	s.StringVar(&f.justification, "justification", "", "why, in words")
	s.StringVar(&f.unit, "unit", "", "the unit in the agency")
	s.StringVar(&f.workstation, "workstation", "", "the work station or device")
	s.StringVar(&f.mrz, "mrz", "", "the machine-readable zone; - reads many from standard input")
	s.StringVar(&f.document, "document", "", "the document's number")
	s.StringVar(&f.issuer, "issuer", "", "the document's issuing state")
	s.StringVar(&f.docType, "type", "", "the document's type: passport, identity-card, visa ...")
	s.StringVar(&f.name, "name", "", "the person's name")
	s.StringVar(&f.birthDate, "birth-date", "", "YYYY, YYYY-MM or YYYY-MM-DD")
	s.StringVar(&f.nationality, "nationality", "", "ISO 3166-1 alpha-3")
	s.StringVar(&f.birthCountry, "birth-country", "", "ISO 3166-1 alpha-3 of the country of birth")
	s.StringVar(&f.sex, "sex", "", "F, M or X")
	s.BoolVar(&f.explain, "explain", false, "print how the score of each hit comes about, where it is told")
	s.DurationVar(&f.patience, "patience", 0, "how long to wait for other bureaus at the most (default: as the node is configured)")
	return cmd
}

// request makes the request of one check.
func (f checkFlags) request() (*screeningv1.CheckRequest, error) {
	req, err := f.base()
	if err != nil {
		return nil, err
	}
	req.Mrz = strings.ReplaceAll(f.mrz, `\n`, "\n")
	if f.document != "" {
		t, err := documentType(f.docType)
		if err != nil {
			return nil, err
		}
		issuer, err := issuerOf(f.issuer)
		if err != nil {
			return nil, err
		}
		req.Document = &queryv1.DocumentQuery{Number: f.document, Issuer: issuer, Type: t}
	} else if f.issuer != "" || f.docType != "" {
		return nil, usagef("--issuer and --type describe a document: give its number with --document")
	}
	if f.name != "" {
		sex, err := sexOf(f.sex)
		if err != nil {
			return nil, err
		}
		if err := f.personIsReadable(); err != nil {
			return nil, err
		}
		req.Person = &queryv1.PersonQuery{Name: f.name, BirthDate: f.birthDate, Nationality: strings.ToUpper(f.nationality), Sex: sex,
			BirthCountry: strings.ToUpper(f.birthCountry)}
	} else if f.birthDate != "" || f.nationality != "" || f.birthCountry != "" || f.sex != "" {
		return nil, usagef("--birth-date, --nationality, --birth-country and --sex describe a person: give a name with --name")
	}
	switch {
	case req.GetMrz() != "" && (req.GetDocument() != nil || req.GetPerson() != nil):
		return nil, usagef("give either --mrz, or --document and --name")
	case req.GetMrz() == "" && req.GetDocument() == nil && req.GetPerson() == nil:
		return nil, usagef("say what to check: --mrz, --document or --name")
	}
	return req, nil
}

// base is what all checks of one call have in common.
func (f checkFlags) base() (*screeningv1.CheckRequest, error) {
	if f.purpose == "" {
		return nil, usagef("--purpose is missing: say what for, for example border-control")
	}
	for _, text := range []struct{ flag, value string }{
		{"case", f.caseRef}, {"officer", f.officer}, {"unit", f.unit}, {"workstation", f.workstation}, {"justification", f.justification},
		{"mrz", f.mrz}, {"document", f.document}, {"name", f.name},
	} {
		if !utf8.ValidString(text.value) {
			return nil, usagef("--%s is no UTF-8: set the terminal to UTF-8 and write it again", text.flag)
		}
	}
	p, err := identity.ParsePurpose(f.purpose)
	if err != nil {
		return nil, usagef("--purpose: %w", err)
	}
	req := &screeningv1.CheckRequest{
		Requester:     &queryv1.Requester{Officer: f.officer, Unit: f.unit, Workstation: f.workstation},
		Justification: &queryv1.Justification{Purpose: p, CaseRef: f.caseRef, Text: f.justification, Urgency: queryv1.Urgency_URGENCY_COUNTER},
	}
	if f.patience > 0 {
		req.Patience = durationpb.New(f.patience)
	}
	return req, nil
}

// issuerOf is an issuer as people and documents write it: BEL, or D, or GBD.
func issuerOf(code string) (string, error) {
	if code == "" {
		return "", nil
	}
	if b, ok := identity.BureauOfIssuer(strings.ToUpper(code)); ok {
		return string(b), nil
	}
	return "", usagef("--issuer %q: give the state as in the document's machine-readable zone, for example BEL, or leave it out", code)
}

// personIsReadable checks what the schema would refuse in words that are not an officer's.
func (f checkFlags) personIsReadable() error {
	if f.birthDate != "" {
		known := false
		for _, layout := range []string{"2006", "2006-01", time.DateOnly} {
			_, err := time.Parse(layout, f.birthDate)
			known = known || err == nil
		}
		if !known {
			return usagef("--birth-date %q: write YYYY, YYYY-MM or YYYY-MM-DD", f.birthDate)
		}
	}
	if f.nationality != "" && !identity.KnownCode(strings.ToUpper(f.nationality)) {
		return usagef("--nationality %q: give ISO 3166-1 alpha-3, for example BEL", f.nationality)
	}
	if f.birthCountry != "" && !identity.KnownCode(strings.ToUpper(f.birthCountry)) {
		return usagef("--birth-country %q: give ISO 3166-1 alpha-3, for example BEL", f.birthCountry)
	}
	return nil
}

func documentType(name string) (recordv1.DocumentType, error) {
	if name == "" {
		return recordv1.DocumentType_DOCUMENT_TYPE_UNSPECIFIED, nil
	}
	n, ok := recordv1.DocumentType_value["DOCUMENT_TYPE_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))]
	if !ok || n == 0 {
		return 0, usagef("--type %q: give passport, identity-card, visa, laissez-passer, refugee-travel-document, residence-permit, crew-document or other", name)
	}
	return recordv1.DocumentType(n), nil
}

func sexOf(letter string) (recordv1.Sex, error) {
	switch strings.ToUpper(letter) {
	case "":
		return recordv1.Sex_SEX_UNSPECIFIED, nil
	case "F":
		return recordv1.Sex_SEX_FEMALE, nil
	case "M":
		return recordv1.Sex_SEX_MALE, nil
	case "X":
		return recordv1.Sex_SEX_OTHER, nil
	default:
		return 0, usagef("--sex %q: give F, M or X", letter)
	}
}

func (a *app) checkOne(ctx context.Context, c connection, req *screeningv1.CheckRequest, explain bool) error {
	conn, err := a.dial(ctx, c)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	resp, err := screeningv1.NewScreeningServiceClient(conn).Check(ctx, req)
	if err != nil {
		return err
	}
	return a.printCheck(resp, explain)
}

func (a *app) printCheck(resp *screeningv1.CheckResponse, explain bool) error {
	if !a.json {
		return a.print(nil, checkText(resp, explain))
	}
	line, err := jsonLine(resp, "problems", "hits", "bureaus")
	if err != nil {
		return err
	}
	_, err = a.out.Write(append(line, '\n'))
	return err
}

// checkMany checks every MRZ of standard input. Answers come as they are done, each with its
// place in the input as reference.
func (a *app) checkMany(ctx context.Context, c connection, f checkFlags) error {
	if _, err := f.base(); err != nil {
		return err
	}
	if f.document != "" || f.name != "" {
		return usagef("give either --mrz, or --document and --name")
	}
	conn, err := a.dial(ctx, c)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := screeningv1.NewScreeningServiceClient(conn).CheckBatch(ctx)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		err := readMRZs(a.in, func(place int, mrz string) error {
			if !utf8.ValidString(mrz) {
				return fmt.Errorf("standard input: the machine-readable zone %d is no UTF-8: write it in capitals, digits and <", place)
			}
			req, err := f.base()
			if err != nil {
				return err
			}
			req.Reference, req.Mrz = fmt.Sprint(place), mrz
			return stream.Send(&screeningv1.CheckBatchRequest{Check: req})
		})
		if err == nil {
			err = stream.CloseSend()
		} else if !errors.Is(err, io.EOF) { // EOF: the node ended the stream, Recv has the reason
			cancel()
		}
		sent <- err
	}()
	failed := 0
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if s := <-sent; s != nil && !errors.Is(s, io.EOF) {
				return s
			}
			return err
		}
		if bad := resp.GetFailure(); bad != nil {
			failed++
			if err := a.print(bad, fmt.Sprintf("%s: not checked: %s (%s, %s)", bad.GetReference(), bad.GetMessage(), bad.GetReason(), codes.Code(bad.GetCode()))); err != nil {
				return err
			}
			continue
		}
		if err := a.printCheck(resp.GetResponse(), f.explain); err != nil {
			return err
		}
	}
	if err := <-sent; err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("not checked: %d", failed)
	}
	return nil
}

// readMRZs hands over the MRZs of a text: lines belong together until an empty line, or until
// they make up a whole MRZ (two lines of 36 or 44 characters, three of 30).
func readMRZs(r io.Reader, each func(place int, mrz string) error) error {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 0, 4096), 64<<10)
	var lines []string
	place := 0
	flush := func() error {
		if len(lines) == 0 {
			return nil
		}
		place++
		text := strings.Join(lines, "\n")
		lines = nil
		return each(place, text)
	}
	for scanner.Scan() {
		line := strings.TrimSpace(scanner.Text())
		if line == "" {
			if err := flush(); err != nil {
				return err
			}
			continue
		}
		lines = append(lines, line)
		if whole(lines) {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	return flush()
}

func whole(lines []string) bool {
	switch len(lines[0]) {
	case 30:
		return len(lines) == 3
	case 36, 44:
		return len(lines) == 2
	default: // the lines in one, or something that the node will name
		return true
	}
}
