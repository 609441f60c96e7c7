package folder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/vagus-health/vagus/broker"
)

// finishTimeout bounds what is done with a file when its messages are stored.
const finishTimeout = time.Minute

// take receives a file of the folder work and puts it where it belongs. An error
// leaves it there, to be taken again.
func (s *Source) take(ctx context.Context, accept broker.Accept, info fs.FileInfo, next map[string]sight) error {
	name, at := info.Name(), path.Join(s.conf.Work, info.Name())
	short := shortHash([]byte(name))
	before, err := s.files.Stat(ctx, at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at file %s: %w", short, err)
	case !before.Mode().IsRegular():
		return s.quarantine(ctx, at, name, traits(before), irregularFile(before.Mode()))
	case before.Size() > s.conf.MaxBytes:
		return s.quarantine(ctx, at, name, traits(before), s.tooLarge())
	}
	body, err := s.files.Read(ctx, at, s.conf.MaxBytes)
	if err != nil {
		return fmt.Errorf("read file %s: %w", short, err)
	} else if int64(len(body)) > s.conf.MaxBytes {
		return s.quarantine(ctx, at, name, traits(before), s.tooLarge())
	}
	if same, err := s.unchanged(ctx, at, before, int64(len(body))); err != nil || !same {
		next[at] = sight{}
		return err
	}
	parts, err := unpack(name, body, s.conf.MaxBytes, s.conf.wanted)
	if err != nil {
		return s.quarantine(ctx, at, name, shortHash(body), err)
	}

	// What is stored is finished, whoever stops: else it would only be done again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.conf.AcceptTimeout+finishTimeout)
	defer cancel()
	ctx, span := s.meters.Tracer.Start(ctx, "file.receive", trace.WithSpanKind(trace.SpanKindConsumer))
	defer span.End()
	var refusal *broker.RejectError
	for _, p := range parts {
		receipt, err := s.receive(ctx, accept, p)
		reject := (*broker.RejectError)(nil)
		if err != nil && !errors.As(err, &reject) {
			reason := "error"
			if errors.Is(err, broker.ErrFull) {
				reason = "full"
			}
			s.meters.Postponed(ctx, reason)
			return fmt.Errorf("receive file %s: %w", short, err)
		}
		if refusal == nil && reject != nil {
			refusal = reject
			if len(parts) > 1 {
				refusal = &broker.RejectError{Code: reject.Code, Err: fmt.Errorf("%s: %w", p.place, reject.Err)}
			}
		}
		atStored.Hit()
		if receipt.Answer != nil {
			if err := s.files.Write(ctx, path.Join(s.conf.Out, s.answerName(name, p, receipt.Ext)), receipt.Answer); err != nil {
				return fmt.Errorf("write the answer of file %s: %w", short, err)
			}
			atAnswered.Hit()
		}
		s.count(ctx, receipt, reject)
		if reject == nil {
			s.log.InfoContext(ctx, "file received", "file", short, "content", shortHash(p.body), "accepted", receipt.Accepted, "refused", receipt.Refused)
		}
	}
	// Its writer may have gone on: then it is received again, as a whole.
	if same, err := s.unchanged(ctx, at, before, int64(len(body))); err != nil || !same {
		next[at] = sight{}
		return err
	}
	if refusal != nil {
		return s.quarantine(ctx, at, name, shortHash(body), refusal)
	}
	return s.finish(ctx, at, name, body)
}

// count counts what a receiver took or refused for good.
func (s *Source) count(ctx context.Context, r broker.Receipt, reject *broker.RejectError) {
	if reject != nil { // a file at fault counts as one message, whatever is in it
		s.meters.Refused(ctx, 1, "rejected")
		return
	}
	s.meters.Accepted(ctx, r.Accepted)
	s.meters.Refused(ctx, r.Refused, "rejected")
	s.became(ctx, "taken")
}

func (s *Source) became(ctx context.Context, outcome string) {
	s.outcomes.Add(ctx, 1, attribute.String("outcome", outcome))
}

func (s *Source) receive(ctx context.Context, accept broker.Accept, p part) (broker.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, s.conf.AcceptTimeout)
	defer cancel()
	return s.receiver.Receive(ctx, broker.Delivery{Name: p.name, At: time.Now().UTC(), Body: p.body}, accept)
}

func (s *Source) tooLarge() error {
	return &broker.RejectError{Code: "file.too_large", Err: fmt.Errorf("it has more than max_bytes, which is %d", s.conf.MaxBytes)}
}

// unchanged says whether a file is still the one that was looked at.
func (s *Source) unchanged(ctx context.Context, at string, before fs.FileInfo, size int64) (bool, error) {
	now, err := s.files.Stat(ctx, at)
	if err != nil {
		return false, fmt.Errorf("look at file %s again: %w", shortHash([]byte(path.Base(at))), err)
	}
	if now.Size() == size && before.Size() == size && now.ModTime().Equal(before.ModTime()) && now.Mode() == before.Mode() {
		return true, nil
	}
	s.became(ctx, "changed")
	s.log.WarnContext(ctx, "file changed while it was read: it waits until it has settled", "file", shortHash([]byte(path.Base(at))))
	return false, nil
}

// answerName returns how the file of an answer is called.
func (s *Source) answerName(name string, p part, ext string) string {
	if p.name != name && strings.EqualFold(path.Ext(name), ".zip") {
		name += "." + p.name
	}
	if ext == "" {
		ext = "answer"
	}
	if len(name) > maxName { // an archive's and its file's
		name = shortHash([]byte(name))
	}
	return name + "." + ext
}

// finish puts a file away that was taken. One that the archive has already, by
// name and content, takes its place.
func (s *Source) finish(ctx context.Context, at, name string, body []byte) error {
	short := shortHash([]byte(name))
	if s.conf.After == Delete {
		if err := s.files.Remove(ctx, at); err != nil {
			return fmt.Errorf("delete file %s: %w", short, err)
		}
		return nil
	}
	to := path.Join(s.conf.Archive, name)
	old, err := s.files.Stat(ctx, to)
	if err == nil {
		again := old.Mode().IsRegular() && old.Size() == int64(len(body))
		if again {
			there, err := s.files.Read(ctx, to, s.conf.MaxBytes)
			again = err == nil && string(there) == string(body)
		}
		if again {
			s.became(ctx, "duplicate")
			s.log.InfoContext(ctx, "file is one that came before", "file", short)
		} else {
			to = path.Join(s.conf.Archive, beside(name, shortHash(body)))
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look into %s: %w", s.conf.Archive, err)
	}
	if err := s.files.Rename(ctx, at, to); err != nil {
		return fmt.Errorf("move file %s to %s: %w", short, s.conf.Archive, err)
	}
	return nil
}

// quarantine puts a file away that is at fault, with the reason beside it.
func (s *Source) quarantine(ctx context.Context, at, name, hash string, reason error) error {
	short := shortHash([]byte(name))
	var reject *broker.RejectError
	if !errors.As(reason, &reject) {
		reject = &broker.RejectError{Code: "file.malformed", Err: reason}
	}
	safe := name
	if checkName(name) != nil {
		safe = "unnamed-" + short
	}
	to := path.Join(s.conf.Quarantine, safe)
	if _, err := s.files.Stat(ctx, to); err == nil {
		to = path.Join(s.conf.Quarantine, beside(safe, hash))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look into %s: %w", s.conf.Quarantine, err)
	}
	text := fmt.Sprintf("Refused at %s.\n%s: %v\n", time.Now().UTC().Format(time.RFC3339), reject.Code, reject.Err)
	if err := s.files.Write(ctx, to+".reason.txt", []byte(text)); err != nil {
		return fmt.Errorf("write the reason of file %s: %w", short, err)
	}
	if err := s.files.Rename(ctx, at, to); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("move file %s to %s: %w", short, s.conf.Quarantine, err)
	}
	s.became(ctx, "quarantined")
	s.log.WarnContext(ctx, "file refused", "file", short, "code", reject.Code, "reason", reject.Err.Error())
	return nil
}
