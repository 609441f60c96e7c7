package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// tariffOut waits until a ward's system has acknowledged what Odoo has from the start.
func (d *demo) tariffOut(ctx context.Context) error {
	if err := d.out(ctx, time.Now(), len(tariff)); err != nil {
		return err
	}
	d.Say("\nout         a ward's system takes item masters by MLLP: it was sent the %d items of Odoo", d.ward.items())
	return nil
}

// priceOut lets a person change a price in Odoo, and waits until the ward's system has it.
func (d *demo) priceOut(ctx context.Context) error {
	d.Say("\nout         a buyer changes the price of the gloves in Odoo")
	began := time.Now()
	change := &broker.Unit{ID: "change", Ops: []broker.Operation{{ID: "gloves", Model: "product.product", Do: "update", XID: "vagus.item_GLV-100", Vals: broker.Values{"list_price": 7.5}}}}
	if outcomes, err := d.buyer.Apply(ctx, []*broker.Unit{change}); err != nil || outcomes[0].Result != broker.Applied {
		return errors.Join(fmt.Errorf("the buyer's change is %v", outcomes), err)
	}
	if err := d.out(ctx, began, len(tariff)+1); err != nil {
		return err
	}
	if price := d.ward.price("GLV-100"); price != "7.50" {
		return fmt.Errorf("the ward's price of the gloves is %q, not 7.50", price)
	}
	d.Say("            the ward was sent the gloves' new price and acknowledged it")
	return nil
}

// out waits until the ward's system has acknowledged so many documents, and notes those
// that are new.
func (d *demo) out(ctx context.Context, began time.Time, n int) error {
	first := len(d.fates)
	if err := d.until(ctx, 30*time.Second, "what goes out to be in the ledger", func() (bool, error) {
		units, err := d.units(ctx, "wards")
		if err != nil || len(units) < n {
			return false, err
		}
		for _, u := range units {
			if !slices.ContainsFunc(d.fates, func(f Fate) bool { return f.SenderID == u.SenderID }) {
				of := strings.Split(u.SenderID, ",") // "product.product,4,VERSION"
				d.sent("MLLP out", "wards", u.SenderID, "MFN M16", "", began, 1).Records = []string{of[0] + "(" + of[1] + ")"}
			}
		}
		return true, nil
	}); err != nil {
		return err
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	for i := range d.fates[first:] {
		f := &d.fates[first+i]
		if f.Ack = d.ward.answer(f.Units[0].ID); f.Ack != "AA" {
			return fmt.Errorf("%s was answered %q", f.SenderID, f.Ack)
		}
	}
	return nil
}

// A receiver is a ward's system that takes item masters by MLLP.
type receiver struct {
	l     net.Listener
	tasks sync.WaitGroup

	mu      sync.Mutex
	conns   []net.Conn
	prices  map[string]string // by item
	answers map[string]string // by MSH-10
}

func listen() (*receiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{l: l, prices: map[string]string{}, answers: map[string]string{}}
	r.tasks.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns = append(r.conns, c)
			r.mu.Unlock()
			r.tasks.Go(func() { r.serve(c) })
		}
	})
	return r, nil
}

func (r *receiver) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		frame, err := in.ReadBytes(0x1c)
		if err != nil {
			return
		}
		id, item, price := "", "", ""
		for line := range strings.SplitSeq(string(bytes.Trim(frame, "\x0b\x1c\r")), "\r") {
			switch f := append(strings.Split(line, "|"), make([]string, 14)...); f[0] {
			case "MSH":
				id = f[9]
			case "ITM":
				item = f[1]
				price, _, _ = strings.Cut(f[13], "&") // the currency
			}
		}
		r.mu.Lock()
		r.prices[item], r.answers[id] = price, "AA"
		r.mu.Unlock()
		if _, err := fmt.Fprintf(c, "\x0bMSH|^~\\&|WARD|NORTH|VAGUS||20260505||ACK^M16^ACK|A%.18s|P|2.6\rMSA|AA|%s\r\x1c\r", id, id); err != nil {
			return
		}
	}
}

func (r *receiver) addr() string { return r.l.Addr().String() }

// price is what the ward's system knows of an item.
func (r *receiver) price(item string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.prices[item]
}

// items is how many it knows.
func (r *receiver) items() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.prices)
}

// answer is what it answered to a unit's document: MSH-10 begins as the unit's id.
func (r *receiver) answer(unit string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.answers[unit[:min(len(unit), 20)]]
}

func (r *receiver) close() error {
	err := r.l.Close()
	r.mu.Lock()
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.tasks.Wait()
	return err
}
